//! Cuts power at every operation of provisioning and of rotations; after each cut a whole credential must be there,
//! old or new.

mod flash;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::store::{Header, NewRecord, Slot, SlotMedium, Store, StoreError};

use crate::random::Random;

pub use flash::{CAPACITY, Cut, Flash, FlashError};

/// A device whose store is cut, restarted and checked.
#[derive(Debug)]
pub struct Device<M> {
    store: Option<Store<M>>,
    /// The last generation that was confirmed and reported as confirmed.
    confirmed: Option<u8>,
    /// The generation that was being written, or on trial, when power was lost.
    underway: Option<u8>,
    /// The generation that was on trial after the last restart.
    trial: Option<u8>,
    next: u8,
}

/// The result of a run of cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The number of operations that were cut.
    pub cut: u64,
    /// The number of restarts with the previous credential.
    pub old: u64,
    /// The number of restarts with the new credential.
    pub new: u64,
    /// The number of restarts without a credential: before the first was confirmed, or after flipped bits damaged
    /// both.
    pub none: u64,
}

impl Report {
    /// Adds another report to this one.
    pub fn add(&mut self, other: Self) {
        self.cut += other.cut;
        self.old += other.old;
        self.new += other.new;
        self.none += other.none;
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_800_000_000 + seconds))
}

/// Returns the key and chain of a generation: sizes differ, and every octet depends on the generation.
fn credential(number: u8) -> (Vec<u8>, Vec<u8>) {
    let size = usize::from(number % 7);
    (vec![number; 121 + size], vec![number.wrapping_add(128); 900 + 37 * size])
}

fn record<'a>(number: u8, key: &'a [u8], chain: &'a [u8]) -> NewRecord<'a> {
    let from = u64::from(number) * 57_600;
    NewRecord { key, chain, not_before: at(from), not_after: at(from + 86_400), time_seen: at(from + 10) }
}

impl<M: SlotMedium> Device<M> {
    /// Creates a device that was never provisioned.
    pub fn new(medium: M) -> Self {
        let store = Store::new(medium).expect("a word size that can be used");
        Self { store: Some(store), confirmed: None, underway: None, trial: None, next: 1 }
    }

    fn store(&mut self) -> &mut Store<M> {
        self.store.as_mut().expect("between restarts there is a store")
    }

    /// Returns the medium.
    pub fn medium(&mut self) -> &mut M {
        self.store().medium()
    }

    /// Rotates as the core's rotation does: writes to the free slot, tries, confirms, notes the time.
    pub fn rotate(&mut self) -> Result<(), StoreError<M::Error>> {
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        self.underway = Some(number);
        let (key, chain) = credential(number);
        let free = self.store().survey().selected().active.map_or(Slot::A, Slot::other);
        let header = self.store().write(free, &record(number, &key, &chain))?;
        self.store().note_time(free, at(header.not_before.as_secs() - at(0).as_secs() + 3600))?;
        self.store().confirm(free)?;
        self.confirmed = Some(number);
        self.underway = None;
        self.store().note_time(free, at(header.not_before.as_secs() - at(0).as_secs() + 7200))?;
        Ok(())
    }

    /// Checks that a start finds a whole credential, either the confirmed one or the one that was underway.
    ///
    /// # Errors
    /// Returns the violation.
    pub fn check(&mut self) -> Result<Report, String> {
        let (confirmed, underway) = (self.confirmed, self.underway);
        let survey = self.store().survey();
        let selected = survey.selected();
        let mut report = Report { cut: 1, ..Report::default() };
        let found = |slot: Option<Slot>| slot.and_then(|slot| survey.header(slot).map(|header| (slot, *header)));
        let active = found(selected.active).map(|found| self.whole(found)).transpose()?;
        let trial = found(selected.trial).map(|found| self.whole(found)).transpose()?;
        match active {
            Some(number) if Some(number) == confirmed => report.old += 1,
            Some(number) if Some(number) == underway => report.new += 1,
            None if confirmed.is_none() => report.none += 1,
            other => return Err(format!("found {other:?}, confirmed was {confirmed:?}, underway {underway:?}")),
        }
        // A record that was committed in an earlier run stays on trial until the next write erases it.
        if trial.is_some() && trial != underway && trial != self.trial {
            return Err(format!("on trial is {trial:?}, underway was {underway:?}, before it {:?}", self.trial));
        }
        self.trial = trial;
        // The credential that a start finds counts from now on.
        if active.is_some() && active == underway {
            self.confirmed = underway;
        }
        Ok(report)
    }

