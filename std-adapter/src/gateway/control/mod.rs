//! The control channel: gateways of a mesh bring each other its newest signed text, over the addresses of their tunnels.
//!
//! Whoever dials a tunnel of a service keeps one connection to the same address, as HTTP/1.1 (RFC 9112) over mutual
//! TLS 1.3 with the protocol `edgetrust/1`:
//!
//! | request | who may | does |
//! |---|---|---|
//! | `GET /mesh` | gateways of the sites of the mesh in force | returns a signed text that `If-None-Match` does not name, the mesh in force or a rival of it; waits where it names all; is 409 Conflict where it names more of one sequence |
//! | `PUT /mesh` | these, and certificates under a root of the mesh whose issuer no site has: a new site's gateway | offers a signed text |
//! | `POST /continue` | gateways of the sites of the mesh in force | continues sessions under the certificates of this connection, by [`super::continuation`] |
//!
//! All answer with the edition in force and its rivals as `ETag` (RFC 9110 section 8.8.3).

mod allowance;
mod answers;
mod body;
mod callers;
mod channel;
mod close_reason;
mod continued;
mod continuing;
mod dialer;
mod dialers;
mod dialogue;
mod inquiry;
mod requests;
mod retry;
mod server;
mod state;
mod store;

pub(super) use channel::Control;
pub(super) use dialers::Dialers;
pub(super) use server::serve;
pub(super) use state::{ControlPlan, Dial};

pub(crate) use inquiry::{Answered, ask};
pub(crate) use state::PreparedControl;

/// The decisions of the control channel, without sockets.
#[cfg(feature = "rehearsal")]
pub mod decisions {
    pub use super::answers::{HOLD, OfRequest, Terms, of_offer, of_request};
    pub use super::callers::{Caller, CallerError, CallerPermit, Callers, OfferPermit};
    pub use super::close_reason::CloseReason;
    pub use super::dialogue::{Dialogue, GET_PATIENCE, Got, PAUSE, PUT_PATIENCE, Step};
    pub use super::retry::Retry;
    pub use super::state::ControlState;
    pub use crate::gateway::served_mesh::{ServedMesh, ServedTag, SignedText};
}
