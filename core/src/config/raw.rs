//! Keeps the values of a file, key by key, before validation.

use super::acme::{AcmeKeys, MAX_DOMAINS};
#[cfg(feature = "gateway")]
use super::allowed_clients::{MAX_CLIENT_RULES, MAX_ISSUERS, Span};
#[cfg(feature = "gateway")]
use super::limits::{GatewayLimits, TunnelLimits};
#[cfg(feature = "gateway")]
use super::model::{CrlsRequired, MAX_TARGETS, MAX_TUNNELS};
use super::model::{MAX_DENIED_KEYS, MAX_FILES, MAX_NAMES, MinVersion};
#[cfg(feature = "gateway")]
use super::nats::{MAX_NATS_CA_FILES, MAX_NATS_SERVERS, MAX_SEALING_KEYS, MAX_STORES};
#[cfg(feature = "gateway")]
use super::network::MAX_NETWORKS;
#[cfg(feature = "gateway")]
use crate::identity::RuleName;
use crate::x509::KeyHash;
use pki_types::UnixTime;

/// A list of texts. An empty list is distinct from one that was never written.
#[derive(Default)]
pub(super) struct List<'a, const N: usize> {
    pub(super) written: bool,
    pub(super) items: heapless::Vec<&'a str, N>,
}

/// All values of a file before validation.
#[derive(Default)]
pub(super) struct Raw<'a> {
    pub(super) server: RawSide<'a>,
    pub(super) client: RawSide<'a>,
    pub(super) denied_keys: heapless::Vec<RawDeniedKey<'a>, MAX_DENIED_KEYS>,
    #[cfg(feature = "gateway")]
    pub(super) gateway: RawGateway<'a>,
    #[cfg(feature = "device")]
    pub(super) device: RawDevice<'a>,
    /// The offset of the value that is being read.
    pub(super) offset: u32,
    at: Cursor,
}

/// The object that is being read, among several of one shape.
#[derive(Clone, Copy, Default)]
struct Cursor {
    side: SideKind,
    acme: AcmeOf,
    #[cfg(feature = "gateway")]
    limits_of_est: bool,
}

/// The owner of the `acme` that is being read.
#[derive(Clone, Copy, Default)]
enum AcmeOf {
    #[default]
    Side,
    Mtls,
    #[cfg(feature = "gateway")]
    Est,
}

#[derive(Clone, Copy, Default)]
pub(super) enum SideKind {
    #[default]
    Server,
    Client,
    #[cfg(feature = "gateway")]
    Tunnel,
    #[cfg(feature = "gateway")]
    Est,
    #[cfg(feature = "gateway")]
    Admin,
}

/// `server`, `client`, or a tunnel's `tls`.
#[derive(Default)]
pub(super) struct RawSide<'a> {
    pub(super) present: bool,
    pub(super) offset: u32,
    /// The first key beside `enabled`.
    pub(super) other: Option<&'static str>,
    pub(super) enabled: Option<bool>,
    pub(super) acme_mode: Option<bool>,
    pub(super) cert_file: Option<&'a str>,
    pub(super) key_file: Option<&'a str>,
    pub(super) min_version: Option<MinVersion>,
    pub(super) ca_files: List<'a, MAX_FILES>,
    #[cfg(feature = "gateway")]
    pub(super) pinned_certificates: List<'a, MAX_FILES>,
    pub(super) server_issuers: List<'a, MAX_FILES>,
    pub(super) system_roots: Option<bool>,
    pub(super) insecure_skip_verify: Option<bool>,
    pub(super) acme: RawAcme<'a>,
    pub(super) mtls: RawMtls<'a>,
}

/// An element of `denied_keys`.
#[derive(Default)]
pub(super) struct RawDeniedKey<'a> {
    pub(super) offset: u32,
    pub(super) key: Option<KeyHash>,
    pub(super) reason: Option<&'a str>,
    pub(super) until: Option<UnixTime>,
}

/// The elements of all `allowed_clients` in a file, in the order of the text. A list in each side would make every
/// tunnel larger by what few tunnels need.
#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawClients<'a> {
    pub(super) items: heapless::Vec<RawClient<'a>, MAX_CLIENT_RULES>,
    pub(super) issuers: List<'a, MAX_ISSUERS>,
}

