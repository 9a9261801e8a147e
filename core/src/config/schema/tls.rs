//! Lists the keys of `security.tls` and of a tunnel's own `tls`.

use super::acme::ACME;
#[cfg(feature = "gateway")]
use super::allowed_clients::ALLOWED_CLIENTS;
use super::field::{FILE, Field, Kind, LIST_FULL, NAMES_FULL, Object, described, not_empty, note, push, push_issuer};
use crate::config::model::MinVersion;
use crate::identity::without_root;

macro_rules! enabled {
    () => {
        flag!("enabled", "false: plaintext, tier 1", |raw, value| raw.side().enabled = Some(value))
    };
}
macro_rules! mode {
    () => {
        choice!(
            "mode",
            "\"manual\" or \"acme\"",
            ["manual" => false, "acme" => true],
            "\"manual\" or \"acme\"",
            |raw, chosen| raw.side().acme_mode = Some(chosen)
        )
    };
}
macro_rules! cert_file {
    () => {
        text!("cert_file", "certificate chain, PEM, leaf first", NotEmpty, |raw, text| raw.side().cert_file =
            not_empty(text, FILE)?)
    };
}
macro_rules! key_file {
    () => {
        text!("key_file", "private key, PEM, or the URI of a key in a token (RFC 7512)", NotEmpty, |raw, text| raw
            .side()
            .key_file =
            not_empty(text, FILE)?)
    };
}
macro_rules! min_version {
    () => {
        choice!(
            "min_version",
            "lowest version of TLS, \"1.2\" (default) or \"1.3\"",
            ["1.2" => MinVersion::Tls12, "1.3" => MinVersion::Tls13],
            "\"1.2\" or \"1.3\"",
            |raw, chosen| raw.side().min_version = Some(chosen)
        )
    };
}
macro_rules! acme {
    () => {
        object!("acme", "tier 3", ACME, |raw| raw.enter_acme(false))
    };
}
macro_rules! ca_files {
    () => {
        texts!(
            "ca_files",
            "CAs of servers, PEM",
            crate::config::MAX_FILES,
            |raw| &mut raw.side().ca_files,
            FILE,
            LIST_FULL
        )
    };
}
#[cfg(feature = "gateway")]
macro_rules! pinned_certificates {
    () => {
        texts!(
            "pinned_certificates",
            "certificates of servers themselves, PEM: each is a pin, whatever it says of itself",
            crate::config::MAX_FILES,
            |raw| &mut raw.side().pinned_certificates,
            FILE,
            LIST_FULL
        )
    };
}
macro_rules! server_issuers {
    () => {
        field!(
            "server_issuers",
            "CAs that a server's own certificate must come from: files, or sha256: and the hash of the CA's key; default: any CA below ca_files",
            Issuer,
            crate::config::MAX_FILES,
            Kind::Narrowing(|raw, text| push_issuer(&mut raw.side().server_issuers, text, LIST_FULL))
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

pub(super) static SERVER: Object = members!(
    false,
    Nothing,
    Some(|raw, key| note(&mut raw.side().other, key)),
    [
        enabled!(),
        mode!(),
        cert_file!(),
        key_file!(),
        min_version!(),
        acme!(),
        object!("mtls", "client certificates", SERVER_MTLS, |raw| raw.enter_mtls()),
    ]
);

pub(super) static CLIENT: Object = members!(
    false,
    Nothing,
    None,
    [
        ca_files!(),
        #[cfg(feature = "gateway")]
        pinned_certificates!(),
        server_issuers!(),
        use_system_roots!(),
        insecure_skip_verify!(),
        min_version!(),
        mode!(),
        acme!(),
        object!("mtls", "the client's own certificate", CLIENT_MTLS, |raw| raw.enter_mtls()),
    ]
);

/// A tunnel's own `tls`: the keys of both sides, of which `validate` refuses those of the wrong side.
#[cfg(feature = "gateway")]
pub(super) static TUNNEL_TLS: Object = members!(
    false,
    Nothing,
    Some(|raw, key| note(&mut raw.side().other, key)),
    [
        enabled!(),
        mode!(),
        cert_file!(),
        key_file!(),
        min_version!(),
        acme!(),
        ca_files!(),
        pinned_certificates!(),
        server_issuers!(),
        use_system_roots!(),
        insecure_skip_verify!(),
        object!("mtls", "client certificates, or the client's own", TUNNEL_MTLS, |raw| raw.enter_mtls()),
    ]
);

macro_rules! mtls_enabled {
    () => {
        flag!("enabled", "mutual TLS", |raw, value| raw.side().mtls.enabled = Some(value))
    };
}
macro_rules! client_ca_files {
    () => {
        texts!(
            "client_ca_files",
            "CAs of clients, PEM",
            crate::config::MAX_FILES,
            |raw| &mut raw.side().mtls.client_ca_files,
            FILE,
            LIST_FULL
        )
    };
}
#[cfg(feature = "gateway")]
macro_rules! pinned_client_certificates {
    () => {
        texts!(
            "pinned_certificates",
            "certificates of clients themselves, PEM: each is a pin, whatever it says of itself",
            crate::config::MAX_FILES,
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
        field!(
            $key,
            $doc,
            NotEmpty,
            crate::config::MAX_NAMES,
            Kind::Rules(|raw, text| push(&mut raw.side().mtls.$list, text, "a name", NAMES_FULL))
        )
    };
}
macro_rules! allowed_dns {
    () => {
        names!(
            "allowed_client_dns",
            "DNS names that are let in",
            NotEmpty,
            crate::config::MAX_NAMES,
            |raw| &mut raw.side().mtls.allowed_dns,
            Rules,
            "a DNS name",
            NAMES_FULL
        )
    };
}
#[cfg(feature = "gateway")]
macro_rules! allowed_clients {
    () => {
        field!(
            "allowed_clients",
            "clients that are let in: each a name, and the CAs that it must come from",
            Any,
            crate::config::MAX_CLIENT_RULES,
            Kind::Objects(&ALLOWED_CLIENTS)
        )
    };
}
macro_rules! mtls_cert_file {
    () => {
        text!("cert_file", "certificate chain to show, PEM, leaf first", NotEmpty, |raw, text| raw
            .side()
            .mtls
            .cert_file =
            not_empty(text, FILE)?)
    };
}
macro_rules! mtls_key_file {
    () => {
        text!("key_file", "its private key, PEM, or the URI of a key in a token (RFC 7512)", NotEmpty, |raw, text| {
            raw.side().mtls.key_file = not_empty(text, FILE)?
        })
    };
}
macro_rules! mtls_acme {
    () => {
        object!("acme", "tier 3 for the client's certificate", ACME, |raw| raw.enter_acme(true))
    };
}

static SERVER_MTLS: Object = members!(
    false,
    Enabled,
    Some(|raw, key| note(&mut raw.side().mtls.other, key)),
    [
        mtls_enabled!(),
        client_ca_files!(),
        #[cfg(feature = "gateway")]
        pinned_client_certificates!(),
        require_client_cert!(),
        allowed!("allowed_client_cns", "common names that are let in", allowed_cns),
        allowed_dns!(),
        allowed!("allowed_client_uris", "URIs that are let in", allowed_uris),
        allowed!("allowed_client_ips", "IP addresses of certificates that are let in", allowed_ips),
        #[cfg(feature = "gateway")]
        allowed_clients!(),
    ]
);

static CLIENT_MTLS: Object = members!(
    false,
    Enabled,
    Some(|raw, key| note(&mut raw.side().mtls.other, key)),
    [mtls_enabled!(), mtls_cert_file!(), mtls_key_file!(), mtls_acme!()]
);

#[cfg(feature = "gateway")]
static TUNNEL_MTLS: Object = members!(
    false,
    Nothing,
    Some(|raw, key| note(&mut raw.side().mtls.other, key)),
    [
        mtls_enabled!(),
        client_ca_files!(),
        pinned_client_certificates!(),
        require_client_cert!(),
        allowed!("allowed_client_cns", "common names that are let in", allowed_cns),
        allowed_dns!(),
        allowed!("allowed_client_uris", "URIs that are let in", allowed_uris),
        allowed!("allowed_client_ips", "IP addresses of certificates that are let in", allowed_ips),
        allowed_clients!(),
        mtls_cert_file!(),
        mtls_key_file!(),
        mtls_acme!(),
    ]
);
