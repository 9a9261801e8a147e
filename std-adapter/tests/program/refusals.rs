//! Tests that each malformed file is a named error with exit code 2.

use super::peers::edgetrust;
use super::pki::{Pki, arg};

fn run(config: &str) -> (Option<i32>, String) {
    let output = edgetrust(&["run", "--config", config]);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn configurations() {
    let folder = tempfile::tempdir().unwrap();
    let file = arg(&folder.path().join("gateway.json"));
    let tunnel = r#""name":"in","mode":"server","listen":"127.0.0.1:0","target":"127.0.0.1:1""#;
    let with = |more: &str| format!(r#"{{"gateway":{{"tunnels":[{{{tunnel}{more}}}]}}}}"#);
    for (text, said) in [
        (String::new(), ":1:1: found the end of the file"),
        ("{".to_owned(), "found the end of the file"),
        ("[]".to_owned(), ":1:1: "),
        ("{}".to_owned(), "gateway.tunnels: found none, expected at least one tunnel"),
        // A byte order mark is allowed; the text after it is the error.
        ("\u{feff}{}".to_owned(), "gateway.tunnels: found none, expected at least one tunnel"),
        (with(r#","lisen":"x""#), "did you mean \"listen\"?"),
        (with(r#","sni":5"#), "gateway.tunnels[0].sni: found 5, expected"),
        (with(r#","tls":{"enabled":true}"#), "cert_file"),
        (
            with(r#","tls":{"enabled":true,"cert_file":"/nonexistent.pem","key_file":"k"}"#),
            "tunnel in: /nonexistent.pem: cannot be read",
        ),
        (
            with(r#","tls":{"enabled":true,"cert_file":"a","key_file":"b","min_version":"1.1"}"#),
            "min_version: found \"1.1\"",
        ),
        (with(r#"}],"admin":{"listen":"127.0.0.1:0"},"known_intermediates":[],"limits":{"x":1}}}"#), "limits.x"),
        ("[".repeat(100_000), ":1:1: "),
        (" ".repeat(10 << 20), "found more than 1048576 bytes"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let (code, error) = run(&file);
        let short: String = text.chars().take(80).collect();
        assert_eq!(code, Some(2), "{short}: {error}");
        assert!(error.contains(said), "{short}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    assert!(run("/nonexistent.json").1.contains("/nonexistent.json: cannot be read: No such file"));
    assert!(run(&arg(folder.path())).1.contains("cannot be read: Is a directory"));
}

#[test]
fn certificates_and_keys() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let (_, wrong_key) = other.issue("other", &[]);
    let file = |name: &str, contents: &[u8]| {
        std::fs::write(pki.path(name), contents).unwrap();
        arg(&pki.path(name))
    };
    let pem = std::fs::read_to_string(&cert).unwrap();
    let (begin, end) = ("-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----\n");
    let garbage_der = file("garbage-der.pem", format!("{begin}AAAA{end}").as_bytes());
    let garbage_pem = file("garbage.pem", format!("{begin}!!!{end}").as_bytes());
    let cut = file("cut.pem", &pem.as_bytes()[..pem.len() / 2]);
    let empty = file("empty.pem", b"");
    let huge = file("huge.pem", &vec![b'x'; 10 << 20]);
    let dos = file("dos.pem", pem.replace('\n', "\r\n").as_bytes());
    let (cert, key, wrong_key) = (arg(&cert), arg(&key), arg(&wrong_key));
    for (cert, key, ca, said) in [
        (&cert, &wrong_key, &cert, "the private key does not match the first certificate"),
        (&garbage_der, &key, &cert, "garbage-der.pem: line 1: certificate 1: "),
        (&garbage_pem, &key, &cert, "garbage.pem: line 2: found a character that is not base64"),
        (&cut, &key, &cert, "cut.pem: line 1: BEGIN without END"),
        (&empty, &key, &cert, "empty.pem: found no certificate"),
        (&huge, &key, &cert, "huge.pem: found more than 8388608 bytes, expected at most"),
        (&cert, &empty, &cert, "empty.pem: found no private key"),
        (&cert, &cert, &cert, "found no private key"),
        (&cert, &key, &empty, "empty.pem: found no certificate"),
        (&cert, &key, &garbage_der, "garbage-der.pem: line 1: certificate 1: "),
        // CRLF is allowed; the text after it is the error.
        (&dos, &wrong_key, &cert, "the private key does not match the first certificate"),
    ] {
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--target",
            "127.0.0.1:1",
            "--cert",
            cert,
            "--key",
            key,
            "--cacert",
            ca,
        ];
        let output = edgetrust(&arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(said), "expected {said}: {error}");
    }
}
