//! Implements `edgetrust connect`: one client tunnel from flags.

use edgetrust_core::config::{
    Admin, ClientTls, CredentialSource, Endpoint, Files, Gateway, MinVersion, Origins, Tunnel, TunnelKind, TunnelLimits,
};
use edgetrust_core::identity::without_root;

use super::arguments::{self, DenyFlags, LimitFlags};
use super::{Failure, Outcome, log, service};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("trust").args(["cacert", "pin"]).multiple(true))]
pub(crate) struct Args {
    /// Address on which to accept plaintext, such as 127.0.0.1:9001 or unix:/run/to-b.sock
    #[arg(long, value_name = "ADDR|unix:PATH", value_parser = arguments::endpoint)]
    listen: String,
    /// Server to connect to over TLS
    #[arg(long, value_name = "HOST:PORT", value_parser = arguments::endpoint)]
    target: String,
    /// Name that the server's certificate must have; by default the target's host
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// CA certificates that verify the server, in addition to the system's
    #[arg(long, value_name = "FILE")]
    cacert: Vec<String>,
    /// Pinned certificates of the server, which may be CA certificates; the server's name is checked too
    #[arg(long, value_name = "FILE")]
    pin: Vec<String>,
    /// CA that the server's own certificate must come from: its certificate, or the hash of its key; by default any
    #[arg(long, value_name = "FILE|sha256:HEX", conflicts_with = "pin")]
    server_issuer: Vec<String>,
    /// Trust only the certificates of --cacert and --pin, not the system's
    #[arg(long, requires = "trust")]
    no_system_roots: bool,
    /// Intermediates that complete a server's chain; not trusted by themselves
    #[arg(long, value_name = "FILE")]
    known_intermediate: Vec<String>,
    /// Revocation list, PEM or DER, signed by a CA of servers
    #[arg(long, value_name = "FILE")]
    crl: Vec<String>,
    /// Own certificate chain, PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<String>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<String>,
    /// Lowest version of TLS
    #[arg(long, value_name = "1.2|1.3", default_value = "1.2", value_parser = arguments::min_version)]
    min_version: MinVersion,
    /// Allow plaintext from other machines
    #[arg(long)]
    unsafe_listen: bool,
    /// Do not verify the server: any server is trusted
    #[arg(long)]
    unsafe_skip_verify: bool,
    #[command(flatten)]
    deny: DenyFlags,
    #[command(flatten)]
    limits: LimitFlags,
    /// Address of the metrics, health and status pages, such as 127.0.0.1:9090 or unix:/run/edgetrust/admin.sock
    #[arg(long, value_name = "ADDR:PORT|unix:PATH", value_parser = arguments::listening, help_heading = "Service")]
    admin: Option<String>,
    /// Write each refusal and each change of trust to this file, as a line of JSON; SIGHUP opens it again
    #[arg(long, value_name = "FILE", help_heading = "Service")]
    audit_log: Option<String>,
    #[command(flatten)]
    service: service::Options,
}

impl Args {
    fn gateway(&self) -> Result<Gateway<'_>, Failure> {
        let listen = arguments::parse_endpoint(&self.listen)?;
        if !listen.is_local() && !self.unsafe_listen {
            return Err(format!("--listen {listen}: plaintext from other machines; --unsafe-listen allows it").into());
        }
        let target = arguments::parse_endpoint(&self.target)?;
        let server_name = match (&self.server_name, target) {
            (Some(name), _) => without_root(name),
            (None, Endpoint::Host(host, _)) => host,
            (None, Endpoint::Tcp(_)) => {
                let host = self.target.rsplit_once(':').map_or("", |(host, _)| host);
                host.trim_start_matches('[').trim_end_matches(']')
            }
            (None, Endpoint::Unix(_)) => return Err("--target unix:… needs --server-name".into()),
        };
        let credential = match (&self.cert, &self.key) {
            (Some(cert_file), Some(key_file)) => Some(CredentialSource::Files(Files { cert_file, key_file })),
            _ => None,
        };
        let tls = ClientTls {
            ca_files: arguments::files("--cacert", &self.cacert)?,
            pinned_certificates: arguments::files("--pin", &self.pin)?,
            server_issuers: arguments::files("--server-issuer", &self.server_issuer)?,
            system_roots: !self.no_system_roots,
            credential,
            min_version: self.min_version,
            insecure_skip_verify: self.unsafe_skip_verify,
        };
        let mut gateway = Gateway {
            known_intermediates: arguments::files("--known-intermediate", &self.known_intermediate)?,
            crl_files: arguments::files("--crl", &self.crl)?,
            admin: self.admin.as_deref().map(arguments::parse_endpoint).transpose()?.map(Admin::plain),
            audit_log: self.audit_log.as_deref(),
            limits: self.limits.limits()?,
            ..Gateway::default()
        };
        let tunnel = Tunnel {
            name: "connect",
            listen,
            target: Some(target),
            other_targets: Default::default(),
            health_interval_ms: 0,
            service: None,
            allow_remote_plaintext: self.unsafe_listen,
            limits: TunnelLimits::default(),
            kind: TunnelKind::Client { tls, server_name: Some(server_name), proxy: None },
            origins: Origins::default(),
        };
        gateway.tunnels.push(tunnel).map_err(|_| "no room for a tunnel")?;
        Ok(gateway)
    }
}

pub(crate) fn run(args: Args, format: log::Format) -> Outcome {
    service::run_tunnel(&args.service, format, &args.deny, || args.gateway())
}
