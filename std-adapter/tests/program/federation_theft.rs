//! Tests what to do when something is stolen, by `docs/FEDERATION_GUIDE.md`: the thief is out, and the sites go on.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::OffsetDateTime;

use super::control::Sites;
use super::peers::{OpensslClient, PATIENCE, Program, shell};
use super::pki::arg;

/// Two sites of which b reaches c, and a thief.
struct Scene {
    sites: Sites,
    b: Program,
    c: Program,
    thief: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let sites = Sites::new();
        let (c, mut b) = (sites.run("c", None), sites.run("b", Some("c")));
        c.wait_for("listening tunnel=feed-in");
        b.wait_for_tunnel();
        b.wait_for_tunnel();
        Self { sites, b, c, thief: tempfile::tempdir().unwrap() }
    }

    /// Runs commands, and brings what they sign to the gateway of b alone.
    fn does(&self, commands: &[&str], sequence: u32) {
        for command in commands {
            self.sites.made.done(command);
        }
        self.brings(sequence);
    }

    fn brings(&self, sequence: u32) {
        self.sites.deliver("b");
        for gateway in [&self.b, &self.c] {
            gateway.wait_for(&format!("another mesh is in force: sequence {sequence}"));
            gateway.wait_for("reloaded");
        }
    }

    /// Returns whether the gateway of c lets somebody in by the files of a name in a folder.
    fn lets_in(&self, folder: &Path) -> bool {
        let file = |end: &str| arg(&folder.join(format!("gateway.b.example.{end}")));
        let (cert, key) = (file("pem"), file("key"));
        let arguments = ["-cert", &cert, "-cert_chain", &cert, "-key", &key];
        OpensslClient::start(self.sites.address("c"), &arguments).ask("x").as_deref() == Some("x")
    }

    /// Waits until a message passes from b's own clients to c.
    fn goes_on(&self) {
        use std::io::{Read, Write};
        let until = Instant::now() + PATIENCE;
        let pass = || {
            let mut feed = std::net::TcpStream::connect(self.b.tunnel("feed-to-c"))?;
            feed.set_read_timeout(Some(Duration::from_secs(5)))?;
            feed.write_all(b"x")?;
            feed.read_exact(&mut [0])
        };
        while pass().is_err() {
            assert!(Instant::now() < until, "the sites do not go on");
        }
    }

    /// Gives the gateway of b another certificate by the CA that its site has now.
    fn renews(&self) {
        self.sites.made.issue("b", "gateway.b.example", &self.folder());
        self.b.wait_for("reloaded");
    }

    fn folder(&self) -> PathBuf {
        self.sites.folder_of("b")
    }

    /// Gives the thief a copy of the files of the gateway.
    fn steal_gateway(&self) {
        shell(&self.folder(), &format!("cp gateway.b.example.pem gateway.b.example.key {}", arg(self.thief.path())));
        assert!(self.lets_in(self.thief.path()), "it has the key");
    }
}

#[test]
fn a_stolen_gateway() {
    let scene = Scene::new();
    scene.steal_gateway();
    let stolen = arg(&scene.thief.path().join("gateway.b.example.pem"));
    scene.does(&[&format!("deny --certificate {stolen} --reason stolen --yes")], 2);
    assert!(!scene.lets_in(scene.thief.path()));
    scene.renews();
    scene.goes_on();
    assert!(!scene.lets_in(scene.thief.path()));
}

#[test]
fn a_stolen_ca_of_a_site() {
    let scene = Scene::new();
    // The thief issues what it likes.
    scene.sites.made.issue("b", "gateway.b.example", scene.thief.path());
    assert!(scene.lets_in(scene.thief.path()));
    let ca = scene.thief.path().join("ca.pem");
    std::fs::copy(scene.sites.made.file("sites/b/ca.pem"), &ca).unwrap();
    scene.does(&["renew b start"], 2);
    scene.does(&["renew b commit --yes"], 3);
    shell(&scene.sites.made.path, "cp passwords/site-b.* passwords/site-b");
    scene.renews();
    scene.goes_on();
    scene.does(&["renew b finish --yes --lifetime 0s"], 4);
    scene.does(&[&format!("deny --certificate {} --yes", arg(&ca))], 5);
    assert!(!scene.lets_in(scene.thief.path()));
    scene.goes_on();
}

