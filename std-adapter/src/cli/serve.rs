//! `edgetrust serve`: one server tunnel from flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use edgetrust::gateway::{Address, Limits, ServerTunnel};
use edgetrust::pem;
use edgetrust::tls::{ClientAuth, Credential, MinVersion, OwnedRule, Peers, ServerSettings, TrustStore};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use super::{Outcome, files, text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to accept TLS, as 0.0.0.0:8443
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where plaintext goes: ADDRESS:PORT or unix:PATH
    #[arg(long, value_name = "ADDR|unix:PATH")]
    target: Address,
    /// Certificate chain, PEM, leaf first
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// Private key, PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// CA certificates of clients; with any, a client certificate is required
    #[arg(long, value_name = "FILE")]
    cacert: Vec<PathBuf>,
    /// Intermediates that complete a client's chain; not trusted
    #[arg(long, value_name = "FILE")]
    known_intermediate: Vec<PathBuf>,
    /// Whether clients show certificates
    #[arg(long, value_enum)]
    client_auth: Option<ClientAuthMode>,
    /// Let in clients with this common name
    #[arg(long, value_name = "NAME")]
    allow_cn: Vec<String>,
    /// Let in clients with this DNS name
    #[arg(long, value_name = "NAME")]
    allow_dns: Vec<String>,
    /// Let in clients with this URI, as a SPIFFE ID
    #[arg(long, value_name = "URI")]
    allow_uri: Vec<String>,
    /// Lowest version of TLS
    #[arg(long, value_name = "1.2|1.3", default_value = "1.2", value_parser = super::serve::min_version)]
    min_version: MinVersion,
    /// Seconds that connections may go on after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_timeout: u64,
    /// Forward plaintext to another machine
    #[arg(long)]
    unsafe_target: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ClientAuthMode {
    Required,
    Optional,
    Off,
}

pub(crate) fn min_version(text: &str) -> Result<MinVersion, String> {
    match text {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        _ => Err("expected 1.2 or 1.3".to_owned()),
    }
}

impl Args {
    /// Reads every file; an error leaves what was before.
    fn settings(&self) -> Result<ServerSettings, String> {
        if let Some(warning) = pem::key_permissions(&self.key) {
            warn!("{warning}");
        }
        Ok(ServerSettings {
            credential: Credential::load(&self.cert, &self.key).map_err(text)?,
            client_auth: self.client_auth()?,
            min_version: self.min_version,
            alpn: Vec::new(),
        })
    }

    fn client_auth(&self) -> Result<ClientAuth, String> {
        let rules: Vec<OwnedRule> = (self.allow_cn.iter().cloned().map(OwnedRule::CommonName))
            .chain(self.allow_dns.iter().cloned().map(OwnedRule::Dns))
            .chain(self.allow_uri.iter().cloned().map(OwnedRule::Uri))
            .collect();
        let mode = match self.client_auth {
            Some(mode) => mode,
            None if self.cacert.is_empty() => ClientAuthMode::Off,
            None => ClientAuthMode::Required,
        };
        if matches!(mode, ClientAuthMode::Off) {
            return match rules.first() {
                None => Ok(ClientAuth::Off),
                Some(rule) => {
                    Err(format!("an allow list ({rule}) needs --cacert: no client is asked for a certificate"))
                }
            };
        }
        if self.cacert.is_empty() {
            return Err("--client-auth required or optional needs --cacert".to_owned());
        }
        let peers = if rules.is_empty() { Peers::AnyVerified } else { Peers::OneOf(rules) };
        let store =
            TrustStore::new(files::certificates(&self.cacert)?, files::certificates(&self.known_intermediate)?, peers)
                .map_err(text)?;
        Ok(match mode {
            ClientAuthMode::Optional => ClientAuth::Optional(store),
            _ => ClientAuth::Required(store),
        })
    }
}

pub(crate) fn run(args: Args) -> Outcome {
    if !args.target.is_local() && !args.unsafe_target {
        return Err(format!("--target {}: plaintext would leave this machine; --unsafe-target allows it", args.target));
    }
    let settings = args.settings()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let limits = Limits { drain_timeout: std::time::Duration::from_secs(args.drain_timeout), ..Limits::default() };
        let tunnel = ServerTunnel::bind(args.listen, args.target.clone(), settings, limits).await.map_err(text)?;
        let reloader = tunnel.reloader();
        let mut hangup = signal(SignalKind::hangup()).map_err(text)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
        info!(address = %tunnel.local_addr().map_err(text)?, target = %args.target, "listening");
        tunnel
            .run(async {
                loop {
                    tokio::select! {
                        _ = terminate.recv() => break,
                        _ = interrupt.recv() => break,
                        _ = hangup.recv() => match args.settings().and_then(|new| reloader.reload(new).map_err(text)) {
                            Ok(()) => info!("reloaded"),
                            Err(reason) => error!("reload refused, the last good configuration stays: {reason}"),
                        },
                    }
                }
                info!("draining");
            })
            .await;
        Ok(ExitCode::SUCCESS)
    })
}
