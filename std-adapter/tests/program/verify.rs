//! Tests `edgetrust verify` and `edgetrust inspect`.

use super::peers::edgetrust;
use super::pki::{Pki, arg};

#[test]
fn verdicts_have_reasons_and_exit_codes() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let (leaf, _) = pki.issue("location-b", &["b.example"]);
    let (leaf, ca, other) = (arg(&leaf), arg(&pki.ca()), arg(&other.ca()));
    for (ca, more, code, said) in [
        (&ca, &["--purpose", "server", "--name", "b.example"][..], 0, "accepted"),
        (&ca, &["--purpose", "client", "--cn", "location-b"], 0, "accepted"),
        (
            &ca,
            &["--purpose", "server", "--name", "c.example"],
            1,
            "not for the server name that was asked for: found b.example, expected c.example",
        ),
        (&ca, &["--purpose", "client", "--cn", "location-c"], 1, "not on the allow list"),
        (&other, &["--purpose", "server"], 1, "its issuer is neither"),
        (&ca, &["--purpose", "server", "--at", "5000-01-01T00:00:00Z"], 1, "expired at"),
    ] {
        let output = edgetrust(&[&["verify", "--ca", ca, "--leaf", &leaf], more].concat());
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {stdout}");
        assert!(stdout.contains(said), "{more:?}: {stdout}");
    }
}

#[test]
fn errors_name_the_file() {
    let pki = Pki::new("Root");
    let (leaf, _) = pki.issue("location-b", &["b.example"]);
    let (leaf, ca, bad) = (arg(&leaf), arg(&pki.ca()), arg(&pki.path("bad.pem")));
    std::fs::write(&bad, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    for files in [
        ["--ca", &bad, "--leaf", &leaf, "--intermediate", &ca],
        ["--ca", &ca, "--leaf", &bad, "--intermediate", &ca],
        ["--ca", &ca, "--leaf", &leaf, "--intermediate", &bad],
    ] {
        let output = edgetrust(&[&["verify", "--purpose", "client"], &files[..]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&format!("{bad}: line 1: certificate 1: at byte 0: ")), "{error}");
    }
}

#[test]
fn inspect_shows_names() {
    let pki = Pki::new("Root");
    let (leaf, _) = pki.issue("location-b", &["b.example"]);
    let output = edgetrust(&["inspect", &arg(&leaf)]);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("CN=location-b") && stdout.contains("DNS b.example"), "{stdout}");
    assert_eq!(edgetrust(&["inspect", "/nonexistent"]).status.code(), Some(2));
}
