//! Runs the commands of `docs/FEDERATION_GUIDE.md`.

use super::peers::{blocks, shell};

#[test]
fn federation_from_beginning_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let blocks = blocks("docs/FEDERATION_GUIDE.md");
    let said: Vec<String> =
        blocks.iter().map(|commands| String::from_utf8(shell(folder, commands).stdout).unwrap()).collect();
    let (said, later) = said.split_at(said.len().min(13));
    let [made, shown, moved, checked, added, changed, removed, signed, signer, alone, requested, certified, installed] =
        said
    else {
        panic!("{} code blocks, expected more: this test judges each", said.len());
    };
    let [started, status, committed, finished, next, in_use, alone_again] = later else {
        panic!("{} code blocks after the ceremony, expected seven: this test judges each", later.len());
    };
    assert!(made.contains("Example Mesh: 3 sites under one root, in mesh"), "{made}");
    assert!(made.contains("No --link was given, so every site reaches every other"), "{made}");
    assert!(shown.contains("Example Mesh: sequence 1, signed") && shown.contains("ca.pem: OK"), "{shown}");
    assert!(shown.contains("of the wanted links 6 hold, 0 do not"), "{shown}");
    assert_eq!(moved, "");
    assert!(checked.contains("feed lets in gateway.b.example of site b"), "{checked}");
    assert!(!checked.contains("allow list is empty"), "{checked}");
    assert!(checked.contains("feed leads to gateway.c.example of site c at gateway.c.example:8443"), "{checked}");
    assert!(added.contains("d: reaches a for feed") && added.contains("sequence 2, signed"), "{added}");
    assert!(changed.contains("sequence 5, signed") && changed.contains(": laptop stolen"), "{changed}");
    assert!(changed.contains("of the wanted links 8 hold, 0 do not"), "{changed}");
    assert!(changed.contains("the mesh denies its key") && changed.contains("6 hold, 2 do not"), "{changed}");
    assert!(removed.contains("d: is no site of the mesh any more"), "{removed}");
    assert!(signed.contains("signed by the signer of generation 1"), "{signed}");
    assert!(signer.contains("signed by a signer of generation 2"), "{signer}");
    assert!(alone.contains("Example Mesh: 0 sites under one root"), "{alone}");
    assert!(requested.contains("site-a/sites/a/ca.csr: the request"), "{requested}");
    assert!(certified.contains("a: is a new site, for a.example"), "{certified}");
    assert!(installed.contains("site-a/sites/a: all that the site needs"), "{installed}");
    assert!(started.contains("a: certificates of its next CA are accepted too"), "{started}");
    assert!(status.contains("the next one counts too") && status.contains("0 of 3 gateways"), "{status}");
    assert!(committed.contains("bring ca.pem and ca.key of mesh/sites/a"), "{committed}");
    assert!(finished.contains("a: certificates by the key") && finished.contains("signed by"), "{finished}");
    assert!(next.contains("certificates under the next root are accepted too"), "{next}");
    assert!(in_use.contains("is in use: it certifies the signer and the CAs of all sites"), "{in_use}");
    assert!(in_use.contains("signed by the signer of generation 3"), "{in_use}");
    assert!(alone_again.contains("are accepted no longer"), "{alone_again}");
}
