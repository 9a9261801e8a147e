//! `edgetrust connect`: one client tunnel from flags.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use edgetrust::gateway::{ClientTunnel, Limits};
use edgetrust::tls::{ClientSettings, Credential, MinVersion, Peers, TrustStore};
use pki_types::ServerName;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

use super::{Outcome, files, text};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to accept plaintext, as 127.0.0.1:9001
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,
    /// Where TLS goes
    #[arg(long, value_name = "HOST:PORT")]
    target: String,
    /// The name that the server's certificate must be for; by default the target's host
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// CA certificates of the server
    #[arg(long, value_name = "FILE", required = true)]
    cacert: Vec<PathBuf>,
    /// Certificate chain to show, PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Lowest version of TLS
    #[arg(long, value_name = "1.2|1.3", default_value = "1.2", value_parser = super::serve::min_version)]
    min_version: MinVersion,
    /// Accept plaintext from other machines
    #[arg(long)]
    unsafe_listen: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    if !args.listen.ip().is_loopback() && !args.unsafe_listen {
        return Err(format!("--listen {}: plaintext from other machines; --unsafe-listen allows it", args.listen));
    }
    let (host, port) = args.target.rsplit_once(':').ok_or_else(|| not_a_target(&args.target))?;
    port.parse::<u16>().map_err(|_| not_a_target(&args.target))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = args.server_name.as_deref().unwrap_or(host);
    let server_name = ServerName::try_from(name.to_owned())
        .map_err(|_| format!("server name: found {name:?}, expected a DNS name or an IP address"))?;
    let credential = match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Some(Credential::load(cert, key).map_err(text)?),
        _ => None,
    };
    let trust = TrustStore::new(files::certificates(&args.cacert)?, Vec::new(), Peers::AnyVerified).map_err(text)?;
    let settings = ClientSettings { trust, credential, min_version: args.min_version, alpn: Vec::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(text)?;
    runtime.block_on(async {
        let tunnel = ClientTunnel::bind(args.listen, args.target.clone(), server_name, settings, Limits::default())
            .await
            .map_err(text)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
        info!(address = %tunnel.local_addr().map_err(text)?, target = %args.target, "listening");
        tunnel
            .run(async {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            })
            .await;
        Ok(ExitCode::SUCCESS)
    })
}

fn not_a_target(target: &str) -> String {
    format!("--target: found {target:?}, expected HOST:PORT")
}
