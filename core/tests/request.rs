//! Tests certification requests (written, parsed, judged) and the bag of certificates that answers them.

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::request::{
    CertificationRequest, MAX_ALTERNATIVE_NAMES, MAX_COMMON_NAME, NewRequest, OneName, RequestError, certs_only,
    write_certs_only,
};
use edgetrust_core::x509::{Certificate, ParseErrorKind};
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, SigningKey,
};

fn subject(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Mesh");
    name.push(DnType::CommonName, common_name);
    name
}

fn sensor(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = subject("sensor-7");
    params
}

fn certificate(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn request(params: &CertificateParams) -> Vec<u8> {
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn sign(key: &KeyPair) -> impl FnOnce(&[u8]) -> Option<heapless::Vec<u8, 72>> + '_ {
    |info| heapless::Vec::from_slice(&key.sign(info).ok()?).ok()
}

fn written(request: &NewRequest<'_>, key: &KeyPair) -> Result<Vec<u8>, RequestError> {
    request.write(&mut [0; 1024], sign(key)).map(<[u8]>::to_vec)
}

#[test]
fn what_a_device_writes_is_read_verified_and_may_replace() {
    let key = KeyPair::generate().unwrap();
    let mut nothing = sensor(&["sensor-7.a.example"]);
    nothing.distinguished_name = DistinguishedName::new();
    for params in [sensor(&["sensor-7.a.example", "192.0.2.7"]), sensor(&[]), nothing] {
        let der = certificate(&params);
        let current = Certificate::from_der(&der).unwrap();
        let request = written(&NewRequest::like(&current, key.der_bytes()), &key).unwrap();
        let request = CertificationRequest::from_der(&request).unwrap();
        request.verify(&[ECDSA_P256_SHA256]).unwrap();
        request.may_replace(&current).unwrap();
        assert_eq!(request.subject(), current.subject());
        assert_eq!(request.subject_public_key_info().public_key, key.der_bytes());
        let names = |names: Option<edgetrust_core::x509::GeneralNames<'_>>| {
            names.into_iter().flatten().map(|name| format!("{name:?}")).collect::<Vec<_>>()
        };
        assert_eq!(names(request.extensions().subject_alt_name), names(current.extensions().subject_alt_name));
        assert_eq!(
            request.extensions().subject_alt_name_critical,
            current.subject().is_empty(),
            "RFC 5280 section 4.2.1.6"
        );
        // Another's key is no proof.
        let other = KeyPair::generate().unwrap();
        let forged = written(&NewRequest::like(&current, key.der_bytes()), &other).unwrap();
        let forged = CertificationRequest::from_der(&forged).unwrap();
        assert_eq!(forged.verify(&[ECDSA_P256_SHA256]), Err(RequestError::BadSignature));
        assert_eq!(forged.verify(&[]), Err(RequestError::UnsupportedAlgorithm));
    }
}

