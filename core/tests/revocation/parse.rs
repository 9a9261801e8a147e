//! Lists as they are written.

use edgetrust_core::revocation::{Reason, RevocationList, RevocationListErrorKind as Kind};
use edgetrust_core::x509::{ObjectIdentifier, ParseErrorKind, Work};

use super::pki::{Ca, List, ca_params, entry, extension, full_name, time, tlv};

fn parsed(list: &List) -> Result<(), Kind> {
    let der = list.by(&Ca::root(ca_params("Site CA", &[1])));
    RevocationList::from_der(&der).map(drop).map_err(|error| error.kind)
}

fn scope(fields: &[&[u8]]) -> List {
    List::with(extension(28, true, &tlv(0x30, fields)))
}

const TRUE: [u8; 3] = [0x01, 0x01, 0xff];

#[test]
fn what_is_not_processed_is_refused_with_the_reason() {
    let oid = |number| ObjectIdentifier::new(&[0x55, 0x1d, number]);
    let entry_with = |value: Vec<u8>| {
        let date = tlv(0x17, &[b"260101000000Z"]);
        List { entries: vec![tlv(0x30, &[&[0x02, 0x01, 0x05], &date, &tlv(0x30, &[&value])])], ..List::default() }
    };
    let flag = |number: u8| tlv(0x80 | number, &[&[0xff]]);
    let named = full_name("http://ca.example/1.crl");
    for (what, list, expected) in [
        ("delta", List::with(extension(27, true, &[0x02, 0x01, 0x01])), Err(Kind::Delta)),
        ("indirect", scope(&[&flag(4)]), Err(Kind::Indirect)),
        ("attributes", scope(&[&flag(5)]), Err(Kind::AttributeCertificates)),
        ("some reasons", scope(&[&tlv(0x83, &[&[0x01, 0x02]])]), Err(Kind::SomeReasons)),
        ("a relative name", scope(&[&tlv(0xa0, &[&tlv(0xa1, &[])])]), Err(Kind::RelativeName)),
        ("users and CAs alone", scope(&[&flag(1), &flag(2)]), Err(Kind::DistributionPoint)),
        ("an empty scope", scope(&[]), Err(Kind::DistributionPoint)),
        ("no name", scope(&[&tlv(0xa0, &[&tlv(0xa0, &[])])]), Err(Kind::DistributionPoint)),
        ("false", scope(&[&tlv(0x81, &[&[0x00]])]), Err(Kind::DistributionPoint)),
        ("a scope with more", scope(&[&named, &flag(1), &TRUE]), Err(Kind::Parse(ParseErrorKind::TrailingData))),
        ("users", scope(&[&flag(1)]), Ok(())),
        ("a distribution point", scope(&[&named]), Ok(())),
        (
            "an unknown critical extension",
            List::with(extension(99, true, &[0x05, 0x00])),
            Err(Kind::UnknownCriticalExtension(oid(99))),
        ),
        ("an unknown extension", List::with(extension(99, false, &[0x05, 0x00])), Ok(())),
        ("where the delta is", List::with(extension(46, false, &[0x30, 0x00])), Ok(())),
        (
            "a critical number",
            List { extensions: vec![extension(20, true, &[0x02, 0x01, 0x07])], ..List::default() },
            Err(Kind::WronglyCritical(oid(20))),
        ),
        (
            "a negative number",
            List { extensions: vec![extension(20, false, &[0x02, 0x01, 0x87])], ..List::default() },
            Err(Kind::Number),
        ),
        (
            "two numbers",
            List::with(extension(20, false, &[0x02, 0x01, 0x07])),
            Err(Kind::Parse(ParseErrorKind::DuplicateExtension)),
        ),
        (
            "the issuer of an entry",
            entry_with(extension(29, true, &tlv(0x30, &[&tlv(0x82, &[b"b.example"])]))),
            Err(Kind::Indirect),
        ),
        (
            "an unknown critical extension of an entry",
            entry_with(extension(99, true, &[0x05, 0x00])),
            Err(Kind::UnknownCriticalEntryExtension(oid(99))),
        ),
        ("an invalidity date", entry_with(extension(24, false, &tlv(0x18, &[b"20260101000000Z"]))), Ok(())),
        ("removeFromCRL", entry_with(extension(21, false, &[0x0a, 0x01, 0x08])), Err(Kind::RemoveFromCrl)),
        ("reason 7", entry_with(extension(21, false, &[0x0a, 0x01, 0x07])), Err(Kind::Reason)),
        ("a number as reason", entry_with(extension(21, false, &[0x02, 0x01, 0x01])), Err(Kind::Reason)),
        (
            "two reasons",
            entry_with([extension(21, false, &[0x0a, 0x01, 1]), extension(21, false, &[0x0a, 0x01, 2])].concat()),
            Err(Kind::Reason),
        ),
        ("a serial number with a zero", List::revoking(&[&[0, 5]]), Err(Kind::SerialNumber)),
        ("no nextUpdate", List { next_update: Vec::new(), ..List::default() }, Err(Kind::NoNextUpdate)),
        (
            "nextUpdate before thisUpdate",
            List { next_update: tlv(0x17, &[b"261231235959Z"]), ..List::default() },
            Err(Kind::UpdatesReversed),
        ),
        ("version 3", List { version: vec![0x02, 0x01, 0x02], ..List::default() }, Err(Kind::Version)),
        ("version 1 with extensions", List { version: Vec::new(), ..List::default() }, Err(Kind::Version)),
        ("version 1", List { version: Vec::new(), extensions: Vec::new(), ..List::default() }, Ok(())),
        (
            "version 1 with a reason",
            List { version: Vec::new(), extensions: Vec::new(), ..List::revoking(&[&[5]]) },
            Err(Kind::Version),
        ),
        ("as it should be", List::revoking(&[&[5], &[6]]), Ok(())),
    ] {
        assert_eq!(parsed(&list), expected, "{what}");
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let nameless = List::default().signed(&[0x30, 0x00], &key);
    assert_eq!(RevocationList::from_der(&nameless).unwrap_err().kind, Kind::EmptyIssuer);
}

#[test]
fn entries_are_found_with_their_reasons() {
    let reasons = [
        (0, Reason::Unspecified),
        (1, Reason::KeyCompromise),
        (2, Reason::CaCompromise),
        (3, Reason::AffiliationChanged),
        (4, Reason::Superseded),
        (5, Reason::CessationOfOperation),
        (6, Reason::CertificateHold),
        (9, Reason::PrivilegeWithdrawn),
        (10, Reason::AaCompromise),
    ];
    let mut entries: Vec<_> = reasons.iter().map(|(number, _)| entry(&[0x40 | *number], Some(*number))).collect();
    entries.push(entry(&[0x7f], None));
    let der = List { entries, ..List::default() }.by(&Ca::root(ca_params("Site CA", &[1])));
    let list = RevocationList::from_der(&der).unwrap();
    assert_eq!((list.count(), list.number()), (10, Some(&[7][..])));
    for (number, reason) in reasons {
        let found = list.find(&[0x40 | number], &mut Work::new(1000)).unwrap().unwrap();
        assert_eq!((found.reason, found.date), (reason, time("2026-01-01T00:00:00Z")));
        assert_eq!(found.serial.as_bytes(), [0x40 | number]);
    }
    assert_eq!(list.find(&[0x7f], &mut Work::new(1000)).unwrap().unwrap().reason, Reason::Unspecified);
    assert_eq!(list.find(&[0x3f], &mut Work::new(1000)), Ok(None));
}

#[test]
fn an_index_finds_what_a_search_finds_and_costs_little() {
    // Serial numbers of one to three octets, in no order, some of them twice.
    let serials: Vec<Vec<u8>> = (0_u32..3_000)
        .map(|number| {
            let octets = (number.wrapping_mul(2_654_435_761) % 70_000 + 1).to_be_bytes();
            let first = octets.iter().position(|octet| *octet != 0).unwrap();
            let sign = if octets[first] & 0x80 == 0 { &[][..] } else { &[0] };
            [sign, &octets[first..]].concat()
        })
        .collect();
    let slices: Vec<&[u8]> = serials.iter().map(Vec::as_slice).collect();
    let der = List::revoking(&slices).by(&Ca::root(ca_params("Site CA", &[1])));
    let list = RevocationList::from_der(&der).unwrap();
    let mut memory = vec![0; 3_000];
    assert!(list.write_index(&mut memory));
    assert!(!list.write_index(&mut vec![0; 2_999]));
    let indexed = list.with_index(&memory).unwrap();
    for serial in slices.iter().copied().chain([&[0_u8][..], &[1], &[0x7f, 0xff, 0xff], &[]]) {
        let (mut long, mut short) = (Work::new(1_000_000), Work::new(1_000));
        assert_eq!(indexed.find(serial, &mut short).unwrap(), list.find(serial, &mut long).unwrap(), "{serial:02x?}");
    }
    let used = |list: &RevocationList<'_>| {
        let mut work = Work::new(1_000_000);
        list.find(&[0], &mut work).unwrap();
        1_000_000 - work.left()
    };
    println!("an index: {} units, none: {}", used(&indexed), used(&list));
    assert!(used(&indexed) < 200 && used(&list) >= 3_000);
    assert!(list.find(&[0], &mut Work::new(1_000)).is_err(), "the search ends with the budget");

    for wrong in [memory[1..].to_vec(), memory.iter().rev().copied().collect(), vec![memory[0]; 3_000]] {
        assert!(list.with_index(&wrong).is_none());
    }
    let mut beyond = memory.clone();
    beyond[2_999] = u32::MAX;
    assert!(list.with_index(&beyond).is_none());
}

