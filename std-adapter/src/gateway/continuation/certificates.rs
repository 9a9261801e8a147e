//! The certificates that a session runs under: those that its peer has shown last, and the keys of those before.

use std::time::Duration;

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::CertificateDer;
use tokio::time::Instant;

use super::not_continued::{MAX_CHAIN, MAX_KEYS, NotContinued};
use super::open_session::Candidate;
use super::open_sessions::Registered;
use super::proven::Chain;
use crate::tls::Peer;

/// The least time between two judgements of certificates. A dialler lets twice as much pass.
const BETWEEN: Duration = Duration::from_millis(500);
/// The least time between two changes of a session's traffic keys. rustls answers 32 of them without data, and no more.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(24 * 3600);

/// The certificates of a session's peer.
#[derive(Debug)]
pub(in crate::gateway) struct HeldCertificates {
    /// None for a session that cannot be continued.
    registered: Option<Registered>,
    /// The certificates that have taken the place of those of the handshake.
    chain: Option<Chain>,
    /// The keys of all certificates before.
    earlier: Vec<KeyHash>,
    since: Instant,
    last: Option<Instant>,
    /// The time of the last change of traffic keys, and the octets that were carried by then.
    refreshed: (Instant, u64),
}

impl HeldCertificates {
    pub(in crate::gateway) fn new(registered: Option<Registered>) -> Self {
        let now = Instant::now();
        Self { registered, chain: None, earlier: Vec::new(), since: now, last: None, refreshed: (now, 0) }
    }

