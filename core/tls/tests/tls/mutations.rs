//! Hundreds of handshakes over a wire that changes what it carries, and of octets that are no handshake at all.

use proptest::prelude::*;
use rand_core::RngCore;

use super::wire::{Numbers, feed, run};

#[test]
fn a_wire_that_changes_nothing_carries_all() {
    for flags in 0..16 {
        let outcome = run(&[flags]);
        assert!(outcome.is_client_open && outcome.is_server_open && outcome.is_complete, "{flags}");
    }
}

/// Headers, content and tags all count: no side goes on with a record that was changed.
#[test]
fn a_record_that_is_changed_is_refused() {
    for flags in [0, 8] {
        for record in 0..8 {
            for place in [0, 1, 2, 5, 6, 7, 20, 21, 60, 61] {
                let outcome = run(&[flags, record, 0, place, 1]);
                // legacy_record_version of records that are not encrypted is ignored (RFC 8446 section 5.1).
                let is_ignored = outcome.is_complete && [2, 4].contains(&place);
                assert!(is_ignored || !outcome.is_complete, "{flags} {record} {place}");
            }
        }
    }
}

#[test]
fn a_client_hello_may_come_in_parts() {
    for cut in [0, 1, 3, 4, 50] {
        assert!(run(&[0, 0, 6, cut, 0]).is_complete, "{cut}");
    }
}

#[test]
fn hundreds_of_changes_lead_to_no_connection_that_is_not_right() {
    let mut numbers = Numbers(8448);
    let (mut open, mut complete) = (0, 0);
    for _ in 0..800 {
        let mut script = [0; 13];
        numbers.fill_bytes(&mut script);
        let changes = 1 + 4 * (1 + usize::from(script[12] % 3));
        let outcome = run(&script[..changes]);
        open += u32::from(outcome.is_server_open);
        complete += u32::from(outcome.is_complete);
    }
    // Both happen: changes that are refused at once, and such that come late or that nobody sees.
    assert!((50..750).contains(&open) && (10..750).contains(&complete), "{open} {complete}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn octets_that_are_no_handshake_are_refused(
        kind in 20_u8..24, message in prop_oneof![Just(1_u8), Just(2), any::<u8>()], body in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        let length = body.len();
        let inner = [&[message, 0, (length >> 8) as u8, length as u8], body.as_slice()].concat();
        let length = inner.len();
        feed(&[&[kind, 3, 3, (length >> 8) as u8, length as u8], inner.as_slice()].concat());
        feed(&body);
    }
}
