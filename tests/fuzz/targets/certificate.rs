//! Parses any octets as a certificate: all parts lie in the input, and can be displayed and iterated.

#![no_main]

use edgetrust_core::x509::Certificate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let certificate = match Certificate::from_der(octets) {
        Ok(certificate) => certificate,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(certificate.der(), octets);
    assert!(certificate.tbs().len() < octets.len());
    let _ = format!("{} {}", certificate.subject(), certificate.issuer());
    assert!(certificate.subject().matches(&certificate.subject()));
    let extensions = certificate.extensions();
    for name in extensions.subject_alt_name.into_iter().flatten() {
        let _ = format!("{name:?}");
    }
    if let Some(constraints) = extensions.name_constraints {
        assert!(constraints.permitted.into_iter().chain(constraints.excluded).count() <= octets.len());
    }
});
