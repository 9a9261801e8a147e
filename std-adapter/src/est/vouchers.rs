//! Decides what vouchers are good for: each is for one name, for a time, and for one key.
//!
//! A voucher is **open** until a device has claimed it. The claim names the device's key, and is kept before the CA hears
//! of a request: from then on the voucher is good for that key alone, whatever crashes. It is **used** once the
//! certificate is kept here, which happens before the device gets it. Until its end, a used voucher gives that
//! certificate again to whoever has the key, since answers are lost.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::time::Utc;
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::secret::KeptHash;
use super::voucher::{Kept, Objection, Voucher, VoucherState};

/// The version of the file's form.
const VERSION: u32 = 1;
/// The largest number of vouchers that are kept.
pub const MAX_VOUCHERS: usize = 1000;
/// The time for which a voucher that is over is kept, so that the log can tell what it was.
const KEPT_FOR_S: u64 = 30 * 24 * 3600;

/// All vouchers of an EST server, in the order in which they were made.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Vouchers {
    version: u32,
    vouchers: Vec<Voucher>,
}

/// The outcome of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A certificate is to be ordered.
    Order,
    /// This answer was given before, to the same key.
    Repeat(Vec<CertificateDer<'static>>),
}

/// The reason that no voucher is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InviteError {
    /// The name has a voucher in this state, which ends at this time.
    Taken(VoucherState, UnixTime),
    /// As many are open as are kept.
    Full,
}

impl fmt::Display for InviteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(state, until) => {
                write!(f, "found a voucher that is {} until {}: revoke it first", state.name(), Utc(*until))
            }
            Self::Full => write!(f, "found {MAX_VOUCHERS} vouchers that are not over, which is all that are kept"),
        }
    }
}

/// The fault of a text that should be vouchers. It repeats no contents but names and numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VouchersError {
    /// The text is no list of vouchers from this line and column on.
    Parse {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// The version is another one.
    Version(u32),
    /// There are more than [`MAX_VOUCHERS`].
    TooMany(usize),
    /// A name has two vouchers.
    Twice(String),
    /// The key, the answer and the issue of the voucher for this name do not fit.
    Unfit(String),
}

impl fmt::Display for VouchersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parse { line, column } => write!(f, "found no vouchers at line {line}, column {column}"),
            Self::Version(found) => write!(f, "version: found {found}, expected {VERSION}"),
            Self::TooMany(found) => write!(f, "found {found} vouchers, expected at most {MAX_VOUCHERS}"),
            Self::Twice(name) => write!(f, "found two vouchers for {}, expected one", name.escape_debug()),
            Self::Unfit(name) => {
                write!(f, "the voucher for {}: its key, its answer and its issue do not fit", name.escape_debug())
            }
        }
    }
}

impl std::error::Error for VouchersError {}

impl Default for Vouchers {
    fn default() -> Self {
        Self { version: VERSION, vouchers: Vec::new() }
    }
}

impl Vouchers {
    /// Reads the kept form; nothing is no voucher.
    ///
    /// # Errors
    /// Returns the fault. No voucher of a text with a fault counts.
    pub fn parse(kept: Option<&[u8]>) -> Result<Self, VouchersError> {
        let Some(kept) = kept else { return Ok(Self::default()) };
        let read: Self = serde_json::from_slice(kept).map_err(|error| {
            // The place alone: serde's text repeats what it finds.
            VouchersError::Parse { line: error.line(), column: error.column() }
        })?;
        if read.version != VERSION {
            return Err(VouchersError::Version(read.version));
        }
        if read.vouchers.len() > MAX_VOUCHERS {
            return Err(VouchersError::TooMany(read.vouchers.len()));
        }
        let mut names = BTreeSet::new();
        for voucher in &read.vouchers {
            let name = || voucher.name.clone();
            if !names.insert(voucher.name.as_str()) {
                return Err(VouchersError::Twice(name()));
            }
            if (voucher.issued.is_some() && voucher.key_sha256.is_none())
                || (!voucher.answer.is_empty() && voucher.issued.is_none())
                || voucher.answer().is_none()
            {
                return Err(VouchersError::Unfit(name()));
            }
        }
        Ok(read)
    }