/// An element of `allowed_clients`.
#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawClient<'a> {
    pub(super) offset: u32,
    pub(super) name: Option<RuleName<'a>>,
    /// Its issuers, if `issuers` is written.
    pub(super) issuers: Option<Span>,
    /// The index of the next issuer when the element began.
    pub(super) from: u16,
}

/// A `storage`.
#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawStore<'a> {
    pub(super) offset: u32,
    /// The offset of `nats`, if it is written.
    pub(super) nats: Option<u32>,
    pub(super) servers: List<'a, MAX_NATS_SERVERS>,
    pub(super) bucket: Option<&'a str>,
    pub(super) cert_file: Option<&'a str>,
    pub(super) key_file: Option<&'a str>,
    pub(super) ca_files: List<'a, MAX_NATS_CA_FILES>,
    pub(super) credentials_file: Option<&'a str>,
    pub(super) sealing_key_files: List<'a, MAX_SEALING_KEYS>,
    pub(super) replicas: Option<u8>,
}

#[derive(Default)]
pub(super) struct RawMtls<'a> {
    pub(super) offset: u32,
    /// The first key beside `enabled`.
    pub(super) other: Option<&'static str>,
    pub(super) enabled: Option<bool>,
    pub(super) client_ca_files: List<'a, MAX_FILES>,
    #[cfg(feature = "gateway")]
    pub(super) pinned_certificates: List<'a, MAX_FILES>,
    pub(super) require_client_cert: Option<bool>,
    pub(super) allowed_cns: List<'a, MAX_NAMES>,
    pub(super) allowed_dns: List<'a, MAX_NAMES>,
    pub(super) allowed_uris: List<'a, MAX_NAMES>,
    pub(super) allowed_ips: List<'a, MAX_NAMES>,
    #[cfg(feature = "gateway")]
    pub(super) allowed_clients: Option<Span>,
    pub(super) cert_file: Option<&'a str>,
    pub(super) key_file: Option<&'a str>,
    pub(super) acme: RawAcme<'a>,
}

#[derive(Default)]
pub(super) struct RawAcme<'a> {
    pub(super) offset: u32,
    /// The first key beside `enabled`.
    pub(super) other: Option<&'static str>,
    pub(super) enabled: Option<bool>,
    pub(super) directory_url: Option<&'a str>,
    pub(super) domains: List<'a, MAX_DOMAINS>,
    pub(super) renew_before_s: Option<u32>,
    pub(super) storage_path: Option<&'a str>,
    /// The index of its `storage` among all of the file.
    #[cfg(feature = "gateway")]
    pub(super) storage: Option<u8>,
    pub(super) ca_bundle: Option<&'a str>,
    pub(super) issuer_bundle: Option<&'a str>,
    pub(super) http_listen: Option<&'a str>,
    #[cfg(feature = "gateway")]
    pub(super) proxy: Option<&'a str>,
    #[cfg(feature = "gateway")]
    pub(super) proxy_credentials_file: Option<&'a str>,
    pub(super) eab_kid: Option<&'a str>,
    pub(super) eab_hmac_key_file: Option<&'a str>,
    /// The keys that need no check of their own.
    pub(super) keys: AcmeKeys<&'a str>,
}

#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawGateway<'a> {
    pub(super) tunnels: heapless::Vec<RawTunnel<'a>, MAX_TUNNELS>,
    pub(super) known_intermediates: List<'a, MAX_FILES>,
    pub(super) crl_files: List<'a, MAX_FILES>,
    pub(super) crls_required: CrlsRequired,
    pub(super) audit_log: Option<&'a str>,
    pub(super) admin: RawAdmin<'a>,
    pub(super) limits: GatewayLimits,
    pub(super) est: RawEst<'a>,
    pub(super) mesh: RawMesh<'a>,
    pub(super) allowed_clients: RawClients<'a>,
    /// All `storage` in the file, in the order of the text. One in each `acme` would make every tunnel larger by what
    /// few tunnels need.
    pub(super) stores: heapless::Vec<RawStore<'a>, MAX_STORES>,
    /// Takes the keys of a tunnel that does not exist; never read.
    spare: RawTunnel<'a>,
}

