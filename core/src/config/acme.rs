//! Defines the validated settings of ACME.

use core::net::SocketAddr;
use core::ops::Deref;

#[cfg(feature = "gateway")]
use super::nats::NatsStore;
#[cfg(feature = "gateway")]
use super::proxy::Egress;

/// The largest number of domains of one certificate.
pub const MAX_DOMAINS: usize = 16;

/// An `acme` section: an ACME account, and what it orders (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme<'a> {
    /// The names; the first is also the common name.
    pub domains: heapless::Vec<&'a str, MAX_DOMAINS>,
    /// The folder of account, keys and certificates.
    pub storage_path: &'a str,
    /// The store that account, orders and certificates are shared by; none for a gateway alone.
    #[cfg(feature = "gateway")]
    pub storage: Option<NatsStore<'a>>,
    /// The roots of the directory's own server; the system's if absent.
    pub ca_bundle: Option<&'a str>,
    /// The roots that issued certificates must lead to; `ca_bundle` if absent.
    pub issuer_bundle: Option<&'a str>,
    /// The proxy that leads to the directory; none for a direct way.
    #[cfg(feature = "gateway")]
    pub proxy: Option<Egress<'a>>,
    /// External account binding (RFC 8555 section 7.3.4).
    pub eab: Option<Eab<'a>>,
    /// The settings for ordering certificates.
    pub ordering: AcmeOrdering<&'a str>,
}

impl<'a> Deref for Acme<'a> {
    type Target = AcmeOrdering<&'a str>;

    fn deref(&self) -> &Self::Target {
        &self.ordering
    }
}

/// The settings for ordering certificates, with texts of type `T`. The configuration and whoever orders certificates
/// hold this same type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeOrdering<T> {
    /// The URL of the directory, `https://`.
    pub directory_url: T,
    /// The time before its end at which a certificate is renewed, in seconds.
    pub renew_before_s: u32,
    /// The address that answers http-01.
    pub http_listen: SocketAddr,
    /// The keys that are used as they are written.
    pub keys: AcmeKeys<T>,
}

impl<T> AcmeOrdering<T> {
    /// Converts every text: to own texts, say, that outlive the file.
    pub fn map<U>(self, text: impl Fn(T) -> U) -> AcmeOrdering<U> {
        let Self { directory_url, renew_before_s, http_listen, keys } = self;
        AcmeOrdering { directory_url: text(directory_url), renew_before_s, http_listen, keys: keys.map(text) }
    }
}

impl<T> Deref for AcmeOrdering<T> {
    type Target = AcmeKeys<T>;

    fn deref(&self) -> &Self::Target {
        &self.keys
    }
}

/// The keys of an `acme` section that are used as they are written, with texts of type `T`. The reader of a file, the
/// configuration and whoever orders certificates hold this same type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AcmeKeys<T> {
    /// The account's contact.
    pub email: Option<T>,
    /// The challenge that proves control of the names.
    pub challenge_type: ChallengeType,
    /// The kind of key that is made.
    pub key_type: KeyType,
    /// The URI of the key in a token that each certificate is for (RFC 7512); by default each has a new key.
    pub key: Option<T>,
    /// The renewal method while the certificate is valid.
    pub renew_via: RenewVia,
    /// The certificate profile to request.
    pub profile: Option<T>,
    /// The command to run after each renewal.
    pub hook: Option<T>,
    /// The command that answers dns-01.
    pub dns_hook: Option<T>,
}

impl<T> AcmeKeys<T> {
    /// Converts every text.
    fn map<U>(self, text: impl Fn(T) -> U) -> AcmeKeys<U> {
        let Self { email, challenge_type, key_type, key, renew_via, profile, hook, dns_hook } = self;
        AcmeKeys {
            email: email.map(&text),
            challenge_type,
            key_type,
            key: key.map(&text),
            renew_via,
            profile: profile.map(&text),
            hook: hook.map(&text),
            dns_hook: dns_hook.map(&text),
        }
    }
}

/// An account outside ACME (RFC 8555 section 7.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eab<'a> {
    /// The account's key identifier.
    pub kid: &'a str,
    /// The file with the account's MAC key, base64url.
    pub hmac_key_file: &'a str,
}

/// A challenge that proves control of a name (RFC 8555 section 8, RFC 8737).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChallengeType {
    /// The http-01 challenge (RFC 8555 section 8.3).
    #[default]
    Http01,
    /// The tls-alpn-01 challenge (RFC 8737).
    TlsAlpn01,
    /// The dns-01 challenge (RFC 8555 section 8.4).
    Dns01,
}

/// The kind of key to generate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyType {
    /// ECDSA with P-256.
    #[default]
    P256,
    /// ECDSA with P-384.
    P384,
    /// RSA with 2048 bits.
    Rsa2048,
}

/// A renewal method for a certificate that is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewVia {
    /// Another ACME order, with a new key.
    #[default]
    Acme,
    /// The certificate is presented to step-ca, which needs no challenge; the key stays.
    StepCa,
}
