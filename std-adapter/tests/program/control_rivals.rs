//! Tests what two administrators sign with one sequence: every gateway hears of both texts, in both directions of a link, so
//! that what either of them denies is denied everywhere.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::control::Sites;
use super::peers::{Program, shell};
use super::pki::arg;

fn rivals(kept: &Value) -> Vec<&str> {
    let all = kept["rivals"].as_array().into_iter().flatten();
    all.map(|rival| rival["signed"].as_str().unwrap()).collect()
}

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
        bring(sites, site, &self.signed);
    }

    /// Shows the certificate to a gateway that lets in gateway b.
    fn is_refused(&self, sites: &Sites, site: &str, gateway: &Program) {
        sites.ask(site, self.certificate.path(), "gateway.b.example", b"GET /mesh HTTP/1.1\r\nHost: x\r\n\r\n");
        let line = gateway.wait_for("its key is denied: ");
        assert!(line.contains(&self.key), "{line} instead of {}", self.key);
    }
}

fn bring(sites: &Sites, site: &str, signed: &str) {
    let folder = sites.folder_of(site);
    std::fs::write(folder.join("new"), signed).unwrap();
    std::fs::rename(folder.join("new"), folder.join("mesh.signed.json")).unwrap();
}

/// Runs the gateways of three sites in a row.
fn run_all(sites: &Sites) -> [Program; 3] {
    let gateways = [("a", Some("b")), ("b", Some("c")), ("c", None)].map(|(site, next)| sites.run(site, next));
    gateways.iter().for_each(|gateway| drop(gateway.wait_for("listening tunnel=feed-in")));
    gateways
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
            assert_eq!(
                (&kept["signed"], rivals(&kept)),
                (&json!(winner.signed), vec![loser.signed.as_str()]),
                "{site}"
            );
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
    let gateways = run_all(&sites);
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
            if (&kept["signed"], rivals(&kept)) == (&json!(winner.signed), vec![&*first.signed, &*second.signed]) {
                break;
            }
            assert!(std::time::Instant::now() < until, "{site}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// A signer's generation is raised because its key was stolen: who has a mesh by the stolen one is brought the next, although
/// that mesh is refused.
#[test]
fn a_mesh_by_the_next_signer_is_brought_to_who_has_one_by_a_denied_signer() {
    let sites = Sites::new();
    let [a, b, c] = run_all(&sites);
    sites.made.run(&format!("deny --certificate {} --yes", arg(&sites.made.file("signer/signer.pem"))));
    sites.made.done("signer");
    sites.deliver("a");
    for gateway in [&a, &b, &c] {
        gateway.wait_for("by a signer of generation 2");
    }
}

/// Two administrators have made a signer of one generation each, and one denies the other's: its text counts everywhere,
/// whichever came first and whichever digest is higher.
#[test]
fn a_text_that_denies_the_signer_of_another_is_in_force_everywhere() {
    let sites = Sites::new();
    let copies = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for copy in &copies {
        let signer = format!("cp -a {} mesh && edgetrust federation signer mesh", arg(&sites.made.path));
        shell(copy.path(), &signer);
    }
    let other = copies[1].path().join("mesh/signer/signer.pem");
    let commands = [
        (&copies[0], format!("--certificate {} --yes", arg(&other))),
        (&copies[1], format!("--key sha256:{}", "1".repeat(64))),
    ];
    let sign = |number: usize| {
        commands.each_ref().map(|(copy, what)| {
            let command = format!(
                "rm -rf next && cp -a mesh next && edgetrust federation deny next {what} --reason {number} >said
                 sha256sum next/mesh.json && cat next/mesh.signed.json"
            );
            let said = String::from_utf8(shell(copy.path(), &command).stdout).unwrap();
            let (digest, signed) = said.split_once('\n').unwrap();
            (digest.split(' ').next().unwrap().to_owned(), signed.to_owned())
        })
    };
    for (denier_is_higher, of_denier, of_denied) in [(false, "a", "c"), (false, "c", "a"), (true, "a", "c")] {
        let [denier, denied] = (0..64).map(sign).find(|[one, other]| (one.0 > other.0) == denier_is_higher).unwrap();
        for site in ["a", "b", "c"] {
            let _ = std::fs::remove_dir_all(sites.folder_of(site).join("kept"));
            sites.deliver(site);
        }
        let gateways = run_all(&sites);
        bring(&sites, of_denied, &denied.1);
        bring(&sites, of_denier, &denier.1);
        for (gateway, site) in gateways.iter().zip(["a", "b", "c"]) {
            gateway.wait_until("the denier's text is in force", |_| {
                let kept = std::fs::read(sites.folder_of(site).join("kept/mesh.json")).unwrap_or_default();
                let kept: Value = serde_json::from_slice(&kept).unwrap_or_default();
                kept["signed"] == json!(denier.1) && rivals(&kept).is_empty() && kept["also_denied"].is_null()
            });
        }
    }
}

/// A gateway that cannot load its configuration, and denies all these keys already, passes on what came all the same.
#[test]
fn who_cannot_reload_passes_on_what_is_nothing_new_to_it() {
    let sites = Sites::new();
    let key = super::control::SOME_KEY;
    let [a, b, c] = run_all(&sites);
    let file = sites.folder_of("b").join("gateway.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["security"]["tls"]["denied_keys"] = json!([key]);
    std::fs::write(file.with_extension("new"), config.to_string()).unwrap();
    std::fs::rename(file.with_extension("new"), &file).unwrap();
    b.wait_for("reloaded");
    std::fs::write(sites.folder_of("b").join("gateway.b.example.pem"), "nonsense").unwrap();
    b.wait_for("reload refused");
    sites.made.done(&format!("deny --key {key}"));
    sites.deliver("a");
    for gateway in [&a, &c] {
        gateway.wait_for("another mesh is in force: sequence 2");
    }
}
