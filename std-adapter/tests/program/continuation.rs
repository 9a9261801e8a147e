//! Tests sessions between gateways that go on under newer certificates of both ends.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};
use serde_json::json;
use time::OffsetDateTime;

use super::addresses::free_address;
use super::control::{SOME_KEY, Sites, page};
use super::peers::{PATIENCE, Program, shell};
use super::pki::arg;

/// Issues certificates of any lifetime from the CA of a site.
pub struct SiteCa(Issuer<'static, KeyPair>);

impl SiteCa {
    /// Opens the CA's key by openssl.
    pub fn of(sites: &Sites, site: &str) -> Self {
        let open = format!("openssl pkey -in sites/{site}/ca.key -passin file:passwords/site-{site}");
        let key = String::from_utf8(shell(&sites.made.path, &open).stdout).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example Mesh");
        params.distinguished_name.push(DnType::CommonName, format!("Site {site} CA"));
        Self(Issuer::new(params, KeyPair::from_pem(&key).unwrap()))
    }

    /// Puts a new key and certificate for a gateway in the place of those before; returns when the certificate ends.
    pub fn renew(&self, sites: &Sites, site: &str, lifetime: Duration) -> SystemTime {
        let name = format!("gateway.{site}.example");
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.clone()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, &name);
        let end = SystemTime::now() + lifetime;
        params.not_before = OffsetDateTime::now_utc() - Duration::from_secs(300);
        params.not_after = OffsetDateTime::from(end);
        let chain = params.signed_by(&key, &self.0).unwrap().pem() + &sites.made.read(&format!("sites/{site}/ca.pem"));
        let folder = sites.folder_of(site);
        // Key and certificate are never seen apart: the gateway reads the file that both are in.
        let both = folder.join("new");
        std::fs::write(&both, chain + &key.serialize_pem()).unwrap();
        shell(&folder, "chmod 600 new");
        std::fs::rename(both, folder.join("own.pem")).unwrap();
        end
    }
}

/// Runs a gateway whose certificate and key are in one file, with its pages at an address of their own.
pub fn run(sites: &Sites, site: &str, next: Option<&str>, limits: &serde_json::Value) -> (Program, String) {
    run_more(sites, site, next, limits, &[])
}

/// Runs a gateway with more tunnels.
fn run_more(
    sites: &Sites,
    site: &str,
    next: Option<&str>,
    limits: &serde_json::Value,
    tunnels: &[serde_json::Value],
) -> (Program, String) {
    let folder = sites.folder_of(site);
    for end in ["pem", "key"] {
        let file = folder.join(format!("gateway.{site}.example.{end}"));
        // One that was made before is in no way.
        let _ = std::fs::remove_file(&file);
        std::os::unix::fs::symlink("own.pem", file).unwrap();
    }
    let pages = free_address();
    let more = json!({"admin": {"listen": pages}, "limits": limits});
    let mut gateway = sites.run_with(site, next, &json!({}), &more, tunnels);
    for _ in 0..=usize::from(next.is_some()) {
        gateway.wait_for_tunnel();
    }
    (gateway, pages)
}

/// A feed through a tunnel to a service that echoes.
pub struct Feed {
    stream: TcpStream,
    number: u32,
}

impl Feed {
    pub fn open(gateway: &Program) -> Self {
        let stream = TcpStream::connect(gateway.tunnel("feed-to-c")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut feed = Self { stream, number: 0 };
        feed.pass();
        feed
    }

    /// Sends the next message, and reads it back.
    pub fn pass(&mut self) {
        self.number += 1;
        self.stream.write_all(&self.number.to_be_bytes()).unwrap();
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer).unwrap_or_else(|error| panic!("message {}: {error}", self.number));
        assert_eq!(u32::from_be_bytes(answer), self.number);
    }