#[test]
fn a_request_is_written_whole_or_not_at_all() {
    let key = KeyPair::generate().unwrap();
    let der = certificate(&sensor(&["sensor-7.a.example"]));
    let current = Certificate::from_der(&der).unwrap();
    let like = NewRequest::like(&current, key.der_bytes());
    let mut whole = 0;
    for space in 0..600 {
        match like.write(&mut vec![0; space], sign(&key)) {
            Ok(request) => {
                CertificationRequest::from_der(request).unwrap().verify(&[ECDSA_P256_SHA256]).unwrap();
                whole += 1;
            }
            Err(error) => assert_eq!((error, whole), (RequestError::Space, 0), "{space}"),
        }
    }
    let subject_and_names = like.subject.len() + like.subject_alt_name.unwrap().len();
    assert!(whole > 600 - 256 - subject_and_names, "{whole}");
    assert_eq!(like.write(&mut [0; 1024], |_| None), Err(RequestError::NotSigned));
    for (bad, why) in [
        (NewRequest { public_key: &key.der_bytes()[1..], ..like }, "P-256"),
        (NewRequest { public_key: &[0x02; 65], ..like }, "P-256"),
        (NewRequest { subject: &[0x30, 0x01], ..like }, "at byte 0: malformed distinguished name"),
        (NewRequest { subject: &[0x30, 0x00, 0x00], ..like }, "at byte 2: data follows"),
        (
            NewRequest { subject_alt_name: Some(&[0x82, 0x01, b'a']), ..like },
            "at byte 0: malformed subject alternative",
        ),
    ] {
        let said = written(&bad, &key).unwrap_err().to_string();
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn requests_that_may_not_replace() {
    let current = certificate(&sensor(&["sensor-7.a.example", "192.0.2.7"]));
    let current = Certificate::from_der(&current).unwrap();
    let good = || sensor(&["sensor-7.a.example", "192.0.2.7"]);
    let names = |names: &[&str]| sensor(names);
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = good();
        change(&mut params);
        params
    };
    for (params, expected) in [
        (good(), Ok(())),
        // In another order and another case the names are the same.
        (names(&["192.0.2.7", "SENSOR-7.a.example"]), Ok(())),
        (
            with(|params| {
                params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            Ok(()),
        ),
        (with(|params| params.distinguished_name = subject("sensor-8")), Err(RequestError::Subject)),
        (with(|params| params.distinguished_name = DistinguishedName::new()), Err(RequestError::Subject)),
        (names(&[]), Err(RequestError::NoAlternativeNames)),
        (names(&["sensor-7.a.example"]), Err(RequestError::NameMissing(2))),
        (names(&["sensor-7.a.example", "192.0.2.8"]), Err(RequestError::NameAdded(2))),
        (names(&["sensor-7.a.example", "192.0.2.7", "gateway.a.example"]), Err(RequestError::NameAdded(3))),
        (
            with(|params| {
                params.subject_alt_names[0] = SanType::URI("sensor-7.a.example".try_into().unwrap());
            }),
            Err(RequestError::NameAdded(1)),
        ),
        (
            with(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Err(RequestError::CertificateAuthority),
        ),
        (
            with(|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]),
            Err(RequestError::CertificateAuthority),
        ),
        (
            with(|params| {
                let policies = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 32], vec![0x30, 0x00]);
                params.custom_extensions = vec![policies];
            }),
            Err(RequestError::Extension(2)),
        ),
        (with(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]), Err(RequestError::Purpose(1))),
        (
            with(|params| {
                params.extended_key_usages =
                    vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::CodeSigning];
            }),
            Err(RequestError::Purpose(2)),
        ),
    ] {
        let der = request(&params);
        let request = CertificationRequest::from_der(&der).unwrap();
        request.verify(&[ECDSA_P256_SHA256]).unwrap();
        let outcome = request.may_replace(&current);
        assert_eq!(outcome, expected, "{params:?}");
        if let Err(error) = outcome {
            assert!(error.to_string().len() > 20, "{error:?}");
        }
    }
    let none = certificate(&sensor(&[]));
    let der = request(&good());
    let outcome = CertificationRequest::from_der(&der).unwrap().may_replace(&Certificate::from_der(&none).unwrap());
    assert_eq!(outcome, Err(RequestError::UnwantedAlternativeNames));
}

#[test]
fn a_first_request_is_for_one_name_and_nothing_else() {
    let name = OneName::new("sensor-7.a.example").unwrap();
    let key = KeyPair::generate().unwrap();
    let (subject_der, names) = (name.subject(), name.subject_alt_name());
    let new = NewRequest { subject: subject_der, subject_alt_name: Some(names), public_key: key.der_bytes() };
    let der = written(&new, &key).unwrap();
    let request_of_a_device = CertificationRequest::from_der(&der).unwrap();
    request_of_a_device.verify(&[ECDSA_P256_SHA256]).unwrap();
    request_of_a_device.is_for(&name).unwrap();
    assert_eq!(request_of_a_device.is_for(&OneName::new("sensor-8.a.example").unwrap()), Err(RequestError::Subject));

    let common = |text: &str| {
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, text);
        name
    };
    let good = || {
        let mut params = sensor(&["Sensor-7.A.example"]);
        params.distinguished_name = common("SENSOR-7.a.example");
        params
    };
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = good();
        change(&mut params);
        params
    };
    for (params, expected) in [
        (good(), Ok(())),
        (with(&|params| params.distinguished_name = DistinguishedName::new()), Ok(())),
        (with(&|params| params.distinguished_name = common("gateway.a.example")), Err(RequestError::Subject)),
        // The organization of another one.
        (with(&|params| params.distinguished_name = subject("sensor-7.a.example")), Err(RequestError::Subject)),
        (with(&|params| params.subject_alt_names.clear()), Err(RequestError::NoAlternativeNames)),
        (
            with(&|params| params.subject_alt_names = sensor(&["gateway.a.example"]).subject_alt_names),
            Err(RequestError::NameAdded(1)),
        ),
        (
            with(&|params| {
                params.subject_alt_names = sensor(&["sensor-7.a.example", "gateway.a.example"]).subject_alt_names;
            }),
            Err(RequestError::NameAdded(2)),
        ),
        (
            with(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            Err(RequestError::CertificateAuthority),
        ),
        (with(&|params| params.custom_extensions = vec![private(1, &[0x05, 0x00])]), Err(RequestError::Extension(2))),
        (
            with(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning]),
            Err(RequestError::Purpose(1)),
        ),
    ] {
        let der = request(&params);
        assert_eq!(CertificationRequest::from_der(&der).unwrap().is_for(&name), expected, "{params:?}");
    }
    // The longest name has lengths of one octet still.
    let longest = "a".repeat(MAX_COMMON_NAME);
    let name = OneName::new(&longest).unwrap();
    let mut params = sensor(&[&longest]);
    params.distinguished_name = common(&longest);
    CertificationRequest::from_der(&request(&params)).unwrap().is_for(&name).unwrap();
    for none in ["", "sensor-\u{e4}", &"a".repeat(MAX_COMMON_NAME + 1)] {
        assert_eq!(OneName::new(none), None, "{none}");
    }
}

