//! Keeps a connection to another gateway: brings what that one lacks, and asks for what this one lacks.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::mesh::MAX_SIGNED_MESH;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, IF_NONE_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::channel::Control;
use super::server::{HOLD, MESH};
use super::speaking::{Dial, Speaking};
use crate::gateway::mesh_in_force::News;
use crate::gateway::target;
use crate::tls::{AcceptError, TlsClient, speaks_control};

/// The waits after a failure, which double from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(60);
/// The wait where the other side does not know the control channel.
const UNKNOWN_WAIT: Duration = Duration::from_secs(6 * 3600);
/// The wait where nothing can be agreed on for now.
const PAUSE: Duration = Duration::from_secs(10);
/// The time for an answer, beyond what the other side holds it back, and for its body.
const ARRIVAL: Duration = Duration::from_secs(15);
/// Gateways are dialled one after the other, at this distance.
const APART: Duration = Duration::from_millis(5);

/// The reason that a connection has ended.
enum Ended {
    /// The other side does not know the control channel.
    Unknown,
    Target(io::Error),
    Tls(AcceptError),
    Http(hyper::Error),
    Silent(Duration),
    /// The other side's answer has another meaning than all that is known.
    Answer(StatusCode),
    Body(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("it does not know edgetrust/1"),
            Self::Target(error) => write!(f, "it cannot be reached: {error}"),
            Self::Tls(error) => write!(f, "no handshake: {error}"),
            Self::Http(error) => write!(f, "the connection has ended: {error}"),
            Self::Silent(time) => write!(f, "no answer within {time:?}"),
            Self::Answer(code) => write!(f, "it answers {code}"),
            Self::Body(error) => write!(f, "its answer: {error}"),
        }
    }
}

/// Keeps the connection until it is aborted, or the control channel is switched off.
pub(super) async fn keep(dial: Dial<TlsClient>, control: Arc<Control>, number: u32, patience: Duration) {
    sleep(APART.saturating_mul(number)).await;
    let (mut wait, mut last) = (FIRST_WAIT, String::new());
    loop {
        let mut spoke = false;
        let Err(ended) = visit(&dial, &control, patience, &mut spoke).await else { return };
        let (tunnel, address) = (&dial.tunnel, &dial.address);
        if spoke {
            (wait, last) = (FIRST_WAIT, String::new());
        }
        let reason = ended.to_string();
        match ended {
            Ended::Unknown => info!(%tunnel, %address, "control: {reason}"),
            // A restart there, or the end of the connection's time.
            _ if spoke => debug!(%tunnel, %address, "control: {reason}"),
            _ if reason != last => warn!(%tunnel, %address, "control: {reason}"),
            _ => {}
        }
        let unknown = matches!(ended, Ended::Unknown);
        last = reason;
        sleep(if unknown { UNKNOWN_WAIT } else { wait }).await;
        wait = wait.saturating_mul(2).min(LAST_WAIT);
    }
}

/// Connects, and speaks until the connection ends. `spoke` becomes true when the other side agrees to that.
async fn visit(dial: &Dial<TlsClient>, control: &Control, patience: Duration, spoke: &mut bool) -> Result<(), Ended> {
    let connected = async {
        let socket = target::connect(&dial.address, target::share_of(patience)).await.map_err(Ended::Target)?;
        dial.tls.connect(dial.server_name.clone(), socket).await.map_err(Ended::Tls)
    };
    let connected = timeout(patience, Box::pin(connected)).await;
    let (stream, _) = connected.map_err(|_| Ended::Silent(patience))??;
    // Nothing was said to a server that takes this for a connection of its service.
    if !speaks_control(stream.get_ref().1) {
        return Err(Ended::Unknown);
    }
    *spoke = true;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(Ended::Http)?;
    let mut connection = Box::pin(connection);
    let host = dial.server_name.to_str().into_owned();
    let mut talk = std::pin::pin!(talk(&mut sender, control, dial, &host));
    let ended = tokio::select! {
        ended = talk.as_mut() => return ended,
        ended = connection.as_mut() => ended,
    };
    // While it is there, the talk would wait for it.
    drop(connection);
    match ended {
        Err(error) => Err(Ended::Http(error)),
        // The rest of the last answer may still be there to be read.
        Ok(()) => talk.await,
    }
}

