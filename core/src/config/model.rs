//! Defines the validated configuration.

use core::net::IpAddr;
#[cfg(feature = "gateway")]
use core::net::SocketAddr;

use pki_types::UnixTime;

use super::acme::Acme;
#[cfg(feature = "gateway")]
use super::allowed_clients::{AllowedClients, Span};
#[cfg(feature = "gateway")]
use super::endpoint::Endpoint;
#[cfg(feature = "device")]
use super::enroll::{Enroll, Remote};
#[cfg(feature = "gateway")]
use super::limits::{GatewayLimits, TunnelLimits};
#[cfg(feature = "gateway")]
use super::nats::NatsStore;
#[cfg(feature = "gateway")]
use super::network::{MAX_NETWORKS, Network};
#[cfg(feature = "gateway")]
use super::proxy::Egress;
use crate::path;
use crate::x509::KeyHash;

/// The largest number of files in one list.
pub const MAX_FILES: usize = 16;
/// The largest number of names in one allow list.
pub const MAX_NAMES: usize = 32;
/// The octets of the largest record before encryption (RFC 8446 section 5.1).
#[cfg(feature = "gateway")]
pub const MAX_FRAGMENT_SIZE: u16 = 16_384;
/// The octets of the largest record that a device takes, before encryption: records are what its memory is for.
pub const DEVICE_FRAGMENT_SIZE: u16 = 4_096;
/// The largest number of denied keys.
pub const MAX_DENIED_KEYS: usize = if cfg!(feature = "gateway") { 64 } else { 8 };
/// The largest number of keys that a device denies.
#[cfg(feature = "device")]
pub const MAX_DEVICE_DENIED_KEYS: usize = 8;
/// The largest number of CAs that the servers of a device may come from.
#[cfg(feature = "device")]
pub const MAX_DEVICE_ISSUERS: usize = 4;
/// The largest number of tunnels of a gateway.
#[cfg(feature = "gateway")]
pub const MAX_TUNNELS: usize = 32;

/// The largest number of targets of a tunnel.
#[cfg(feature = "gateway")]
pub const MAX_TARGETS: usize = 8;

/// A list of file names.
pub type Paths<'a> = heapless::Vec<&'a str, MAX_FILES>;
/// The names of an allow list.
pub type Names<'a> = heapless::Vec<&'a str, MAX_NAMES>;

/// The IP addresses of an allow list.
pub type Addresses = heapless::Vec<IpAddr, MAX_NAMES>;

/// The settings of a configuration file.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// `security.tls.server`.
    pub server: Server<'a>,
    /// `security.tls.client`.
    pub client: ClientTls<'a>,
    /// `security.tls.denied_keys`.
    pub denied_keys: DeniedKeys<'a>,
    /// `gateway`.
    #[cfg(feature = "gateway")]
    pub gateway: Gateway<'a>,
    /// `device`.
    #[cfg(feature = "device")]
    pub device: Option<Device<'a>>,
}

/// The keys that are denied.
pub type DeniedKeys<'a> = heapless::Vec<DeniedKey<'a>, MAX_DENIED_KEYS>;

/// A key that is good for nothing, whatever certificate it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeniedKey<'a> {
    /// The key.
    pub key: KeyHash,
    /// The reason, for people.
    pub reason: Option<&'a str>,
    /// The last second of the denial, or `None` for ever.
    pub until: Option<UnixTime>,
}

impl From<&DeniedKey<'_>> for path::DeniedKey {
    fn from(denied: &DeniedKey<'_>) -> Self {
        Self { key: denied.key, until: denied.until }
    }
}

/// The settings of a TLS server: plaintext, TLS, or mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
pub enum Server<'a> {
    /// Plaintext (tier 1).
    #[default]
    Plain,
    /// TLS without client certificates.
    Tls(ServerTls<'a>),
    /// Mutual TLS: clients are authorized by their certificates.
    MutualTls(ServerTls<'a>, ClientTrust<'a>),
}

/// The certificate and version of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls<'a> {
    /// The server's certificate.
    pub credential: CredentialSource<'a>,
    /// The lowest version of TLS.
    pub min_version: MinVersion,
}