/// Encodes an extension with an object identifier below 1.3.6.1.4.1.55555.
fn private(last: u64, value: &[u8]) -> rcgen::CustomExtension {
    rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, last], value.to_vec())
}

#[test]
fn what_clients_add_to_a_renewal_is_accepted() {
    let good = || sensor(&["sensor-7.a.example"]);
    let key_identifier = || rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 14], vec![0x04, 0x02, 7, 7]);
    let authority = || rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 35], vec![0x30, 0x04, 0x80, 0x02, 8, 8]);
    let mut had = good();
    had.custom_extensions = vec![private(1, &[0x05, 0x00])];
    had.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::EmailProtection];
    let current = certificate(&had);
    let current = Certificate::from_der(&current).unwrap();
    let all = rcgen::CustomExtension::from_oid_content;
    type Change<'a> = &'a dyn Fn(&mut CertificateParams);
    let changes: &[(&str, Change<'_>)] = &[
        ("cA FALSE", &|params| params.is_ca = IsCa::ExplicitNoCa),
        ("a subject key identifier", &|params| params.custom_extensions = vec![key_identifier()]),
        ("the authority key identifier, as libest copies it", &|params| params.custom_extensions = vec![authority()]),
        ("an empty authority key identifier", &|params| {
            params.custom_extensions = vec![all(&[2, 5, 29, 35], vec![0x30, 0x00])];
        }),
        ("key usages of a leaf", &|params| {
            params.key_usages = vec![
                KeyUsagePurpose::DigitalSignature,
                KeyUsagePurpose::ContentCommitment,
                KeyUsagePurpose::KeyEncipherment,
                KeyUsagePurpose::DataEncipherment,
                KeyUsagePurpose::KeyAgreement,
            ];
        }),
        ("both purposes of TLS", &|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        }),
        ("a purpose that the certificate has", &|params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        }),
        ("an extension of nobody else that the certificate has", &|params| {
            params.custom_extensions = vec![private(1, &[0x05, 0x00])];
        }),
        ("all of it", &|params| {
            params.is_ca = IsCa::ExplicitNoCa;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            params.custom_extensions = vec![key_identifier(), authority(), private(1, &[0x05, 0x00])];
        }),
    ];
    for (what, change) in changes {
        let mut params = good();
        change(&mut params);
        let der = request(&params);
        let request = CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.may_replace(&current), Ok(()), "{what}");
    }
}

#[test]
fn an_extension_that_the_certificate_has_otherwise_or_not_at_all_is_refused() {
    let mut had = sensor(&["sensor-7.a.example"]);
    had.custom_extensions = vec![private(1, &[0x05, 0x00])];
    let current = certificate(&had);
    let current = Certificate::from_der(&current).unwrap();
    let mut critical = private(1, &[0x05, 0x00]);
    critical.set_criticality(true);
    for other in [private(1, &[0x04, 0x00]), private(2, &[0x05, 0x00]), critical] {
        let mut params = sensor(&["sensor-7.a.example"]);
        params.custom_extensions = vec![other];
        let der = request(&params);
        let request = CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.may_replace(&current), Err(RequestError::Extension(2)), "{params:?}");
    }
}

#[test]
fn the_work_of_comparing_names_is_bounded() {
    let many: Vec<String> = (0..=MAX_ALTERNATIVE_NAMES).map(|number| format!("s{number}.a.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (count, expected) in [(64, Ok(())), (65, Err(RequestError::TooManyAlternativeNames))] {
        let (current, der) = (certificate(&sensor(&many[..count])), request(&sensor(&many[..count])));
        let request = CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.may_replace(&Certificate::from_der(&current).unwrap()), expected);
    }
}

