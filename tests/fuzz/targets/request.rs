//! Parses any octets as a certification request and as a bag of certificates; a parsed request can be written again.

#![no_main]

use edgetrust_core::request::{CertificationRequest, certs_only, write_certs_only};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    match CertificationRequest::from_der(octets) {
        Ok(request) => {
            assert_eq!(request.der(), octets);
            assert!(request.verify(&[]).is_err());
            let _ = request.subject().to_string();
            assert!(request.requested_extensions().count() <= octets.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(bag) = certs_only(octets) {
        let certificates: Vec<&[u8]> = bag.collect();
        let mut out = vec![0; octets.len() + 64];
        let again = write_certs_only(&certificates, &mut out).expect("what was read is written");
        assert!(certs_only(again).expect("what was written is read").eq(certificates));
    }
});