/// The settings of a TLS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls<'a> {
    /// The CAs of servers, beside the system's.
    pub ca_files: Paths<'a>,
    /// The pins: certificates of servers, each trusted by itself.
    #[cfg(feature = "gateway")]
    pub pinned_certificates: Paths<'a>,
    /// The CAs that a server's own certificate must come from: files, and hashes of keys; empty for any.
    pub server_issuers: Paths<'a>,
    /// The system's CAs are trusted too, as in SemStreams.
    pub system_roots: bool,
    /// The certificate to present if asked.
    pub credential: Option<CredentialSource<'a>>,
    /// The lowest version of TLS.
    pub min_version: MinVersion,
    /// The server is not verified at all.
    pub insecure_skip_verify: bool,
}

/// The source of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource<'a> {
    /// Files (tier 2).
    Files(Files<'a>),
    /// ACME (tier 3).
    Acme(Acme<'a>),
    /// ACME (tier 3), with files for times when the CA is unavailable.
    AcmeWithFallback(Acme<'a>, Files<'a>),
}

/// A certificate chain and its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Files<'a> {
    /// The chain, PEM, leaf first.
    pub cert_file: &'a str,
    /// The key, PEM.
    pub key_file: &'a str,
}

/// The clients that are let in: those that an allow list names; nobody if all written lists are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTrust<'a> {
    /// Clients must present a certificate; otherwise a certificate is verified only if presented.
    pub required: bool,
    /// The CAs of clients.
    pub ca_files: Paths<'a>,
    /// The pins: certificates of clients, each trusted by itself.
    #[cfg(feature = "gateway")]
    pub pinned_certificates: Paths<'a>,
    /// No allow list is written: every client with a verified path is let in.
    pub any_verified: bool,
    /// The allowed common names.
    pub allowed_cns: Names<'a>,
    /// The allowed DNS names.
    pub allowed_dns: Names<'a>,
    /// The allowed URIs.
    pub allowed_uris: Names<'a>,
    /// The allowed IP addresses.
    pub allowed_ips: Addresses,
    /// The allowed names with their issuers, among all of the file: [`AllowedClients::of`].
    #[cfg(feature = "gateway")]
    pub allowed_clients: Span,
}

/// The lowest version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The `gateway` section, which is our own.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug, Default)]
pub struct Gateway<'a> {
    /// The tunnels.
    pub tunnels: heapless::Vec<Tunnel<'a>, MAX_TUNNELS>,
    /// The intermediates that complete chains; not trusted.
    pub known_intermediates: Paths<'a>,
    /// The revocation lists.
    pub crl_files: Paths<'a>,
    /// The certificates whose CA must have a revocation list.
    pub crls_required: CrlsRequired,
    /// The address of the operator's pages.
    pub admin: Option<Admin<'a>>,
    /// The file of the audit log.
    pub audit_log: Option<&'a str>,
    /// The limits of the gateway.
    pub limits: GatewayLimits,
    /// The EST server for renewals by devices.
    pub est: Option<Est<'a>>,
    /// The mesh of sites.
    pub mesh: Option<MeshOfSites<'a>>,
    /// The allowed names with issuers, of all tunnels and of the EST server.
    pub allowed_clients: AllowedClients<'a>,
}

/// The operator's pages.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub struct Admin<'a> {
    /// The address to listen on: TCP, or a Unix socket.
    pub listen: Endpoint<'a>,
    /// The names beside IP addresses and `localhost` by which the pages may be asked for.
    pub hosts: Names<'a>,
    /// The server's certificate and version; none where the pages are plaintext.
    pub tls: Option<ServerTls<'a>>,
    /// Those who may read the pages over TLS; a certificate is required.
    pub clients: ClientTrust<'a>,
    /// The origins of the server's settings.
    pub origins: Origins,
    /// The gateway is ready only while the targets of its server tunnels accept connections.
    pub check_targets: bool,
}

