//! What a configuration comes to.

use core::net::{IpAddr, SocketAddr};

#[cfg(feature = "gateway")]
use super::endpoint::Endpoint;

/// Files in one list at the most.
pub const MAX_FILES: usize = 16;
/// Names in one allow list at the most.
pub const MAX_NAMES: usize = 32;
/// Domains of one certificate at the most.
pub const MAX_DOMAINS: usize = 16;
/// Tunnels of a gateway at the most.
#[cfg(feature = "gateway")]
pub const MAX_TUNNELS: usize = 32;

/// File names.
pub type Paths<'a> = heapless::Vec<&'a str, MAX_FILES>;
/// Names of an allow list.
pub type Names<'a> = heapless::Vec<&'a str, MAX_NAMES>;

/// IP addresses of an allow list.
pub type Addresses = heapless::Vec<IpAddr, MAX_NAMES>;

/// What a file says of TLS.
#[derive(Clone, Debug)]
pub struct Config<'a> {
    /// `security.tls.server`.
    pub server: Server<'a>,
    /// `security.tls.client`.
    pub client: ClientTls<'a>,
    /// `gateway`.
    #[cfg(feature = "gateway")]
    pub gateway: Gateway<'a>,
    /// `device`.
    #[cfg(feature = "device")]
    pub device: Option<Device<'a>>,
}

/// A server's side: plaintext, TLS, or mutual TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
pub enum Server<'a> {
    /// Tier 1.
    #[default]
    Plain,
    /// No client is asked for a certificate.
    Tls(ServerTls<'a>),
    /// Clients are judged by their certificates.
    MutualTls(ServerTls<'a>, ClientTrust<'a>),
}

/// What a server shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls<'a> {
    /// Its certificate.
    pub credential: CredentialSource<'a>,
    /// The lowest version of TLS.
    pub min_version: MinVersion,
}

/// A client's side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls<'a> {
    /// CAs of servers, beside the system's.
    pub ca_files: Paths<'a>,
    /// Pins: certificates of servers, each believed by itself.
    #[cfg(feature = "gateway")]
    pub pinned_certificates: Paths<'a>,
    /// The system's CAs count too, as SemStreams has it.
    pub system_roots: bool,
    /// What the client shows, if asked.
    pub credential: Option<CredentialSource<'a>>,
    /// The lowest version of TLS.
    pub min_version: MinVersion,
    /// No check of the server at all.
    pub insecure_skip_verify: bool,
}

/// Where a certificate and its key come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSource<'a> {
    /// Tier 2.
    Files(Files<'a>),
    /// Tier 3.
    Acme(Acme<'a>),
    /// Tier 3, with files for when the CA is away.
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

/// An ACME account and order (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme<'a> {
    /// The directory, `https://`.
    pub directory_url: &'a str,
    /// The account's contact.
    pub email: Option<&'a str>,
    /// The names; the first is also the common name.
    pub domains: heapless::Vec<&'a str, MAX_DOMAINS>,
    /// How the names are shown to be ours.
    pub challenge_type: ChallengeType,
    /// How long before its end a certificate is renewed, in seconds.
    pub renew_before_s: u32,
    /// Where account, keys and certificates are kept.
    pub storage_path: &'a str,
    /// Roots of the directory's own server; the system's where absent.
    pub ca_bundle: Option<&'a str>,
    /// Roots that issued certificates must lead to; `ca_bundle` where absent.
    pub issuer_bundle: Option<&'a str>,
    /// Where http-01 is answered.
    pub http_listen: Option<SocketAddr>,
    /// External account binding (RFC 8555 section 7.3.4).
    pub eab: Option<Eab<'a>>,
    /// The kind of key.
    pub key_type: KeyType,
    /// How a certificate is renewed while it is valid.
    pub renew_via: RenewVia,
    /// The profile to ask for.
    pub profile: Option<&'a str>,
    /// A command after each renewal.
    pub hook: Option<&'a str>,
    /// A command that answers dns-01.
    pub dns_hook: Option<&'a str>,
}

/// An external account (RFC 8555 section 7.3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eab<'a> {
    /// Its identifier.
    pub kid: &'a str,
    /// The file with its MAC key, base64url.
    pub hmac_key_file: &'a str,
}

/// How a name is shown to be ours (RFC 8555 section 8, RFC 8737).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChallengeType {
    /// RFC 8555 section 8.3
    #[default]
    Http01,
    /// RFC 8737
    TlsAlpn01,
    /// RFC 8555 section 8.4
    Dns01,
}

/// The kind of key that is made.
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

