//! Continues the sessions that lead to another gateway: asks it on a new control connection, whose handshake has shown the
//! present certificates of both.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Bytes;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::close_reason::CloseReason;
use super::requests::{Requests, whole};
use super::server::CONTINUE;
use super::state::Dial;
use crate::gateway::Address;
use crate::gateway::continuation::{ContinueAnswer, Group, OpenSessions, OwnCertificate, Proven};
use crate::tls::TlsClient;

/// The least time between two connections that continue sessions.
pub(super) const BETWEEN: Duration = Duration::from_secs(1);
/// The time between two looks at the sessions, and at our own certificate.
const LOOK: Duration = Duration::from_secs(1);

/// Returns whose sessions the connection to a gateway continues.
fn group(dial: &Dial<TlsClient>) -> Group<'_> {
    Group { tunnels: &dial.tunnels, server_name: &dial.server_name }
}

fn is_due(dial: &Dial<TlsClient>, sessions: &OpenSessions) -> bool {
    sessions.is_due(group(dial), OwnCertificate::of(dial.tls.credential()))
}

/// Waits until sessions that lead there are to be continued.
pub(super) async fn due(dial: &Dial<TlsClient>, sessions: &OpenSessions) {
    while !is_due(dial, sessions) {
        sleep(LOOK).await;
    }
}

/// Continues all sessions that lead there, if that is due. Where the other side does not take part, their certificates end
/// them. `own` is our certificate as it was before the handshake.
pub(super) async fn continue_sessions(
    requests: &mut Requests,
    sessions: &OpenSessions,
    (dial, address): (&Dial<TlsClient>, &Address),
    proven: &Proven,
    own: Option<OwnCertificate>,
) -> Result<(), CloseReason> {
    if !is_due(dial, sessions) {
        return Ok(());
    }
    let tunnel = dial.tunnel();
    let attempts = sessions.attempt(group(dial), own);
    for (number, attempt) in attempts.iter().enumerate() {
        // Nothing is known of these and of those after them if there is no answer.
        let again = || attempts.iter().skip(number).for_each(|attempt| sessions.unanswered(attempt));
        let request = attempt.request(proven);
        let posted = requests.post(CONTINUE, Bytes::from(request.encode())).await;
        let response = posted.inspect_err(|_| again())?;
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
            other => {
                again();
                return Err(CloseReason::Answer(other));
            }
        }
        let answered = whole(response).await.inspect_err(|_| again())?;
        let answer = ContinueAnswer::parse(&answered, request.len()).ok_or(CloseReason::Malformed);
        let answer = answer.inspect_err(|_| again())?;
        let (continued, refused) = sessions.conclude(attempt, &answer, proven).await;
        let (sessions, there) = (request.len(), answer.continued());
        debug!(%tunnel, %address, sessions, there, continued, "control: sessions were continued there");
        if let Some(reason) = refused {
            warn!(%tunnel, %address, "control: a session is not continued: {reason}");
        }
    }
    Ok(())
}