    /// Returns whether the session has ended.
    pub fn is_over(&mut self) -> bool {
        match self.stream.read(&mut [0]) {
            Ok(octets) => octets == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }
}

pub fn continued(pages: &str) -> u64 {
    let text = page(pages, "/metrics");
    let lines = text.lines().filter(|line| line.starts_with("edgetrust_sessions_continued_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Waits until a gateway has continued so many sessions more than before.
pub fn wait_for_continued(pages: &str, before: u64, more: u64) {
    let until = Instant::now() + PATIENCE;
    while continued(pages) < before + more {
        assert!(Instant::now() < until, "a session was not continued: {} of {}", continued(pages), before + more);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Gateways of b and c with certificates of an hour, and a feed from b to c.
struct Scene {
    sites: Sites,
    ca: SiteCa,
    c: Program,
    pages_c: String,
    b: Program,
    feed: Feed,
}

impl Scene {
    fn new(limits_of_c: &serde_json::Value) -> Self {
        let sites = Sites::new();
        let ca = SiteCa::of(&sites, "b");
        ca.renew(&sites, "b", HOUR);
        SiteCa::of(&sites, "c").renew(&sites, "c", HOUR);
        let (c, pages_c) = run(&sites, "c", None, limits_of_c);
        let (b, _) = run(&sites, "b", Some("c"), &json!({}));
        let feed = Feed::open(&b);
        Self { sites, ca, c, pages_c, b, feed }
    }

    /// Gives the gateway of b another certificate, and waits until so many sessions go on under it at c.
    fn renew(&self, sessions: u64) {
        let before = continued(&self.pages_c);
        self.ca.renew(&self.sites, "b", HOUR);
        wait_for_continued(&self.pages_c, before, sessions);
    }

    /// Passes messages for a time: nothing is to happen in it.
    fn go_on(&mut self, time: Duration) {
        let since = Instant::now();
        while since.elapsed() < time {
            self.feed.pass();
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const LIFETIME: Duration = Duration::from_secs(25);

#[test]
fn sessions_outlive_twenty_certificates_of_both_ends() {
    let sites = Sites::new();
    let [ca_b, ca_c] = ["b", "c"].map(|site| SiteCa::of(&sites, site));
    let renew = || ca_b.renew(&sites, "b", LIFETIME).max(ca_c.renew(&sites, "c", LIFETIME));
    let first = renew();
    let (c, pages_c) = run(&sites, "c", None, &json!({}));
    let (b, _) = run(&sites, "b", Some("c"), &json!({}));
    let (mut busy, mut idle) = (Feed::open(&b), Feed::open(&b));
    for _ in 0..20 {
        let before = continued(&pages_c);
        renew();
        wait_for_continued(&pages_c, before, 2);
        busy.pass();
    }
    while SystemTime::now() < first + Duration::from_secs(2) {
        busy.pass();
        std::thread::sleep(Duration::from_millis(100));
    }
    idle.pass();
    // Without another renewal they end with the last certificates.
    c.wait_for("closed: the peer's certificate: expired");
    assert!(busy.is_over() && idle.is_over());
    drop(b);
}

#[test]
fn the_key_of_an_earlier_certificate_ends_the_session_when_it_is_denied() {
    // Whatever grace there is, it is for expiry alone.
    let mut scene = Scene::new(&json!({"expired_grace": "1h"}));
    let stolen = scene.sites.folder_of("b").join("stolen.pem");
    std::fs::copy(scene.sites.folder_of("b").join("own.pem"), &stolen).unwrap();
    for _ in 0..3 {
        scene.renew(1);
    }
    let mut later = Feed::open(&scene.b);
    // Another key is nobody's business here.
    scene.sites.made.done(&format!("deny --key {SOME_KEY}"));
    scene.sites.deliver("b");
    scene.c.wait_for("another mesh is in force: sequence 2");
    scene.feed.pass();
    scene.sites.made.done(&format!("deny --certificate {} --yes", arg(&stolen)));
    scene.sites.deliver("b");
    scene.c.wait_for("closed: a key that it ran under before is denied: sha256:");
    assert!(scene.feed.is_over());
    // One that was opened under the last certificate goes on.
    later.pass();
}

#[test]
fn a_session_that_was_continued_ends_at_its_greatest_age() {
    let mut scene = Scene::new(&json!({"session_max_age": "3s"}));
    scene.renew(1);
    let mut other = Feed::open(&scene.b);
    scene.c.wait_for("closed: it was continued until limits.session_max_age");
    assert!(scene.feed.is_over());
    // Its certificates are those of its handshake.
    other.pass();
}

#[test]
fn a_withdrawn_link_ends_a_session_that_was_continued() {
    let mut scene = Scene::new(&json!({}));
    scene.renew(1);
    scene.feed.pass();
    scene.sites.made.done("unlink b c --service feed --yes");
    scene.sites.deliver("c");
    scene.c.wait_for("closed: the peer is not let in: ");
    assert!(scene.feed.is_over());
}

/// A session that is older than a continued one may become keeps what it has: its certificates may be good for months.
#[test]
fn a_session_beyond_the_greatest_age_is_not_continued_and_goes_on() {
    let mut scene = Scene::new(&json!({"session_max_age": "1s"}));
    scene.go_on(Duration::from_millis(1100));
    scene.ca.renew(&scene.sites, "b", HOUR);
    scene.c.wait_for("control: a session is not continued here: it is as old as limits.session_max_age lets it become");
    scene.go_on(Duration::from_secs(2));
}

/// Two tunnels to one gateway under different certificates of ours: each session is continued under that of its own.
#[test]
fn tunnels_with_certificates_of_their_own_do_not_share_sessions() {
    let sites = Sites::new();
    let ca = SiteCa::of(&sites, "b");
    ca.renew(&sites, "b", HOUR);
    let folder = sites.folder_of("b");
    std::fs::copy(folder.join("own.pem"), folder.join("other.pem")).unwrap();
    ca.renew(&sites, "b", HOUR);
    SiteCa::of(&sites, "c").renew(&sites, "c", HOUR);
    let (_c, pages_c) = run(&sites, "c", None, &json!({}));
    let second = json!({"name": "second", "mode": "client", "service": "feed", "to": "c", "listen": "127.0.0.1:0",
        "tls": {"mtls": {"enabled": true, "cert_file": "other.pem", "key_file": "other.pem"}}});
    let mut b = run_more(&sites, "b", Some("c"), &json!({}), &[second]).0;
    b.wait_for_tunnel();
    let mut feed = Feed::open(&b);
    ca.renew(&sites, "b", HOUR);
    wait_for_continued(&pages_c, 0, 1);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(4) {
        feed.pass();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(continued(&pages_c), 1, "the other certificate is not this session's");
}
