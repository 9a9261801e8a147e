//! Continues the sessions that lead to another gateway: asks it on a new control connection, whose handshake has shown the
//! present certificates of both.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use tokio::time::sleep;
use tracing::{debug, warn};

use super::close_reason::CloseReason;
use super::dialer::{Exchange, whole};
use super::server::CONTINUE;
use super::state::Dial;
use crate::gateway::continuation::{Binding, Chain, ContinueAnswer, OpenSessions, OwnCertificate, PeerAddress};
use crate::tls::{ClientStream, TlsClient};

/// The time between two looks at the sessions, and at our own certificate.
const LOOK: Duration = Duration::from_secs(1);

impl Dial<TlsClient> {
    fn peer(&self) -> PeerAddress {
        (self.address.clone(), self.server_name.clone())
    }

    fn is_due(&self, sessions: &OpenSessions) -> bool {
        sessions.is_due(&self.peer(), OwnCertificate::of(self.tls.credential()))
    }

    /// Waits until sessions that lead there are to be continued.
    pub(super) async fn due(&self, sessions: &OpenSessions) {
        while !self.is_due(sessions) {
            sleep(LOOK).await;
        }
    }
}

/// What a control connection proves, to continue sessions by.
pub(super) struct Proven {
    /// Our own certificate, which the handshake has shown.
    own: Option<OwnCertificate>,
    binding: Binding,
    /// The certificates of the other side.
    chain: Chain,
}

impl Proven {
    /// Returns what a new connection proves; none below TLS 1.3, which the control channel does not speak.
    pub(super) fn of<S>(stream: &ClientStream<S>, own: Option<OwnCertificate>) -> Option<Self> {
        let connection = stream.get_ref().1;
        let chain = connection.peer_certificates().unwrap_or_default().into();
        Some(Self { own, binding: Binding::of(connection)?, chain })
    }
}

impl Exchange<'_> {
    /// Continues all sessions that lead there, if that is due. Where the other side does not take part, their
    /// certificates end them.
    pub(super) async fn continue_sessions(&mut self, proven: &Proven) -> Result<(), CloseReason> {
        let (sessions, dial) = (&self.control.sessions, self.dial);
        if !dial.is_due(sessions) {
            return Ok(());
        }
        let (peer, tunnel, address) = (dial.peer(), &dial.tunnel, &dial.address);
        for attempt in sessions.attempt(&peer, proven.own) {
            let request = attempt.request(&proven.binding);
            let post = Request::builder().method(Method::POST).uri(CONTINUE).header(HOST, &self.host);
            let post = post.header(CONTENT_TYPE, "application/octet-stream");
            let response = self.send(post.body(Full::new(Bytes::from(request.encode())))).await?;
            match response.status() {
                StatusCode::OK => {}
                // It does not know this gateway yet, has no mesh for now, or cannot continue sessions.
                code @ (StatusCode::FORBIDDEN
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::NOT_FOUND
                | StatusCode::METHOD_NOT_ALLOWED) => {
                    debug!(%tunnel, %address, "control: no session is continued there: {code}");
                    return Ok(());
                }
                other => return Err(CloseReason::Answer(other)),
            }
            let answer = ContinueAnswer::parse(&whole(response).await?, request.len());
            let answer = answer.ok_or(CloseReason::Malformed)?;
            let concluded = sessions.conclude(&peer, &attempt, &answer, &proven.binding, &proven.chain).await;
            let (sessions, there, (continued, refused)) = (request.len(), answer.continued(), concluded);
            debug!(%tunnel, %address, sessions, there, continued, "control: sessions were continued there");
            if let Some(reason) = refused {
                warn!(%tunnel, %address, "control: a session is not continued: {reason}");
            }
        }
        Ok(())
    }
}
