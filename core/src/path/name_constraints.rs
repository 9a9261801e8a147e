//! Checks the names of a certificate against the name constraints of a CA above (RFC 5280 section 4.2.1.10).

use super::error::PathErrorKind;
use super::mailbox::Mailbox;
use crate::text::{before, rsplit_once, split, split_once};
use crate::x509::{
    Certificate, Comparison, Exhausted, GeneralName, GeneralSubtrees, Kind, Name, NameConstraints, Work,
};

/// id-emailAddress (RFC 5280 section 4.1.2.6)
const EMAIL_ADDRESS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];

/// The relation of a name to a subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Inside,
    Outside,
    /// Some names that a wildcard stands for are inside, some outside.
    Partly,
    /// The text of a directory name cannot be compared with the subtree's.
    Undecided,
}

/// Checks every name of `certificate`: its alternative names, and its subject.
pub(super) fn check(
    constraints: &NameConstraints<'_>,
    certificate: &Certificate<'_>,
    work: &mut Work,
) -> Result<(), PathErrorKind> {
    let surveyed = Surveyed::new(constraints, work)?;
    let alternative = certificate.extensions().subject_alt_name;
    for name in alternative.into_iter().flatten() {
        surveyed.check_name(name, work)?;
    }
    let subject = certificate.subject();
    if !subject.is_empty() {
        surveyed.check_name(GeneralName::Directory(subject), work)?;
    }
    // RFC 5280 section 4.2.1.10: without a subjectAltName, an rfc822Name constraint holds for emailAddress
    if alternative.is_none() {
        work.spend(subject.as_bytes().len().saturating_mul(2))?;
        for attribute in subject.attributes().filter(|attribute| attribute.oid == EMAIL_ADDRESS) {
            // A value that is not UTF-8 is no mailbox, and neither is an empty text.
            let text = core::str::from_utf8(attribute.value).unwrap_or("");
            surveyed.check_name(GeneralName::Rfc822(text), work)?;
        }
    }
    Ok(())
}

/// Checks a name that is not a dNSName as if it were one.
pub(super) fn check_dns(constraints: &NameConstraints<'_>, name: &str, work: &mut Work) -> Result<(), PathErrorKind> {
    Surveyed::new(constraints, work)?.check_name(GeneralName::Dns(name), work)
}

/// Name constraints, surveyed once, since a certificate may have thousands of names to check against all of them.
struct Surveyed<'a> {
    excluded: List<'a>,
    permitted: List<'a>,
}

struct List<'a> {
    subtrees: GeneralSubtrees<'a>,
    /// The number of subtrees.
    count: usize,
    /// The kinds of the subtrees.
    kinds: Kinds,
    /// The kinds of the subtrees that cannot be understood.
    malformed: Kinds,
}

/// A set of kinds of names.
#[derive(Clone, Copy, Default)]
struct Kinds(u16);

impl Kinds {
    fn add(&mut self, kind: Kind) {
        self.0 |= Self::bit(kind);
    }

    fn has(self, kind: Kind) -> bool {
        self.0 & Self::bit(kind) != 0
    }

    fn bit(kind: Kind) -> u16 {
        1_u16.checked_shl(kind.number().into()).unwrap_or(0)
    }
}

impl<'a> Surveyed<'a> {
    fn new(constraints: &NameConstraints<'a>, work: &mut Work) -> Result<Self, Exhausted> {
        Ok(Self {
            excluded: List::new(constraints.excluded, work)?,
            permitted: List::new(constraints.permitted, work)?,
        })
    }

    fn check_name(&self, name: GeneralName<'_>, work: &mut Work) -> Result<(), PathErrorKind> {
        work.spend(NAME.saturating_add(name.octets() / 8))?;
        let kind = name.kind();
        if !self.excluded.kinds.has(kind) && !self.permitted.kinds.has(kind) {
            return Ok(());
        }
        work.spend(name.octets().saturating_mul(2))?;
        let name = Subject::new(name)?;
        for base in self.excluded.of_kind(kind, work)? {
            match self.excluded.relation(&name, kind, base, work)? {
                Relation::Outside => {}
                Relation::Inside | Relation::Partly => return Err(PathErrorKind::NameConstraint),
                Relation::Undecided => return Err(PathErrorKind::IncomparableName),
            }
        }
        for base in self.permitted.of_kind(kind, work)? {
            if self.permitted.relation(&name, kind, base, work)? == Relation::Inside {
                return Ok(());
            }
        }
        if self.permitted.kinds.has(kind) { Err(PathErrorKind::NameConstraint) } else { Ok(()) }
    }
}