#[test]
fn directory_names_in_unlike_order_are_work_too() {
    // One RDN of eight attributes each, told apart by their ends.
    let name = |number: usize, turn: usize| {
        let attributes = (0..8).map(|place| {
            let text = format!("sensor {number} {}", (place + turn) % 8);
            der(0x30, &[&[0x06, 0x03, 0x55, 0x04, 0x03], &der(0x0c, &[text.as_bytes()])])
        });
        der(0xa4, &[&der(0x30, &[&der(0x31, &[&attributes.collect::<Vec<_>>().concat()])])])
    };
    let with = |count: usize, turn: usize| {
        let names: Vec<Vec<u8>> = (0..count).map(|number| name(number, turn)).collect();
        let mut params = sensor(&[]);
        let san = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &[&names.concat()]));
        params.custom_extensions = vec![san];
        params
    };
    for (count, expected) in [(4, Ok(())), (64, Err(RequestError::Work))] {
        let (current, der) = (certificate(&with(count, 0)), request(&with(count, 3)));
        let request = CertificationRequest::from_der(&der).unwrap();
        assert_eq!(request.may_replace(&Certificate::from_der(&current).unwrap()), expected, "{count}");
    }
}

/// Encodes one tag-length-value.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    match contents.len() {
        short @ 0..=0x7f => [&[tag, u8::try_from(short).unwrap()][..], &contents].concat(),
        long @ ..0x100 => [&[tag, 0x81, u8::try_from(long).unwrap()][..], &contents].concat(),
        long => [&[tag, 0x82][..], &u16::try_from(long).unwrap().to_be_bytes(), &contents].concat(),
    }
}

#[test]
fn only_der_of_a_request_is_read() {
    let version: &[u8] = &[0x02, 0x01, 0x00];
    let key = der(0x30, &[&der(0x30, &[&[0x06, 0x01, 0x2a]]), &[0x03, 0x02, 0x00, 0x04]]);
    let algorithm = der(0x30, &[&[0x06, 0x01, 0x2a]]);
    let build = |version: &[u8], attributes: &[u8], after: &[u8]| {
        let info = der(0x30, &[version, &[0x30, 0x00], &key, attributes]);
        [der(0x30, &[&info, &algorithm, &[0x03, 0x02, 0x00, 0x01]]), after.to_vec()].concat()
    };
    let request = |attributes: &[&[u8]]| build(version, &der(0xa0, attributes), &[]);
    let extensions =
        der(0x30, &[&der(0x30, &[&[0x06, 0x03, 0x55, 0x1d, 0x25], &[0x04, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2a]])]);
    let wanted = |values: &[&[u8]]| {
        let oid = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
        der(0x30, &[&oid, &der(0x31, values)])
    };
    // challengePassword (RFC 2985 section 5.4.1)
    let other = der(
        0x30,
        &[&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07], &[0x31, 0x03, 0x0c, 0x01, b'x']],
    );
    for (der, expected) in [
        (request(&[]), None),
        (request(&[&other]), None),
        (request(&[&other, &wanted(&[&extensions])]), None),
        (request(&[&wanted(&[&extensions]), &wanted(&[&extensions])]), Some(ParseErrorKind::RequestAttribute)),
        (request(&[&other, &other]), Some(ParseErrorKind::RequestAttribute)),
        (request(&[&wanted(&[])]), Some(ParseErrorKind::RequestAttribute)),
        (request(&[&wanted(&[&extensions, &extensions])]), Some(ParseErrorKind::TrailingData)),
        (request(&[&wanted(&[&[0x0c, 0x00]])]), Some(ParseErrorKind::Der)),
        (build(&[0x02, 0x01, 0x01], &[0xa0, 0x00], &[]), Some(ParseErrorKind::RequestVersion)),
        (build(&[0x02, 0x02, 0x00, 0x00], &[0xa0, 0x00], &[]), Some(ParseErrorKind::RequestVersion)),
        (build(version, &[], &[]), Some(ParseErrorKind::Der)),
        (build(version, &[0xa0, 0x00, 0xa1, 0x00], &[]), Some(ParseErrorKind::TrailingData)),
        (build(version, &[0xa0, 0x00], &[0x00]), Some(ParseErrorKind::TrailingData)),
        (vec![], Some(ParseErrorKind::Der)),
    ] {
        let outcome = CertificationRequest::from_der(&der).map(|_| ()).map_err(|error| error.kind);
        assert_eq!(outcome.err(), expected, "{der:02x?}");
    }
}

