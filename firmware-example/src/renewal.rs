//! Carries out the actions of the core's rotation with the store in flash: shows, keeps, tries, confirms and reverts
//! credentials.

use edgetrust_core::crypto::{P256Key, PKCS8_P256};
use edgetrust_core::embedded_tls::SoftwareCredential;
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{Action, Event, Failure, LEAST_LIFE_S, Machine, Policy, SlotCertificate};
use edgetrust_core::store::{Header, NewRecord, Slot, SlotMedium, Store, TIME_MARKS, certificates};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_firmware::board::{Flash, Port, Selected};
use edgetrust_firmware::random::KeyErasingRng;
use sha2::{Digest, Sha256};

use crate::enroll::{By, EnrollError, new_key};
use crate::issued::{Issued, MAX_CHAIN};
use crate::settings::{First, Settings, Voucher};
use crate::verdict::Verdict;

/// The credential slots of the selected board.
pub type Slots = <<Selected as Port>::Flash as Flash>::Slots;

/// The maximum size of the device's certificate in octets: it must fit into one of the device's records.
const MAX_CERTIFICATE: usize = 1024;

/// The slot with the key of a claim, while the device has no certificate: the first one goes to the other slot.
const CLAIM: Slot = Slot::B;
/// The time in the record of a claim, which no certificate has.
const NEVER: UnixTime = UnixTime::since_unix_epoch(core::time::Duration::ZERO);

/// Returns whether a record holds the key that a voucher is claimed with, and the voucher's hash, in place of a
/// credential.
fn is_claim(header: &Header) -> bool {
    header.not_after == NEVER
}

/// The time in seconds during which a new credential may be reverted while no peer has accepted it.
const TRIAL_S: u32 = 600;

/// The credential that is shown to the gateway.
struct Shown {
    /// The credential's slot; `None`: the factory's credential.
    slot: Option<Slot>,
    /// None while the device has a voucher and no certificate.
    key: Option<P256Key>,
    certificate: heapless::Vec<u8, MAX_CERTIFICATE>,
    /// The end of the certificate's validity.
    not_after: UnixTime,
}

/// The device's credentials.
pub struct Renewal<M> {
    store: Store<M>,
    machine: Machine,
    /// True if there is a server to enroll with; without one, the credential stays as it is.
    enrolls: bool,
    shown: Shown,
    /// The pending attempt, counted from 0.
    wanted: Option<u8>,
    changed: bool,
    /// True if an unclear verdict on the shown credential has been reported.
    doubted: bool,
}

/// The reason for which a credential cannot be shown.
#[derive(Clone, Copy, defmt::Format)]
pub enum RenewalError {
    /// The flash is unusable.
    Store,
    /// The key is no P-256 key in PKCS #8, or does not fit its certificate.
    Key,
    /// The certificate is malformed or too long.
    Certificate,
}

impl<M: SlotMedium<Error: defmt::Format>> Renewal<M> {
    /// Starts with the factory's credential, or with none, without reading the store.
    ///
    /// # Errors
    /// Returns the fault of the factory's credential or of the flash.
    pub fn new(medium: M, settings: &Settings, seed: u64) -> Result<Self, RenewalError> {
        let store = Store::new(medium).map_err(|_| RenewalError::Store)?;
        let policy = policy(settings, seed);
        let mut shown = Shown { slot: None, key: None, certificate: heapless::Vec::new(), not_after: NEVER };
        if let First::Factory { certificate, key } = settings.first {
            shown.replace(None, key, certificate)?;
        }
        let enrolls = settings.device.enroll.is_some();
        let machine = Machine::new(policy);
        Ok(Self { store, machine, enrolls, shown, wanted: None, changed: false, doubted: false })
    }

    /// Returns the highest time that the store has seen.
    pub fn time_seen(&mut self) -> Option<UnixTime> {
        self.store.survey().time_seen()
    }

