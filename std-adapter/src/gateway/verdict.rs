//! Judges the peer of a session again, by the rules of its tunnel as they are now.

use std::fmt;
use std::sync::Arc;

use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, ServerName, UnixTime};

use super::state::ListenerState;
use super::tunnel::{Route, RouteKind, successor};
use crate::clock;
use crate::tls::{Admission, Anyone, Refusal};

/// The reason a session is no longer authorized.
#[derive(Debug)]
pub(super) enum Withdrawn {
    Peer(Refusal),
    /// The session ran under this key before, which is denied now: whoever has it may have opened the session.
    Earlier(KeyHash),
    /// The tunnel is of another kind now: TLS instead of plaintext, for example.
    AnotherKind,
    /// No tunnel leads from the session's address to its target any more.
    Removed,
}

impl Withdrawn {
    fn is_expiry(&self) -> bool {
        matches!(self, Self::Peer(refusal) if refusal.is_expiry())
    }
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(refusal) => refusal.fmt(f),
            Self::Earlier(key) => write!(f, "a key that it ran under before is denied: {key}"),
            Self::AnotherKind => f.write_str("its tunnel is of another kind now"),
            Self::Removed => f.write_str("its tunnel is no longer configured"),
        }
    }
}

/// The verdict on the peer of a session that may go on.
pub(super) enum Verdict {
    Admitted(Admission),
    /// The peer's certificates have expired, and nothing else is wrong with them: what would be the verdict if they had not.
    Expired(Withdrawn, Admission),
}

/// The side whose peer is authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Neither side: the tunnel is plaintext.
    Neither,
    Client,
    Target,
}

/// The evidence that a session is judged by.
#[derive(Clone, Copy)]
pub(super) struct Evidence<'a> {
    pub(super) judged: Judged,
    /// The certificates that the peer has shown.
    pub(super) shown: Option<&'a [CertificateDer<'static>]>,
    /// The keys that the session ran under before.
    pub(super) earlier: &'a [KeyHash],
    /// The server name that the client requested.
    pub(super) server_name: Option<&'a str>,
    /// The name of the server that was dialled.
    pub(super) server: Option<&'a ServerName<'static>>,
}

impl Evidence<'_> {
    /// Judges by the rules of one tunnel.
    fn by(&self, kind: &RouteKind, now: UnixTime) -> Result<Admission, Withdrawn> {
        match (self.judged, kind) {
            (Judged::Neither, RouteKind::Plain { .. }) => Ok(Anyone::admitted()),
            (Judged::Client, RouteKind::Server { tls, .. }) => match tls.denied(self.earlier, now) {
                Some(key) => Err(Withdrawn::Earlier(*key)),
                None => tls.admit_chain(self.shown, now).map_err(Withdrawn::Peer),
            },
            (Judged::Target, RouteKind::Client { tls, servers }) => match tls.denied(self.earlier, now) {
                Some(key) => Err(Withdrawn::Earlier(*key)),
                None => tls.admit_chain(self.shown, servers.name(self.server), now).map_err(Withdrawn::Peer),
            },
            _ => Err(Withdrawn::AnotherKind),
        }
    }

    /// Judges at a time, by the rules that are left for a session of `was`, admitted before; a removed tunnel has none.
    pub(super) fn at(
        &self,
        now: UnixTime,
        state: &ListenerState,
        was: &Arc<Route>,
        before: &Admission,
    ) -> Result<Admission, Withdrawn> {
        if let Some(route) = successor(&state.everywhere, was, self.server_name) {
            return self.by(&route.kind, now);
        }
        match before {
            _ if !state.limits.keep_removed_sessions => Err(Withdrawn::Removed),
            Admission::Anyone(anyone) => Ok(Admission::Anyone(*anyone)),
            // With `keep_removed_sessions`, a session continues as long as some tunnel would authorize its peer.
            Admission::Peer(_) => {
                let judged = state.everywhere.iter().map(|route| self.by(&route.kind, now));
                judged.filter_map(Result::ok).find(|one| one.peer().is_some()).ok_or(Withdrawn::Removed)
            }
        }
    }

    /// Judges now. `expired_grace` is for expiry alone, so an expired peer is judged at its last second of validity too:
    /// a denied key or a withdrawn rule ends its session at once.
    pub(super) fn now(
        &self,
        state: &ListenerState,
        was: &Arc<Route>,
        before: &Admission,
    ) -> Result<Verdict, Withdrawn> {
        match (self.at(clock::now(), state, was, before), before.peer()) {
            (Ok(admission), _) => Ok(Verdict::Admitted(admission)),
            (Err(withdrawn), Some(peer)) if withdrawn.is_expiry() && !state.limits.expired_grace.is_zero() => {
                self.at(peer.valid_until(), state, was, before).map(|admission| Verdict::Expired(withdrawn, admission))
            }
            (Err(withdrawn), _) => Err(withdrawn),
        }
    }
}