/// Asks for the other side's mesh again and again. Returns if the control channel is switched off.
async fn talk(
    sender: &mut SendRequest<Full<Bytes>>,
    control: &Control,
    dial: &Dial<TlsClient>,
    host: &str,
) -> Result<(), Ended> {
    let (tunnel, address) = (&dial.tunnel, &dial.address);
    loop {
        let Some(speaking) = control.speaking() else { return Ok(()) };
        let get = Request::builder().method(Method::GET).uri(MESH).header(HOST, host);
        let get = get.header(IF_NONE_MATCH, speaking.shown.tag()).body(Full::default());
        let response = ask(sender, get, HOLD.saturating_add(ARRIVAL)).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => {}
            StatusCode::OK => match control.judge(&speaking, body(response).await?).await {
                Ok(News::Taken(edition)) => {
                    info!(%tunnel, %address, "control: another mesh was fetched: {edition}");
                    // It comes into force with a reload, which dials anew.
                    sleep(PAUSE).await;
                }
                Ok(News::Conflict(true) | News::Known) => sleep(PAUSE).await,
                Ok(News::Older(_) | News::Conflict(false)) => bring(sender, &speaking, dial, host).await?,
                Err(reason) => {
                    warn!(%tunnel, %address, "control: the mesh that was fetched is refused: {reason}");
                    sleep(LAST_WAIT).await;
                }
            },
            // The other side does not know this gateway yet.
            StatusCode::FORBIDDEN => bring(sender, &speaking, dial, host).await?,
            other => return Err(Ended::Answer(other)),
        }
    }
}

/// Brings the mesh in force.
async fn bring(
    sender: &mut SendRequest<Full<Bytes>>,
    speaking: &Speaking,
    dial: &Dial<TlsClient>,
    host: &str,
) -> Result<(), Ended> {
    let put = Request::builder().method(Method::PUT).uri(MESH).header(HOST, host);
    let put = put.header(CONTENT_TYPE, "application/jose+json");
    let put = put.body(Full::new(Bytes::copy_from_slice(speaking.shown.text.as_bytes())));
    let response = ask(sender, put, ARRIVAL.saturating_add(ARRIVAL)).await?;
    let (tunnel, address, code) = (&dial.tunnel, &dial.address, response.status());
    match code {
        StatusCode::NO_CONTENT => debug!(%tunnel, %address, "control: brought the mesh"),
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => sleep(PAUSE).await,
        StatusCode::UNPROCESSABLE_ENTITY => {
            let reason = String::from_utf8_lossy(&body(response).await?).trim().escape_debug().to_string();
            warn!(%tunnel, %address, "control: it refuses the mesh in force here: {reason}");
            sleep(LAST_WAIT).await;
        }
        other => return Err(Ended::Answer(other)),
    }
    Ok(())
}

async fn ask(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Result<Request<Full<Bytes>>, hyper::http::Error>,
    patience: Duration,
) -> Result<Response<Incoming>, Ended> {
    let request = request.map_err(|error| Ended::Body(error.to_string()))?;
    let asked = async {
        sender.ready().await?;
        sender.send_request(request).await
    };
    timeout(patience, asked).await.map_err(|_| Ended::Silent(patience))?.map_err(Ended::Http)
}

/// Reads a body whole.
async fn body(response: Response<Incoming>) -> Result<Vec<u8>, Ended> {
    let read = Limited::new(response.into_body(), MAX_SIGNED_MESH).collect();
    let read = timeout(ARRIVAL, read).await.map_err(|_| Ended::Silent(ARRIVAL))?;
    Ok(read.map_err(|error| Ended::Body(error.to_string()))?.to_bytes().to_vec())
}