#[test]
fn a_bag_of_certificates_comes_back() {
    let certificates = [certificate(&sensor(&["a.example"])), certificate(&sensor(&[])), vec![0x30, 0x00]];
    let slices: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    for count in 0..=3 {
        let mut out = [0; 4096];
        let bag = write_certs_only(&slices[..count], &mut out).unwrap();
        assert_eq!(certs_only(bag).unwrap().collect::<Vec<_>>(), slices[..count]);
        let beside = bag.len() - slices[..count].concat().len();
        assert!(beside <= 64, "{beside}");
        let (space, whole) = (bag.len(), bag.to_vec());
        assert_eq!(write_certs_only(&slices[..count], &mut vec![0; space - 1]), Err(RequestError::Space));
        assert_eq!(write_certs_only(&slices[..count], &mut vec![0; space]), Ok(&whole[..]));
    }
    for not_one in [&[0x31, 0x00][..], &[0x30, 0x00, 0x00], &[0x30, 0x01], &[]] {
        assert!(matches!(write_certs_only(&[not_one], &mut [0; 99]), Err(RequestError::Malformed(_))), "{not_one:?}");
    }
}

#[test]
fn a_bag_has_certificates_and_nothing_else() {
    let oid = |last: u8| [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, last];
    let build = |id: u8, content: &[u8], certificates: &[u8], signers: &[u8]| {
        let (version, digests) = ([0x02, 0x01, 0x01], [0x31, 0x00]);
        let data = der(0x30, &[&version, &digests, &der(0x30, &[&oid(1), content]), certificates, signers]);
        der(0x30, &[&oid(id), &der(0xa0, &[&data])])
    };
    let (none, one) = (&[0x31, 0x00][..], &[0xa0, 0x02, 0x30, 0x00][..]);
    let lists = [one, &[0xa1, 0x02, 0x30, 0x00]].concat();
    for (bag, expected) in [
        (build(2, &[], one, none), None),
        (build(2, &[], &lists, none), None),
        (build(2, &[], &[0xa0, 0x00], none), None),
        (build(1, &[], one, none), Some(ParseErrorKind::CertsOnly)),
        (build(2, &[0xa0, 0x02, 0x04, 0x00], one, none), Some(ParseErrorKind::CertsOnly)),
        (build(2, &[], &[], none), Some(ParseErrorKind::CertsOnly)),
        (build(2, &[], one, &[0x31, 0x02, 0x30, 0x00]), Some(ParseErrorKind::CertsOnly)),
        // An attribute certificate (RFC 5652 section 10.2.2)
        (build(2, &[], &[0xa0, 0x04, 0x30, 0x00, 0xa2, 0x00], none), Some(ParseErrorKind::CertsOnly)),
        ([build(2, &[], one, none), vec![0]].concat(), Some(ParseErrorKind::TrailingData)),
    ] {
        assert_eq!(certs_only(&bag).map(|_| ()).map_err(|error| error.kind).err(), expected, "{bag:02x?}");
    }
}

proptest! {
    /// Any octets, and valid ones with some octets changed, are parsed or refused without a panic.
    #[test]
    fn no_octets_panic(edits in prop::collection::vec((0_usize..700, any::<u8>()), 0..6), cut in 0_usize..1400) {
        let key = KeyPair::generate().unwrap();
        let current = certificate(&sensor(&["sensor-7.a.example"]));
        let current = Certificate::from_der(&current).unwrap();
        let mut request = written(&NewRequest::like(&current, key.der_bytes()), &key).unwrap();
        let mut bag = write_certs_only(&[current.der()], &mut [0; 1024]).unwrap().to_vec();
        for octets in [&mut request, &mut bag] {
            for (at, octet) in &edits {
                if let Some(place) = octets.get_mut(*at) {
                    *place = *octet;
                }
            }
            octets.truncate(cut);
        }
        if let Ok(request) = CertificationRequest::from_der(&request) {
            let _ = request.verify(&[ECDSA_P256_SHA256]).map_err(|error| error.to_string());
            let _ = request.may_replace(&current).map_err(|error| error.to_string());
            prop_assert!(request.requested_extensions().count() <= 64);
            prop_assert!(request.extensions().subject_alt_name.into_iter().flatten().count() <= request.der().len());
        }
        if let Ok(certificates) = certs_only(&bag) {
            prop_assert!(certificates.map(<[u8]>::len).sum::<usize>() < bag.len());
        }
    }
}
