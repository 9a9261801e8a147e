use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair};

fn certificate(name: &str) -> (CertificateDer<'static>, String) {
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&KeyPair::generate().unwrap());
    let certificate = certificate.unwrap();
    (certificate.der().clone(), certificate.pem().replace("\r\n", "\n"))
}

fn said(kind: PemErrorKind) -> String {
    kind.to_string()
}

#[test]
fn every_certificate_counts() {
    let ((one, first), (two, second)) = (certificate("one.example"), certificate("two.example"));
    let both = [one.clone(), two.clone()];
    let indented = |text: &str| text.lines().map(|line| format!("  \t{line}  \n")).collect::<String>();
    let old = |text: &str| text.replace(" CERTIFICATE", " X509 CERTIFICATE");
    let one_line = |text: &str| {
        let body: String = text.lines().filter(|line| !line.contains("-----")).collect();
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    for text in [
        format!("{first}{second}"),
        format!("{}{second}", first.trim_end()),
        format!("{} {second}", first.trim_end()),
        format!("{first}{}", second.trim_end()),
        format!("\u{feff}{first}\u{feff}{second}"),
        format!("{first}{second}").replace('\n', "\r\n"),
        format!("{first}{second}").replace('\n', "\r"),
        format!("{first}{second}").replace('\n', "\n\n"),
        format!("{}{}", indented(&first), indented(&second)),
        format!("{}{}", one_line(&first), old(&second)),
        format!(
            "Certificate:\n    Data:\n        Version: 3 (0x2)\n        Not Before: now\n{first}\n# two\n=====\n{second}the end\n"
        ),
        format!("{first}{}{second}", KeyPair::generate().unwrap().serialize_pem()),
    ] {
        assert_eq!(certificates(text.as_bytes()).map_err(said), Ok(both.to_vec()), "{text}");
    }
}

#[test]
fn a_certificate_that_does_not_count_is_an_error_with_its_line() {
    let (_, first) = certificate("one.example");
    let (_, second) = certificate("two.example");
    // The line on which the second block begins.
    let at = first.lines().count() + 1;
    let body: Vec<&str> = second.lines().filter(|line| !line.contains("-----")).collect();
    let wide: Vec<u8> = second.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let end = at + body.len() + 1;
    for (second, line, reason) in [
        (
            second.replace("BEGIN CERT", "BEGIN TRUSTED CERT").replace("END CERT", "END TRUSTED CERT"),
            at,
            "found TRUSTED CERTIFICATE",
        ),
        (second.to_lowercase(), at, "malformed BEGIN or END line"),
        (second.replace("-----", "----"), at, "malformed BEGIN or END line"),
        (second.replace("-----", "—"), at, "malformed BEGIN or END line"),
        (format!("# {second}"), at, "found other text beside BEGIN or END"),
        (format!("> {}", second.replace('\n', "\n> ")), at, "found other text beside BEGIN or END"),
        (second.replacen('\n', "", 1), at, "found other text beside BEGIN or END"),
        (second.replace("\n-----END", "-----END"), end - 1, "found other text beside BEGIN or END"),
        (format!("{}.", second.trim_end()), end, "found other text beside BEGIN or END"),
        (second.replace('\n', ""), at, "no line breaks"),
        (second.replace('\n', " "), at, "no line breaks"),
        (second.replace('\n', "\\n"), at, "line breaks are written as \\n"),
        (format!("\"{}\"", second.replace('\n', "\\r\\n")), at, "line breaks are written as \\n"),
        (second.replace("-----END CERTIFICATE-----\n", ""), at, "BEGIN without END"),
        (second.replace("-----END CERTIFICATE-----\n", &first), at, "BEGIN without END"),
        (second.replace("-----BEGIN CERTIFICATE-----\n", ""), at, "base64 outside of a block"),
        (format!("{}\n", body.join("\n")), at, "base64 outside of a block"),
        (second.replace("END CERT", "END X509 CERT"), end, "END has another label than BEGIN"),
        (
            second.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE-----\nsubject=two"),
            at + 1,
            "a character that is not base64",
        ),
        (second.replace("BEGIN CERTIFICATE-----", "BEGIN CERTIFICATE-----\nName: two"), at + 1, "found a header"),
        (second.replacen(body[1], "", 1), at, "the block is truncated"),
        (second.replacen(body[1], &body[1][..3], 1), at, "truncated"),
        (second.replace("CERTIFICATE", "PKCS7"), at, "found PKCS7, which is not processed here"),
        (second.replace("CERTIFICATE", "X509 CRL"), at, "found X509 CRL, which is not processed here"),
        (second.replace("CERTIFICATE", "MIIBSECRET"), at, "found a label of another kind"),
        (second.replacen(body[0], &format!("AAAA{}", body[0]), 1), at, "certificate 2: at byte 0: "),
    ] {
        let refused = certificates(format!("{first}{second}").as_bytes()).map_err(said);
        let expected = format!("line {line}: ");
        let error = refused.expect_err(reason);
        assert!(
            error.starts_with(&expected) && error.contains(reason),
            "expected {expected}{reason}: {error}\n{second}"
        );
    }
    for (text, reason) in [
        ([first.as_bytes(), &wide].concat(), format!("line {at}: found UTF-16")),
        ([&[0xff, 0xfe], &wide[..]].concat(), "line 1: found UTF-16".to_owned()),
        (certificate("der.example").0.to_vec(), "line 1: found DER, expected PEM".to_owned()),
        (
            KeyPair::generate().unwrap().serialize_pem().into_bytes(),
            "found no certificate but PRIVATE KEY on line 1".to_owned(),
        ),
        (Vec::new(), "found no certificate, expected PEM".to_owned()),
    ] {
        let error = certificates(&text).map_err(said).unwrap_err();
        assert!(error.starts_with(&reason), "expected {reason}: {error}");
    }
}

#[test]
fn a_key_is_found_beside_its_certificate_and_parameters() {
    let key = KeyPair::generate().unwrap();
    let text = key.serialize_pem();
    let (_, chain) = certificate("one.example");
    let curve = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    for text in [
        text.clone(),
        format!("{curve}{text}"),
        format!("{chain}{text}"),
        format!("\u{feff}{}{chain}", text.trim_end()),
    ] {
        let found = private_key(text.as_bytes()).map_err(said).unwrap();
        assert_eq!(found.secret_der(), key.serialized_der());
    }
}

#[test]
fn an_error_names_the_fault_of_a_key_and_holds_nothing_of_it() {
    let key = KeyPair::generate().unwrap();
    let text = key.serialize_pem().replace("\r\n", "\n");
    let body: String = text.lines().filter(|line| !line.contains("-----")).collect();
    let cut = BASE64_STANDARD.encode(&key.serialized_der()[..100]);
    for (text, reason) in [
        (text.replace('\n', ""), "line 1: the block has no line breaks"),
        (text.replace('\n', " "), "line 1: the block has no line breaks"),
        (text.replace('\n', "\\n"), "line 1: line breaks are written as \\n"),
        (text.replacen('\n', "\\n", 2), "line 1: line breaks are written as \\n"),
        (text[..text.len() / 2].to_owned(), "line 1: BEGIN without END: the block is truncated"),
        (format!("-----BEGIN PRIVATE KEY-----\n{cut}\n-----END PRIVATE KEY-----\n"), "line 1: the block is truncated"),
        (text.replace("PRIVATE", "ENCRYPTED PRIVATE"), "line 1: found an encrypted private key"),
        (
            text.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nM"),
            "line 1: found an encrypted private key",
        ),
        (text.replace("PRIVATE", "OPENSSH PRIVATE"), "line 1: found OPENSSH PRIVATE KEY, which is not processed here"),
        (text.replace("PRIVATE KEY", "CERTIFICATE"), "found no private key but CERTIFICATE on line 1"),
        (text.replace("PRIVATE KEY", &body[..16]), "line 1: found a label of another kind"),
        (format!("{text}{text}"), "line 6: found a second private key after that of line 1"),
        (text.replace(&body[..8], "AAAAAAAA"), "line 1: the block holds no DER of a private key"),
        (text.replace(&body[..8], &format!("{}!", &body[..8])), "line 2: found a character that is not base64"),
        (body.clone(), "line 1: base64 outside of a block"),
        (String::new(), "found no private key, expected PEM"),
    ] {
        let kind = private_key(text.as_bytes()).map(drop).expect_err(reason);
        let debug = format!("{kind:?}");
        let error = said(kind);
        assert!(error.starts_with(reason), "expected {reason}: {error}");
        for part in body.as_bytes().windows(8).map(|part| std::str::from_utf8(part).unwrap()) {
            assert!(!error.contains(part) && !debug.contains(part), "{part}: {error} {debug}");
        }
    }
}

#[test]
fn a_key_in_place_of_a_files_name_is_not_repeated() {
    let text = KeyPair::generate().unwrap().serialize_pem();
    let error = read_private_key(Path::new(&text)).unwrap_err();
    assert_eq!(error.to_string(), "found PEM, expected the name of a file that holds it");
    assert!(!format!("{error:?}").contains(&text[30..50]), "{error:?}");
}
