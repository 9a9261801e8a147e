//! Tests common names under name constraints: a CA that may not issue a DNS name may not issue it as a common name.

use rcgen::{CertificateParams, GeneralSubtree, NameConstraints};

use super::peers::OpensslClient;
use super::pki::{Pki, arg};
use super::serve::serve;

/// Creates a CA below the root for names below b.example, but not below deep.b.example.
fn constrained(root: &Pki) -> Pki {
    root.intermediate_with("Location B CA", |params: &mut CertificateParams| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("b.example".into())],
            excluded_subtrees: vec![GeneralSubtree::DnsName("deep.b.example".into())],
        });
    })
}

/// Returns whether a client is admitted that has this common name and a permitted DNS name, and the log line of a
/// refusal.
fn lets_in(root: &Pki, ca: &Pki, cn: &str, rules: &[&str]) -> (bool, Option<String>) {
    let program = serve(root, &[&["--cacert", &arg(&root.ca())], rules].concat());
    let (cert, key) = ca.issue_chain(cn, &["gateway.b.example"]);
    let [cert, key] = [arg(&cert), arg(&key)];
    let arguments = ["-cert", &cert, "-key", &key, "-cert_chain", &cert];
    let answer = OpensslClient::start(program.address, &arguments).ask("hello").is_some();
    (answer, (!answer).then(|| program.wait_for("refused")))
}

#[test]
fn a_common_name_outside_the_dns_constraints_of_its_ca_matches_no_rule() {
    let root = Pki::new("Root");
    let ca = constrained(&root);
    for cn in
        ["gateway.c.example", "deep.b.example", "x.deep.b.example", "*.c.example", "c.example.", "not a host.b.example"]
    {
        let (let_in, said) = lets_in(&root, &ca, cn, &["--allow-cn", cn]);
        assert!(!let_in, "{cn}");
        let said = said.unwrap_or_default();
        assert!(said.contains("the name constraints of its CAs do not permit it"), "{cn}: {said}");
    }
}

#[test]
fn a_common_name_inside_the_dns_constraints_of_its_ca_matches() {
    let root = Pki::new("Root");
    let ca = constrained(&root);
    for cn in ["gateway.b.example", "GATEWAY.B.EXAMPLE", "b.example", "location-c"] {
        assert!(lets_in(&root, &ca, cn, &["--allow-cn", cn]).0, "{cn}");
    }
    let free = root.intermediate("Location C CA");
    assert!(lets_in(&root, &free, "gateway.c.example", &["--allow-cn", "gateway.c.example"]).0, "no constraints");
}

#[test]
fn only_the_common_name_rule_fails_and_not_the_path() {
    let root = Pki::new("Root");
    let ca = constrained(&root);
    let rules = ["--allow-cn", "gateway.c.example", "--allow-dns", "gateway.b.example"];
    assert!(lets_in(&root, &ca, "gateway.c.example", &rules).0, "the DNS rule matches");
    assert!(lets_in(&root, &ca, "gateway.c.example", &[]).0, "no rule at all");
}
