//! Decides what a tunnel's own `tls` inherits from `security.tls`, in one place.
//!
//! A group is inherited as a whole: from the tunnel if the tunnel names a key of the group, else from `security.tls`.
//! A tunnel that mixed two credentials, or two allow lists, would let in clients that neither names. Lists replace and
//! never append. An empty object names nothing.

use super::model::MinVersion;
#[cfg(feature = "gateway")]
use super::model::{Inheritance, Origin, Origins};
use super::raw::{Raw, RawMtls, RawSide};
#[cfg(feature = "gateway")]
use super::raw::{RawClients, RawStore};

/// The inheritance rules in the order of [`Origins`], for documents and for `check`.
#[cfg(feature = "gateway")]
pub const INHERITANCE: &[Inheritance] = &[
    Inheritance {
        group: "TLS",
        keys: &["enabled"],
        rule: "a tunnel's `tls` means TLS, unless it says `false`; without one as in `security.tls.server`",
    },
    Inheritance { group: "version", keys: &["min_version"], rule: "singly" },
    Inheritance {
        group: "credential",
        keys: &["mode", "cert_file", "key_file", "acme", "mtls.cert_file", "mtls.key_file", "mtls.acme"],
        rule: "together; a client tunnel that writes `mtls.enabled` `false` shows none of `security.tls.client`",
    },
    Inheritance { group: "mutual TLS", keys: &["mtls.enabled"], rule: "singly" },
    Inheritance {
        group: "trust in clients",
        keys: &["mtls.client_ca_files", "mtls.pinned_certificates"],
        rule: "together; the lists replace",
    },
    Inheritance { group: "certificate required", keys: &["mtls.require_client_cert"], rule: "singly" },
    Inheritance {
        group: "allow rules",
        keys: &[
            "mtls.allowed_client_cns",
            "mtls.allowed_client_dns",
            "mtls.allowed_client_uris",
            "mtls.allowed_client_ips",
            "mtls.allowed_clients",
        ],
        rule: "together; the lists replace",
    },
    Inheritance {
        group: "trust in servers",
        keys: &["ca_files", "pinned_certificates", "use_system_roots", "server_issuers"],
        rule: "together; a tunnel that names none but `ca_files` or `pinned_certificates` believes no CA of the system",
    },
    Inheritance {
        group: "no check of servers",
        keys: &["insecure_skip_verify"],
        rule: "singly; `true` is not taken over by a tunnel that names trust of its own",
    },
];

/// A server's settings, each part from its origin.
#[derive(Clone, Copy)]
pub(super) struct ServerSide<'r, 'a> {
    pub(super) enabled: bool,
    pub(super) min_version: MinVersion,
    /// `mode`, `cert_file`, `key_file`, `acme`.
    pub(super) credential: &'r RawSide<'a>,
    pub(super) mutual: bool,
    pub(super) client_cas: &'r RawMtls<'a>,
    pub(super) required: bool,
    pub(super) rules: &'r RawMtls<'a>,
    /// Trust in clients may be missing here, since a mesh can say it.
    pub(super) of_mesh: bool,
    /// The elements of all `allowed_clients`, of which `rules` names a part.
    #[cfg(feature = "gateway")]
    pub(super) allowed_clients: &'r RawClients<'a>,
    /// All `storage`, of which an `acme` names one.
    #[cfg(feature = "gateway")]
    pub(super) stores: &'r [RawStore<'a>],
    #[cfg(feature = "gateway")]
    pub(super) origins: Origins,
}

impl<'r, 'a> ServerSide<'r, 'a> {
    /// Takes `security.tls.server` by itself.
    pub(super) fn shared(raw: &'r Raw<'a>) -> Self {
        let side = &raw.server;
        Self {
            enabled: side.enabled == Some(true),
            min_version: side.min_version.unwrap_or_default(),
            credential: side,
            mutual: side.mtls.is_enabled(),
            client_cas: &side.mtls,
            required: side.mtls.require_client_cert.unwrap_or(true),
            rules: &side.mtls,
            of_mesh: raw.has_mesh(),
            #[cfg(feature = "gateway")]
            allowed_clients: &raw.gateway.allowed_clients,
            #[cfg(feature = "gateway")]
            stores: &raw.gateway.stores,
            #[cfg(feature = "gateway")]
            origins: Origins::default(),
        }
    }

    /// Puts a tunnel's `tls` over `security.tls.server`.
    #[cfg(feature = "gateway")]
    pub(super) fn inherited(own: &'r RawSide<'a>, raw: &'r Raw<'a>, of_mesh: bool) -> Self {
        let shared = &raw.server;
        let (min_version, of_version) = singly(own.min_version, shared.min_version);
        let (mutual, of_mutual) = singly(own.mtls.enabled, shared.mtls.enabled);
        let (required, of_required) = singly(own.mtls.require_client_cert, shared.mtls.require_client_cert);
        let of_credential = group(names_server_credential(own), names_server_credential(shared));
        let of_cas = group(own.mtls.names_trust(), shared.mtls.names_trust());
        let of_rules = group(own.mtls.names_rules(), shared.mtls.names_rules());
        let (enabled, of_enabled) = if own.present {
            (own.enabled.unwrap_or(true), Origin::Tunnel)
        } else {
            (shared.enabled == Some(true), group(false, shared.enabled.is_some()))
        };
        Self {
            enabled,
            min_version: min_version.unwrap_or_default(),
            credential: side(of_credential, own, shared),
            mutual: mutual == Some(true),
            client_cas: &side(of_cas, own, shared).mtls,
            required: required.unwrap_or(true),
            rules: &side(of_rules, own, shared).mtls,
            of_mesh,
            allowed_clients: &raw.gateway.allowed_clients,
            stores: &raw.gateway.stores,
            origins: Origins {
                enabled: of_enabled,
                min_version: of_version,
                credential: of_credential,
                mutual: of_mutual,
                client_ca_files: of_cas,
                require_client_cert: of_required,
                allow_rules: of_rules,
                ..Origins::default()
            },
        }
    }
}