/// The work of reading a name, without its octets.
const NAME: usize = 8;

impl<'a> List<'a> {
    fn new(subtrees: GeneralSubtrees<'a>, work: &mut Work) -> Result<Self, Exhausted> {
        let mut list = Self { subtrees, count: 0, kinds: Kinds::default(), malformed: Kinds::default() };
        for base in subtrees {
            work.spend(NAME.saturating_add(base.octets()))?;
            list.count = list.count.saturating_add(1);
            list.kinds.add(base.kind());
            if !is_understood(&base) {
                list.malformed.add(base.kind());
            }
        }
        Ok(list)
    }

    fn of_kind(&self, kind: Kind, work: &mut Work) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, Exhausted> {
        let none = !self.kinds.has(kind);
        work.spend(if none { 0 } else { self.count })?;
        let subtrees = if none { GeneralSubtrees::NONE } else { self.subtrees };
        Ok(subtrees.of_kind(kind))
    }

    /// Returns the relation of a name to a base of the same kind, given by the base's contents octets.
    fn relation(
        &self,
        name: &Subject<'_>,
        kind: Kind,
        base: &[u8],
        work: &mut Work,
    ) -> Result<Relation, PathErrorKind> {
        let octets = match name {
            // The base is taken apart each time.
            Subject::Rfc822(_) => base.len(),
            Subject::Dns { .. } | Subject::Uri { .. } => base.len() / 4,
            // Compared below, or not at all.
            Subject::Ip(_) | Subject::Directory(_) | Subject::Other => 0,
        };
        work.spend(octets.saturating_add(4))?;
        if self.malformed.has(kind) {
            work.spend(base.len().saturating_mul(2).saturating_add(4))?;
            if !GeneralName::again(kind, base).is_some_and(|base| is_understood(&base)) {
                return Err(PathErrorKind::MalformedNameConstraint);
            }
        }
        Ok(match name {
            Subject::Dns { wildcard, host } => dns(*wildcard, host, base),
            Subject::Ip(name) => inside(ip(name, base)),
            Subject::Rfc822(mailbox) => inside(rfc822(mailbox, base)),
            Subject::Uri { host } => inside(host_or_domain(host, base)),
            Subject::Directory(name) => {
                let base = Name::again(base).ok_or(PathErrorKind::MalformedNameConstraint)?;
                match name.is_within(&base, work)? {
                    Comparison::Same => Relation::Inside,
                    Comparison::Different => Relation::Outside,
                    Comparison::Undecided => Relation::Undecided,
                }
            }
            // RFC 5280 section 4.2.1.10: a constraint that cannot be processed rejects a name of its kind
            Subject::Other => return Err(PathErrorKind::MalformedNameConstraint),
        })
    }
}

