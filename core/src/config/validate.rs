//! Validates combinations of values, and the keys that other keys need.

use core::net::SocketAddr;

use super::address::{ip_address, rule_address, socket_address};
use super::error::{ConfigError, Found, MAX_PATH, Segment};
use super::inherit::{ClientSide, ServerSide};
use super::model::{
    Acme, Addresses, ChallengeType, ClientTls, ClientTrust, Config, CredentialSource, Eab, Files, MAX_FILES, Server,
    ServerTls,
};
use super::raw::{List, Raw, RawAcme, RawSide};
use crate::identity::{is_dns_name, is_dns_rule};

pub(super) const SERVER: &[Segment<'static>] = &[Segment::Key("security"), Segment::Key("tls"), Segment::Key("server")];
pub(super) const CLIENT: &[Segment<'static>] = &[Segment::Key("security"), Segment::Key("tls"), Segment::Key("client")];

/// The default of ADR-001: a third of a 24-hour certificate.
pub(super) const DEFAULT_RENEW_BEFORE_S: u32 = 8 * 3600;

/// The place of an object, for errors in the object.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    path: heapless::Vec<Segment<'a>, MAX_PATH>,
    offset: u32,
}

impl<'a> At<'a> {
    pub(super) fn new(path: &[Segment<'a>], offset: u32) -> Self {
        let mut own = heapless::Vec::new();
        for segment in path {
            // The schema is less deep than MAX_PATH.
            let _ = own.push(*segment);
        }
        Self { path: own, offset }
    }

    /// Refuses an object that has other keys and does not say whether it is enabled.
    #[inline(never)]
    pub(super) fn switched(
        &self,
        offset: u32,
        enabled: Option<bool>,
        other: Option<&'static str>,
    ) -> Result<(), ConfigError<'a>> {
        match (enabled, other) {
            (None, Some(key)) => Err(ConfigError {
                path: self.path.clone(),
                offset,
                found: Found::NotEnabled(key),
                expected: "\"enabled\": true, or false where it is meant to be off",
                nearest: None,
            }),
            _ => Ok(()),
        }
    }

    /// Returns the place of an object in this one.
    pub(super) fn inside(&self, key: &'static str) -> Self {
        let mut inside = self.clone();
        // The schema is less deep than MAX_PATH.
        let _ = inside.path.push(Segment::Key(key));
        inside
    }

    pub(super) fn fail<T>(
        &self,
        key: &'static str,
        found: Found<'a>,
        expected: &'static str,
    ) -> Result<T, ConfigError<'a>> {
        Err(self.error(key, found, expected))
    }

    /// Not inlined: a hundred places fail, and the image of a device has room for one copy.
    #[cold]
    #[inline(never)]
    fn error(&self, key: &'static str, found: Found<'a>, expected: &'static str) -> ConfigError<'a> {
        ConfigError { path: self.inside(key).path, offset: self.offset, found, expected, nearest: None }
    }

    pub(super) fn required<T>(
        &self,
        key: &'static str,
        value: Option<T>,
        expected: &'static str,
    ) -> Result<T, ConfigError<'a>> {
        match value {
            Some(value) => Ok(value),
            None => self.fail(key, Found::Nothing, expected),
        }
    }
}

#[inline(never)]
pub(super) fn config<'a>(raw: &Raw<'a>) -> Result<Config<'a>, ConfigError<'a>> {
    let server = shared_server(raw)?;
    #[cfg(feature = "device")]
    let device = super::validate_device::device(raw)?;
    #[cfg_attr(not(feature = "device"), expect(unused_mut, reason = "only a device has no system's roots"))]
    let mut client = shared_client(&raw.client)?;
    #[cfg(feature = "device")]
    if device.is_some() {
        client.system_roots = false;
    }
    #[cfg_attr(not(feature = "gateway"), expect(unused_mut, reason = "only a gateway has more"))]
    let mut config = Config {
        server,
        client,
        #[cfg(feature = "gateway")]
        gateway: super::model::Gateway::default(),
        #[cfg(feature = "device")]
        device,
    };
    #[cfg(feature = "gateway")]
    super::validate_gateway::gateway(raw, &mut config.gateway)?;
    Ok(config)
}

pub(super) const TRUE: Found<'static> = Found::Literal("true");
pub(super) const FALSE: Found<'static> = Found::Literal("false");

