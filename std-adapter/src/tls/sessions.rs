//! Stores resumable sessions in memory instead of sealing them in tickets: no ticket key can leak, and sessions end
//! with their server.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pki_types::{ServerName, UnixTime};
use rustls::NamedGroup;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::StoresServerSessions;

use super::Credential;
use crate::clock;

/// The maximum duration of a handshake that resumes a session, in seconds.
const MARGIN: u64 = 5;

/// The time until which sessions may be resumed: the earliest expiry of a certificate that was shown in one. A session
/// keeps the certificate of its first handshake, however often the session is resumed, and is refused once that
/// certificate has expired; so the session is forgotten before.
#[derive(Debug)]
pub(super) struct Horizon(AtomicU64);

impl Default for Horizon {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Horizon {
    /// Records that a peer was authorized with a path that is valid until `valid_until`.
    pub(super) fn note(&self, valid_until: UnixTime) {
        self.0.fetch_min(valid_until.as_secs(), Ordering::AcqRel);
    }

    /// Returns whether sessions may be kept and resumed now, and whether earlier sessions must be dropped first. No
    /// session is kept until the horizon has passed: a ticket of an earlier session may come late.
    fn look(&self, now: UnixTime) -> Sight {
        let (now, end) = (now.as_secs(), self.0.load(Ordering::Acquire));
        if now.saturating_add(MARGIN) <= end {
            return Sight::Clear;
        }
        if now <= end {
            return Sight::Near;
        }
        let first = self.0.compare_exchange(end, u64::MAX, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if first { Sight::Passed } else { Sight::Near }
    }
}

/// The distance to the horizon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Clear,
    Near,
    Passed,
}

/// Stores the newest sessions, up to a limit. rustls's own store searches all of its keys at each resumption.
pub(super) struct Sessions {
    limit: usize,
    horizon: Arc<Horizon>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<Vec<u8>, Vec<u8>>,
    /// The keys, oldest first. Keys of sessions that were taken stay until they are the oldest.
    order: VecDeque<Vec<u8>>,
}

impl Sessions {
    pub(super) fn new(limit: usize, horizon: Arc<Horizon>) -> Self {
        Self { limit, horizon, kept: Mutex::default() }
    }

    /// Locks the store; `None` while no session may be kept. A panic elsewhere leaves no partial session.
    fn kept(&self) -> Option<MutexGuard<'_, Kept>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sight = self.horizon.look(clock::now());
        if sight != Sight::Clear {
            *kept = Kept::default();
        }
        (sight != Sight::Near).then_some(kept)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sessions", self.kept().map_or(0, |kept| kept.values.len()))
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let Some(mut kept) = self.kept() else { return false };
        let kept = &mut *kept;
        if kept.values.insert(key.clone(), value).is_none() {
            kept.order.push_back(key);
        }
        // Keys of taken sessions count too, so that neither collection grows without bound.
        while kept.order.len() > self.limit {
            if let Some(oldest) = kept.order.pop_front() {
                kept.values.remove(&oldest);
            }
        }
        true
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept()?.values.get(key).cloned()
    }

    /// Removes a session, since a TLS 1.3 session is for one use (RFC 8446 appendix C.4).
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept()?.values.remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// The number of servers whose sessions a client can resume; rustls's own default.
const SERVERS: usize = 256;

/// Stores a client's sessions. Replacing the client's own certificate drops them too: the server's side of a session
/// ends with the certificate that was shown.
pub(super) struct ClientSessions {
    credential: Option<Credential>,
    horizon: Arc<Horizon>,
    kept: Mutex<(u64, Arc<ClientSessionMemoryCache>)>,
}

impl fmt::Debug for ClientSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sessions of a client")
    }
}

impl ClientSessions {
    pub(super) fn new(credential: Option<Credential>, horizon: Arc<Horizon>) -> Self {
        Self { credential, horizon, kept: Mutex::new((0, Arc::new(ClientSessionMemoryCache::new(SERVERS)))) }
    }

    /// Returns the current store; `None` while no session may be kept.
    fn kept(&self) -> Option<Arc<ClientSessionMemoryCache>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = self.credential.as_ref().map_or(0, Credential::generation);
        let sight = self.horizon.look(clock::now());
        if kept.0 != generation || sight != Sight::Clear {
            *kept = (generation, Arc::new(ClientSessionMemoryCache::new(SERVERS)));
        }
        (sight != Sight::Near).then(|| kept.1.clone())
    }
}

impl ClientSessionStore for ClientSessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        if let Some(kept) = self.kept() {
            kept.set_kx_hint(server_name, group);
        }
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.kept()?.kx_hint(server_name)
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if let Some(kept) = self.kept() {
            kept.set_tls12_session(server_name, value);
        }
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept()?.tls12_session(server_name)
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        if let Some(kept) = self.kept() {
            kept.remove_tls12_session(server_name);
        }
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if let Some(kept) = self.kept() {
            kept.insert_tls13_ticket(server_name, value);
        }
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept()?.take_tls13_ticket(server_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_memory_is_bounded() {
        let sessions = Sessions::new(3, Arc::default());
        for key in 0..4_u8 {
            assert!(sessions.put(vec![key], vec![key, key]));
        }
        assert_eq!(sessions.get(&[0]), None);
        assert_eq!(sessions.get(&[1]), Some(vec![1, 1]));
        assert_eq!(sessions.take(&[3]), Some(vec![3, 3]));
        assert_eq!(sessions.take(&[3]), None, "taken once");
        for key in 0..200_u8 {
            sessions.put(vec![key], Vec::new());
            sessions.take(&[key]);
        }
        let kept = sessions.kept().unwrap();
        assert!(kept.values.len() <= 3 && kept.order.len() <= 3);
    }

    #[test]
    fn sessions_end_before_the_certificate_that_was_shown_in_them() {
        let horizon = Arc::<Horizon>::default();
        let sessions = Sessions::new(2, horizon.clone());
        let in_seconds =
            |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(clock::now().as_secs() + seconds));
        horizon.note(in_seconds(3600));
        sessions.put(vec![1], vec![1]);
        assert_eq!(sessions.get(&[1]), Some(vec![1]));
        horizon.note(in_seconds(1));
        horizon.note(in_seconds(7200));
        assert_eq!(sessions.get(&[1]), None);
        assert!(!sessions.put(vec![1], vec![2]), "it may be of a session that ends");
    }

    #[test]
    fn a_horizon_that_has_passed_is_forgotten() {
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let horizon = Horizon::default();
        horizon.note(at(100));
        let seen = [90, 95, 96, 100, 101, 102].map(|now| horizon.look(at(now)));
        assert_eq!(seen, [Sight::Clear, Sight::Clear, Sight::Near, Sight::Near, Sight::Passed, Sight::Clear]);
    }

    #[test]
    fn a_key_that_comes_again_has_its_new_value() {
        let sessions = Sessions::new(2, Arc::default());
        sessions.put(vec![1], vec![1]);
        sessions.put(vec![1], vec![2]);
        assert_eq!(sessions.get(&[1]), Some(vec![2]));
    }
}