/// A name to check against constraints, taken apart once.
enum Subject<'a> {
    Dns {
        wildcard: bool,
        host: &'a str,
    },
    Ip(&'a [u8]),
    Rfc822(Mailbox<'a>),
    Uri {
        host: &'a str,
    },
    Directory(Name<'a>),
    /// A name of a kind that is not processed.
    Other,
}

impl<'a> Subject<'a> {
    /// Takes a name apart. A name that cannot be compared with the constraints of its kind is rejected.
    fn new(name: GeneralName<'a>) -> Result<Self, PathErrorKind> {
        let subject = match name {
            GeneralName::Dns(name) => {
                let (wildcard, host) = match name.strip_prefix("*.") {
                    Some(parent) => (true, parent),
                    None => (false, name),
                };
                is_host_name(host).then_some(Self::Dns { wildcard, host })
            }
            GeneralName::Ip(address) => Some(Self::Ip(address)),
            GeneralName::Rfc822(name) => Mailbox::read(name).filter(|name| is_host_name(name.host)).map(Self::Rfc822),
            GeneralName::Uri(name) => uri_host(name).map(|host| Self::Uri { host }),
            GeneralName::Directory(name) => Some(Self::Directory(name)),
            GeneralName::Other(_) | GeneralName::Unsupported(..) => Some(Self::Other),
        };
        subject.ok_or(PathErrorKind::MalformedName)
    }
}

/// Returns whether a base has the form that RFC 5280 section 4.2.1.10 demands.
fn is_understood(base: &GeneralName<'_>) -> bool {
    match base {
        GeneralName::Dns(base) => base.is_empty() || is_host_name(base),
        GeneralName::Rfc822(base) => {
            is_host_or_domain(base) || Mailbox::read(base).is_some_and(|base| is_host_name(base.host))
        }
        GeneralName::Uri(base) => is_host_or_domain(base),
        GeneralName::Ip(_) | GeneralName::Directory(_) => true,
        GeneralName::Other(_) | GeneralName::Unsupported(..) => false,
    }
}

fn inside(inside: bool) -> Relation {
    if inside { Relation::Inside } else { Relation::Outside }
}

/// Compares a dNSName: a subtree is a name and all names with more labels on the left.
fn dns(wildcard: bool, host: &str, base: &[u8]) -> Relation {
    if is_below(host, base) || is_host(host, base) {
        Relation::Inside
    } else if wildcard && parent(base).is_some_and(|parent| is_host(host, parent)) {
        // One of the names that the wildcard stands for is the base (RFC 9525 section 6.3)
        Relation::Partly
    } else {
        Relation::Outside
    }
}

/// Returns the labels of `base` after the first.
fn parent(base: &[u8]) -> Option<&[u8]> {
    let dot = base.iter().position(|octet| *octet == b'.')?;
    base.get(dot..)?.get(1..)
}

/// Compares a host with a base by octets: as text, the base's encoding would be checked again for each name.
fn is_host(host: &str, base: &[u8]) -> bool {
    host.as_bytes().eq_ignore_ascii_case(base)
}

/// Returns whether `host` has labels to the left of `base`.
fn is_below(host: &str, base: &[u8]) -> bool {
    if base.is_empty() {
        return true;
    }
    let Some((left, right)) = host.len().checked_sub(base.len()).and_then(|at| host.as_bytes().split_at_checked(at))
    else {
        return false;
    };
    left.last() == Some(&b'.') && right.eq_ignore_ascii_case(base)
}

/// Returns whether `name` has only non-empty labels of letters, digits, hyphens and underscores.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && split(name, b'.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
        })
}

/// Returns whether an iPAddress is inside `base`, an address and a mask of the same family.
fn ip(name: &[u8], base: &[u8]) -> bool {
    let (address, mask) = base.split_at_checked(name.len()).unwrap_or((&[], &[]));
    mask.len() == name.len()
        && name.iter().zip(address).zip(mask).all(|((name, address), mask)| name & mask == address & mask)
}

/// Returns whether an rfc822Name is inside `base`: one mailbox, a host, or `.` and a domain.
fn rfc822(mailbox: &Mailbox<'_>, base: &[u8]) -> bool {
    match core::str::from_utf8(base).ok().and_then(Mailbox::read) {
        Some(base) => mailbox.is(&base),
        None => host_or_domain(mailbox.host, base),
    }
}

/// Returns the host of a uniformResourceIdentifier, whose constraints are a host, or `.` and a domain. A name without
/// a host, or with an address, is outside all constraints.
fn uri_host(name: &str) -> Option<&str> {
    let (_, rest) = split_once(name, b':')?;
    let authority = before(rest.strip_prefix("//")?, |octet| matches!(octet, b'/' | b'?' | b'#'));
    let host_and_port = rsplit_once(authority, b'@').map_or(authority, |(_, host)| host);
    let host = split_once(host_and_port, b':').map_or(host_and_port, |(host, _)| host);
    // A last label that begins with a digit belongs to an address, in any notation
    let last = rsplit_once(host, b'.').map_or(host, |(_, label)| label);
    (is_host_name(host) && !last.starts_with(|c: char| c.is_ascii_digit())).then_some(host)
}

fn is_host_or_domain(base: &str) -> bool {
    is_host_name(base.strip_prefix('.').unwrap_or(base))
}

