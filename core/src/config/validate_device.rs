//! Validates a device: the CAs it trusts, its credential from the factory, and the places it sends to.

use super::address::{ip_address, port, socket_address};
use super::enroll::{Enroll, Remote};
use super::error::ConfigError;
use super::model::{Device, Files, FirstCredential, VoucherFile};
use super::raw::{Raw, RawDevice};
use super::validate_acme::DEFAULT_RENEW_BEFORE_S;
use super::validate_place::{CLIENT, ConfigPlace, FALSE, TLS, TRUE};
use super::validate_sides::{denied_keys, server_issuers, switches};
use crate::identity::{is_dns_name, without_root};
use crate::json::{Found, Segment};
use crate::text::rsplit_once;

const DEFAULT_INTERVAL_MS: u32 = 10_000;
const NAME: &str = "a DNS name or an IP address";

/// Validates the `device` section; none if there is no such section.
pub(super) fn device<'a>(raw: &Raw<'a>) -> Result<Option<Device<'a>>, ConfigError<'a>> {
    if !raw.device.present {
        return Ok(None);
    }
    let files = client(raw)?;
    let ca_files = raw.client.ca_files.items.clone();
    let server_issuers = server_issuers(&ConfigPlace::new(CLIENT, raw.client.offset), &raw.client)?;
    let Ok(server_issuers) = heapless::Vec::from_slice(&server_issuers) else {
        let at = ConfigPlace::new(CLIENT, raw.client.offset);
        return at.fail("server_issuers", Found::Array, "at most 4 issuers, as a device has room for");
    };
    let mut denied = heapless::Vec::new();
    for (key, raw) in denied_keys(&raw.denied_keys)?.iter().zip(&raw.denied_keys) {
        if denied.push(key.into()).is_err() {
            let at = ConfigPlace::new(TLS, raw.offset);
            return at.fail("denied_keys", Found::Array, "at most 8 keys, as a device has room for");
        }
    }
    let (raw, at) = (&raw.device, ConfigPlace::new(&[Segment::Key("device")], raw.device.offset));
    let gateway = remote(&at, "gateway", at.required("gateway", raw.gateway, "HOST:PORT of the gateway")?)?;
    if raw.websocket.or(raw.report).is_none() {
        return at.fail("websocket", Found::Nothing, "a path, or one of report: a device has something to send");
    }
    let credential = match files {
        Some(files) => FirstCredential::Files(files),
        None => FirstCredential::Voucher(voucher(&at, raw)?),
    };
    Ok(Some(Device {
        ca_files,
        server_issuers,
        denied_keys: denied,
        credential,
        gateway,
        server_name: name(&at, "server_name", raw.server_name.unwrap_or(gateway.host))?,
        websocket: raw.websocket,
        report: raw.report,
        interval_ms: raw.interval_ms.unwrap_or(DEFAULT_INTERVAL_MS),
        enroll: enroll(&at, raw)?,
        renew_before_s: raw.renew_before_s.unwrap_or(DEFAULT_RENEW_BEFORE_S),
        ntp: name(&at, "ntp", raw.ntp.unwrap_or(gateway.host))?,
    }))
}

