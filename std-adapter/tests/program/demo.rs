//! Tests `edgetrust demo`, and the completions and manual that are generated from the arguments.

use serde_json::Value;

use super::peers::edgetrust;
use super::pki::arg;

#[test]
fn all_holds() {
    let folder = tempfile::tempdir().unwrap();
    let output = edgetrust(&["demo", "--seconds", "1", "--json", "--keep", &arg(folder.path())]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary:#}");
    assert!(summary["received"].as_u64().unwrap() > 0 && summary["sent"] == summary["received"], "{summary:#}");
    for (place, reason) in [
        (0, "its signature was not made by the issuer's key"),
        (1, "its names are not on the allow list"),
        (2, "its name may come from the named issuers only"),
    ] {
        assert!(summary["refusals"][place]["reason"].as_str().unwrap().contains(reason), "{summary:#}");
    }
    assert_ne!(summary["rotation"]["serial_before"], summary["rotation"]["serial_after"]);
    // The kept files are a configuration that an operator could use.
    for location in ["location-a", "location-b", "location-c"] {
        let file = arg(&folder.path().join(location).join("gateway.json"));
        assert_eq!(edgetrust(&["check", "--config", &file]).status.code(), Some(0), "{location}");
    }
}

#[test]
fn a_person_reads_lines() {
    let output = edgetrust(&["demo", "--seconds", "1"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "gateway  a:",
        "refused  location-x of the right root",
        "refused  location-a by the CA of c",
        "rotated  b's certificate",
        " 0 lost, 0 out of order",
        "All held.",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn completions_and_manual_pages() {
    for shell in ["bash", "zsh", "fish"] {
        let script = edgetrust(&["completions", shell]);
        assert!(String::from_utf8_lossy(&script.stdout).contains("watch-interval"), "{shell}");
    }
    let page = edgetrust(&["man"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains(".TH edgetrust"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(edgetrust(&["man", "--out", &arg(folder.path())]).status.code(), Some(0));
    assert!(folder.path().join("edgetrust-serve.1").exists());
}