#[cfg(feature = "gateway")]
impl<'a> Admin<'a> {
    /// Returns pages in plaintext.
    pub fn plain(listen: Endpoint<'a>) -> Self {
        let (clients, origins) = (ClientTrust::default(), Origins::default());
        Self { listen, hosts: Names::new(), tls: None, clients, origins, check_targets: false }
    }
}

/// The certificates of a peer's path whose CA must have a revocation list.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrlsRequired {
    /// None.
    #[default]
    None,
    /// The peer's own.
    Leaf,
    /// All but the anchor.
    Chain,
}

/// An EST server (RFC 7030): devices renew their certificates over mutual TLS, and the gateway orders them.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub struct Est<'a> {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The server's certificate and version.
    pub tls: ServerTls<'a>,
    /// The devices that are let in; a certificate is required.
    pub clients: ClientTrust<'a>,
    /// The origins of the server's settings.
    pub origins: Origins,
    /// The ACME settings for orders; without domains, as the names are each device's.
    pub acme: Acme<'a>,
    /// The answer to a renewal holds the intermediates beside the certificate.
    pub chain_in_answer: bool,
    /// The limits of the EST server.
    pub limits: TunnelLimits,
    /// The address where devices without a certificate get their first one, by a voucher each.
    pub first_enrollment: Option<SocketAddr>,
}

/// One tunnel of the gateway.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub struct Tunnel<'a> {
    /// The tunnel's name in logs and metrics.
    pub name: &'a str,
    /// The endpoint to listen on.
    pub listen: Endpoint<'a>,
    /// The endpoint to forward to; none where the mesh names it.
    pub target: Option<Endpoint<'a>>,
    /// The targets that are tried after it, in this order.
    pub other_targets: heapless::Vec<OtherTarget<'a>, { MAX_TARGETS - 1 }>,
    /// The time between two looks at a target that was not reached, in milliseconds.
    pub health_interval_ms: u64,
    /// Plaintext may leave this machine.
    pub allow_remote_plaintext: bool,
    /// The limits of the tunnel.
    pub limits: TunnelLimits,
    /// The service of the mesh that the tunnel is for.
    pub service: Option<Service<'a>>,
    /// The tunnel's direction.
    pub kind: TunnelKind<'a>,
    /// The origins of the tunnel's settings.
    pub origins: Origins,
}

/// A target that is tried where the first one is not reached.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherTarget<'a> {
    /// The endpoint to forward to.
    pub endpoint: Endpoint<'a>,
    /// The name that the server's certificate must have; none for a server tunnel.
    pub server_name: Option<&'a str>,
}

/// The mesh that the gateway belongs to.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshOfSites<'a> {
    /// The mesh file.
    pub file: &'a str,
    /// The name of the gateway's site.
    pub site: &'a str,
    /// The settings of a signed file; none where the file is not signed.
    pub signed: Option<SignedFile<'a>>,
    /// The store that the newest signed mesh file is shared by; none for a gateway alone.
    pub storage: Option<NatsStore<'a>>,
}

/// The settings of a mesh file that has to be signed.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedFile<'a> {
    /// The folder that keeps the mesh in force.
    pub storage_path: &'a str,
    /// The file of the roots that the first mesh must come from.
    pub ca_bundle: &'a str,
    /// True if gateways bring each other the newest mesh.
    pub control: bool,
}

/// A service of the mesh: who is let in, or where the tunnel leads, follows from the mesh.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// The name of the service.
    pub name: &'a str,
    /// The site that a client tunnel leads to; none for a server tunnel.
    pub to: Option<&'a str>,
}

/// The place where a setting of a tunnel was written.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: a default.
    #[default]
    Default,
    /// In the tunnel, its own `tls`, or in flags.
    Tunnel,
    /// In `security.tls.server` or `security.tls.client`.
    Shared,
}

