//! Validates one side of TLS, a server's or a client's: what it shows, and whom it trusts.

#[cfg(feature = "gateway")]
use super::acme::Acme;
use super::address::rule_address;
#[cfg(feature = "gateway")]
use super::allowed_clients::Span;
use super::error::ConfigError;
use super::inherit::{ClientSide, ServerSide};
use super::model::{
    Addresses, ClientTls, ClientTrust, CredentialSource, DeniedKey, DeniedKeys, MAX_FILES, Paths, Server, ServerTls,
};
use super::raw::{List, RawDeniedKey, RawSide};
use super::validate_acme::{AcmeFor, acme};
use super::validate_place::{ConfigPlace, FALSE, TLS, TRUE};
#[cfg(feature = "gateway")]
use super::validate_storage::{StorageOf, storage};
use crate::identity::is_dns_rule;
use crate::json::Found;

/// Refuses a half-written `acme` or `mtls`: one with other keys whose `enabled` is neither written nor, for `mtls`,
/// inherited as true.
#[inline(never)]
pub(super) fn switches<'a>(
    at: &ConfigPlace<'a>,
    own: &RawSide<'a>,
    mutual: Option<bool>,
) -> Result<(), ConfigError<'a>> {
    let (mtls, at_mtls) = (&own.mtls, at.inside("mtls"));
    at.inside("acme").switched(own.acme.offset, own.acme.enabled, own.acme.other)?;
    at_mtls.inside("acme").switched(mtls.acme.offset, mtls.acme.enabled, mtls.acme.other)?;
    at_mtls.switched(mtls.offset, mtls.enabled.or(mutual.filter(|enabled| *enabled)), mtls.other)
}

/// Validates a server's side, each part from its origin.
#[inline(never)]
pub(super) fn server<'a>(at: &ConfigPlace<'a>, side: &ServerSide<'_, 'a>) -> Result<Server<'a>, ConfigError<'a>> {
    if !side.enabled {
        return Ok(Server::Plain);
    }
    let tls = ServerTls { credential: server_credential(at, side)?, min_version: side.min_version };
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
fn client_trust<'a>(at: &ConfigPlace<'a>, side: &ServerSide<'_, 'a>) -> Result<ClientTrust<'a>, ConfigError<'a>> {
    let (trust, rules) = (side.client_cas, side.rules);
    let cas = &trust.client_ca_files;
    #[cfg(feature = "gateway")]
    let pins = &trust.pinned_certificates;
    #[cfg(not(feature = "gateway"))]
    let pins = &NO_PINS;
    // A mesh can say whom to trust, but an empty list that is written names nobody.
    let left_to_mesh = side.of_mesh && !cas.written && !pins.written;
    if cas.items.is_empty() && pins.items.is_empty() && !left_to_mesh {
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
        let pushed = allowed_ips.push(address).is_ok();
        debug_assert!(pushed, "both lists have the same capacity");
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
        #[cfg(feature = "gateway")]
        allowed_clients: allowed_clients(at, side)?,
    })
}

/// Validates `allowed_clients`: each has a name, and issuers that are written are some.
#[cfg(feature = "gateway")]
#[inline(never)]
fn allowed_clients<'a>(at: &ConfigPlace<'a>, side: &ServerSide<'_, 'a>) -> Result<Span, ConfigError<'a>> {
    let span = side.rules.allowed_clients.unwrap_or_default();
    for (index, client) in (0_u16..).zip(span.of(&side.allowed_clients.items)) {
        let at = at.inside("allowed_clients").element(index, client.offset);
        at.required("cn", client.name, "a name: one of cn, dns, uri and ip")?;
        if client.issuers.is_some_and(Span::is_empty) {
            return at.fail("issuers", Found::Array, "at least one CA; without issuers the name may come from any");
        }
    }
    Ok(span)
}

/// Validates `denied_keys`: each has a key.
#[inline(never)]
pub(super) fn denied_keys<'a>(raw: &[RawDeniedKey<'a>]) -> Result<DeniedKeys<'a>, ConfigError<'a>> {
    let mut keys = DeniedKeys::new();
    for (index, denied) in (0_u16..).zip(raw) {
        let at = ConfigPlace::new(TLS, denied.offset).inside("denied_keys").element(index, denied.offset);
        let key = at.required("key", denied.key, "sha256: and the hash of the public key")?;
        let pushed = keys.push(DeniedKey { key, reason: denied.reason, until: denied.until }).is_ok();
        debug_assert!(pushed, "both lists have the same capacity");
    }
    Ok(keys)
}

