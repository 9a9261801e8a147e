//! Cuts power at every operation: the short form of `cargo run --release -p edgetrust-tests --bin powercut`.

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::store::{NewRecord, Slot, Store, StoreError};
use edgetrust_tests::powercut::{Flash, bit_flips, exhaustive, random};

#[test]
fn every_operation_can_be_cut() {
    for report in [exhaustive::<16>(), exhaustive::<32>()] {
        let report = report.unwrap();
        assert!(report.cut > 500, "{report:?}");
        assert!(report.old > 0 && report.new > 0 && report.none > 0, "{report:?}");
    }
}

#[test]
fn several_cuts_in_a_run() {
    for seed in 0..4 {
        let report = random::<8>(seed, 500).unwrap();
        assert!(report.old > 0 && report.new > 0, "{report:?}");
    }
}

#[test]
fn damage_is_seen() {
    let report = bit_flips(1, 2000).unwrap();
    assert!(report.old > 0 && report.new > report.old, "{report:?}");
}

fn record<'a>(key: &'a [u8], chain: &'a [u8]) -> NewRecord<'a> {
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
    NewRecord { key, chain, not_before: time, not_after: time, time_seen: time }
}

#[test]
fn the_confirmed_record_is_never_overwritten() {
    let mut store = Store::new(Flash::<4>::default()).unwrap();
    store.write(Slot::A, &record(b"key", b"chain")).unwrap();
    store.confirm(Slot::A).unwrap();
    store.confirm(Slot::A).unwrap();
    assert_eq!(store.write(Slot::A, &record(b"k", b"c")), Err(StoreError::Confirmed(Slot::A)));
    assert_eq!(store.discard(Slot::A), Err(StoreError::Confirmed(Slot::A)));
    assert_eq!(store.confirm(Slot::B), Err(StoreError::NoRecord(Slot::B)));
    store.write(Slot::B, &record(b"k", b"c")).unwrap();
    store.discard(Slot::B).unwrap();
    let found = store.survey().selected();
    assert_eq!((found.active, found.trial), (Some(Slot::A), None));
}

#[test]
fn what_does_not_fit_is_said() {
    let mut store = Store::new(Flash::<4>::default()).unwrap();
    let chain = vec![0; 8000];
    let error = store.write(Slot::A, &record(b"key", &chain)).unwrap_err();
    assert_eq!(error.to_string(), "a key of 3 and a chain of 8000 octets do not fit into a slot of 8192");
    assert!(matches!(Store::new(Flash::<3>::default()).unwrap_err(), StoreError::WriteSize(3)));
    assert!(matches!(Store::new(Flash::<512>::default()).unwrap_err(), StoreError::WriteSize(512)));
}

#[test]
fn noted_times_last_until_there_is_no_room() {
    let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    let mut store = Store::new(Flash::<16>::default()).unwrap();
    store.write(Slot::A, &record(b"key", b"chain")).unwrap();
    for time in 2..34 {
        assert_eq!(store.note_time(Slot::A, at(time)), Ok(true));
        assert_eq!(store.note_time(Slot::A, at(time)), Ok(false), "nothing new");
    }
    assert_eq!(store.note_time(Slot::A, at(99)), Ok(false), "no room");
    assert_eq!(store.survey().time_seen(), Some(at(33)));
    // A new record keeps the stored time.
    let header = store.write(Slot::B, &record(b"key", b"chain")).unwrap();
    assert_eq!(header.time_seen, at(33));
}