    /// Returns the form that is kept. Those whose end has come are marked, and answers that nobody gets any more are
    /// left out.
    ///
    /// # Errors
    /// Fails if a time cannot be written.
    pub fn kept(&mut self, now: UnixTime) -> Result<Vec<u8>, serde_json::Error> {
        for voucher in &mut self.vouchers {
            voucher.ended = voucher.has_ended(now);
            if voucher.ended || voucher.revoked.is_some() {
                voucher.answer.clear();
            }
        }
        serde_json::to_vec_pretty(self)
    }

    /// Returns all vouchers.
    pub fn all(&self) -> &[Voucher] {
        &self.vouchers
    }

    fn find(&mut self, name: &str) -> Option<&mut Voucher> {
        self.vouchers.iter_mut().find(|voucher| voucher.name.eq_ignore_ascii_case(name))
    }

    /// Adds a voucher; one of the same name that is over goes.
    ///
    /// # Errors
    /// Fails if the name has one that is not over, or there is no room.
    pub fn invite(
        &mut self,
        name: &str,
        secret: KeptHash,
        now: UnixTime,
        valid_for: Duration,
    ) -> Result<UnixTime, InviteError> {
        if let Some(there) = self.find(name).filter(|there| !there.is_over(now)) {
            return Err(InviteError::Taken(there.state(now), there.expires.0));
        }
        self.vouchers.retain(|voucher| {
            let old = voucher.expires.0.as_secs().saturating_add(KEPT_FOR_S) < now.as_secs();
            !(voucher.name.eq_ignore_ascii_case(name) || (old && voucher.is_over(now)))
        });
        if self.vouchers.len() >= MAX_VOUCHERS {
            // A used one may still have to give its answer again, and goes last.
            let place = |goes: fn(&Voucher, UnixTime) -> bool| self.vouchers.iter().position(|one| goes(one, now));
            let ended = place(|one, now| one.is_over(now) && (one.revoked.is_some() || one.has_ended(now)));
            self.vouchers.remove(ended.or_else(|| place(Voucher::is_over)).ok_or(InviteError::Full)?);
        }
        let expires = Duration::from_secs(now.as_secs()).saturating_add(valid_for);
        let expires = UnixTime::since_unix_epoch(expires);
        self.vouchers.push(Voucher {
            name: name.to_ascii_lowercase(),
            secret_sha256: secret,
            made: Kept(now),
            expires: Kept(expires),
            ended: false,
            revoked: None,
            key_sha256: None,
            issued: None,
            answer: Vec::new(),
        });
        Ok(expires)
    }

    /// Revokes the voucher of a name; returns its state before, or `None` if there is none. One that is over stays.
    pub fn revoke(&mut self, name: &str, now: UnixTime) -> Option<VoucherState> {
        let voucher = self.find(name)?;
        let before = voucher.state(now);
        // A used one, so that it gives its answer to nobody any more.
        if !matches!(before, VoucherState::Revoked | VoucherState::Expired) && voucher.revoked.is_none() {
            voucher.revoked = Some(Kept(now));
        }
        Some(before)
    }

    /// Checks a password; returns the voucher, which is neither over nor revoked.
    ///
    /// # Errors
    /// Returns the reason for the log.
    pub fn check(&self, name: &str, secret: &KeptHash, now: UnixTime) -> Result<&Voucher, Objection> {
        let voucher = self.vouchers.iter().find(|voucher| voucher.name.eq_ignore_ascii_case(name));
        let voucher = voucher.ok_or(Objection::Unknown)?;
        if !voucher.secret_sha256.is(secret) {
            return Err(Objection::WrongPassword);
        }
        match voucher.objection(now) {
            Some(objection) => Err(objection),
            None => Ok(voucher),
        }
    }

    /// Claims a voucher for a key, whose holder has proven to have it.
    ///
    /// # Errors
    /// Returns the reason for the log.
    pub fn claim(&mut self, name: &str, secret: &KeptHash, key: &KeptHash, now: UnixTime) -> Result<Claim, Objection> {
        self.check(name, secret, now)?;
        let voucher = self.find(name).ok_or(Objection::Unknown)?;
        match (&voucher.key_sha256, voucher.issued) {
            (None, _) => voucher.key_sha256 = Some(*key),
            (Some(claimed), Some(at)) if !claimed.is(key) => return Err(Objection::Used(at.0)),
            (Some(claimed), None) if !claimed.is(key) => return Err(Objection::Claimed),
            (Some(_), Some(_)) => return Ok(Claim::Repeat(voucher.answer().unwrap_or_default())),
            (Some(_), None) => {}
        }
        Ok(Claim::Order)
    }