/// Validates `security.tls.client` of a device; no files where a voucher stands for them.
fn client<'a>(raw: &Raw<'a>) -> Result<Option<Files<'a>>, ConfigError<'a>> {
    let (client, at) = (&raw.client, ConfigPlace::new(CLIENT, raw.client.offset));
    let mtls_at = at.inside("mtls");
    if client.system_roots == Some(true) {
        return at.fail("use_system_roots", TRUE, "false: a device has no roots of its own system");
    }
    if client.insecure_skip_verify == Some(true) {
        return at.fail("insecure_skip_verify", TRUE, "false: a device checks its gateway");
    }
    #[cfg(feature = "gateway")]
    if client.pinned_certificates.written {
        return at.fail("pinned_certificates", Found::Array, "nothing: a device verifies its gateway by ca_files");
    }
    if client.ca_files.items.is_empty() {
        return at.fail("ca_files", Found::Nothing, "a list of files with the CAs of the gateway");
    }
    const THROUGH_THE_GATEWAY: &str = "false: a device renews through its gateway, by device.enroll";
    if client.acme.is_enabled() {
        return at.inside("acme").fail("enabled", TRUE, THROUGH_THE_GATEWAY);
    }
    if client.mtls.acme.is_enabled() {
        return mtls_at.inside("acme").fail("enabled", TRUE, THROUGH_THE_GATEWAY);
    }
    if client.acme_mode == Some(true) {
        return at.fail(
            "mode",
            Found::Text("acme"),
            "\"manual\": a device renews through its gateway, by device.enroll",
        );
    }
    let at_device = || ConfigPlace::new(&[Segment::Key("device")], raw.device.offset);
    let mtls = &client.mtls;
    match (raw.device.voucher, raw.device.first_enroll) {
        (Some(voucher), _) if mtls.enabled.is_some() || mtls.cert_file.is_some() || mtls.key_file.is_some() => {
            const BOTH: &str =
                "nothing, or no security.tls.client.mtls: a device has a first certificate or a voucher for it";
            return at_device().fail("voucher", Found::Text(voucher), BOTH);
        }
        (Some(_), _) => return Ok(None),
        (None, Some(server)) => {
            return at_device().fail("first_enroll", Found::Text(server), "nothing: there is no voucher");
        }
        (None, None) => {}
    }
    switches(&at, client, client.mtls.enabled)?;
    if !client.mtls.is_enabled() {
        let found = if client.mtls.enabled.is_some() { FALSE } else { Found::Nothing };
        return mtls_at.fail(
            "enabled",
            found,
            "true: a device shows its credential, or has device.voucher for its first one",
        );
    }
    let cert_file = client.mtls.cert_file;
    const FIRST: &str = "the file of the device's first certificate, or device.voucher and no mtls";
    Ok(Some(Files {
        cert_file: mtls_at.required("cert_file", cert_file, FIRST)?,
        key_file: mtls_at.required("key_file", client.mtls.key_file, "the file of its key")?,
    }))
}

/// Validates `voucher`, `first_enroll` and `enroll`: a device with a voucher renews what it gets.
fn voucher<'a>(at: &ConfigPlace<'a>, raw: &RawDevice<'a>) -> Result<VoucherFile<'a>, ConfigError<'a>> {
    let file = at.required("voucher", raw.voucher, "the file with a voucher")?;
    let server = at.required("first_enroll", raw.first_enroll, "HOST:PORT where the gateway takes the voucher")?;
    at.required("enroll", raw.enroll, "HOST:PORT where the certificate that the voucher gives is renewed")?;
    let server = remote(at, "first_enroll", server)?;
    let server_name = name(at, "enroll_name", raw.enroll_name.unwrap_or(server.host))?;
    Ok(VoucherFile { file, enroll: Enroll { server, server_name } })
}

fn enroll<'a>(at: &ConfigPlace<'a>, raw: &RawDevice<'a>) -> Result<Option<Enroll<'a>>, ConfigError<'a>> {
    match (raw.enroll, raw.enroll_name) {
        (None, None) => Ok(None),
        (None, Some(name)) => at.fail("enroll_name", Found::Text(name), "nothing: there is no enroll"),
        (Some(text), own) => {
            let server = remote(at, "enroll", text)?;
            Ok(Some(Enroll { server, server_name: name(at, "enroll_name", own.unwrap_or(server.host))? }))
        }
    }
}

fn name<'a>(at: &ConfigPlace<'a>, key: &'static str, text: &'a str) -> Result<&'a str, ConfigError<'a>> {
    if is_dns_name(text) || ip_address(text).is_some() { Ok(text) } else { at.fail(key, Found::Text(text), NAME) }
}

/// Reads a remote: `b.example:8443`, `192.0.2.1:8443` or `[2001:db8::1]:8443`.
fn remote<'a>(at: &ConfigPlace<'a>, key: &'static str, text: &'a str) -> Result<Remote<'a>, ConfigError<'a>> {
    let parts = || {
        let (host, number) = rsplit_once(text, b':')?;
        let port = port(number).filter(|port| *port > 0)?;
        let host = match host.strip_prefix('[') {
            Some(_) => host.strip_prefix('[')?.strip_suffix(']').filter(|_| socket_address(text).is_some())?,
            // An IPv6 address must have brackets here.
            None => Some(without_root(host)).filter(|host| is_dns_name(host) || socket_address(text).is_some())?,
        };
        Some(Remote { host, port })
    };
    match parts() {
        Some(remote) => Ok(remote),
        None => at.fail(key, Found::Text(text), "HOST:PORT, as gateway.a.example:8443"),
    }
}

/// Validates the `device` section, which must be there, for a device's own parser.
pub(super) fn required<'a>(raw: &Raw<'a>) -> Result<Device<'a>, ConfigError<'a>> {
    match device(raw)? {
        Some(device) => Ok(device),
        None => ConfigPlace::new(&[], 0).fail("device", Found::Nothing, "the section that tells a device what to do"),
    }
}
