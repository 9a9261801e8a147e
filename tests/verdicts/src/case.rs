//! The format of cases: [`MAGIC`], then a record for each case, with its length in four octets before it. Numbers are
//! little-endian; a value with a length has two octets of length before it.
//!
//! | octets | |
//! |---|---|
//! | 4 | number of the case |
//! | 1 | purpose: 0 server, 1 client |
//! | 8 | now, in seconds since 1970 |
//! | 1 | intermediates that a path may have at the most |
//! | 1 | policy: 0 none, 1 a DNS name, 2 an address, 3 rules |
//! | | the name, the address, or how many rules (1) and for each its kind (1) and value |
//! | 1 | keys of issuers that the name or the rules are bound to, each of 32 octets; none for any issuer |
//! | 1 | denied keys, each of 32 octets |
//! | 1 | anchors, each with its length |
//! | 1 | certificates that the peer sent beside its own, each with its length |
//! | | the peer's own, with its length |

use core::net::IpAddr;

use edgetrust_core::identity::RuleName;
use edgetrust_core::path::Purpose;
use edgetrust_core::x509::KeyHash;

/// The first octets of a stream.
pub const MAGIC: [u8; 8] = *b"verdict2";

/// The maximum size of a record: the memory that a device has for it.
pub const MAX_RECORD: usize = 22 * 1024;

/// The maximum number of anchors of a case.
pub const MAX_ANCHORS: usize = 4;

/// The maximum number of certificates beside the peer's own.
pub const MAX_SENT: usize = 36;

/// The maximum number of rules of a case.
pub const MAX_RULES: usize = 4;

/// The maximum number of issuers, and of denied keys, of a case.
pub const MAX_KEYS: usize = 4;

/// The keys of issuers, or denied keys.
pub type Keys = heapless::Vec<KeyHash, MAX_KEYS>;

/// The error of a record that is malformed or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The expected identity of the peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy<'a> {
    /// Any peer with a path.
    None,
    /// A server of this name.
    Dns(&'a str),
    /// A server at this address.
    Ip(IpAddr),
    /// A client on this list.
    Rules(heapless::Vec<RuleName<'a>, MAX_RULES>),
}

/// One chain and one question.
#[derive(Clone, Debug, PartialEq)]
pub struct Case<'a> {
    /// The case's number in the stream.
    pub number: u32,
    /// The purpose of the leaf.
    pub purpose: Purpose,
    /// The time of the verdict, in seconds since 1970.
    pub now: u64,
    /// The maximum number of intermediates of a path.
    pub intermediates: u8,
    /// The expected identity of the peer.
    pub policy: Policy<'a>,
    /// The keys of the CAs that the peer must come from; empty for any CA.
    pub issuers: Keys,
    /// The denied keys.
    pub denied: Keys,
    /// The anchors, in DER.
    pub anchors: heapless::Vec<&'a [u8], MAX_ANCHORS>,
    /// The certificates that the peer sent beside its own, in DER.
    pub sent: heapless::Vec<&'a [u8], MAX_SENT>,
    /// The peer's own certificate, in DER.
    pub leaf: &'a [u8],
}

/// Returns the length of the record after these four octets.
pub fn record_length(head: [u8; 4]) -> Result<usize, Malformed> {
    usize::try_from(u32::from_le_bytes(head)).ok().filter(|length| *length <= MAX_RECORD).ok_or(Malformed)
}

impl<'a> Case<'a> {
    /// Parses a record without its length.
    pub fn read(record: &'a [u8]) -> Result<Self, Malformed> {
        let mut input = Input(record);
        let case = Self {
            number: u32::from_le_bytes(input.array()?),
            purpose: match input.array()? {
                [0] => Purpose::ServerAuth,
                [1] => Purpose::ClientAuth,
                _ => return Err(Malformed),
            },
            now: u64::from_le_bytes(input.array()?),
            intermediates: input.octet()?,
            policy: input.policy()?,
            issuers: input.keys()?,
            denied: input.keys()?,
            anchors: input.list()?,
            sent: input.list()?,
            leaf: input.value()?,
        };
        if input.0.is_empty() { Ok(case) } else { Err(Malformed) }
    }

    /// Appends the record with its length to `out`.
    pub fn write(&self, out: &mut impl Extend<u8>) -> Result<(), Malformed> {
        let mut counted = Counted(0);
        self.fields(&mut counted)?;
        let length = u32::try_from(counted.0).ok().filter(|_| counted.0 <= MAX_RECORD).ok_or(Malformed)?;
        out.extend(length.to_le_bytes());
        self.fields(out)
    }

