//! Asks another gateway once which mesh it has in force, as a command does.

use std::time::Duration;

use edgetrust_core::mesh::Edition;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{ETAG, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use pki_types::{CertificateDer, ServerName};
use tokio::time::timeout;

use super::allowance::{Allowance, Allowed};
use super::close_reason::CloseReason;
use super::server::MESH;
use crate::egress::Egress;
use crate::gateway::served_mesh::ServedTag;
use crate::gateway::{Address, target};
use crate::tls::{ClientSettings, TlsClient, speaks_control};

/// The mesh that a gateway has in force, and the certificates that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) edition: Edition,
    /// The certificates that it shows, its own first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

/// Asks a gateway. The body of its answer, which is the mesh, is not read.
///
/// # Errors
/// Returns why there is no answer.
pub(crate) async fn ask(
    (address, via): (&Address, Option<&Egress>),
    server_name: ServerName<'static>,
    settings: ClientSettings,
    patience: Duration,
) -> Result<Answered, String> {
    let client = TlsClient::for_control(settings).map_err(|error| error.to_string())?;
    let asked = answered((address, via), server_name, &client, patience);
    // On the heap: a handshake needs space.
    let asked = timeout(patience, Box::pin(asked)).await;
    asked.unwrap_or(Err(CloseReason::Silent(patience))).map_err(|reason| reason.to_string())?
}

async fn answered(
    (address, via): (&Address, Option<&Egress>),
    server_name: ServerName<'static>,
    client: &TlsClient,
    patience: Duration,
) -> Result<Result<Answered, String>, CloseReason> {
    let host = server_name.to_str().into_owned();
    let socket = target::connect(address, via, target::share_of(patience)).await.map_err(CloseReason::Target)?;
    let (stream, _) = client.connect(server_name, socket).await.map_err(CloseReason::Tls)?;
    if !speaks_control(stream.get_ref().1) {
        return Err(CloseReason::Unknown);
    }
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Vec<_> = chain.iter().map(|one| one.clone().into_owned()).collect();
    let stream = TokioIo::new(Allowed::new(stream, Allowance::new()));
    let (mut sender, connection) = handshake(stream).await.map_err(CloseReason::Http)?;
    let get = Request::builder().method(Method::GET).uri(MESH).header(HOST, host);
    let get = get.body(Empty::<Bytes>::new()).map_err(CloseReason::Request)?;
    let mut connection = Box::pin(connection);
    let mut asked = std::pin::pin!(sender.send_request(get));
    let response = tokio::select! {
        response = asked.as_mut() => response,
        ended = connection.as_mut() => match ended {
            Err(error) => return Err(CloseReason::Http(error)),
            Ok(()) => asked.await,
        },
    };
    let response = response.map_err(CloseReason::Http)?;
    if response.status() == StatusCode::FORBIDDEN {
        return Ok(
            Err("it answers 403 Forbidden: by the mesh in force there, this is no gateway of a site".to_owned()),
        );
    }
    if response.status() != StatusCode::OK {
        return Err(CloseReason::Answer(response.status()));
    }
    let tag = response.headers().get(ETAG).map(|tag| tag.as_bytes()).unwrap_or_default();
    Ok(match ServedTag::parse(tag) {
        Some(ServedTag { edition, .. }) => Ok(Answered { edition, chain }),
        None => Err("its answer has no ETag of a mesh, expected \"GENERATION.SEQUENCE.DIGEST\"".to_owned()),
    })
}