/// How a certificate is renewed while it is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenewVia {
    /// By another order, with a new key.
    #[default]
    Acme,
    /// By showing it to step-ca, which needs no challenge; the key stays.
    StepCa,
}

/// Which clients are let in: those that a list names, and with lists that are all empty nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTrust<'a> {
    /// No handshake without a certificate; else it is judged where one is shown.
    pub required: bool,
    /// CAs of clients.
    pub ca_files: Paths<'a>,
    /// Pins: certificates of clients, each believed by itself.
    #[cfg(feature = "gateway")]
    pub pinned_certificates: Paths<'a>,
    /// No allow list is written: every client with a verified path is let in.
    pub any_verified: bool,
    /// Common names.
    pub allowed_cns: Names<'a>,
    /// DNS names.
    pub allowed_dns: Names<'a>,
    /// URIs.
    pub allowed_uris: Names<'a>,
    /// IP addresses.
    pub allowed_ips: Addresses,
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

/// The `gateway` section, which is ours.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug, Default)]
pub struct Gateway<'a> {
    /// The tunnels.
    pub tunnels: heapless::Vec<Tunnel<'a>, MAX_TUNNELS>,
    /// Intermediates that complete chains; not trusted.
    pub known_intermediates: Paths<'a>,
    /// Where the operator's pages are served.
    pub admin_listen: Option<SocketAddr>,
    /// What it may cost.
    pub limits: GatewayLimits,
    /// Where devices renew their certificates.
    pub est: Option<Est<'a>>,
}

/// An EST server (RFC 7030): devices renew their certificates over mutual TLS, and the gateway orders them.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub struct Est<'a> {
    /// Where it listens.
    pub listen: SocketAddr,
    /// What it shows.
    pub tls: ServerTls<'a>,
    /// Which devices are let in; a certificate is required.
    pub clients: ClientTrust<'a>,
    /// The places where its settings were written.
    pub origins: Origins,
    /// Where certificates are ordered; without names, which are each device's.
    pub acme: Acme<'a>,
    /// The answer to a renewal holds the intermediates beside the certificate.
    pub chain_in_answer: bool,
    /// What it may cost.
    pub limits: TunnelLimits,
}

/// One tunnel.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
pub struct Tunnel<'a> {
    /// Its name in logs and metrics.
    pub name: &'a str,
    /// Where it listens.
    pub listen: Endpoint<'a>,
    /// Where it forwards to.
    pub target: Endpoint<'a>,
    /// Plaintext may leave this machine.
    pub allow_remote_plaintext: bool,
    /// What it may cost.
    pub limits: TunnelLimits,
    /// What it does.
    pub kind: TunnelKind<'a>,
    /// The places where its settings were written.
    pub origins: Origins,
}

/// The place where a setting of a tunnel was written.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    #[default]
    Default,
    /// In the tunnel's own `tls`, or in flags.
    Tunnel,
    /// In `security.tls.server` or `security.tls.client`.
    Shared,
}

/// The places where the settings of a tunnel were written, group by group as they are inherited ([`INHERITANCE`](super::INHERITANCE)).
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// TLS or plaintext.
    pub enabled: Origin,
    /// `min_version`.
    pub min_version: Origin,
    /// The certificate that is shown.
    pub credential: Origin,
    /// `mtls.enabled`.
    pub mutual: Origin,
    /// `client_ca_files`, and `pinned_certificates` of `mtls`.
    pub client_ca_files: Origin,
    /// `require_client_cert`.
    pub require_client_cert: Origin,
    /// The allow lists.
    pub allow_rules: Origin,
    /// `ca_files` and `pinned_certificates`, and with them `use_system_roots` where that is left out.
    pub trust: Origin,
    /// `use_system_roots` itself.
    pub system_roots: Origin,
    /// `insecure_skip_verify`.
    pub insecure_skip_verify: Origin,
}

/// One rule of inheritance from `security.tls` by a tunnel's `tls`.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inheritance {
    /// The group's name.
    pub group: &'static str,
    /// Its keys, below `tls`.
    pub keys: &'static [&'static str],
    /// The rule.
    pub rule: &'static str,
}

/// What a tunnel does.
#[cfg(feature = "gateway")]
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
pub enum TunnelKind<'a> {
    /// Accepts, forwards plaintext.
    Server {
        /// What it accepts.
        tls: Server<'a>,
        /// The server names that choose this tunnel among those that share a port; empty takes all others.
        sni: Names<'a>,
        /// What goes before the plaintext.
        proxy_protocol: ProxyProtocol,
    },
    /// Accepts plaintext, originates TLS.
    Client {
        /// How.
        tls: ClientTls<'a>,
        /// The name that the server's certificate must be for: a DNS name or an IP address.
        server_name: &'a str,
    },
}

