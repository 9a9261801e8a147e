//! Sessions between gateways that outlive the certificates they began with.
//!
//! Both ends of a session renew their certificates beside it. The dialler opens a control connection, whose full
//! handshake shows and proves the present certificates of both, and names its sessions there. Each end judges the
//! other's certificates by the session's own tunnel, and then holds them in place of the earlier ones.
//!
//! A session is named by an identifier that only its two ends can compute, and each end proves that it is one of them.
//! Neither says who the peer is: that is decided by the certificates alone.

mod certificates;
mod message;
mod next_attempt;
mod not_continued;
mod open_session;
mod open_sessions;
mod proof;
mod proven;

pub(super) use certificates::{HeldCertificates, same_names};
pub(super) use message::{ContinueAnswer, ContinueRequest, MAX_CONTINUE_REQUEST};
pub(super) use not_continued::NotContinued;
pub(super) use open_sessions::{Group, OpenSessions, Registered};
pub(super) use proof::SessionKeys;
pub(super) use proven::{OwnCertificate, Proven};
