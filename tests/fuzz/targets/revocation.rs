//! Parses any octets as a revocation list: an index finds what a search finds, and each of a list's own entries is found.

#![no_main]

use edgetrust_core::revocation::RevocationList;
use edgetrust_core::x509::Work;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let list = match RevocationList::from_der(octets) {
        Ok(list) => list,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(list.der(), octets);
    assert!(list.this_update() <= list.next_update());
    let _ = format!("{}", list.issuer());
    let mut memory = vec![0; usize::try_from(list.count()).unwrap()];
    assert!(list.write_index(&mut memory));
    let Some(indexed) = list.with_index(&memory) else { panic!("an index that was written for the list") };
    for serial in octets.windows(3).take(64).chain([&[][..], &[0], &[5]]) {
        let found = list.find(serial, &mut Work::new(u32::MAX)).unwrap();
        let by_index = indexed.find(serial, &mut Work::new(u32::MAX)).unwrap();
        assert_eq!(found.map(|entry| entry.serial), by_index.map(|entry| entry.serial));
        // Each step is paid for.
        assert!(list.find(serial, &mut Work::new(list.count())).is_err() || list.count() < 16 || found.is_some());
    }
});