    /// Waits for newer certificates; for ever where there will be none.
    pub(in crate::gateway) async fn candidate(&self) -> Candidate {
        match &self.registered {
            Some(registered) => registered.session().candidate().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the newer certificates, if there are any.
    pub(in crate::gateway) fn chain(&self) -> Option<&[CertificateDer<'static>]> {
        self.chain.as_deref()
    }

    /// Returns the keys that the session ran under before. Whoever has one may have opened the session with it.
    pub(in crate::gateway) fn earlier(&self) -> &[KeyHash] {
        &self.earlier
    }

    /// Checks whether certificates are worth judging, and notes when.
    ///
    /// # Errors
    /// Fails if they are very long, if the last ones came a moment ago, or if the session is too old to go on.
    pub(in crate::gateway) fn consider(
        &mut self,
        chain: &Chain,
        max_age: Option<Duration>,
    ) -> Result<(), NotContinued> {
        let octets = chain.iter().map(|one| one.len()).sum();
        if octets > MAX_CHAIN {
            return Err(NotContinued::Long(octets));
        }
        if self.last.is_some_and(|last| last.elapsed() < BETWEEN) {
            return Err(NotContinued::Soon);
        }
        let age = self.registered.as_ref().zip(max_age).map(|(registered, max)| registered.age(max));
        if age.is_some_and(|age| self.since.elapsed() >= age) {
            return Err(NotContinued::Age);
        }
        self.last = Some(Instant::now());
        Ok(())
    }

    /// Takes newer certificates in place of those of `before`.
    ///
    /// # Errors
    /// Fails if there are too many keys to remember; nothing changes then.
    pub(in crate::gateway) fn replace(&mut self, chain: Chain, before: &Peer) -> Result<(), NotContinued> {
        let new: Vec<_> = before.keys().iter().filter(|key| !self.earlier.contains(key)).copied().collect();
        if self.earlier.len().saturating_add(new.len()) > MAX_KEYS {
            return Err(NotContinued::Keys);
        }
        self.earlier.extend(new);
        self.chain = Some(chain);
        Ok(())
    }

    /// Returns when a session ends that was continued; none where only its certificates end it.
    pub(in crate::gateway) fn ends(&self, max_age: Option<Duration>) -> Option<Instant> {
        let registered = self.registered.as_ref().filter(|_| self.chain.is_some())?;
        self.since.checked_add(registered.age(max_age?))
    }

    /// Returns whether the traffic keys are to be changed after so many octets were carried, and notes that they are.
    pub(in crate::gateway) fn refreshes(&mut self, octets: u64) -> bool {
        let (since, before) = self.refreshed;
        let is_due = since.elapsed() >= BETWEEN_REFRESHES && octets != before;
        if is_due {
            self.refreshed = (Instant::now(), octets);
        }
        is_due
    }
}

/// Returns whether two certificates have the same subject and the same alternative names.
pub(in crate::gateway) fn same_names(one: Option<&CertificateDer<'_>>, other: Option<&CertificateDer<'_>>) -> bool {
    let parsed = [one, other].map(|der| der.and_then(|der| Certificate::from_der(der).ok()));
    let [Some(one), Some(other)] = parsed else { return false };
    let [own_names, other_names] = [&one, &other].map(|of| of.extensions().subject_alt_name.into_iter().flatten());
    one.subject().as_bytes() == other.subject().as_bytes() && own_names.eq(other_names)
}

#[cfg(test)]
mod tests {
    use super::super::OpenSessions;
    use super::super::proof::tests::keys;
    use super::*;
    use std::sync::Arc;

    fn peer_with(keys: impl Iterator<Item = u16>) -> Peer {
        let key = |number: u16| {
            let [high, low] = number.to_be_bytes();
            let mut octets = [0; 32];
            (octets[0], octets[1]) = (high, low);
            KeyHash::new(octets)
        };
        Peer::with_keys(keys.map(key).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn keys_of_earlier_certificates_stay_up_to_a_limit() {
        let chain: Chain = Arc::new([]);
        let mut held = HeldCertificates::new(Some(OpenSessions::default().accept(keys(0))));
        assert_eq!((held.chain(), held.ends(Some(Duration::from_secs(60)))), (None, None));
        for number in 0..511 {
            // Two of the three are those of CAs.
            held.replace(chain.clone(), &peer_with([number, 2000, 2001].into_iter())).unwrap();
        }
        assert_eq!(held.earlier().len(), 513);
        held.replace(chain.clone(), &peer_with(1000..1500)).unwrap();
        assert_eq!(held.replace(chain.clone(), &peer_with(3000..3012)), Err(NotContinued::Keys));
        assert_eq!(held.earlier().len(), 1013, "nothing has changed");
        assert!(held.ends(Some(Duration::from_secs(60))).is_some() && held.ends(None).is_none());
        // Traffic keys change once a day.
        assert!(!held.refreshes(7));
        tokio::time::advance(BETWEEN_REFRESHES).await;
        assert_eq!([held.refreshes(7), held.refreshes(8)], [true, false]);
        tokio::time::advance(BETWEEN_REFRESHES).await;
        assert_eq!([held.refreshes(7), held.refreshes(8)], [false, true], "not where nothing was carried");
    }

    #[tokio::test(start_paused = true)]
    async fn certificates_are_judged_seldom_and_short_and_before_the_greatest_age() {
        let chain = |octets: usize| -> Chain { Arc::new([CertificateDer::from(vec![7; octets])]) };
        let mut held = HeldCertificates::new(Some(OpenSessions::default().accept(keys(0))));
        let age = Some(Duration::from_secs(60));
        assert_eq!(held.consider(&chain(MAX_CHAIN + 1), age), Err(NotContinued::Long(MAX_CHAIN + 1)));
        assert_eq!(held.consider(&chain(MAX_CHAIN), age), Ok(()));
        assert_eq!(held.consider(&chain(9), age), Err(NotContinued::Soon));
        tokio::time::advance(BETWEEN).await;
        assert_eq!(held.consider(&chain(9), age), Ok(()));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(held.consider(&chain(9), age), Err(NotContinued::Age));
        assert_eq!(held.consider(&chain(9), None), Ok(()));
    }

    #[test]
    fn the_same_names_are_the_same_subject_and_alternative_names() {
        let certificate = |subject: &str, names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = rcgen::CertificateParams::new(names).unwrap();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, subject);
            params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
        };
        let one = certificate("b", &["b.example", "c.example"]);
        assert!(same_names(Some(&one), Some(&certificate("b", &["b.example", "c.example"]))));
        for other in [
            certificate("c", &["b.example", "c.example"]),
            certificate("b", &["b.example"]),
            certificate("b", &["c.example", "b.example"]),
            certificate("b", &[]),
            CertificateDer::from(vec![0]),
        ] {
            assert!(!same_names(Some(&one), Some(&other)));
        }
        assert!(!same_names(None, Some(&one)) && !same_names(None, None));
    }
}