fn host_or_domain(host: &str, base: &[u8]) -> bool {
    match base {
        [b'.', domain @ ..] => is_below(host, domain),
        _ => is_host(host, base),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the relation of `name` to `base` in a list of this one base.
    fn relation(name: GeneralName<'_>, base: GeneralName<'_>) -> Result<Relation, PathErrorKind> {
        let mut malformed = Kinds::default();
        if !is_understood(&base) {
            malformed.add(base.kind());
        }
        let list = List { subtrees: GeneralSubtrees::NONE, count: 1, kinds: Kinds::default(), malformed };
        let octets = match base {
            GeneralName::Dns(base) | GeneralName::Rfc822(base) | GeneralName::Uri(base) => base.as_bytes(),
            _ => &[],
        };
        list.relation(&Subject::new(name)?, base.kind(), octets, &mut Work::new(100_000))
    }

    #[test]
    fn dns_table() {
        use Relation::*;
        for (name, base, expected) in [
            ("example.com", "example.com", Ok(Inside)),
            ("a.EXAMPLE.com", "example.COM", Ok(Inside)),
            ("badexample.com", "example.com", Ok(Outside)),
            ("com", "example.com", Ok(Outside)),
            ("anything.test", "", Ok(Inside)),
            ("*.example.com", "example.com", Ok(Inside)),
            ("*.example.com", "bar.example.com", Ok(Partly)),
            ("*.example.com", "a.bar.example.com", Ok(Outside)),
            ("a.example.com", ".example.com", Err(PathErrorKind::MalformedNameConstraint)),
            ("a.example.com", "*.example.com", Err(PathErrorKind::MalformedNameConstraint)),
            ("a b.example.com", "example.com", Err(PathErrorKind::MalformedName)),
        ] {
            assert_eq!(relation(GeneralName::Dns(name), GeneralName::Dns(base)), expected, "{name} {base}");
        }
    }

    #[test]
    fn rfc822_table() {
        use Relation::*;
        for (name, base, expected) in [
            ("a@example.com", "a@example.com", Ok(Inside)),
            ("A@example.com", "a@example.com", Ok(Outside)),
            ("a@EXAMPLE.com", "example.com", Ok(Inside)),
            ("a@b.example.com", "example.com", Ok(Outside)),
            ("a@b.example.com", ".example.com", Ok(Inside)),
            ("a@example.com", ".example.com", Ok(Outside)),
            ("\"a\"@example.com", "a@example.com", Ok(Inside)),
            ("a@example.com", "\"\\a\"@EXAMPLE.com", Ok(Inside)),
            ("\"a@b\"@example.com", "example.com", Ok(Inside)),
            ("*@example.com", "*@example.com", Ok(Inside)),
            ("example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("a@b@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("a b@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("a..b@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            (".a@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("a.@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("\"a@example.com", "example.com", Err(PathErrorKind::MalformedName)),
            ("a@[10.0.0.1]", "example.com", Err(PathErrorKind::MalformedName)),
            ("a@example.com", "@example.com", Err(PathErrorKind::MalformedNameConstraint)),
            ("a@example.com", "a@", Err(PathErrorKind::MalformedNameConstraint)),
            ("a@example.com", "a..b", Err(PathErrorKind::MalformedNameConstraint)),
        ] {
            assert_eq!(relation(GeneralName::Rfc822(name), GeneralName::Rfc822(base)), expected, "{name} {base}");
        }
    }

    #[test]
    fn uri_table() {
        use Relation::*;
        for (name, base, expected) in [
            ("https://a.example/x", "a.example", Ok(Inside)),
            ("spiffe://mesh.example/b", ".example", Ok(Inside)),
            ("https://u@a.example:8443?q", "a.example", Ok(Inside)),
            ("https://b.example", "a.example", Ok(Outside)),
            ("https://10.0.0.1/", "a.example", Err(PathErrorKind::MalformedName)),
            ("https://10.1/", "a.example", Err(PathErrorKind::MalformedName)),
            ("https://a.0x7f/", "a.example", Err(PathErrorKind::MalformedName)),
            ("urn:x", "a.example", Err(PathErrorKind::MalformedName)),
            ("https://a.example", "", Err(PathErrorKind::MalformedNameConstraint)),
        ] {
            assert_eq!(relation(GeneralName::Uri(name), GeneralName::Uri(base)), expected, "{name} {base}");
        }
    }

    #[test]
    fn ip_needs_the_same_family() {
        assert!(ip(&[10, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!ip(&[11, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!ip(&[0; 16], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!ip(&[10, 1, 2, 3], &[0; 32]));
    }
}