    /// Restores the state from the store.
    pub fn restore(&mut self, settings: &Settings, now: TrustedTime) {
        let survey = self.store.survey();
        for error in [&survey.a, &survey.b].into_iter().filter_map(|slot| slot.as_ref().err()) {
            defmt::error!("store: {}", error);
        }
        let selected = survey.selected();
        let credential = |slot: Option<Slot>| {
            let slot = slot?;
            let header = survey.header(slot).filter(|header| !is_claim(header))?;
            let Header { not_before, not_after, written, .. } = *header;
            Some(SlotCertificate { slot, not_before, not_after, received: written })
        };
        let (active, trial) = (credential(selected.active), credential(selected.trial));
        defmt::info!("store: confirmed {}, on trial {}", active, trial);
        if self.enrolls {
            self.report(settings, now, Event::Restored { active, trial }, None);
        } else if let Some(active) = active.or(trial) {
            // A credential that cannot be shown is logged; the factory's stays.
            let _ = self.show(active.slot);
        }
    }

    /// Returns the credential that is shown to the gateway; none while the device has a voucher and no certificate.
    pub fn credential(&self) -> Option<SoftwareCredential<'_>> {
        let key = self.shown.key.clone()?;
        Some(SoftwareCredential { certificate: &self.shown.certificate, key })
    }

    /// Returns whether the device has a voucher and no certificate.
    pub fn is_new(&self) -> bool {
        self.shown.key.is_none()
    }

    /// Returns the voucher, and the key that it is claimed with, while it is to be used. The key is stored before it is
    /// used: a voucher is for one key, and the power may fail before the answer.
    pub fn claim(&mut self, settings: &Settings, rng: &mut KeyErasingRng) -> Option<Result<By<'static>, EnrollError>> {
        let First::Voucher(voucher) = settings.first else { return None };
        if !self.is_new() {
            return None;
        }
        let key = self.claim_key(&voucher, rng);
        Some(key.map(|key| By::Voucher(voucher, key)).ok_or(EnrollError::Key))
    }

    fn claim_key(&mut self, voucher: &Voucher, rng: &mut KeyErasingRng) -> Option<P256Key> {
        let mut stored = [0; PKCS8_P256];
        let mark: [u8; 32] = Sha256::digest(voucher.line).into();
        let survey = self.store.survey();
        if survey.header(CLAIM).is_some_and(is_claim) {
            let mut marked = [0; 32];
            if let Ok(found) = self.store.read(CLAIM, &mut stored, &mut marked)
                && found.chain == mark
            {
                return P256Key::from_pkcs8(found.key);
            }
        }
        let key = new_key(rng)?;
        let record =
            NewRecord { key: &key.to_pkcs8(), chain: &mark, not_before: NEVER, not_after: NEVER, time_seen: NEVER };
        match self.store.write(CLAIM, &record) {
            Ok(_) => Some(key),
            Err(error) => {
                defmt::error!("store: {}", error);
                None
            }
        }
    }

    /// Returns the shown certificate in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.shown.certificate
    }

    /// Returns the end of the shown certificate's validity.
    pub fn not_after(&self) -> UnixTime {
        self.shown.not_after
    }

    /// Returns whether an attempt is due; [`Renewal::issued`] or [`Renewal::failed`] reports its outcome.
    pub fn wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Reports the passage of time.
    pub fn tick(&mut self, settings: &Settings, now: TrustedTime) {
        if self.enrolls {
            self.report(settings, now, Event::Tick, None);
        }
    }

    /// Returns whether the shown credential has changed since the last call: connections with the old credential are
    /// to end.
    pub fn changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// Requests a new credential at once.
    pub fn rotate(&mut self, settings: &Settings, now: TrustedTime) {
        if self.enrolls {
            self.report(settings, now, Event::RotateNow, None);
        }
    }

    /// Reports the gateway's verdict on the shown credential. Only the first unclear verdict counts as a refusal: the
    /// credential is neither reverted for a service that is down, nor confirmed while no peer has accepted it.
    pub fn judged(&mut self, settings: &Settings, now: TrustedTime, verdict: Verdict) {
        let (true, Some(slot)) = (self.enrolls, self.shown.slot) else { return };
        let event = match verdict {
            Verdict::Taken => Event::HandshakeOk { slot },
            Verdict::Unclear if core::mem::replace(&mut self.doubted, true) => return,
            Verdict::Refused | Verdict::Unclear => Event::HandshakeFailed { slot },
        };
        self.report(settings, now, event, None);
    }

    /// Reports a failed attempt.
    pub fn failed(&mut self, settings: &Settings, now: TrustedTime, failure: Failure) {
        self.wanted = None;
        self.report(settings, now, Event::IssueFailed(failure), None);
    }

    /// Reports a new credential.
    pub fn issued(&mut self, settings: &Settings, now: TrustedTime, issued: &Issued<'_>) {
        self.wanted = None;
        let Issued { not_before, not_after, .. } = *issued;
        let received = match now {
            TrustedTime::Known(now) => now,
            TrustedTime::AtLeast(_) | TrustedTime::Unknown => not_before,
        };
        let policy = policy(settings, 0);
        let life_s = policy.flash_life_s(&SlotCertificate { slot: Slot::A, not_before, not_after, received });
        if life_s < LEAST_LIFE_S {
            defmt::warn!("store: certificates as short as this one wear the flash out in {=u64} days", life_s / 86_400);
        }
        self.report(settings, now, Event::Issued { not_before, not_after }, Some(issued));
    }

    /// Stores a confirmed time beside the confirmed credential: after a restart no earlier time is trusted. A record
    /// has room for [`TIME_MARKS`] times; at the spacing used here, they last for the life of the record's
    /// certificate.
    pub fn note_time(&mut self, time: UnixTime) {
        let survey = self.store.survey();
        let selected = survey.selected();
        let Some(slot) = selected.active.or(selected.trial) else { return };
        let Some(header) = survey.header(slot).filter(|header| !is_claim(header)) else { return };
        // The life of a backdated certificate starts when it was received.
        let since = header.written.max(header.not_before);
        let life_s = header.not_after.as_secs().saturating_sub(since.as_secs());
        if time.as_secs().saturating_sub(header.time_seen.as_secs()) < life_s / u64::from(TIME_MARKS) {
            return;
        }
        if let Err(error) = self.store.note_time(slot, time) {
            defmt::error!("store: {}", error);
        }
    }

    /// Reports an event, and carries out all resulting actions. `issued` stays available during the call.
    fn report(&mut self, settings: &Settings, now: TrustedTime, event: Event, issued: Option<&Issued<'_>>) {
        self.machine.report(now, event);
        while let Some(action) = self.machine.next(now) {
            defmt::info!("rotation: {}", action);
            if let Some(event) = self.act(settings, now, action, issued) {
                self.machine.report(now, event);
            }
        }
    }

    /// Carries out an action; returns the event to report at once.
    fn act(
        &mut self,
        settings: &Settings,
        now: TrustedTime,
        action: Action,
        issued: Option<&Issued<'_>>,
    ) -> Option<Event> {
        match action {
            Action::Issue { attempt } => self.wanted = Some(attempt),
            Action::AbortIssue => self.wanted = None,
            Action::Persist { slot } => {
                let written = issued.is_some_and(|issued| self.write(slot, now, issued));
                return Some(if written { Event::Persisted } else { Event::PersistFailed });
            }
            Action::Activate { slot } => {
                if !self.show(slot) {
                    return Some(Event::HandshakeFailed { slot });
                }
            }
            Action::ActivateFallback => {
                let replaced = match settings.first {
                    First::Factory { certificate, key } => self.shown.replace(None, key, certificate),
                    First::Voucher(_) => Err(RenewalError::Certificate),
                };
                self.changed |= replaced.is_ok();
                return Some(match replaced {
                    Ok(()) => Event::FallbackReady,
                    Err(error) => {
                        defmt::error!("the factory's credential: {}", error);
                        Event::FallbackRefused
                    }
                });
            }
            Action::Confirm { slot } => self.settle(slot, Store::confirm),
            Action::Discard { slot } => self.settle(slot, Store::discard),
            Action::Alarm(alarm) => defmt::warn!("alarm: {}", alarm),
        }
        None
    }

    fn write(&mut self, slot: Slot, now: TrustedTime, issued: &Issued<'_>) -> bool {
        let Issued { not_before, not_after, .. } = *issued;
        let time_seen = match now {
            TrustedTime::Known(now) => now,
            TrustedTime::AtLeast(_) | TrustedTime::Unknown => not_before,
        };
        let record = NewRecord { key: &issued.key, chain: issued.chain, not_before, not_after, time_seen };
        let written = self.store.write_beside(slot, &record);
        if let Err(error) = &written {
            defmt::error!("store: {}", error);
        }
        written.is_ok()
    }

    fn settle(
        &mut self,
        slot: Slot,
        what: impl FnOnce(&mut Store<M>, Slot) -> Result<(), edgetrust_core::store::StoreError<M::Error>>,
    ) {
        if let Err(error) = what(&mut self.store, slot) {
            defmt::error!("store: {}", error);
        }
    }

    /// Shows the credential of a slot.
    fn show(&mut self, slot: Slot) -> bool {
        let mut key = [0; PKCS8_P256];
        let mut chain = [0; MAX_CHAIN];
        let stored = match self.store.read(slot, &mut key, &mut chain) {
            Ok(stored) => stored,
            Err(error) => {
                defmt::error!("store: {}", error);
                return false;
            }
        };
        let leaf = certificates(stored.chain).next().unwrap_or_default();
        let replaced = self.shown.replace(Some(slot), stored.key, leaf);
        self.changed |= replaced.is_ok();
        self.doubted &= replaced.is_err();
        if let Err(error) = replaced {
            defmt::error!("slot {}: {}", slot, error);
        }
        replaced.is_ok()
    }
}