#[test]
fn no_octet_that_is_changed_or_left_out_is_a_panic() {
    let ca = Ca::root(ca_params("Site CA", &[1]));
    let mut list = scope(&[&full_name("http://ca.example/1.crl"), &[0x81, 0x01, 0xff]]);
    list.entries = vec![entry(&[5], Some(1)), entry(&[6], None)];
    list.extensions.push(extension(35, false, &tlv(0x30, &[&tlv(0x80, &[&[1, 2, 3]])])));
    let der = list.by(&ca);
    RevocationList::from_der(&der).unwrap();
    for end in 0..der.len() {
        assert!(RevocationList::from_der(&der[..end]).is_err());
    }
    for at in 0..der.len() {
        for value in [0x00, 0x01, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = der.clone();
            changed[at] = value;
            if let Ok(list) = RevocationList::from_der(&changed) {
                let mut memory = vec![0; list.count() as usize];
                assert!(list.write_index(&mut memory));
                let indexed = list.with_index(&memory);
                let found = indexed.map(|list| list.find(&[6], &mut Work::new(10_000)).unwrap().is_some());
                assert!(found.is_none_or(|found| found == list.find(&[6], &mut Work::new(10_000)).unwrap().is_some()));
            }
        }
    }
}

#[test]
fn deep_der_is_not_followed() {
    let mut deep = vec![0x05, 0x00];
    for _ in 0..20_000 {
        deep = tlv(0x30, &[&deep]);
    }
    let list = List::with(extension(99, false, &deep));
    assert_eq!(parsed(&list), Ok(()), "nobody reads what is not known");
    assert!(RevocationList::from_der(&deep).is_err());
    assert!(parsed(&scope(&[&deep])).is_err());
    assert!(parsed(&List { entries: vec![deep], ..List::default() }).is_err());
}
