//! Connects to a gateway as an impostor, and reads the certificate that the gateway presents.

use std::path::Path;
use std::time::Duration;

use edgetrust_core::x509::{Certificate, Serial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::location::Location;
use super::pki::Ca;
use super::show::Log;
use crate::cli::Failure;
use crate::gateway::Address;
use crate::pem;
use crate::tls::{ClientSettings, Connector, Credential, MinVersion, ServerTrust, TrustStore, server_name};

/// The time limit of each step, which only a fault exceeds.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Returns credentials that the gateway of `at` must refuse; `sister` is another location under the same root.
pub(super) fn credentials(
    at: &Location,
    sister: &Location,
    folder: &Path,
) -> Result<[(&'static str, Credential); 3], Failure> {
    let [forged, insider, sisters] = ["forged", "insider", "sister"].map(|name| folder.join(name));
    for folder in [&forged, &insider, &sisters] {
        std::fs::create_dir_all(folder)?;
    }
    // All names are right, but the root is another one of the same name.
    let root = Ca::root("Demo Mesh Root")?;
    let (cert, key) =
        root.intermediate("Location A CA", "a.example")?.issue(&forged, "location-a", "gateway.a.example")?;
    let forged = Credential::load(&cert, &key)?;
    let (cert, key) = at.issue_for(&insider, "location-x")?;
    let insider = Credential::load(&cert, &key)?;
    // Any CA below the root can issue any common name.
    let (cert, key) = sister.issue_for(&sisters, "location-a")?;
    let sisters = Credential::load(&cert, &key)?;
    Ok([
        ("location-a of another root", forged),
        ("location-x of the right root", insider),
        ("location-a by the CA of c", sisters),
    ])
}

fn connector(at: &Location, credential: Credential) -> Result<Connector, Failure> {
    let anchors = pem::read_certificates(&at.root_file())?;
    let trust = TrustStore::new(anchors)?;
    Ok(Connector::new(ClientSettings {
        trust: ServerTrust::Verified(trust),
        credential: Some(credential),
        min_version: MinVersion::Tls13,
        alpn: Vec::new(),
    })?)
}

async fn tcp(gateway: &Address) -> Result<TcpStream, Failure> {
    let Address::Tcp(address) = gateway else { return Err(format!("{gateway}: no TCP address").into()) };
    Ok(TcpStream::connect(address).await?)
}

/// Tries to send a byte through the gateway, and returns the gateway's reason for refusing.
///
/// # Errors
/// Returns what happened instead of a refusal.
pub(super) async fn knock(
    log: &Log,
    gateway: &Address,
    at: &Location,
    credential: &Credential,
) -> Result<String, Failure> {
    log.forget();
    let connector = connector(at, credential.clone())?;
    let stream = tcp(gateway).await?;
    let knocked = async {
        // A TLS 1.3 client learns the verdict when it reads (RFC 8446 section 4.4.2.4).
        let (mut tls, _) = connector.connect(server_name(&at.host).ok()?, stream).await.ok()?;
        tls.write_all(b"x").await.ok()?;
        tls.read_u8().await.ok()
    };
    match timeout(PATIENCE, knocked).await {
        Ok(None) => {}
        Ok(Some(_)) => return Err("was let in".into()),
        Err(_) => return Err("heard nothing".into()),
    }
    Ok(log.refusal(Duration::from_secs(5)).await.ok_or("the gateway gave no reason")?)
}

/// Returns the serial number of the certificate that a gateway presents to an authorized client.
pub(super) async fn served_serial(gateway: &Address, client: &Location, at: &Location) -> Result<String, Failure> {
    let credential = Credential::load(&client.folder.join("cert.pem"), &client.folder.join("key.pem"))?;
    let connector = connector(at, credential)?;
    let (tls, _) = connector.connect(server_name(&at.host)?, tcp(gateway).await?).await?;
    let shown = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).ok_or("no certificate was shown")?;
    let certificate = Certificate::from_der(shown)?;
    Ok(Serial(certificate.serial()).to_string().chars().take(8).collect())
}
