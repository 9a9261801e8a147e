//! Carries out what core's rotation says, with the store in flash: which credential is shown, kept, tried, confirmed, given back.

use edgetrust_core::config::Device;
use edgetrust_core::crypto::{P256Key, PKCS8_P256};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{Action, Credential, Event, Failure, Machine, Policy};
use edgetrust_core::store::{Header, NewRecord, Slot, SlotMedium, Store, TIME_MARKS, certificates};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_firmware::crypto;

use crate::settings::Settings;
use crate::verdict::Verdict;

/// Octets of a certificate and its intermediates, as the gateway returns them.
pub const MAX_CHAIN: usize = 2048;

/// Octets of our own certificate: it must fit into a record of ours.
const MAX_CERTIFICATE: usize = 1024;

/// How long a new credential may be taken back while nobody has taken it.
const TRIAL_S: u32 = 600;

/// A certificate with its key, which was verified and is to be kept.
pub struct Issued<'a> {
    pub key: [u8; PKCS8_P256],
    /// DER, leaf first.
    pub chain: &'a [u8],
    pub not_before: UnixTime,
    pub not_after: UnixTime,
}

/// What is shown to the gateway.
struct Shown {
    /// None: the factory's.
    slot: Option<Slot>,
    key: P256Key,
    certificate: heapless::Vec<u8, MAX_CERTIFICATE>,
    /// When it ends.
    not_after: UnixTime,
}

/// The credentials of this device.
pub struct Renewal<M> {
    store: Store<M>,
    machine: Machine,
    /// Without a server to enroll with, what there is stays.
    enrolls: bool,
    shown: Shown,
    /// The attempt that is to be made, counted from 0.
    wanted: Option<u8>,
    changed: bool,
    /// It was unclear once what was made of what is shown.
    doubted: bool,
}

/// Why a credential cannot be shown.
#[derive(Clone, Copy, defmt::Format)]
pub enum RenewalError {
    /// The flash cannot be used.
    Store,
    /// The key is no P-256 key in PKCS #8, or does not fit its certificate.
    Key,
    /// The certificate is malformed or too long.
    Certificate,
}

impl<M: SlotMedium<Error: defmt::Format>> Renewal<M> {
    /// With what the factory gave, and no look at the store yet.
    ///
    /// # Errors
    /// What of it cannot be used.
    pub fn new(medium: M, settings: &Settings, seed: u64) -> Result<Self, RenewalError> {
        let store = Store::new(medium).map_err(|_| RenewalError::Store)?;
        let policy = Policy {
            renew_before_s: settings.device.renew_before_s,
            trial_s: TRIAL_S,
            fallback: true,
            // The gateway is asked again rather than the flash: there is no memory for it.
            keeps_issued: false,
            seed,
            ..Policy::default()
        };
        let (key, not_after) = key_of(settings.first_key, settings.first_certificate)?;
        let certificate =
            heapless::Vec::from_slice(settings.first_certificate).map_err(|_| RenewalError::Certificate)?;
        let shown = Shown { slot: None, key, certificate, not_after };
        let enrolls = settings.device.enroll.is_some();
        let machine = Machine::new(policy);
        Ok(Self { store, machine, enrolls, shown, wanted: None, changed: false, doubted: false })
    }

    /// The highest time that the store has seen.
    pub fn time_seen(&mut self) -> Option<UnixTime> {
        self.store.survey().time_seen()
    }

    /// Takes up what the store holds.
    pub fn restore(&mut self, settings: &Settings, now: TrustedTime) {
        let survey = self.store.survey();
        for error in [&survey.a, &survey.b].into_iter().filter_map(|slot| slot.as_ref().err()) {
            defmt::error!("store: {}", error);
        }
        let selected = survey.selected();
        let credential = |slot: Option<Slot>| {
            let slot = slot?;
            let header = survey.header(slot)?;
            let Header { not_before, not_after, written, .. } = *header;
            Some(Credential { slot, not_before, not_after, received: written })
        };
        let (active, trial) = (credential(selected.active), credential(selected.trial));
        defmt::info!("store: confirmed {}, on trial {}", active, trial);
        if self.enrolls {
            self.report(settings, now, Event::Restored { active, trial }, None);
        } else if let Some(active) = active.or(trial) {
            let _ = self.show(active.slot);
        }
    }