#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawTunnel<'a> {
    pub(super) offset: u32,
    pub(super) name: Option<&'a str>,
    pub(super) is_server: Option<bool>,
    pub(super) listen: Option<&'a str>,
    pub(super) target: Option<&'a str>,
    pub(super) targets: List<'a, MAX_TARGETS>,
    pub(super) health_interval_ms: Option<u64>,
    pub(super) accept_proxy: List<'a, MAX_NETWORKS>,
    pub(super) proxy: Option<&'a str>,
    pub(super) proxy_credentials_file: Option<&'a str>,
    pub(super) service: Option<&'a str>,
    pub(super) to: Option<&'a str>,
    pub(super) server_name: Option<&'a str>,
    pub(super) sni: List<'a, MAX_NAMES>,
    pub(super) proxy_protocol: bool,
    pub(super) proxy_protocol_certificate: bool,
    pub(super) max_fragment_size: Option<u16>,
    pub(super) allow_remote_plaintext: bool,
    pub(super) limits: TunnelLimits,
    pub(super) tls: RawSide<'a>,
}

#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawMesh<'a> {
    pub(super) present: bool,
    pub(super) offset: u32,
    pub(super) file: Option<&'a str>,
    pub(super) site: Option<&'a str>,
    pub(super) storage_path: Option<&'a str>,
    /// The index of its `storage` among all of the file.
    pub(super) storage: Option<u8>,
    pub(super) ca_bundle: Option<&'a str>,
    pub(super) control: Option<bool>,
}

#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawAdmin<'a> {
    pub(super) offset: u32,
    pub(super) listen: Option<&'a str>,
    pub(super) hosts: List<'a, MAX_NAMES>,
    pub(super) tls: RawSide<'a>,
    pub(super) check_targets: bool,
}

#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawEst<'a> {
    pub(super) present: bool,
    pub(super) offset: u32,
    pub(super) listen: Option<&'a str>,
    pub(super) tls: RawSide<'a>,
    pub(super) has_acme: bool,
    pub(super) chain_in_answer: bool,
    pub(super) acme: RawAcme<'a>,
    pub(super) limits: TunnelLimits,
    pub(super) first: RawFirstEnrollment<'a>,
}

#[cfg(feature = "gateway")]
#[derive(Default)]
pub(super) struct RawFirstEnrollment<'a> {
    pub(super) present: bool,
    pub(super) offset: u32,
    pub(super) listen: Option<&'a str>,
}

#[cfg(feature = "device")]
#[derive(Default)]
pub(super) struct RawDevice<'a> {
    pub(super) present: bool,
    pub(super) offset: u32,
    pub(super) gateway: Option<&'a str>,
    pub(super) server_name: Option<&'a str>,
    pub(super) websocket: Option<&'a str>,
    pub(super) report: Option<&'a str>,
    pub(super) interval_ms: Option<u32>,
    pub(super) enroll: Option<&'a str>,
    pub(super) enroll_name: Option<&'a str>,
    pub(super) first_enroll: Option<&'a str>,
    pub(super) voucher: Option<&'a str>,
    pub(super) renew_before_s: Option<u32>,
    pub(super) ntp: Option<&'a str>,
}

impl RawMtls<'_> {
    /// Returns whether an allow list is written, even an empty one.
    pub(super) fn names_rules(&self) -> bool {
        #[cfg(feature = "gateway")]
        if self.allowed_clients.is_some() {
            return true;
        }
        self.allowed_cns.written || self.allowed_dns.written || self.allowed_uris.written || self.allowed_ips.written
    }

    /// Returns whether a list of CAs or pins of clients is written, even an empty one.
    #[cfg(feature = "gateway")]
    pub(super) fn names_trust(&self) -> bool {
        self.client_ca_files.written || self.pinned_certificates.written
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled == Some(true)
    }
}

impl RawAcme<'_> {
    /// Returns whether a key is written; an empty object names nothing.
    #[cfg(feature = "gateway")]
    pub(super) fn names_a_key(&self) -> bool {
        self.enabled.is_some() || self.other.is_some()
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.enabled == Some(true)
    }
}

