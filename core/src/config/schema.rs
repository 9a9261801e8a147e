//! Lists the keys, in one place: the value each takes, its meaning, and its destination.

use super::duration;
use super::model::{ChallengeType, KeyType, MinVersion, RenewVia};
use super::raw::{List, Raw, Side};
use crate::identity::without_root;
use crate::text::contains;

/// The reason for refusing a value: what was expected instead.
pub(super) type Refused = &'static str;

/// The kind of a key's value, and its destination.
pub(super) enum Kind {
    Bool(for<'a> fn(&mut Raw<'a>, bool)),
    Text(for<'a> fn(&mut Raw<'a>, &'a str) -> Result<(), Refused>),
    /// A whole number that is not negative.
    #[cfg_attr(not(feature = "gateway"), expect(dead_code, reason = "only the gateway's limits are numbers"))]
    Number(for<'a> fn(&mut Raw<'a>, u32) -> Result<(), Refused>),
    /// A list of texts: the function is called when the list begins, and for each text. `null`, as Go writes it, is a
    /// list that is not written.
    Texts(for<'a> fn(&mut Raw<'a>, Option<&'a str>) -> Result<(), Refused>),
    /// A list of texts that decides which clients are let in: `null` is refused, since it could mean nobody or
    /// everybody.
    Rules(for<'a> fn(&mut Raw<'a>, Option<&'a str>) -> Result<(), Refused>),
    Object(&'static Object, for<'a> fn(&mut Raw<'a>)),
    /// A list of objects.
    #[cfg_attr(not(feature = "gateway"), expect(dead_code, reason = "only tunnels are such"))]
    Objects(&'static Object, for<'a> fn(&mut Raw<'a>) -> Result<(), Refused>),
}

/// One key of an object.
pub(super) struct Field {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    pub(super) doc: &'static str,
}

/// Returns a description in builds that show descriptions: the image of a device has none.
const fn described(doc: &'static str) -> &'static str {
    if cfg!(feature = "gateway") { doc } else { "" }
}

/// The keys of one object.
pub(super) struct Object {
    pub(super) fields: &'static [Field],
    /// Other keys are ignored: they belong to other programs.
    pub(super) open: bool,
    /// Called for each key that is written, where its presence matters.
    pub(super) on_key: Option<for<'a> fn(&mut Raw<'a>, &'static str)>,
}

/// Keeps the first key beside `enabled`: an object that has one must say whether it is enabled.
fn note(other: &mut Option<&'static str>, key: &'static str) {
    if key != "enabled" {
        other.get_or_insert(key);
    }
}

const FILE: Refused = "a file name";
const LIST_FULL: Refused = "at most 16 files";
const NAMES_FULL: Refused = "at most 32 names";

fn not_empty(text: &str, expected: Refused) -> Result<Option<&str>, Refused> {
    if text.is_empty() { Err(expected) } else { Ok(Some(text)) }
}

fn push<'a, const N: usize>(
    list: &mut List<'a, N>,
    text: Option<&'a str>,
    expected: Refused,
    full: Refused,
) -> Result<(), Refused> {
    list.written = true;
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || contains(text, 0) {
        return Err(expected);
    }
    list.items.push(text).map_err(|_| full)
}

fn seconds(text: &str) -> Result<u32, Refused> {
    let milliseconds = duration::milliseconds(text).ok_or(duration::EXPECTED)?;
    u32::try_from(milliseconds / 1_000).map_err(|_| duration::EXPECTED)
}

/// A key that takes text.
macro_rules! text {
    ($key:literal, $doc:literal, |$raw:ident, $text:ident| $set:expr) => {
        Field {
            key: $key,
            doc: described($doc),
            kind: Kind::Text(|$raw, $text| {
                $set;
                Ok(())
            }),
        }
    };
}

/// A key that takes a list of texts.
macro_rules! texts {
    ($key:literal, $doc:literal, |$raw:ident| $list:expr, $expected:expr, $full:expr) => {
        Field { key: $key, doc: described($doc), kind: Kind::Texts(|$raw, text| push($list, text, $expected, $full)) }
    };
}

/// A key that takes a list of names: each without the dot of the root, which names in certificates do not have.
macro_rules! names {
    ($key:literal, $doc:literal, |$raw:ident| $list:expr, $kind:ident, $expected:expr, $full:expr) => {
        Field {
            key: $key,
            doc: described($doc),
            kind: Kind::$kind(|$raw, text| push($list, text.map(without_root), $expected, $full)),
        }
    };
}

/// A key that takes true or false.
macro_rules! flag {
    ($key:literal, $doc:literal, |$raw:ident, $value:ident| $set:expr) => {
        Field { key: $key, doc: described($doc), kind: Kind::Bool(|$raw, $value| $set) }
    };
}

/// A key that takes an object.
macro_rules! object {
    ($key:literal, $doc:literal, $object:path, |$raw:ident| $enter:expr) => {
        Field { key: $key, doc: described($doc), kind: Kind::Object(&$object, |$raw| $enter) }
    };
}

// After the macros, which apply to the modules after them.
#[cfg(feature = "device")]
mod device;
#[cfg(feature = "gateway")]
mod gateway;

pub(super) static TOP: Object = Object {
    open: true,
    on_key: None,
    fields: &[
        object!("security", "of this section tls is read, the rest left alone", SECURITY, |_raw| ()),
        #[cfg(feature = "gateway")]
        object!("gateway", "tunnels and what they may cost", gateway::GATEWAY, |_raw| ()),
        #[cfg(feature = "device")]
        object!("device", "a microcontroller that speaks to a gateway", device::DEVICE, |raw| raw.enter_device()),
    ],
};

static SECURITY: Object = Object { open: true, on_key: None, fields: &[object!("tls", "ADR-001", TLS, |_raw| ())] };

static TLS: Object = Object {
    open: false,
    on_key: None,
    fields: &[
        object!("server", "what this location accepts", SERVER, |raw| raw.enter(Side::Server)),
        object!("client", "what this location originates", CLIENT, |raw| raw.enter(Side::Client)),
    ],
};

macro_rules! enabled {
    () => {
        flag!("enabled", "false: plaintext, tier 1", |raw, value| raw.side().enabled = Some(value))
    };
}
macro_rules! mode {
    () => {
        text!("mode", "\"manual\" or \"acme\"", |raw, text| raw.side().acme_mode = Some(match text {
            "manual" => false,
            "acme" => true,
            _ => return Err("\"manual\" or \"acme\""),
        }))
    };
}
macro_rules! cert_file {
    () => {
        text!("cert_file", "certificate chain, PEM, leaf first", |raw, text| raw.side().cert_file =
            not_empty(text, FILE)?)
    };
}
macro_rules! key_file {
    () => {
        text!("key_file", "private key, PEM", |raw, text| raw.side().key_file = not_empty(text, FILE)?)
    };
}
macro_rules! min_version {
    () => {
        text!("min_version", "lowest version of TLS, \"1.2\" (default) or \"1.3\"", |raw, text| raw
            .side()
            .min_version =
            Some(match text {
                "1.2" => MinVersion::Tls12,
                "1.3" => MinVersion::Tls13,
                _ => return Err("\"1.2\" or \"1.3\""),
            }))
    };
}
macro_rules! acme {
    () => {
        object!("acme", "tier 3", ACME, |raw| raw.enter_acme(false))
    };
}
macro_rules! ca_files {
    () => {
        texts!("ca_files", "CAs of servers, PEM", |raw| &mut raw.side().ca_files, FILE, LIST_FULL)
    };
}
#[cfg(feature = "gateway")]
macro_rules! pinned_certificates {
    () => {
        texts!(
            "pinned_certificates",
            "certificates of servers themselves, PEM: each is a pin, whatever it says of itself",
            |raw| &mut raw.side().pinned_certificates,
            FILE,
            LIST_FULL
        )
    };
}
macro_rules! insecure_skip_verify {
    () => {
        flag!("insecure_skip_verify", "no check of the server at all", |raw, value| raw.side().insecure_skip_verify =
            Some(value))
    };
}
macro_rules! use_system_roots {
    () => {
        flag!("use_system_roots", "the system's CAs count too, default true", |raw, value| raw.side().system_roots =
            Some(value))
    };
}

static SERVER: Object = Object {
    open: false,
    on_key: Some(|raw, key| note(&mut raw.side().other, key)),
    fields: &[
        enabled!(),
        mode!(),
        cert_file!(),
        key_file!(),
        min_version!(),
        acme!(),
        object!("mtls", "client certificates", SERVER_MTLS, |raw| raw.enter_mtls()),
    ],
};

static CLIENT: Object = Object {
    open: false,
    on_key: None,
    fields: &[
        ca_files!(),
        #[cfg(feature = "gateway")]
        pinned_certificates!(),
        use_system_roots!(),
        insecure_skip_verify!(),
        min_version!(),
        mode!(),
        acme!(),
        object!("mtls", "the client's own certificate", CLIENT_MTLS, |raw| raw.enter_mtls()),
    ],
};

/// A tunnel's own `tls`: the keys of both sides, of which `validate` refuses those of the wrong side.
#[cfg(feature = "gateway")]
static TUNNEL_TLS: Object = Object {
    open: false,
    on_key: Some(|raw, key| note(&mut raw.side().other, key)),
    fields: &[
        enabled!(),
        mode!(),
        cert_file!(),
        key_file!(),
        min_version!(),
        acme!(),
        ca_files!(),
        pinned_certificates!(),
        use_system_roots!(),
        insecure_skip_verify!(),
        object!("mtls", "client certificates, or the client's own", TUNNEL_MTLS, |raw| raw.enter_mtls()),
    ],
};

macro_rules! mtls_enabled {
    () => {
        flag!("enabled", "mutual TLS", |raw, value| raw.side().mtls.enabled = Some(value))
    };
}
macro_rules! client_ca_files {
    () => {
        texts!("client_ca_files", "CAs of clients, PEM", |raw| &mut raw.side().mtls.client_ca_files, FILE, LIST_FULL)
    };
}
#[cfg(feature = "gateway")]
macro_rules! pinned_client_certificates {
    () => {
        texts!(
            "pinned_certificates",
            "certificates of clients themselves, PEM: each is a pin, whatever it says of itself",
            |raw| &mut raw.side().mtls.pinned_certificates,
            FILE,
            LIST_FULL
        )
    };
}
macro_rules! require_client_cert {
    () => {
        flag!(
            "require_client_cert",
            "default true; false judges a certificate only where one is shown",
            |raw, value| raw.side().mtls.require_client_cert = Some(value)
        )
    };
}
macro_rules! allowed {
    ($key:literal, $doc:literal, $list:ident) => {
        Field {
            key: $key,
            doc: described($doc),
            kind: Kind::Rules(|raw, text| push(&mut raw.side().mtls.$list, text, "a name", NAMES_FULL)),
        }
    };
}
macro_rules! allowed_dns {
    () => {
        names!(
            "allowed_client_dns",
            "DNS names that are let in",
            |raw| &mut raw.side().mtls.allowed_dns,
            Rules,
            "a DNS name",
            NAMES_FULL
        )
    };
}
macro_rules! mtls_cert_file {
    () => {
        text!("cert_file", "certificate chain to show, PEM, leaf first", |raw, text| raw.side().mtls.cert_file =
            not_empty(text, FILE)?)
    };
}
macro_rules! mtls_key_file {
    () => {
        text!("key_file", "its private key, PEM", |raw, text| raw.side().mtls.key_file = not_empty(text, FILE)?)
    };
}
macro_rules! mtls_acme {
    () => {
        object!("acme", "tier 3 for the client's certificate", ACME, |raw| raw.enter_acme(true))
    };
}

static SERVER_MTLS: Object = Object {
    open: false,
    on_key: Some(|raw, key| note(&mut raw.side().mtls.other, key)),
    fields: &[
        mtls_enabled!(),
        client_ca_files!(),
        #[cfg(feature = "gateway")]
        pinned_client_certificates!(),
        require_client_cert!(),
        allowed!("allowed_client_cns", "common names that are let in", allowed_cns),
        allowed_dns!(),
        allowed!("allowed_client_uris", "URIs that are let in", allowed_uris),
        allowed!("allowed_client_ips", "IP addresses of certificates that are let in", allowed_ips),
    ],
};

static CLIENT_MTLS: Object = Object {
    open: false,
    on_key: Some(|raw, key| note(&mut raw.side().mtls.other, key)),
    fields: &[mtls_enabled!(), mtls_cert_file!(), mtls_key_file!(), mtls_acme!()],
};

#[cfg(feature = "gateway")]
static TUNNEL_MTLS: Object = Object {
    open: false,
    on_key: Some(|raw, key| note(&mut raw.side().mtls.other, key)),
    fields: &[
        mtls_enabled!(),
        client_ca_files!(),
        pinned_client_certificates!(),
        require_client_cert!(),
        allowed!("allowed_client_cns", "common names that are let in", allowed_cns),
        allowed_dns!(),
        allowed!("allowed_client_uris", "URIs that are let in", allowed_uris),
        allowed!("allowed_client_ips", "IP addresses of certificates that are let in", allowed_ips),
        mtls_cert_file!(),
        mtls_key_file!(),
        mtls_acme!(),
    ],
};

static ACME: Object = Object {
    open: false,
    on_key: Some(|raw, key| note(&mut raw.acme().other, key)),
    fields: &[
        flag!("enabled", "certificates come from an ACME directory", |raw, value| raw.acme().enabled = Some(value)),
        text!("directory_url", "the ACME directory, https://", |raw, text| {
            raw.acme().directory_url = Some(text).filter(|url| url.len() > 8 && url.starts_with("https://"));
            raw.acme().directory_url.ok_or("a URL that begins with https://")?
        }),
        text!("email", "the account's contact", |raw, text| raw.acme().email = Some(text)),
        names!(
            "domains",
            "names of the certificate; the first is also its common name",
            |raw| &mut raw.acme().domains,
            Texts,
            "a DNS name or an IP address",
            "at most 16 domains"
        ),
        text!("challenge_type", "\"http-01\" (default), \"tls-alpn-01\" or \"dns-01\"", |raw, text| raw
            .acme()
            .challenge_type =
            match text {
                "http-01" => ChallengeType::Http01,
                "tls-alpn-01" => ChallengeType::TlsAlpn01,
                "dns-01" => ChallengeType::Dns01,
                _ => return Err("\"http-01\", \"tls-alpn-01\" or \"dns-01\""),
            }),
        text!("renew_before", "how long before its end a certificate is renewed, default \"8h\"", |raw, text| {
            raw.acme().renew_before_s = Some(seconds(text).ok().filter(|s| *s > 0).ok_or(duration::EXPECTED)?)
        }),
        text!("storage_path", "where account, keys and certificates are kept", |raw, text| raw.acme().storage_path =
            not_empty(text, "a folder")?),
        text!("ca_bundle", "roots of the directory's own server, PEM; default: the system's", |raw, text| raw
            .acme()
            .ca_bundle =
            Some(text).filter(|text| !text.is_empty())),
        text!(
            "issuer_bundle",
            "roots that issued certificates must lead to, PEM; default: `ca_bundle`",
            |raw, text| raw.acme().issuer_bundle = not_empty(text, FILE)?
        ),
        text!("http_listen", "where http-01 is answered", |raw, text| raw.acme().http_listen =
            not_empty(text, "ADDRESS:PORT")?),
        object!("eab", "external account binding", EAB, |_raw| ()),
        text!(
            "key_type",
            "\"p256\" (default), \"p384\" or \"rsa2048\"",
            |raw, text| raw.acme().key_type = match text {
                "p256" => KeyType::P256,
                "p384" => KeyType::P384,
                "rsa2048" => KeyType::Rsa2048,
                _ => return Err("\"p256\", \"p384\" or \"rsa2048\""),
            }
        ),
        text!("renew_via", "\"acme\" (default), or \"step-ca\" to renew with the certificate itself", |raw, text| {
            raw.acme().renew_via = match text {
                "acme" => RenewVia::Acme,
                "step-ca" => RenewVia::StepCa,
                _ => return Err("\"acme\" or \"step-ca\""),
            }
        }),
        text!("profile", "the profile to ask for", |raw, text| raw.acme().profile = not_empty(text, "a name")?),
        text!("hook", "a command after each renewal", |raw, text| raw.acme().hook = not_empty(text, "a command")?),
        text!("dns_hook", "a command that answers dns-01", |raw, text| raw.acme().dns_hook =
            not_empty(text, "a command")?),
    ],
};

static EAB: Object = Object {
    open: false,
    on_key: None,
    fields: &[
        text!("kid", "the external account's identifier", |raw, text| raw.acme().eab_kid = not_empty(text, "a text")?),
        text!("hmac_key_file", "file with its MAC key, base64url", |raw, text| raw.acme().eab_hmac_key_file =
            not_empty(text, FILE)?),
    ],
};