    /// What is shown to the gateway.
    pub fn credential(&self) -> crypto::Credential<'_> {
        crypto::Credential { certificate: &self.shown.certificate, key: self.shown.key.clone() }
    }

    /// Its certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.shown.certificate
    }

    /// When that ends.
    pub fn not_after(&self) -> UnixTime {
        self.shown.not_after
    }

    /// The attempt that is to be made now; it is answered by [`Renewal::issued`] or [`Renewal::failed`].
    pub fn wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Time has passed.
    pub fn tick(&mut self, settings: &Settings, now: TrustedTime) {
        if self.enrolls {
            self.report(settings, now, Event::Tick, None);
        }
    }

    /// Another credential is shown since this was asked: connections with the one before are to end.
    pub fn changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// Somebody wants a new credential at once.
    pub fn rotate(&mut self, settings: &Settings, now: TrustedTime) {
        if self.enrolls {
            self.report(settings, now, Event::RotateNow, None);
        }
    }

    /// What the gateway made of what was shown. Where that is unclear it counts as a refusal once: it is not given back for a service that is
    /// down, nor confirmed while nobody has taken it.
    pub fn judged(&mut self, settings: &Settings, now: TrustedTime, verdict: Verdict) {
        let (true, Some(slot)) = (self.enrolls, self.shown.slot) else { return };
        let event = match verdict {
            Verdict::Taken => Event::HandshakeOk { slot },
            Verdict::Unclear if core::mem::replace(&mut self.doubted, true) => return,
            Verdict::Refused | Verdict::Unclear => Event::HandshakeFailed { slot },
        };
        self.report(settings, now, event, None);
    }

    /// The attempt failed.
    pub fn failed(&mut self, settings: &Settings, now: TrustedTime, failure: Failure) {
        self.wanted = None;
        self.report(settings, now, Event::IssueFailed(failure), None);
    }

    /// There is a new one.
    pub fn issued(&mut self, settings: &Settings, now: TrustedTime, issued: &Issued<'_>) {
        self.wanted = None;
        let Issued { not_before, not_after, .. } = *issued;
        self.report(settings, now, Event::Issued { not_before, not_after }, Some(issued));
    }

    /// Notes a confirmed time beside what is confirmed: no time before it is believed after a restart. A record has room for [`TIME_MARKS`]: as far
    /// apart as they are here, they last for the life of its certificate.
    pub fn note_time(&mut self, time: UnixTime) {
        let survey = self.store.survey();
        let selected = survey.selected();
        let Some(slot) = selected.active.or(selected.trial) else { return };
        let Some(header) = survey.header(slot) else { return };
        // A backdated certificate lives from when it was received.
        let since = header.written.max(header.not_before);
        let life_s = header.not_after.as_secs().saturating_sub(since.as_secs());
        if time.as_secs().saturating_sub(header.time_seen.as_secs()) < life_s / u64::from(TIME_MARKS) {
            return;
        }
        if let Err(error) = self.store.note_time(slot, time) {
            defmt::error!("store: {}", error);
        }
    }

    /// Reports it, and does all that follows. What was issued is there for as long as this takes.
    fn report(&mut self, settings: &Settings, now: TrustedTime, event: Event, issued: Option<&Issued<'_>>) {
        self.machine.report(now, event);
        while let Some(action) = self.machine.next(now) {
            defmt::info!("rotation: {}", action);
            if let Some(event) = self.act(settings, now, action, issued) {
                self.machine.report(now, event);
            }
        }
    }

    /// Does it; what is to be reported at once.
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
                let replaced = self.shown.replace(None, settings.first_key, settings.first_certificate);
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
        let written = self.store.write(slot, &record);
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

    /// Shows what is in a slot.
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

/// A key that fits its certificate, and when that ends.
fn key_of(key: &[u8], certificate: &[u8]) -> Result<(P256Key, UnixTime), RenewalError> {
    let key = P256Key::from_pkcs8(key).ok_or(RenewalError::Key)?;
    let parsed = Certificate::from_der(certificate).map_err(|_| RenewalError::Certificate)?;
    if parsed.subject_public_key_info().public_key != key.public_key() {
        return Err(RenewalError::Key);
    }
    Ok((key, parsed.validity().not_after))
}

impl Shown {
    /// In place: it is a kilobyte, and stacks are deep where it happens. Where it fails nothing has changed.
    fn replace(&mut self, slot: Option<Slot>, key: &[u8], certificate: &[u8]) -> Result<(), RenewalError> {
        let (key, not_after) = key_of(key, certificate)?;
        if certificate.len() > MAX_CERTIFICATE {
            return Err(RenewalError::Certificate);
        }
        self.certificate.clear();
        // It fits.
        let _ = self.certificate.extend_from_slice(certificate);
        (self.key, self.slot, self.not_after) = (key, slot, not_after);
        Ok(())
    }
}

/// Spreads a fleet: from the certificate, so that it is the same after a restart.
pub fn seed(device: &Device<'_>, certificate: &[u8]) -> u64 {
    let octets = device.server_name.bytes().chain(certificate.iter().copied());
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3))
}