impl<'a> Raw<'a> {
    /// Returns whether a server tunnel or the EST server has a `tls` of its own, whose presence means TLS.
    pub(super) fn has_servers_of_its_own(&self) -> bool {
        #[cfg(feature = "gateway")]
        {
            let mut tunnels = self.gateway.tunnels.iter();
            tunnels.any(|tunnel| tunnel.is_server == Some(true) && tunnel.tls.present)
                || self.gateway.est.tls.present
                || self.gateway.admin.tls.present
        }
        #[cfg(not(feature = "gateway"))]
        false
    }

    pub(super) fn side(&mut self) -> &mut RawSide<'a> {
        match self.at.side {
            SideKind::Server => &mut self.server,
            SideKind::Client => &mut self.client,
            #[cfg(feature = "gateway")]
            SideKind::Tunnel => &mut self.tunnel().tls,
            #[cfg(feature = "gateway")]
            SideKind::Est => &mut self.gateway.est.tls,
            #[cfg(feature = "gateway")]
            SideKind::Admin => &mut self.gateway.admin.tls,
        }
    }

    pub(super) fn acme(&mut self) -> &mut RawAcme<'a> {
        match self.at.acme {
            AcmeOf::Side => &mut self.side().acme,
            AcmeOf::Mtls => &mut self.side().mtls.acme,
            #[cfg(feature = "gateway")]
            AcmeOf::Est => &mut self.gateway.est.acme,
        }
    }

    #[cfg(feature = "gateway")]
    pub(super) fn tunnel(&mut self) -> &mut RawTunnel<'a> {
        let RawGateway { tunnels, spare, .. } = &mut self.gateway;
        tunnels.last_mut().unwrap_or(spare)
    }

    pub(super) fn enter(&mut self, side: SideKind) {
        self.at = Cursor { side, ..Cursor::default() };
        let offset = self.offset;
        let side = self.side();
        side.present = true;
        side.offset = offset;
    }

    pub(super) fn enter_mtls(&mut self) {
        self.side().mtls.offset = self.offset;
    }

    /// Enters the `acme` of a side, or of its `mtls`.
    pub(super) fn enter_acme(&mut self, of_mtls: bool) {
        self.at.acme = if of_mtls { AcmeOf::Mtls } else { AcmeOf::Side };
        self.acme().offset = self.offset;
    }

    /// Returns the limits that are being read: a tunnel's or the EST server's.
    #[cfg(feature = "gateway")]
    pub(super) fn limits(&mut self) -> &mut TunnelLimits {
        if self.at.limits_of_est { &mut self.gateway.est.limits } else { &mut self.tunnel().limits }
    }

    #[cfg(feature = "gateway")]
    pub(super) fn enter_limits(&mut self, of_est: bool) {
        self.at.limits_of_est = of_est;
    }

    #[cfg(feature = "gateway")]
    pub(super) fn enter_mesh(&mut self) {
        self.gateway.mesh.present = true;
        self.gateway.mesh.offset = self.offset;
    }

    /// Returns whether the file has a mesh, from which trust can follow.
    pub(super) fn has_mesh(&self) -> bool {
        #[cfg(feature = "gateway")]
        {
            self.gateway.mesh.present
        }
        #[cfg(not(feature = "gateway"))]
        false
    }

    #[cfg(feature = "gateway")]
    pub(super) fn enter_est(&mut self) {
        let offset = self.offset;
        self.gateway.est.present = true;
        self.gateway.est.offset = offset;
    }

    #[cfg(feature = "gateway")]
    pub(super) fn enter_first_enrollment(&mut self) {
        let offset = self.offset;
        self.gateway.est.first.present = true;
        self.gateway.est.first.offset = offset;
    }

    #[cfg(feature = "gateway")]
    pub(super) fn enter_est_acme(&mut self) {
        self.at.acme = AcmeOf::Est;
        self.gateway.est.has_acme = true;
    }

    #[cfg(feature = "device")]
    pub(super) fn enter_device(&mut self) {
        let offset = self.offset;
        self.device.present = true;
        self.device.offset = offset;
    }
}