/// Validates `security.tls.server`.
fn shared_server<'a>(raw: &Raw<'a>) -> Result<Server<'a>, ConfigError<'a>> {
    let (at, side) = (At::new(SERVER, raw.server.offset), &raw.server);
    if side.enabled != Some(true) && side.mtls.is_enabled() {
        // A configuration that asks for mutual TLS must not get plaintext.
        return at.inside("mtls").fail("enabled", TRUE, "false, or security.tls.server.enabled true");
    }
    switches(&at, side, side.mtls.enabled)?;
    if !raw.has_servers_of_its_own() {
        at.switched(side.offset, side.enabled, side.other)?;
    }
    server(&at, &ServerSide::shared(side))
}

/// Validates `security.tls.client`.
pub(super) fn shared_client<'a>(side: &RawSide<'a>) -> Result<ClientTls<'a>, ConfigError<'a>> {
    let at = At::new(CLIENT, side.offset);
    switches(&at, side, side.mtls.enabled)?;
    client(&at, &ClientSide::shared(side))
}

/// Refuses a half-written `acme` or `mtls`: one with other keys whose `enabled` is neither written nor, for `mtls`,
/// inherited as true.
#[inline(never)]
pub(super) fn switches<'a>(at: &At<'a>, own: &RawSide<'a>, mutual: Option<bool>) -> Result<(), ConfigError<'a>> {
    let (mtls, at_mtls) = (&own.mtls, at.inside("mtls"));
    at.inside("acme").switched(own.acme.offset, own.acme.enabled, own.acme.other)?;
    at_mtls.inside("acme").switched(mtls.acme.offset, mtls.acme.enabled, mtls.acme.other)?;
    at_mtls.switched(mtls.offset, mtls.enabled.or(mutual.filter(|enabled| *enabled)), mtls.other)
}

/// Validates a server's side, each part from its origin.
#[inline(never)]
pub(super) fn server<'a>(at: &At<'a>, side: &ServerSide<'_, 'a>) -> Result<Server<'a>, ConfigError<'a>> {
    if !side.enabled {
        return Ok(Server::Plain);
    }
    let tls = ServerTls { credential: server_credential(at, side.credential)?, min_version: side.min_version };
    if side.mutual { Ok(Server::MutualTls(tls, client_trust(&at.inside("mtls"), side)?)) } else { Ok(Server::Tls(tls)) }
}

/// No pins: only a gateway has a key for them.
#[cfg(not(feature = "gateway"))]
static NO_PINS: List<'static, MAX_FILES> = List { written: false, items: heapless::Vec::new() };

/// Returns the key and value to blame where neither CAs nor pins are named: the CAs, unless only an empty list of pins
/// is written.
fn unnamed<'a>(
    of_cas: &'static str,
    cas: &List<'a, MAX_FILES>,
    pins: &List<'a, MAX_FILES>,
) -> (&'static str, Found<'a>) {
    match (cas.written, pins.written) {
        (true, _) => (of_cas, Found::Array),
        (false, true) => ("pinned_certificates", Found::Array),
        (false, false) => (of_cas, Found::Nothing),
    }
}

#[inline(never)]
fn client_trust<'a>(at: &At<'a>, side: &ServerSide<'_, 'a>) -> Result<ClientTrust<'a>, ConfigError<'a>> {
    let (trust, rules) = (side.client_cas, side.rules);
    let cas = &trust.client_ca_files;
    #[cfg(feature = "gateway")]
    let pins = &trust.pinned_certificates;
    #[cfg(not(feature = "gateway"))]
    let pins = &NO_PINS;
    if cas.items.is_empty() && pins.items.is_empty() {
        let (key, found) = unnamed("client_ca_files", cas, pins);
        return at.fail(key, found, "a list of files with the CAs of clients, or pinned_certificates");
    }
    if let Some(name) = rules.allowed_dns.items.iter().find(|name| !is_dns_rule(name)) {
        return at.fail("allowed_client_dns", Found::Text(name), "DNS names");
    }
    let mut allowed_ips = Addresses::new();
    for text in &rules.allowed_ips.items {
        let Some(address) = rule_address(text) else {
            return at.fail("allowed_client_ips", Found::Text(text), "IP addresses, as certificates have them");
        };
        // Both lists have the same capacity.
        let _ = allowed_ips.push(address);
    }
    Ok(ClientTrust {
        required: side.required,
        ca_files: cas.items.clone(),
        #[cfg(feature = "gateway")]
        pinned_certificates: pins.items.clone(),
        any_verified: !rules.names_rules(),
        allowed_cns: rules.allowed_cns.items.clone(),
        allowed_dns: rules.allowed_dns.items.clone(),
        allowed_uris: rules.allowed_uris.items.clone(),
        allowed_ips,
    })
}