/// The places where the settings of a tunnel were written, group by group as they are inherited
/// ([`INHERITANCE`](super::INHERITANCE)).
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// TLS or plaintext.
    pub enabled: Origin,
    /// `min_version`.
    pub min_version: Origin,
    /// The certificate that is presented.
    pub credential: Origin,
    /// `mtls.enabled`.
    pub mutual: Origin,
    /// `client_ca_files`, and `pinned_certificates` of `mtls`.
    pub client_ca_files: Origin,
    /// `require_client_cert`.
    pub require_client_cert: Origin,
    /// The allow lists.
    pub allow_rules: Origin,
    /// `ca_files`, `pinned_certificates`, and the default of `use_system_roots` that follows from both.
    pub trust: Origin,
    /// `use_system_roots` itself.
    pub system_roots: Origin,
    /// `insecure_skip_verify`.
    pub insecure_skip_verify: Origin,
    /// `max_fragment_size`, a key of the tunnel itself.
    pub max_fragment_size: Origin,
}

/// One rule of inheritance from `security.tls` by a tunnel's `tls`.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inheritance {
    /// The group's name.
    pub group: &'static str,
    /// The group's keys, below `tls`.
    pub keys: &'static [&'static str],
    /// The rule.
    pub rule: &'static str,
}

/// The direction of a tunnel.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
pub enum TunnelKind<'a> {
    /// Accepts connections, forwards plaintext.
    Server {
        /// The server's side of TLS.
        tls: Server<'a>,
        /// The server names that select this tunnel among those that share a port; an empty list takes all others.
        sni: Names<'a>,
        /// The PROXY protocol towards the target.
        proxy_protocol: ProxyProtocol,
        /// The load balancers, whose PROXY protocol headers say who connects; empty where clients connect themselves.
        accept_proxy: heapless::Vec<Network, MAX_NETWORKS>,
        /// The octets of the largest record that the tunnel sends, before encryption.
        max_fragment_size: u16,
    },
    /// Accepts plaintext, originates TLS.
    Client {
        /// The client's side of TLS.
        tls: ClientTls<'a>,
        /// The name that the server's certificate must have, a DNS name or an IP address; none where the mesh names it.
        server_name: Option<&'a str>,
        /// The proxy that leads to the servers; none for a direct way.
        proxy: Option<Egress<'a>>,
    },
}

/// The header that a server tunnel sends before the plaintext.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// No header.
    #[default]
    Off,
    /// A PROXY protocol version 2 header.
    Header,
    /// The same header with the client's certificate.
    WithCertificate,
}

/// The `device` section: a microcontroller that speaks to its location's gateway.
#[cfg(feature = "device")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// The CAs of the gateway: `security.tls.client.ca_files`.
    pub ca_files: Paths<'a>,
    /// The credential from the factory, or the voucher for one.
    pub credential: FirstCredential<'a>,
    /// The gateway's server tunnel.
    pub gateway: Remote<'a>,
    /// The name that the gateway's certificate must have: a DNS name or an IP address.
    pub server_name: &'a str,
    /// The CAs that the gateway's own certificate must come from: files, and hashes of keys; empty for any.
    pub server_issuers: heapless::Vec<&'a str, MAX_DEVICE_ISSUERS>,
    /// The keys that are denied.
    pub denied_keys: heapless::Vec<path::DeniedKey, MAX_DEVICE_DENIED_KEYS>,
    /// The path of the WebSocket that receives telemetry.
    pub websocket: Option<&'a str>,
    /// The path of an HTTP POST after each connect.
    pub report: Option<&'a str>,
    /// The time between two messages of telemetry, in milliseconds.
    pub interval_ms: u32,
    /// The EST server that renews the credential; without one the credential stays.
    pub enroll: Option<Enroll<'a>>,
    /// The time before its end at which the credential is renewed, in seconds.
    pub renew_before_s: u32,
    /// The NTP server: a DNS name or an IP address.
    pub ntp: &'a str,
}

/// The origin of a device's first credential.
#[cfg(feature = "device")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstCredential<'a> {
    /// The factory: `security.tls.client.mtls`.
    Files(Files<'a>),
    /// The gateway, which gives it for a voucher.
    Voucher(VoucherFile<'a>),
}

/// The voucher of a device, and where it is taken.
#[cfg(feature = "device")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoucherFile<'a> {
    /// The file with name and password.
    pub file: &'a str,
    /// The EST server for devices without a certificate.
    pub enroll: Enroll<'a>,
}