    fn fields(&self, out: &mut impl Extend<u8>) -> Result<(), Malformed> {
        out.extend(self.number.to_le_bytes());
        out.extend([u8::from(self.purpose == Purpose::ClientAuth)]);
        out.extend(self.now.to_le_bytes());
        out.extend([self.intermediates]);
        match &self.policy {
            Policy::None => out.extend([0]),
            Policy::Dns(name) => {
                out.extend([1]);
                value(out, name.as_bytes())?;
            }
            Policy::Ip(address) => {
                out.extend([2]);
                ip(out, *address)?;
            }
            Policy::Rules(rules) => {
                out.extend([3, count(rules.len())?]);
                for rule in rules {
                    match rule {
                        RuleName::CommonName(name) => text(out, 0, name)?,
                        RuleName::Dns(name) => text(out, 1, name)?,
                        RuleName::Uri(name) => text(out, 2, name)?,
                        RuleName::Ip(address) => {
                            out.extend([3]);
                            ip(out, *address)?;
                        }
                    }
                }
            }
        }
        for keys in [&self.issuers, &self.denied] {
            out.extend([count(keys.len())?]);
            keys.iter().for_each(|key| out.extend(*key.octets()));
        }
        for list in [self.anchors.as_slice(), self.sent.as_slice()] {
            out.extend([count(list.len())?]);
            for certificate in list {
                value(out, certificate)?;
            }
        }
        value(out, self.leaf)
    }
}

struct Counted(usize);

impl Extend<u8> for Counted {
    fn extend<T: IntoIterator<Item = u8>>(&mut self, octets: T) {
        self.0 += octets.into_iter().count();
    }
}

fn count(length: usize) -> Result<u8, Malformed> {
    u8::try_from(length).map_err(|_| Malformed)
}

fn value(out: &mut impl Extend<u8>, octets: &[u8]) -> Result<(), Malformed> {
    out.extend(u16::try_from(octets.len()).map_err(|_| Malformed)?.to_le_bytes());
    out.extend(octets.iter().copied());
    Ok(())
}

fn text(out: &mut impl Extend<u8>, kind: u8, text: &str) -> Result<(), Malformed> {
    out.extend([kind]);
    value(out, text.as_bytes())
}

fn ip(out: &mut impl Extend<u8>, address: IpAddr) -> Result<(), Malformed> {
    match address {
        IpAddr::V4(address) => value(out, &address.octets()),
        IpAddr::V6(address) => value(out, &address.octets()),
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (octets, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*octets)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[octet]| octet)
    }

    fn value(&mut self) -> Result<&'a [u8], Malformed> {
        let length = u16::from_le_bytes(self.array()?);
        let (value, rest) = self.0.split_at_checked(length.into()).ok_or(Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    fn text(&mut self) -> Result<&'a str, Malformed> {
        core::str::from_utf8(self.value()?).map_err(|_| Malformed)
    }

    fn ip(&mut self) -> Result<IpAddr, Malformed> {
        let octets = self.value()?;
        let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).map_err(|_| Malformed)
    }

    fn keys(&mut self) -> Result<Keys, Malformed> {
        let mut keys = Keys::new();
        for _ in 0..self.octet()? {
            keys.push(KeyHash::new(self.array()?)).map_err(|_| Malformed)?;
        }
        Ok(keys)
    }

    fn list<const N: usize>(&mut self) -> Result<heapless::Vec<&'a [u8], N>, Malformed> {
        let mut list = heapless::Vec::new();
        for _ in 0..self.octet()? {
            list.push(self.value()?).map_err(|_| Malformed)?;
        }
        Ok(list)
    }

    fn policy(&mut self) -> Result<Policy<'a>, Malformed> {
        Ok(match self.octet()? {
            0 => Policy::None,
            1 => Policy::Dns(self.text()?),
            2 => Policy::Ip(self.ip()?),
            3 => {
                let mut rules = heapless::Vec::new();
                for _ in 0..self.octet()? {
                    let rule = match self.octet()? {
                        0 => RuleName::CommonName(self.text()?),
                        1 => RuleName::Dns(self.text()?),
                        2 => RuleName::Uri(self.text()?),
                        3 => RuleName::Ip(self.ip()?),
                        _ => return Err(Malformed),
                    };
                    rules.push(rule).map_err(|_| Malformed)?;
                }
                Policy::Rules(rules)
            }
            _ => return Err(Malformed),
        })
    }
}