    /// Gives a claim back: the CA was not asked for a certificate. Without the claim nothing changes.
    pub fn release(&mut self, name: &str, secret: &KeptHash, key: &KeptHash) {
        if let Some(voucher) = self.claimed(name, secret, key) {
            voucher.key_sha256 = None;
        }
    }

    /// Notes that a claim has got its certificate, with what the device is sent.
    ///
    /// # Errors
    /// Fails if the claim does not stand any more: the certificate is then given to nobody.
    pub fn issued(
        &mut self,
        name: &str,
        secret: &KeptHash,
        key: &KeptHash,
        answer: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Objection> {
        let voucher = self.claimed(name, secret, key).ok_or(Objection::Unknown)?;
        if let Some(at) = voucher.revoked {
            return Err(Objection::Revoked(at.0));
        }
        voucher.issued = Some(Kept(now));
        voucher.answer = answer.iter().map(|der| BASE64_STANDARD.encode(der)).collect();
        Ok(())
    }

    fn claimed(&mut self, name: &str, secret: &KeptHash, key: &KeptHash) -> Option<&mut Voucher> {
        let voucher = self.find(name).filter(|voucher| voucher.secret_sha256.is(secret) && voucher.issued.is_none())?;
        voucher.key_sha256.is_some_and(|claimed| claimed.is(key)).then_some(voucher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "sensor-7.a.example";
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000 + seconds))
    }

    fn hash(text: &str) -> KeptHash {
        KeptHash::of_password(text.as_bytes())
    }