    /// Returns the number of a record if it is whole: key and chain of one generation, as they were written.
    fn whole(&mut self, (slot, header): (Slot, Header)) -> Result<u8, String> {
        let (mut key, mut chain) = (vec![0; 4096], vec![0; 65536]);
        let stored = self.store().read(slot, &mut key, &mut chain).map_err(|error| error.to_string())?;
        let number = stored.key.first().copied().unwrap_or(0);
        let (key, chain) = credential(number);
        if stored.key != key || stored.chain != chain {
            return Err(format!("{slot} mixes generations or is damaged"));
        }
        let expected = record(number, &key, &chain);
        if header.not_after != expected.not_after || header.time_seen < expected.time_seen {
            return Err(format!("{slot} has another record's metadata: {header:?}"));
        }
        Ok(number)
    }
}

/// Cuts one operation after the other of provisioning and two rotations, in every way, and checks each restart; then
/// the device must rotate normally.
///
/// # Errors
/// Returns the violation, and the place of the cut.
pub fn exhaustive<const W: u32>() -> Result<Report, String> {
    let mut total = Report::default();
    for rotations_before in 0..3 {
        let mut ready = Device::new(Flash::<W>::default());
        for _ in 0..rotations_before {
            ready.rotate().map_err(|error| error.to_string())?;
        }
        for cut in Cut::ALL {
            for operation in 0.. {
                let mut device = Device::new(ready.medium().clone());
                (device.confirmed, device.next) = (ready.confirmed, ready.next);
                device.medium().restart();
                device.medium().cut = Some((operation, cut));
                let whole = device.rotate();
                if whole.is_ok() && device.medium().operations <= operation {
                    break;
                }
                let place = |error| {
                    format!("words of {W}, rotation {rotations_before}, operation {operation}, {cut:?}: {error}")
                };
                if let Err(StoreError::Medium(FlashError::Misuse(offset))) = whole {
                    return Err(place(format!("a word at {offset} is programmed twice")));
                }
                device.medium().restart();
                total.add(device.check().map_err(place)?);
                for _ in 0..3 {
                    device.rotate().map_err(|error| place(format!("cannot rotate afterwards: {error}")))?;
                    device.check().map_err(place)?;
                }
            }
        }
    }
    Ok(total)
}

/// Makes several cuts in a run at random places, with restarts between them, and also cuts the operations after a
/// restart.
///
/// # Errors
/// Returns the violation.
pub fn random<const W: u32>(seed: u64, cuts: u64) -> Result<Report, String> {
    let mut random = Random(seed);
    let mut device = Device::new(Flash::<W>::default());
    let mut total = Report::default();
    while total.cut < cuts {
        device.medium().restart();
        let cut = match random.below(8) {
            0 => Cut::Before,
            1 => Cut::After,
            2 => Cut::Io,
            3 | 4 => Cut::Octets(random.below(40) as usize),
            _ => Cut::Bits(random.draw() as u8),
        };
        device.medium().cut = Some((random.below(700) as usize, cut));
        let mut result = Ok(());
        while result.is_ok() && device.medium().has_power() {
            result = device.rotate();
        }
        let place = |error: String| format!("words of {W}, seed {seed}, after {} cuts, {cut:?}: {error}", total.cut);
        match result {
            Err(StoreError::Medium(FlashError::NoPower | FlashError::Io)) => {}
            other => return Err(place(format!("{other:?}"))),
        }
        device.medium().restart();
        let report = device.check().map_err(place)?;
        total.add(report);
    }
    Ok(total)
}

/// Flips bits of a store that was rotated: a read must give a whole credential or an error, never a damaged
/// credential.
///
/// # Errors
/// Returns the violation.
pub fn bit_flips(seed: u64, runs: u64) -> Result<Report, String> {
    let mut random = Random(seed);
    let mut total = Report::default();
    let mut ready = Device::new(Flash::<8>::default());
    for _ in 0..2 {
        ready.rotate().map_err(|error| error.to_string())?;
    }
    for _ in 0..runs {
        let mut flash = ready.medium().clone();
        flash.restart();
        for _ in 0..=random.below(3) {
            let slot = if random.one_in(2) { Slot::A } else { Slot::B };
            flash.flip(slot, random.below(CAPACITY as u64 * 8) as usize);
        }
        let mut device = Device::new(flash);
        let survey = device.store().survey();
        total.cut += 1;
        match survey.selected().active.and_then(|slot| survey.header(slot).map(|header| (slot, *header))) {
            None => total.none += 1,
            Some(found) if device.whole(found)? == 2 => total.new += 1,
            Some(_) => total.old += 1,
        }
    }
    Ok(total)
}
