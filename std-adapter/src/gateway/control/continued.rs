//! Continues the sessions of another gateway, which asks on a control connection.

use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use std::time::Duration;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::server::{Answer, Connection, received};
use crate::gateway::continuation::{ContinueRequest, MAX_CONTINUE_REQUEST};

/// The time that each request takes at least: a connection continues up to 12,800 sessions a second.
const PACE: Duration = Duration::from_millis(20);

impl Connection<'_> {
    /// Continues those of the requested sessions that are the peer's, each if its own tunnel admits the certificates of
    /// this connection.
    pub(super) async fn continue_sessions(&self, request: Request<Incoming>) -> Answer {
        sleep(PACE).await;
        let octets = match received(request, MAX_CONTINUE_REQUEST).await {
            Ok(octets) => octets,
            Err(answer) => return answer,
        };
        let Some(request) = ContinueRequest::parse(&octets) else {
            return Answer::text(
                StatusCode::BAD_REQUEST,
                format_args!("found {} octets, expected 64 for each of 1 to 256 sessions", octets.len()),
            );
        };
        let (answer, refused) = self.control.sessions.answer(&request, &self.binding, &self.chain).await;
        let (remote, peer) = (&self.remote, &self.peer);
        let (sessions, continued) = (request.len(), answer.continued());
        debug!(%remote, %peer, sessions, continued, "control: sessions were continued here");
        if let Some(reason) = refused {
            warn!(%remote, %peer, "control: a session is not continued here: {reason}");
        }
        Answer::of(StatusCode::OK, "application/octet-stream", Bytes::from(answer.encode()))
    }
}
