//! Implements `edgetrust serve`: one server tunnel from flags.

use edgetrust_core::config::{
    Admin, ClientTrust, CredentialSource, Files, Gateway, MAX_FRAGMENT_SIZE, MinVersion, Origins, ProxyProtocol,
    Server, ServerTls, Tunnel, TunnelKind, TunnelLimits,
};
use edgetrust_core::identity::is_dns_rule;

use super::arguments::{self, DenyFlags, LimitFlags};
use super::{Failure, Outcome, log, service};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Address on which to accept TLS, such as 0.0.0.0:8443
    #[arg(long, value_name = "ADDR:PORT", value_parser = arguments::endpoint)]
    listen: String,
    /// Address to forward plaintext to, such as 127.0.0.1:8081 or unix:/run/service.sock
    #[arg(long, value_name = "ADDR|unix:PATH", value_parser = arguments::endpoint)]
    target: String,
    /// Certificate chain, PEM, leaf first
    #[arg(long, value_name = "FILE")]
    cert: String,
    /// Private key, PEM
    #[arg(long, value_name = "FILE")]
    key: String,
    /// CA certificates that verify clients; with any, a client certificate is required
    #[arg(long, value_name = "FILE")]
    cacert: Vec<String>,
    /// Pinned certificates of clients, which may be CA certificates; with any, a client certificate is required
    #[arg(long, value_name = "FILE")]
    pin: Vec<String>,
    /// Intermediates that complete a client's chain; not trusted by themselves
    #[arg(long, value_name = "FILE")]
    known_intermediate: Vec<String>,
    /// Revocation list, PEM or DER, signed by a CA of clients
    #[arg(long, value_name = "FILE")]
    crl: Vec<String>,
    /// Require client certificates, accept them, or request none
    #[arg(long, value_enum)]
    client_auth: Option<ClientAuthMode>,
    /// Admit clients with this common name
    #[arg(long, value_name = "NAME")]
    allow_cn: Vec<String>,
    /// Admit clients with this DNS name
    #[arg(long, value_name = "NAME")]
    allow_dns: Vec<String>,
    /// Admit clients with this URI, such as a SPIFFE ID
    #[arg(long, value_name = "URI")]
    allow_uri: Vec<String>,
    /// Admit clients with this IP address in their certificate
    #[arg(long, value_name = "ADDR")]
    allow_ip: Vec<String>,
    /// Lowest version of TLS
    #[arg(long, value_name = "1.2|1.3", default_value = "1.2", value_parser = arguments::min_version)]
    min_version: MinVersion,
    /// Send a PROXY protocol version 2 header before the plaintext, with the client's address and certificate data
    #[arg(long)]
    proxy_protocol: bool,
    /// Include the client's certificate, in DER, in the PROXY protocol header
    #[arg(long, requires = "proxy_protocol")]
    proxy_protocol_certificate: bool,
    /// Allow forwarding plaintext to another machine
    #[arg(long)]
    unsafe_target: bool,
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

#[derive(Clone, Copy, clap::ValueEnum)]
enum ClientAuthMode {
    Required,
    Optional,
    Off,
}

impl Args {
    fn gateway(&self) -> Result<Gateway<'_>, Failure> {
        let target = arguments::parse_endpoint(&self.target)?;
        if !target.is_local() && !self.unsafe_target {
            return Err(
                format!("--target {target}: plaintext would leave this machine; --unsafe-target allows it").into()
            );
        }
        let mut gateway = Gateway {
            known_intermediates: arguments::files("--known-intermediate", &self.known_intermediate)?,
            crl_files: arguments::files("--crl", &self.crl)?,
            admin: self.admin.as_deref().map(arguments::parse_endpoint).transpose()?.map(Admin::plain),
            audit_log: self.audit_log.as_deref(),
            limits: self.limits.limits()?,
            ..Gateway::default()
        };
        let tunnel = Tunnel {
            name: "serve",
            listen: arguments::parse_endpoint(&self.listen)?,
            target: Some(target),
            other_targets: Default::default(),
            health_interval_ms: 0,
            service: None,
            allow_remote_plaintext: self.unsafe_target,
            limits: TunnelLimits::default(),
            kind: TunnelKind::Server {
                tls: self.server()?,
                sni: Default::default(),
                proxy_protocol: match (self.proxy_protocol, self.proxy_protocol_certificate) {
                    (false, _) => ProxyProtocol::Off,
                    (true, false) => ProxyProtocol::Header,
                    (true, true) => ProxyProtocol::WithCertificate,
                },
                accept_proxy: Default::default(),
                max_fragment_size: MAX_FRAGMENT_SIZE,
            },
            origins: Origins::default(),
        };
        gateway.tunnels.push(tunnel).map_err(|_| "no room for a tunnel")?;
        Ok(gateway)
    }

    fn server(&self) -> Result<Server<'_>, Failure> {
        let files = Files { cert_file: &self.cert, key_file: &self.key };
        let tls = ServerTls { credential: CredentialSource::Files(files), min_version: self.min_version };
        let mode = match self.client_auth {
            Some(mode) => mode,
            None if self.cacert.is_empty() && self.pin.is_empty() => ClientAuthMode::Off,
            None => ClientAuthMode::Required,
        };
        let rules = [
            ("--allow-cn", &self.allow_cn),
            ("--allow-dns", &self.allow_dns),
            ("--allow-uri", &self.allow_uri),
            ("--allow-ip", &self.allow_ip),
        ];
        if matches!(mode, ClientAuthMode::Off) {
            if self.proxy_protocol_certificate {
                let reason =
                    "--proxy-protocol-certificate needs --cacert or --pin: no client is asked for a certificate";
                return Err(reason.into());
            }
            return match rules.iter().find(|(_, names)| !names.is_empty()) {
                None => Ok(Server::Tls(tls)),
                Some((flag, _)) => {
                    Err(format!("{flag} needs --cacert or --pin: no client is asked for a certificate").into())
                }
            };
        }
        if self.cacert.is_empty() && self.pin.is_empty() {
            return Err("--client-auth required or optional needs --cacert or --pin".into());
        }
        if let Some(name) = self.allow_dns.iter().find(|name| !is_dns_rule(name)) {
            return Err(format!("--allow-dns: found {name:?}, expected a DNS name").into());
        }
        let [cns, dns, uris, ips] = rules.map(|(flag, names)| arguments::names(flag, names));
        Ok(Server::MutualTls(
            tls,
            ClientTrust {
                required: matches!(mode, ClientAuthMode::Required),
                ca_files: arguments::files("--cacert", &self.cacert)?,
                pinned_certificates: arguments::files("--pin", &self.pin)?,
                any_verified: rules.iter().all(|(_, names)| names.is_empty()),
                allowed_cns: cns?,
                allowed_dns: dns?,
                allowed_uris: uris?,
                allowed_ips: arguments::addresses("--allow-ip", &ips?)?,
                ..ClientTrust::default()
            },
        ))
    }
}

pub(crate) fn run(args: Args, format: log::Format) -> Outcome {
    service::run_tunnel(&args.service, format, &args.deny, || args.gateway())
}