#[inline(never)]
pub(super) fn server_credential<'a>(at: &At<'a>, raw: &RawSide<'a>) -> Result<CredentialSource<'a>, ConfigError<'a>> {
    let files = files(at, raw.cert_file, raw.key_file)?;
    if raw.acme_mode == Some(true) {
        if !raw.acme.is_enabled() {
            return at.inside("acme").fail("enabled", FALSE, "true, since mode is \"acme\"");
        }
        let acme = acme(&at.inside("acme"), &raw.acme, Side::Server)?;
        return Ok(match files {
            Some(files) => CredentialSource::AcmeWithFallback(acme, files),
            None => CredentialSource::Acme(acme),
        });
    }
    if raw.acme.is_enabled() {
        return at.fail("mode", Found::Text("manual"), "\"acme\", since acme.enabled is true");
    }
    Ok(CredentialSource::Files(at.required("cert_file", files, "a file name, since TLS is enabled")?))
}

/// Requires both files or neither.
fn files<'a>(
    at: &At<'a>,
    cert_file: Option<&'a str>,
    key_file: Option<&'a str>,
) -> Result<Option<Files<'a>>, ConfigError<'a>> {
    match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Ok(Some(Files { cert_file, key_file })),
        (Some(_), None) => at.fail("key_file", Found::Nothing, "a file name, since there is a cert_file"),
        (None, Some(_)) => at.fail("cert_file", Found::Nothing, "a file name, since there is a key_file"),
        (None, None) => Ok(None),
    }
}

/// Validates a client's side, each part from its origin.
#[inline(never)]
pub(super) fn client<'a>(at: &At<'a>, side: &ClientSide<'_, 'a>) -> Result<ClientTls<'a>, ConfigError<'a>> {
    let cas = &side.trust.ca_files;
    #[cfg(feature = "gateway")]
    let pins = &side.trust.pinned_certificates;
    #[cfg(not(feature = "gateway"))]
    let pins = &NO_PINS;
    if !side.system_roots && cas.items.is_empty() && pins.items.is_empty() && !side.insecure_skip_verify {
        let (key, found) = unnamed("ca_files", cas, pins);
        return at.fail(key, found, "a list of files, or pinned_certificates, since use_system_roots is false");
    }
    Ok(ClientTls {
        ca_files: cas.items.clone(),
        #[cfg(feature = "gateway")]
        pinned_certificates: pins.items.clone(),
        system_roots: side.system_roots,
        credential: match side.credential {
            Some(credential) => client_credential(at, credential, side.mutual)?,
            None => None,
        },
        min_version: side.min_version,
        insecure_skip_verify: side.insecure_skip_verify,
    })
}

