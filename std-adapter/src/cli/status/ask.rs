//! Asks a running gateway for its report.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::cli::Failure;
use crate::gateway::{Address, connect};
use crate::tls::TlsClient;

/// The time limit for the whole answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The size limit of a report, in octets: that of a mesh of 1,000 sites has a twentieth.
const MAX_REPORT: usize = 16 * 1024 * 1024;

/// The pages of a gateway.
pub(super) struct Pages {
    pub(super) address: Address,
    /// The client that shows a certificate, and the name of the gateway.
    pub(super) tls: Option<(TlsClient, ServerName<'static>)>,
}

/// Returns the text of `/status`.
///
/// # Errors
/// Returns the address, and what came instead of a report.
pub(super) async fn status(pages: &Pages) -> Result<String, Failure> {
    let there = reachable(&pages.address);
    let answer = timeout(PATIENCE, connected(&there, pages)).await;
    let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}").into()));
    answer.map_err(|error| format!("the gateway's pages at {there}: {error}").into())
}

async fn connected(address: &Address, pages: &Pages) -> Result<String, Failure> {
    let socket = connect(address, None, PATIENCE).await?;
    match &pages.tls {
        None => get(socket, address).await,
        Some((client, name)) => {
            let (stream, _) = client.connect(name.clone(), socket).await?;
            get(stream, address).await
        }
    }
}

/// Returns an address to connect to: that of this machine where the gateway listens on all.
fn reachable(address: &Address) -> Address {
    match address {
        Address::Tcp(all) if all.ip().is_unspecified() => {
            let own = match all.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            Address::Tcp(SocketAddr::new(own, all.port()))
        }
        other => other.clone(),
    }
}

async fn get(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    address: &Address,
) -> Result<String, Failure> {
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let host = match address {
        Address::Tcp(address) => address.to_string(),
        // A name has led here, and the gateway need not know it.
        Address::Host(..) | Address::Unix(_) => "localhost".to_owned(),
    };
    let request = Request::get("/status").header(HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let code = response.status();
    let body = Limited::new(response.into_body(), MAX_REPORT).collect().await?.to_bytes();
    connection.abort();
    let text = String::from_utf8(body.to_vec())?;
    if !code.is_success() {
        let reason: String = text.trim().chars().take(200).flat_map(char::escape_debug).collect();
        return Err(format!("{code}: {reason}").into());
    }
    Ok(text)
}
