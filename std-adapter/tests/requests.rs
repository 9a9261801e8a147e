//! Tests certification requests and bags of certificates against openssl.

use std::path::Path;
use std::process::Command;

use edgetrust::core::request::{CertificationRequest, NewRequest, RequestError, certs_only, write_certs_only};
use edgetrust::core::x509::Certificate;
use edgetrust::pem;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, SigningKey};

fn openssl(folder: &Path, arguments: &str) -> String {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
    format!("{}{said}", String::from_utf8_lossy(&output.stdout))
}

fn verify(request: &CertificationRequest<'_>) -> Result<(), RequestError> {
    request.verify(edgetrust::tls::provider().signature_verification_algorithms.all)
}

#[test]
fn requests_that_openssl_makes_are_read_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let names = "-addext subjectAltName=DNS:sensor-7.a.example,IP:192.0.2.7";
    openssl(
        folder.path(),
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout factory.key -out factory.crt -days 30 -subj /O=Mesh/CN=sensor-7 {names}"
        ),
    );
    let current = pem::read_certificates(&folder.path().join("factory.crt")).unwrap();
    let current = Certificate::from_der(&current[0]).unwrap();
    for key in ["ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384", "rsa:2048", "ed25519"] {
        openssl(
            folder.path(),
            &format!(
                "req -new -newkey {key} -noenc -keyout new.key -outform DER -out new.csr -subj /O=Mesh/CN=sensor-7 {names} -addext keyUsage=digitalSignature"
            ),
        );
        let der = std::fs::read(folder.path().join("new.csr")).unwrap();
        let request = CertificationRequest::from_der(&der).unwrap();
        verify(&request).unwrap_or_else(|error| panic!("{key}: {error}"));
        request.may_replace(&current).unwrap();
        assert_eq!(request.subject().to_string(), "O=Mesh,CN=sensor-7");
        // With one octet of the names changed, the signature no longer fits.
        let mut changed = der.clone();
        let place = changed.windows(8).position(|octets| octets == b"sensor-7").unwrap();
        changed[place] = b't';
        let changed = CertificationRequest::from_der(&changed).unwrap();
        assert_eq!(verify(&changed), Err(RequestError::BadSignature), "{key}");
        assert_eq!(changed.may_replace(&current), Err(RequestError::Subject));
    }
}

#[test]
fn openssl_reads_what_a_device_writes() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["sensor-7.a.example".into(), "2001:db8::7".into()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "sensor-7");
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let current = Certificate::from_der(certificate.der()).unwrap();
    let mut out = [0; 1024];
    let sign = |info: &[u8]| Some(key.sign(info).unwrap().into_iter().collect());
    let request = NewRequest::like(&current, key.der_bytes()).write(&mut out, sign).unwrap();
    std::fs::write(folder.path().join("request.der"), request).unwrap();
    let said = openssl(folder.path(), "req -verify -inform DER -in request.der -noout -text");
    for text in ["verify OK", "CN=sensor-7", "DNS:sensor-7.a.example, IP Address:2001:DB8:0:0:0:0:0:7", "prime256v1"] {
        assert!(said.replace(" = ", "=").contains(text), "{text}: {said}");
    }
    let mut out = [0; 2048];
    let bag = write_certs_only(&[certificate.der(), certificate.der()], &mut out).unwrap();
    std::fs::write(folder.path().join("bag.der"), bag).unwrap();
    let said = openssl(folder.path(), "pkcs7 -print_certs -inform DER -in bag.der");
    assert_eq!(said.matches("BEGIN CERTIFICATE").count(), 2, "{said}");
}

#[test]
fn bags_that_openssl_makes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        openssl(
            folder.path(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout {name}.key -out {name}.crt -days 30 -subj /CN={name}"
            ),
        );
    }
    openssl(folder.path(), "crl2pkcs7 -nocrl -certfile a.crt -certfile b.crt -outform DER -out bag.der");
    let bag = std::fs::read(folder.path().join("bag.der")).unwrap();
    let subjects: Vec<String> = certs_only(&bag)
        .unwrap()
        .map(|certificate| Certificate::from_der(certificate).unwrap().subject().to_string())
        .collect();
    assert_eq!(subjects, ["CN=a", "CN=b"]);
    // With a signer it is a message and not a bag.
    std::fs::write(folder.path().join("text"), "x").unwrap();
    openssl(folder.path(), "cms -sign -in text -signer a.crt -inkey a.key -nodetach -outform DER -out signed.der");
    let signed = std::fs::read(folder.path().join("signed.der")).unwrap();
    assert!(certs_only(&signed).is_err());
}
