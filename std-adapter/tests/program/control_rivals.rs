//! Tests what two administrators sign with one sequence: every gateway hears of both texts, in both directions of a link, so
//! that what either of them denies is denied everywhere.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::control::Sites;
use super::peers::{Program, shell};
use super::pki::arg;

/// A signed text, and a folder with a certificate of gateway b whose key it denies.
struct Denial {
    signed: String,
    digest: String,
    key: String,
    certificate: TempDir,
}

impl Denial {
    /// Signs a denial in a copy of the mesh's folder.
    fn sign(sites: &Sites) -> Self {
        let (certificate, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sites.made.issue("b", "gateway.b.example", certificate.path());
        let file = certificate.path().join("gateway.b.example.pem");
        let said = shell(
            copy.path(),
            &format!(
                "cp -a {} mesh && edgetrust federation deny mesh --certificate {} --yes && sha256sum mesh/mesh.json",
                arg(&sites.made.path),
                arg(&file)
            ),
        );
        let said = String::from_utf8(said.stdout).unwrap();
        let digest = said.lines().last().unwrap().split(' ').next().unwrap().to_owned();
        let mesh: Value = serde_json::from_slice(&std::fs::read(copy.path().join("mesh/mesh.json")).unwrap()).unwrap();
        let key = mesh["denied_keys"][0]["key"].as_str().unwrap().to_owned();
        let signed = std::fs::read_to_string(copy.path().join("mesh/mesh.signed.json")).unwrap();
        Self { signed, digest, key, certificate }
    }

    fn bring(&self, sites: &Sites, site: &str) {
        let folder = sites.folder_of(site);
        std::fs::write(folder.join("new"), &self.signed).unwrap();
        std::fs::rename(folder.join("new"), folder.join("mesh.signed.json")).unwrap();
    }

    /// Shows the certificate to a gateway that lets in gateway b.
    fn is_refused(&self, sites: &Sites, site: &str, gateway: &Program) {
        sites.ask(site, self.certificate.path(), "gateway.b.example", b"GET /mesh HTTP/1.1\r\nHost: x\r\n\r\n");
        let line = gateway.wait_for("its key is denied: ");
        assert!(line.contains(&self.key), "{line} instead of {}", self.key);
    }
}

#[test]
fn what_either_of_two_texts_denies_is_denied_at_all_gateways() {
    // The text that loses begins at one end of the links, then at the other.
    for (of_winner, of_loser) in [("c", "a"), ("a", "c")] {
        let sites = Sites::new();
        let mut denials = [Denial::sign(&sites), Denial::sign(&sites)];
        denials.sort_by(|one, other| other.digest.cmp(&one.digest));
        let [winner, loser] = &denials;
        let run = |site| sites.run(site, if site == "a" { Some("b") } else { (site == "b").then_some("c") });
        let gateways = ["a", "b", "c"].map(run);
        gateways.iter().for_each(|gateway| drop(gateway.wait_for("listening tunnel=feed-in")));
        winner.bring(&sites, of_winner);
        loser.bring(&sites, of_loser);
        for gateway in &gateways {
            gateway.wait_for("two meshes are signed as sequence 2");
        }
        let [a, b, c] = gateways;
        for denial in &denials {
            denial.is_refused(&sites, "c", &c);
        }
        // Both are known after a restart, without the others.
        drop((a, b, c));
        for site in ["a", "b", "c"] {
            let kept: Value =
                serde_json::from_slice(&std::fs::read(sites.folder_of(site).join("kept/mesh.json")).unwrap()).unwrap();
            assert_eq!((&kept["signed"], &kept["rivals"]), (&json!(winner.signed), &json!([loser.signed])), "{site}");
        }
        let c = run("c");
        c.wait_for("two meshes are signed as sequence 2");
        for denial in &denials {
            denial.is_refused(&sites, "c", &c);
        }
    }
}

#[test]
fn of_many_texts_all_gateways_keep_the_same() {
    let sites = Sites::new();
    let mut denials = [(); 4].map(|()| Denial::sign(&sites));
    denials.sort_by(|one, other| other.digest.cmp(&one.digest));
    let gateways = [("a", Some("b")), ("b", Some("c")), ("c", None)].map(|(site, next)| sites.run(site, next));
    gateways.iter().for_each(|gateway| drop(gateway.wait_for("listening tunnel=feed-in")));
    for (denial, site) in denials.iter().rev().zip(["a", "c", "b", "a"]) {
        denial.bring(&sites, site);
        // Its own gateway has seen it before the next one comes.
        let gateway = &gateways[usize::from(site.as_bytes()[0] - b'a')];
        gateway.wait_for("reloaded");
    }
    let [winner, first, second, _] = &denials;
    let until = std::time::Instant::now() + super::peers::PATIENCE;
    for site in ["a", "b", "c"] {
        loop {
            let kept = std::fs::read(sites.folder_of(site).join("kept/mesh.json")).unwrap_or_default();
            let kept: Value = serde_json::from_slice(&kept).unwrap_or_default();
            if (&kept["signed"], &kept["rivals"]) == (&json!(winner.signed), &json!([first.signed, second.signed])) {
                break;
            }
            assert!(std::time::Instant::now() < until, "{site}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
