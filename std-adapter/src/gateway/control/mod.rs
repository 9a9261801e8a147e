//! The control channel: gateways of a mesh bring each other its newest signed text, over the addresses of their tunnels.
//!
//! Whoever dials a tunnel of a service keeps one connection to the same address, as HTTP/1.1 (RFC 9112) over mutual
//! TLS 1.3 with the protocol `edgetrust/1`:
//!
//! | request | who may | does |
//! |---|---|---|
//! | `GET /mesh` | gateways of the sites of the mesh in force | returns the signed text; waits for another one where `If-None-Match` has the present one |
//! | `PUT /mesh` | these, and certificates under a root of the mesh whose issuer no site has: a new site's gateway | offers a signed text |
//! | `POST /continue` | gateways of the sites of the mesh in force | continues sessions under the certificates of this connection, by [`super::continuation`] |
//!
//! All answer with the edition in force as `ETag` (RFC 9110 section 8.8.3).

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

pub(super) use channel::Control;
pub(super) use dialers::Dialers;
pub(super) use server::serve;
pub(super) use state::{ControlPlan, Dial, ServedMesh};

pub(crate) use inquiry::{Answered, ask};
pub(crate) use state::PreparedControl;

// What decides without sockets, for the simulation too.
pub use answers::{HOLD, Terms, of_offer, waits};
pub use callers::{Caller, CallerError, CallerPermit, Callers, OfferPermit};
pub use close_reason::CloseReason;
pub use dialogue::{Dialogue, GET_PATIENCE, Got, PAUSE, PUT_PATIENCE, Step};
pub use retry::Retry;
pub use state::ControlState;
