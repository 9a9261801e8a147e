//! Tests a device's configuration in octets: what is written is read again, and nothing else is.

use edgetrust_core::config::{
    DEVICE_OCTETS_VERSION, Device, Enroll, Files, FirstCredential, OctetsError, Remote, VoucherFile,
};
use edgetrust_core::path::DeniedKey;
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::x509::KeyHash;
use proptest::prelude::*;
use std::time::Duration;

fn little() -> Device<'static> {
    Device {
        ca_files: heapless::Vec::from_slice(&["root.pem"]).unwrap(),
        credential: FirstCredential::Files(Files { cert_file: "device.pem", key_file: "device.key" }),
        gateway: Remote { host: "gateway.a.example", port: 8443 },
        server_name: "gateway.a.example",
        server_issuers: heapless::Vec::new(),
        denied_keys: heapless::Vec::new(),
        websocket: Some("/telemetry"),
        report: None,
        interval_ms: 10_000,
        enroll: None,
        renew_before_s: 8 * 3600,
        ntp: "gateway.a.example",
    }
}

const EST: Enroll<'static> = Enroll { server: Remote { host: "2001:db8::1", port: 1 }, server_name: "est.a.example" };

fn everything() -> Device<'static> {
    let until = Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)));
    Device {
        ca_files: heapless::Vec::from_slice(&["root.pem"; 16]).unwrap(),
        server_issuers: heapless::Vec::from_slice(&["location.pem"; 4]).unwrap(),
        denied_keys: heapless::Vec::from_slice(&[DeniedKey { key: KeyHash::new([7; 32]), until }; 8]).unwrap(),
        report: Some("/report?größe=1"),
        enroll: Some(EST),
        credential: FirstCredential::Voucher(VoucherFile { file: "sensor-7.voucher", enroll: EST }),
        ..little()
    }
}

fn octets(device: &Device<'_>) -> Vec<u8> {
    let mut room = [0; 2048];
    let length = device.to_octets(&mut room).unwrap();
    room[..length].to_vec()
}

#[test]
fn what_is_written_is_read() {
    for device in [little(), everything()] {
        assert_eq!(Device::from_octets(&octets(&device)).unwrap(), device);
        let length = octets(&device).len();
        let mut room = [0; 2048];
        assert_eq!(device.to_octets(&mut room[..length]), Some(length));
        for short in 0..length {
            assert_eq!(device.to_octets(&mut room[..short]), None, "{short}");
        }
    }
}

/// Another version has other octets, and the other way round: firmware tells images apart by the version alone.
#[test]
fn the_version_is_of_these_octets() {
    let mut expected = b"EDGECONF\x02\0\0\0\0\0\0\0".to_vec();
    expected.extend(b"\x01\0\x08\0root.pem\0\x0a\0device.pem\x0a\0device.key");
    expected.extend(b"\x11\0gateway.a.example\xfb\x20\x11\0gateway.a.example");
    expected.extend(b"\0\0\0\0\x01\x0a\0/telemetry\0\x10\x27\0\0\0\x80\x70\0\0\x11\0gateway.a.example");
    let length = u8::try_from(expected.len() - 16).unwrap();
    expected[12] = length;
    assert_eq!(octets(&little()), expected, "then DEVICE_OCTETS_VERSION must change");
    assert_eq!(DEVICE_OCTETS_VERSION, 2, "then this test must change");
}

#[test]
fn what_does_not_fit_is_refused() {
    let whole = octets(&everything());
    for end in 0..whole.len() {
        let error = Device::from_octets(&whole[..end]).unwrap_err();
        let expected = if end < 8 { OctetsError::Magic } else { OctetsError::Length };
        assert_eq!(error, expected, "{end}");
        // The same with a header that says so.
        if let Some(length) = end.checked_sub(16) {
            let mut cut = whole[..end].to_vec();
            cut[12..16].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            assert!(matches!(Device::from_octets(&cut), Err(OctetsError::Field(_))), "{end}");
        }
    }
    let refused = |place: usize, octet: u8| {
        let mut octets = octets(&little());
        octets[place] = octet;
        Device::from_octets(&octets).unwrap_err()
    };
    assert_eq!(refused(0, b'e'), OctetsError::Magic);
    assert_eq!(refused(8, 1), OctetsError::Version(1));
    assert_eq!(refused(12, 0), OctetsError::Length);
    // A list longer than a device has room for, a text that is not UTF-8, an option that is neither there nor away.
    assert_eq!(refused(16, 17), OctetsError::Field("ca_files"));
    assert_eq!(refused(20, 0xff), OctetsError::Field("ca_files"));
    let websocket = octets(&little()).windows(3).position(|three| three == b"\x01\x0a\0").unwrap();
    assert_eq!(refused(websocket, 2), OctetsError::Field("websocket"));
    // Neither files nor a voucher.
    let credential = octets(&little()).windows(3).position(|three| three == b"\0\x0a\0").unwrap();
    assert_eq!(refused(credential, 2), OctetsError::Field("credential"));
    let mut more = octets(&little());
    more.push(0);
    assert_eq!(Device::from_octets(&more).unwrap_err(), OctetsError::Length);
    more[12] += 1;
    assert_eq!(Device::from_octets(&more).unwrap_err(), OctetsError::Length);
}

proptest! {
    /// Whatever is read is what was written, or nothing: no two texts of octets are one configuration.
    #[test]
    fn hostile_octets_are_harmless(places in prop::collection::vec((16_usize..600, any::<u8>()), 1..4)) {
        let mut octets = octets(&everything());
        for (place, octet) in places {
            if let Some(to) = octets.get_mut(place) {
                *to = octet;
            }
        }
        if let Ok(device) = Device::from_octets(&octets) {
            let mut room = [0; 2048];
            let length = device.to_octets(&mut room).unwrap();
            prop_assert_eq!(&room[..length], &octets[..]);
        }
    }
}