/// Validates `server_issuers`: if written, it names a CA, and pins cannot fit it.
#[inline(never)]
pub(super) fn server_issuers<'a>(at: &ConfigPlace<'a>, raw: &RawSide<'a>) -> Result<Paths<'a>, ConfigError<'a>> {
    let issuers = &raw.server_issuers;
    if issuers.written && raw.insecure_skip_verify == Some(true) {
        return at.fail("server_issuers", Found::Array, "nothing beside insecure_skip_verify: nobody is verified");
    }
    if issuers.written && issuers.items.is_empty() {
        return at.fail("server_issuers", Found::Array, "at least one CA; without server_issuers any CA may issue");
    }
    #[cfg(feature = "gateway")]
    if issuers.written && !raw.pinned_certificates.items.is_empty() {
        return at.fail("server_issuers", Found::Array, "nothing beside pinned_certificates: a pin has no issuer");
    }
    Ok(issuers.items.clone())
}

#[inline(never)]
fn server_credential<'a>(
    at: &ConfigPlace<'a>,
    side: &ServerSide<'_, 'a>,
) -> Result<CredentialSource<'a>, ConfigError<'a>> {
    let raw = side.credential;
    let files = at.files(raw.cert_file, raw.key_file)?;
    if raw.acme_mode == Some(true) {
        if !raw.acme.is_enabled() {
            return at.inside("acme").fail("enabled", FALSE, "true, since mode is \"acme\"");
        }
        let at = at.inside("acme");
        let acme = acme(&at, &raw.acme, AcmeFor::Server)?;
        #[cfg(feature = "gateway")]
        let acme = Acme { storage: storage(&at, raw.acme.storage, side.stores, StorageOf::Acme)?, ..acme };
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

/// Validates a client's side, each part from its origin.
#[inline(never)]
pub(super) fn client<'a>(at: &ConfigPlace<'a>, side: &ClientSide<'_, 'a>) -> Result<ClientTls<'a>, ConfigError<'a>> {
    let cas = &side.trust.ca_files;
    #[cfg(feature = "gateway")]
    let pins = &side.trust.pinned_certificates;
    #[cfg(not(feature = "gateway"))]
    let pins = &NO_PINS;
    // A mesh can say whom to trust, but an empty list that is written names nobody.
    let left_to_mesh = side.of_mesh && !cas.written && !pins.written;
    let none = cas.items.is_empty() && pins.items.is_empty() && !left_to_mesh;
    if !side.system_roots && none && !side.insecure_skip_verify {
        let (key, found) = unnamed("ca_files", cas, pins);
        return at.fail(key, found, "a list of files, or pinned_certificates, since use_system_roots is false");
    }
    Ok(ClientTls {
        ca_files: cas.items.clone(),
        #[cfg(feature = "gateway")]
        pinned_certificates: pins.items.clone(),
        server_issuers: server_issuers(at, side.trust)?,
        system_roots: side.system_roots,
        credential: match side.credential {
            Some(credential) => client_credential(at, credential, side)?,
            None => None,
        },
        min_version: side.min_version,
        insecure_skip_verify: side.insecure_skip_verify,
    })
}

/// Selects files of `mtls`, ACME of `mtls.acme` (ADR-001) or of `acme` (as SemStreams ships it).
#[inline(never)]
fn client_credential<'a>(
    at: &ConfigPlace<'a>,
    raw: &RawSide<'a>,
    side: &ClientSide<'_, 'a>,
) -> Result<Option<CredentialSource<'a>>, ConfigError<'a>> {
    let mutual = side.mutual;
    let (mtls_at, mtls) = (at.inside("mtls"), &raw.mtls);
    let files = if mutual { mtls_at.files(mtls.cert_file, mtls.key_file)? } else { None };
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
            let acme = acme(&at, raw, AcmeFor::Client)?;
            #[cfg(feature = "gateway")]
            let acme = Acme { storage: storage(&at, raw.storage, side.stores, StorageOf::Acme)?, ..acme };
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