/// Returns a key that matches its certificate, and the end of the certificate's validity.
fn key_of(key: &[u8], certificate: &[u8]) -> Result<(P256Key, UnixTime), RenewalError> {
    let key = P256Key::from_pkcs8(key).ok_or(RenewalError::Key)?;
    let parsed = Certificate::from_der(certificate).map_err(|_| RenewalError::Certificate)?;
    if parsed.subject_public_key_info().public_key != key.public_key() {
        return Err(RenewalError::Key);
    }
    Ok((key, parsed.validity().not_after))
}

impl Shown {
    /// Replaces the credential in place: it has a kilobyte, and the stack is deep here. On failure nothing has
    /// changed.
    fn replace(&mut self, slot: Option<Slot>, key: &[u8], certificate: &[u8]) -> Result<(), RenewalError> {
        let (key, not_after) = key_of(key, certificate)?;
        let key = Some(key);
        if certificate.len() > MAX_CERTIFICATE {
            return Err(RenewalError::Certificate);
        }
        self.certificate.clear();
        // The certificate's length was checked.
        let _ = self.certificate.extend_from_slice(certificate);
        (self.key, self.slot, self.not_after) = (key, slot, not_after);
        Ok(())
    }
}

/// Returns the policy of a device's renewals.
fn policy(settings: &Settings, seed: u64) -> Policy {
    Policy {
        renew_before_s: settings.device.renew_before_s,
        trial_s: TRIAL_S,
        fallback: matches!(settings.first, First::Factory { .. }),
        // The certificate is requested again rather than written again: there is no memory to keep it.
        keeps_issued: false,
        seed,
        ..Policy::default()
    }
}

/// Returns a seed that spreads a fleet; it is derived from the certificate or the name, and so is the same after a restart.
pub fn seed(settings: &Settings) -> u64 {
    let own = match &settings.first {
        First::Factory { certificate, .. } => certificate,
        First::Voucher(voucher) => voucher.name.as_bytes(),
    };
    let octets = settings.device.server_name.bytes().chain(own.iter().copied());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
}