/// What the target of a server tunnel is told before the plaintext.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Nothing.
    #[default]
    Off,
    /// A PROXY protocol version 2 header.
    Header,
    /// The same, with the client's certificate.
    WithCertificate,
}

/// Limits of the gateway; times in milliseconds.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Connections at a time, of all tunnels.
    pub connections: u32,
    /// TLS connections of one address at a time whose handshake is not done.
    pub handshakes: u32,
    /// Connections of one source at a time to one address; 0 where there is no limit.
    pub connections_per_source: u32,
    /// New TLS connections of one source in a second to one address; 0 where there is no limit.
    pub handshakes_per_second: u32,
    /// From the accepted connection to the reached target.
    pub handshake_timeout_ms: u64,
    /// How long a connection may be silent; 0 is for ever, none is for ever where peers are authenticated.
    pub idle_timeout_ms: Option<u64>,
    /// How long connections may go on after SIGTERM.
    pub drain_timeout_ms: u64,
    /// How long a session may go on after its peer's certificate expired or its rule was withdrawn.
    pub expired_grace_ms: u64,
    /// Sessions of a removed tunnel go on as long as another tunnel would let their peer in.
    pub keep_removed_sessions: bool,
    /// How long a connection of which one side has ended may carry nothing.
    pub half_close_timeout_ms: u64,
    /// How long a TCP connection is silent before its other end is asked whether it is there.
    pub keepalive_time_ms: u64,
    /// How long after that it is asked again.
    pub keepalive_interval_ms: u64,
    /// How often it is asked before it is gone.
    pub keepalive_probes: u32,
    /// How long what was sent may stay unacknowledged (RFC 5482).
    pub user_timeout_ms: u64,
}

#[cfg(feature = "gateway")]
impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            handshakes: 1_024,
            connections_per_source: 0,
            handshakes_per_second: 0,
            handshake_timeout_ms: 10_000,
            idle_timeout_ms: None,
            drain_timeout_ms: 30_000,
            expired_grace_ms: 0,
            keep_removed_sessions: false,
            half_close_timeout_ms: 300_000,
            keepalive_time_ms: 60_000,
            keepalive_interval_ms: 15_000,
            keepalive_probes: 4,
            user_timeout_ms: 300_000,
        }
    }
}

/// What one tunnel, or the EST server, may cost; none is as the gateway's limits say.
#[cfg(feature = "gateway")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Its connections at a time.
    pub connections: Option<u32>,
    /// TLS connections at a time whose handshake is not done.
    pub handshakes: Option<u32>,
    /// Connections of one source at a time; 0 where there is no limit.
    pub connections_per_source: Option<u32>,
    /// New TLS connections of one source in a second; 0 where there is no limit.
    pub handshakes_per_second: Option<u32>,
    /// How long a connection may be silent, in milliseconds; 0 is for ever.
    pub idle_timeout_ms: Option<u64>,
}

/// The `device` section: a microcontroller that speaks to its location's gateway.
#[cfg(feature = "device")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device<'a> {
    /// CAs of the gateway: `security.tls.client.ca_files`.
    pub ca_files: Paths<'a>,
    /// The credential from the factory: `security.tls.client.mtls`.
    pub credential: Files<'a>,
    /// The gateway's server tunnel.
    pub gateway: Remote<'a>,
    /// The name that the gateway's certificate must be for: a DNS name or an IP address.
    pub server_name: &'a str,
    /// Path of the WebSocket that telemetry goes to.
    pub websocket: Option<&'a str>,
    /// Path of an HTTP POST after each connect.
    pub report: Option<&'a str>,
    /// Milliseconds between two messages of telemetry.
    pub interval_ms: u32,
    /// Where the credential is renewed; it stays where there is none.
    pub enroll: Option<Enroll<'a>>,
    /// How long before its end the credential is renewed, in seconds.
    pub renew_before_s: u32,
    /// The host that tells the time: a DNS name or an IP address.
    pub ntp: &'a str,
}

/// A gateway's EST server (RFC 7030), as its devices see it.
#[cfg(feature = "device")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enroll<'a> {
    /// Where it listens.
    pub server: Remote<'a>,
    /// The name that its certificate must be for: a DNS name or an IP address.
    pub server_name: &'a str,
}

/// A host and a port.
#[cfg(feature = "device")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'a> {
    /// A DNS name or an IP address, without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
}