#[test]
fn a_stolen_signer_or_laptop() {
    let scene = Scene::new();
    let (made, thief) = (&scene.sites.made, scene.thief.path());
    // The laptop has the folder of the mesh, and the thief signs what it likes: b is out.
    shell(thief, &format!("cp -a {} mesh", arg(&made.path)));
    let out = arg(&scene.folder().join("gateway.b.example.pem"));
    shell(thief, &format!("edgetrust federation deny mesh --certificate {out} --yes"));
    shell(thief, &format!("cp mesh/mesh.signed.json {}", arg(&scene.sites.folder_of("c"))));
    scene.c.wait_for("another mesh is in force: sequence 2");
    scene.c.wait_for("reloaded");
    assert!(!scene.lets_in(&scene.folder()), "the thief has shut b out");
    // The signer of the next generation comes from the safe, and nothing of the thief counts any more.
    // Gateways that the thief has denied cannot bring it on, so that each is brought it.
    made.done("signer");
    for site in ["b", "c"] {
        scene.sites.deliver(site);
    }
    for gateway in [&scene.b, &scene.c] {
        gateway.wait_for("by a signer of generation 2");
    }
    scene.goes_on();
    shell(
        thief,
        "edgetrust federation deny mesh --key sha256:fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
    );
    shell(thief, &format!("cp mesh/mesh.signed.json {}", arg(&scene.sites.folder_of("c"))));
    scene.c.wait_for("the mesh file is older than the mesh in force");
    scene.goes_on();
}

#[test]
fn a_stolen_root() {
    let scene = Scene::new();
    let made = &scene.sites.made;
    // The thief takes the key, and makes itself the gateway of b by the root alone, as far as that goes.
    let key = shell(&made.path, "openssl pkey -in root/root.key -passin file:passwords/root").stdout;
    let root = scene.thief.path().join("root.pem");
    std::fs::copy(made.file("root/root.pem"), &root).unwrap();
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example Mesh");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = OffsetDateTime::now_utc() + Duration::from_secs(86_400);
        params
    };
    let root_key = KeyPair::from_pem(&String::from_utf8(key).unwrap()).unwrap();
    let by_root = Issuer::new(named("Example Mesh Root"), root_key);
    // A CA for the key that it has stolen with the root: that of b, of which no name constraint is left.
    let site = shell(&made.path, "openssl pkey -in sites/b/ca.key -passin file:passwords/site-b").stdout;
    let site = KeyPair::from_pem(&String::from_utf8(site).unwrap()).unwrap();
    let mut ca = named("Thief");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca_pem = ca.signed_by(&site, &by_root).unwrap().pem();
    let own = KeyPair::generate().unwrap();
    let mut leaf = named("gateway.b.example");
    leaf.subject_alt_names = vec![rcgen::SanType::DnsName("gateway.b.example".try_into().unwrap())];
    let leaf = leaf.signed_by(&own, &Issuer::new(ca, site)).unwrap();
    std::fs::write(scene.thief.path().join("gateway.b.example.pem"), leaf.pem() + &ca_pem).unwrap();
    std::fs::write(scene.thief.path().join("gateway.b.example.key"), own.serialize_pem()).unwrap();
    assert!(scene.lets_in(scene.thief.path()));

    scene.does(&["rollover start"], 2);
    scene.does(&["rollover commit --yes"], 3);
    scene.renews();
    scene.does(&["rollover finish --yes --lifetime 0s"], 4);
    scene.does(&[&format!("deny --certificate {} --yes", arg(&root))], 5);
    assert!(!scene.lets_in(scene.thief.path()));
    scene.goes_on();
}