/// Selects files of `mtls`, ACME of `mtls.acme` (ADR-001) or of `acme` (as SemStreams ships it).
#[inline(never)]
fn client_credential<'a>(
    at: &At<'a>,
    raw: &RawSide<'a>,
    mutual: bool,
) -> Result<Option<CredentialSource<'a>>, ConfigError<'a>> {
    let (mtls_at, mtls) = (at.inside("mtls"), &raw.mtls);
    let files = if mutual { files(&mtls_at, mtls.cert_file, mtls.key_file)? } else { None };
    let acme_source = match (mutual && mtls.acme.is_enabled(), raw.acme.is_enabled()) {
        (true, true) => {
            return mtls_at.inside("acme").fail("enabled", TRUE, "one of client.acme and client.mtls.acme, not both");
        }
        (true, false) => Some((mtls_at.inside("acme"), &mtls.acme)),
        (false, true) if raw.acme_mode == Some(false) => {
            return at.fail("mode", Found::Text("manual"), "\"acme\", since acme.enabled is true");
        }
        (false, true) => Some((at.inside("acme"), &raw.acme)),
        (false, false) if raw.acme_mode == Some(true) => {
            return at.inside("acme").fail("enabled", FALSE, "true, since mode is \"acme\"");
        }
        (false, false) => None,
    };
    match acme_source {
        Some((at, raw)) => {
            let acme = acme(&at, raw, Side::Client)?;
            Ok(Some(match files {
                Some(files) => CredentialSource::AcmeWithFallback(acme, files),
                None => CredentialSource::Acme(acme),
            }))
        }
        None if mutual => {
            let files = mtls_at.required("cert_file", files, "a file name, since mtls is enabled")?;
            Ok(Some(CredentialSource::Files(files)))
        }
        None => Ok(None),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
    /// An EST server, for its devices.
    #[cfg_attr(not(feature = "gateway"), expect(dead_code, reason = "only a gateway has one"))]
    Est,
}

fn acme<'a>(at: &At<'a>, raw: &RawAcme<'a>, side: Side) -> Result<Acme<'a>, ConfigError<'a>> {
    if raw.domains.items.is_empty() {
        return at.fail("domains", Found::Nothing, "a list with a name at least");
    }
    for domain in &raw.domains.items {
        let wildcard = domain.strip_prefix("*.");
        let named = is_dns_name(wildcard.unwrap_or(domain)) || ip_address(domain).is_some();
        if !named {
            return at.fail("domains", Found::Text(domain), "DNS names and IP addresses");
        }
        // RFC 8555 section 7.1.3 leaves wildcards to dns-01 in practice: other challenges prove one host
        if wildcard.is_some() && raw.challenge_type != ChallengeType::Dns01 {
            return at.fail("domains", Found::Text(domain), "no wildcard, or challenge_type \"dns-01\"");
        }
    }
    acme_for_any_name(at, raw, side)
}

/// Validates an `acme` without its domains.
pub(super) fn acme_for_any_name<'a>(at: &At<'a>, raw: &RawAcme<'a>, side: Side) -> Result<Acme<'a>, ConfigError<'a>> {
    let http_listen: Option<SocketAddr> = match raw.http_listen {
        None => None,
        Some(text) => match socket_address(text).ok_or(()) {
            Ok(address) => Some(address),
            Err(_) => return at.fail("http_listen", Found::Text(text), "ADDRESS:PORT, as 0.0.0.0:80"),
        },
    };
    match (raw.challenge_type, side) {
        (ChallengeType::Dns01, _) => {
            at.required("dns_hook", raw.dns_hook, "a command that answers dns-01")?;
        }
        (ChallengeType::Http01, Side::Client | Side::Est) => {
            at.required(
                "http_listen",
                http_listen,
                "ADDRESS:PORT where http-01 is answered, or dns-01 with a dns_hook",
            )?;
        }
        (ChallengeType::TlsAlpn01, Side::Client) => {
            return at.fail(
                "challenge_type",
                Found::Text("tls-alpn-01"),
                "\"http-01\" or \"dns-01\": a client has no TLS port to answer on",
            );
        }
        (ChallengeType::TlsAlpn01, Side::Est) => {
            return at.fail(
                "challenge_type",
                Found::Text("tls-alpn-01"),
                "\"http-01\" or \"dns-01\": a device's name does not lead to a TLS port of the gateway",
            );
        }
        (ChallengeType::Http01 | ChallengeType::TlsAlpn01, Side::Server) => {}
    }
    let eab = match (raw.eab_kid, raw.eab_hmac_key_file) {
        (None, None) => None,
        (Some(kid), Some(hmac_key_file)) => Some(Eab { kid, hmac_key_file }),
        (Some(_), None) => return at.inside("eab").fail("hmac_key_file", Found::Nothing, "a file name"),
        (None, Some(_)) => return at.inside("eab").fail("kid", Found::Nothing, "the account's identifier"),
    };
    Ok(Acme {
        directory_url: at.required("directory_url", raw.directory_url, "a URL that begins with https://")?,
        email: raw.email,
        domains: raw.domains.items.clone(),
        challenge_type: raw.challenge_type,
        renew_before_s: raw.renew_before_s.unwrap_or(DEFAULT_RENEW_BEFORE_S),
        storage_path: at.required("storage_path", raw.storage_path, "a folder")?,
        ca_bundle: raw.ca_bundle,
        issuer_bundle: raw.issuer_bundle,
        http_listen,
        eab,
        key_type: raw.key_type,
        renew_via: raw.renew_via,
        profile: raw.profile,
        hook: raw.hook,
        dns_hook: raw.dns_hook,
    })
}