    fn answer(text: &str) -> Vec<CertificateDer<'static>> {
        vec![text.as_bytes().to_vec().into()]
    }

    /// Returns what a restart finds.
    fn again(vouchers: &mut Vouchers, now: UnixTime) -> Vouchers {
        Vouchers::parse(Some(&vouchers.kept(now).unwrap())).unwrap()
    }

    fn invited() -> Vouchers {
        let mut vouchers = Vouchers::default();
        assert_eq!(vouchers.invite(NAME, hash("SECRET"), at(0), DAY), Ok(at(24 * 3600)));
        vouchers
    }

    #[test]
    fn a_voucher_is_for_one_key_and_gives_its_answer_again() {
        let (secret, key, other) = (hash("secret"), hash("key"), hash("another key"));
        let mut vouchers = invited();
        let state = |vouchers: &Vouchers, now| vouchers.all()[0].state(now);
        assert_eq!(state(&vouchers, at(1)), VoucherState::Open);
        assert_eq!(vouchers.claim(NAME, &hash("wrong"), &key, at(1)), Err(Objection::WrongPassword));
        assert_eq!(vouchers.claim("sensor-8.a.example", &secret, &key, at(1)), Err(Objection::Unknown));
        assert_eq!(vouchers.claim("Sensor-7.A.example", &secret, &key, at(1)), Ok(Claim::Order));
        assert_eq!(state(&vouchers, at(1)), VoucherState::Claimed);
        // After a crash, before or after the CA has issued: the same key goes on, another one does not.
        let mut vouchers = again(&mut vouchers, at(2));
        assert_eq!(vouchers.claim(NAME, &secret, &other, at(2)), Err(Objection::Claimed));
        assert_eq!(vouchers.claim(NAME, &secret, &key, at(2)), Ok(Claim::Order));
        // The other key gives nothing back and gets nothing.
        vouchers.release(NAME, &secret, &other);
        assert_eq!(vouchers.issued(NAME, &secret, &other, &answer("other"), at(3)), Err(Objection::Unknown));
        // The CA was not asked: another key may come.
        vouchers.release(NAME, &secret, &key);
        assert_eq!(vouchers.claim(NAME, &secret, &other, at(4)), Ok(Claim::Order));
        vouchers.issued(NAME, &secret, &other, &answer("certificate"), at(5)).unwrap();
        assert_eq!(state(&vouchers, at(5)), VoucherState::Used);
        let mut vouchers = again(&mut vouchers, at(6));
        vouchers.release(NAME, &secret, &other);
        assert_eq!(vouchers.claim(NAME, &secret, &key, at(6)), Err(Objection::Used(at(5))));
        assert_eq!(vouchers.claim(NAME, &secret, &other, at(6)), Ok(Claim::Repeat(answer("certificate"))));
        assert_eq!(vouchers.issued(NAME, &secret, &other, &answer("second"), at(7)), Err(Objection::Unknown));
        // Its end.
        assert_eq!(vouchers.claim(NAME, &secret, &other, at(24 * 3600)), Err(Objection::Over(at(5))));
        let mut vouchers = again(&mut vouchers, at(24 * 3600));
        assert!(vouchers.all()[0].answer.is_empty());
        assert_eq!(vouchers.claim(NAME, &secret, &other, at(24 * 3600)), Err(Objection::Over(at(5))));
    }

    #[test]
    fn a_voucher_ends_by_its_time_and_by_hand() {
        let (secret, key) = (hash("secret"), hash("key"));
        let mut vouchers = invited();
        assert_eq!(vouchers.check(NAME, &secret, at(24 * 3600)).map(drop), Err(Objection::Expired(at(24 * 3600))));
        let taken = vouchers.invite(NAME, hash("second"), at(1), DAY).unwrap_err();
        assert_eq!(taken, InviteError::Taken(VoucherState::Open, at(24 * 3600)));
        assert!(taken.to_string().contains("open until 2023-11-15T22:13:20Z: revoke it first"), "{taken}");
        vouchers.claim(NAME, &secret, &key, at(1)).unwrap();
        assert_eq!(vouchers.revoke("SENSOR-7.a.example", at(2)), Some(VoucherState::Claimed));
        assert_eq!(vouchers.revoke("sensor-8.a.example", at(2)), None);
        assert_eq!(vouchers.check(NAME, &secret, at(3)).map(drop), Err(Objection::Revoked(at(2))));
        // The order was under way: nobody gets its certificate.
        assert_eq!(vouchers.issued(NAME, &secret, &key, &answer("x"), at(3)), Err(Objection::Revoked(at(2))));
        // A new one in its place: what was under way belongs to the one before.
        vouchers.invite(NAME, hash("second"), at(4), DAY).unwrap();
        assert_eq!(vouchers.all().len(), 1);
        assert_eq!(vouchers.issued(NAME, &secret, &key, &answer("x"), at(5)), Err(Objection::Unknown));
        assert_eq!(vouchers.check(NAME, &secret, at(5)).map(drop), Err(Objection::WrongPassword));
        vouchers.check(NAME, &hash("second"), at(5)).unwrap();
    }

    #[test]
    fn no_more_are_kept_than_fit_and_those_that_are_over_go_first() {
        let mut vouchers = Vouchers::default();
        for number in 0..MAX_VOUCHERS {
            vouchers.invite(&format!("sensor-{number}.a.example"), hash("s"), at(0), DAY).unwrap();
        }
        assert_eq!(vouchers.invite(NAME.replace('7', "x").as_str(), hash("s"), at(1), DAY), Err(InviteError::Full));
        vouchers.revoke("sensor-3.a.example", at(1));
        vouchers.invite("one.a.example", hash("s"), at(1), DAY).unwrap();
        assert_eq!(vouchers.all().len(), MAX_VOUCHERS);
        assert!(vouchers.all().iter().all(|voucher| voucher.name() != "sensor-3.a.example"));
        again(&mut vouchers, at(2));
        // A month after their end.
        vouchers.invite("two.a.example", hash("s"), at(32 * 24 * 3600), DAY).unwrap();
        assert_eq!(vouchers.all().len(), 1);
    }

    #[test]
    fn a_clock_that_goes_back_revives_no_voucher() {
        let (secret, key) = (hash("secret"), hash("key"));
        let early = UnixTime::since_unix_epoch(Duration::from_secs(at(0).as_secs() - 1));
        let mut vouchers = invited();
        // A machine without a clock of its own begins long ago.
        assert_eq!(vouchers.check(NAME, &secret, early).map(drop), Err(Objection::Early(at(0))));
        assert_eq!(vouchers.claim(NAME, &secret, &key, early), Err(Objection::Early(at(0))));
        vouchers.check(NAME, &secret, at(0)).unwrap();
        // It ended before anything else was written.
        let end = at(24 * 3600);
        let ended = again(&mut vouchers.clone(), end);
        assert_eq!(ended.check(NAME, &secret, at(1)).map(drop), Err(Objection::Expired(end)));
        assert_eq!(ended.all()[0].state(at(1)), VoucherState::Expired);
        // The answer was dropped at its end.
        assert_eq!(vouchers.claim(NAME, &secret, &key, at(1)), Ok(Claim::Order));
        vouchers.issued(NAME, &secret, &key, &answer("certificate"), at(2)).unwrap();
        let mut ended = again(&mut vouchers, end);
        assert_eq!(ended.claim(NAME, &secret, &key, at(3)), Err(Objection::Over(at(2))));
        assert_eq!(ended.all()[0].state(at(3)), VoucherState::Used);
    }

    #[test]
    fn a_lost_answer_is_kept_for_as_long_as_there_is_room() {
        let (secret, key) = (hash("s"), hash("key"));
        let mut vouchers = Vouchers::default();
        for number in 0..MAX_VOUCHERS {
            vouchers.invite(&format!("sensor-{number}.a.example"), secret, at(0), DAY).unwrap();
        }
        let used = "sensor-0.a.example";
        vouchers.claim(used, &secret, &key, at(1)).unwrap();
        vouchers.issued(used, &secret, &key, &answer("certificate"), at(1)).unwrap();
        vouchers.revoke("sensor-5.a.example", at(1));
        vouchers.invite("one.a.example", secret, at(1), DAY).unwrap();
        assert_eq!(vouchers.claim(used, &secret, &key, at(2)), Ok(Claim::Repeat(answer("certificate"))));
        vouchers.invite("two.a.example", secret, at(1), DAY).unwrap();
        assert_eq!(vouchers.claim(used, &secret, &key, at(2)), Err(Objection::Unknown));
    }

    #[test]
    fn torn_and_foreign_text_is_no_voucher() {
        let mut vouchers = invited();
        let (secret, key) = (hash("secret"), hash("key"));
        vouchers.claim(NAME, &secret, &key, at(1)).unwrap();
        vouchers.issued(NAME, &secret, &key, &answer("certificate"), at(2)).unwrap();
        let kept = vouchers.kept(at(2)).unwrap();
        assert!(Vouchers::parse(None).unwrap().all().is_empty());
        for length in 0..kept.len() {
            Vouchers::parse(Some(&kept[..length])).unwrap_err();
        }
        let text = String::from_utf8(kept).unwrap();
        assert!(!text.contains("SECRET") && text.contains(&secret.to_string()), "{text}");
        let field = |name: &str| {
            let from = text.find(name).unwrap();
            &text[from..][..text[from..].find('\n').unwrap()]
        };
        let unfit = Some(VouchersError::Unfit(NAME.to_owned()));
        for (from, to, expected) in [
            ("\"version\": 1", "\"version\": 2", Some(VouchersError::Version(2))),
            (field("\"key_sha256\""), "", unfit.clone()),
            (field("\"issued\""), "", unfit),
            (field("\"made\""), "\"made\": 7,", None),
            (&secret.to_string()[..2], "zz", None),
            ("sensor-7", "sensor-7\", \"more\": \"", None),
        ] {
            assert!(text.contains(from));
            let fault = Vouchers::parse(Some(text.replacen(from, to, 1).as_bytes())).unwrap_err();
            match expected {
                Some(expected) => assert_eq!(fault, expected),
                None => assert!(matches!(fault, VouchersError::Parse { line: 2.., column: 1.. }), "{fault}"),
            }
        }
        let inner = &text[text.find('[').unwrap() + 1..text.rfind(']').unwrap()];
        let two = text.replacen("\"vouchers\": [", &format!("\"vouchers\": [{inner},"), 1);
        assert_eq!(
            Vouchers::parse(Some(two.as_bytes())).unwrap_err().to_string(),
            format!("found two vouchers for {NAME}, expected one")
        );
    }
}