/// A client's settings, each part from its origin.
#[derive(Clone, Copy)]
pub(super) struct ClientSide<'r, 'a> {
    pub(super) min_version: MinVersion,
    /// `ca_files` and `pinned_certificates`.
    pub(super) trust: &'r RawSide<'a>,
    pub(super) system_roots: bool,
    pub(super) insecure_skip_verify: bool,
    /// Trust in servers may be missing here, since a mesh can say it.
    pub(super) of_mesh: bool,
    /// `mode`, `acme`, and of `mtls` the files and `acme`; none if the tunnel presents no certificate.
    pub(super) credential: Option<&'r RawSide<'a>>,
    pub(super) mutual: bool,
    /// All `storage`, of which an `acme` names one.
    #[cfg(feature = "gateway")]
    pub(super) stores: &'r [RawStore<'a>],
    #[cfg(feature = "gateway")]
    pub(super) origins: Origins,
}

impl<'r, 'a> ClientSide<'r, 'a> {
    /// Takes `security.tls.client` by itself.
    pub(super) fn shared(raw: &'r Raw<'a>) -> Self {
        let side = &raw.client;
        Self {
            of_mesh: raw.has_mesh(),
            min_version: side.min_version.unwrap_or_default(),
            trust: side,
            system_roots: side.system_roots.unwrap_or(true),
            insecure_skip_verify: side.insecure_skip_verify == Some(true),
            credential: Some(side),
            mutual: side.mtls.is_enabled(),
            #[cfg(feature = "gateway")]
            stores: &raw.gateway.stores,
            #[cfg(feature = "gateway")]
            origins: Origins::default(),
        }
    }

    /// Puts a tunnel's `tls` over `security.tls.client`.
    #[cfg(feature = "gateway")]
    pub(super) fn inherited(own: &'r RawSide<'a>, raw: &'r Raw<'a>, of_mesh: bool) -> Self {
        let shared = &raw.client;
        let (min_version, of_version) = singly(own.min_version, shared.min_version);
        let (mutual, of_mutual) = singly(own.mtls.enabled, shared.mtls.enabled);
        let of_trust = group(names_trust(own), names_trust(shared));
        let unless_trusted = shared.insecure_skip_verify.filter(|_| of_trust != Origin::Tunnel);
        let (insecure, of_insecure) = singly(own.insecure_skip_verify, unless_trusted);
        let shows_nothing = own.mtls.enabled == Some(false) && !names_client_credential(own);
        let of_credential = match group(names_client_credential(own), names_client_credential(shared)) {
            _ if shows_nothing => Origin::Tunnel,
            origin => origin,
        };
        let trust = side(of_trust, own, shared);
        let of_system_roots = if trust.system_roots.is_some() { of_trust } else { Origin::Default };
        Self {
            min_version: min_version.unwrap_or_default(),
            trust,
            // A tunnel that names its CAs or pins trusts only these by default.
            system_roots: match of_trust {
                Origin::Tunnel => own.system_roots == Some(true),
                Origin::Shared | Origin::Default => shared.system_roots.unwrap_or(true),
            },
            insecure_skip_verify: insecure == Some(true) && !of_mesh,
            of_mesh,
            credential: (!shows_nothing).then_some(side(of_credential, own, shared)),
            mutual: mutual == Some(true),
            stores: &raw.gateway.stores,
            origins: Origins {
                min_version: of_version,
                credential: of_credential,
                mutual: of_mutual,
                trust: of_trust,
                system_roots: of_system_roots,
                insecure_skip_verify: of_insecure,
                // A client tunnel always originates TLS.
                enabled: Origin::Tunnel,
                ..Origins::default()
            },
        }
    }
}

/// Inherits a key by itself.
#[cfg(feature = "gateway")]
fn singly<T>(own: Option<T>, shared: Option<T>) -> (Option<T>, Origin) {
    let origin = group(own.is_some(), shared.is_some());
    (own.or(shared), origin)
}

/// Returns the origin of a group.
#[cfg(feature = "gateway")]
fn group(named_by_tunnel: bool, named_by_shared: bool) -> Origin {
    match (named_by_tunnel, named_by_shared) {
        (true, _) => Origin::Tunnel,
        (false, true) => Origin::Shared,
        (false, false) => Origin::Default,
    }
}

#[cfg(feature = "gateway")]
fn side<'r, 'a>(origin: Origin, own: &'r RawSide<'a>, shared: &'r RawSide<'a>) -> &'r RawSide<'a> {
    match origin {
        Origin::Tunnel => own,
        Origin::Shared | Origin::Default => shared,
    }
}

#[cfg(feature = "gateway")]
fn names_server_credential(side: &RawSide<'_>) -> bool {
    side.cert_file.is_some() || side.key_file.is_some() || side.acme_mode.is_some() || side.acme.names_a_key()
}

#[cfg(feature = "gateway")]
fn names_client_credential(side: &RawSide<'_>) -> bool {
    let mtls = &side.mtls;
    side.acme_mode.is_some()
        || side.acme.names_a_key()
        || mtls.cert_file.is_some()
        || mtls.key_file.is_some()
        || mtls.acme.names_a_key()
}

#[cfg(feature = "gateway")]
fn names_trust(side: &RawSide<'_>) -> bool {
    side.ca_files.written
        || side.pinned_certificates.written
        || side.system_roots.is_some()
        || side.server_issuers.written
}
