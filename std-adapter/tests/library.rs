//! Tests the library: replaced trust, negotiated parameters, and every form of key and bundle.

use std::error::Error as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use edgetrust::pem;
use edgetrust::tls::{
    AcceptError, Acceptor, ClientAuth, ClientSettings, Connector, Credential, MAX_CERTIFICATES, MinVersion,
    OwnedRuleName, Peer, Peers, Refusal, ServerSettings, ServerTrust, TrustSettings, TrustStore, server_name,
};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A root and a credential for `localhost` with a common name.
struct Pki {
    folder: TempDir,
}

impl Pki {
    fn new(cn: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let params = |cn: &str, names: Vec<String>| {
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, cn);
            params
        };
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut root = params("Root", Vec::new());
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        std::fs::write(folder.path().join("ca.pem"), root.self_signed(&root_key).unwrap().pem()).unwrap();
        let leaf = params(cn, vec!["localhost".to_owned()]).signed_by(&key, &Issuer::new(root, root_key)).unwrap();
        std::fs::write(folder.path().join("cert.pem"), leaf.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
        Self { folder }
    }

    fn ca(&self) -> Vec<pki_types::CertificateDer<'static>> {
        pem::read_certificates(&self.folder.path().join("ca.pem")).unwrap()
    }

    fn credential(&self) -> Credential {
        Credential::load(&self.folder.path().join("cert.pem"), &self.folder.path().join("key.pem")).unwrap()
    }
}

fn acceptor(pki: &Pki, trust: &Arc<TrustStore>) -> Acceptor {
    Acceptor::new(ServerSettings {
        credential: pki.credential(),
        client_auth: ClientAuth::Required(trust.clone()),
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    })
    .unwrap()
}

fn connector(pki: &Pki, trust: &Arc<TrustStore>) -> Connector {
    Connector::new(ClientSettings {
        trust: ServerTrust::Verified(trust.clone()),
        credential: Some(pki.credential()),
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    })
    .unwrap()
}

type Accepted = Result<Option<Arc<Peer>>, AcceptError>;

/// Every cause can be reached from the error that a caller gets.
#[test]
fn an_error_leads_to_its_cause() {
    let error = Credential::load(Path::new("nowhere.pem"), Path::new("nowhere.key")).unwrap_err();
    let causes = std::iter::successors(error.source(), |error| (*error).source()).collect::<Vec<_>>();
    let [pem, kind, system] = causes.as_slice() else { panic!("{causes:?}") };
    assert!(pem.is::<pem::PemError>() && kind.is::<pem::PemErrorKind>(), "{causes:?}");
    assert_eq!(system.downcast_ref().map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
}

/// Makes one connection; returns the server's verdict, and kind and key exchange group of the client's handshake.
async fn meet(acceptor: &Acceptor, connector: &Connector) -> (Accepted, Result<(String, String), AcceptError>) {
    let (near, far) = tokio::io::duplex(1 << 16);
    let serve = async {
        let (mut tls, admission) = acceptor.accept(far).await?;
        tls.write_all(b"x").await?;
        tls.shutdown().await?;
        Ok(admission.peer().cloned())
    };
    let connect = async {
        let (mut tls, _) = connector.connect(server_name("localhost").unwrap(), near).await?;
        // The ticket comes before the byte (RFC 8446 section 4.6.1).
        tls.read_u8().await?;
        let connection = tls.get_ref().1;
        let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        Ok((format!("{:?}", connection.handshake_kind().unwrap()), group.unwrap_or_default()))
    };
    tokio::join!(serve, connect)
}

#[tokio::test]
async fn replaced_trust_holds_for_the_next_handshake_and_no_session_outlives_it() {
    let (ours, theirs) = (Pki::new("ours"), Pki::new("theirs"));
    let trust = TrustStore::new(ours.ca()).unwrap();
    let servers = TrustStore::new(ours.ca()).unwrap();
    let (acceptor, connector) = (acceptor(&ours, &trust), connector(&ours, &servers));
    let (peer, handshake) = meet(&acceptor, &connector).await;
    assert_eq!(peer.unwrap().unwrap().common_name(), Some("ours"));
    let (kind, group) = handshake.unwrap();
    assert_eq!((kind.as_str(), group.as_str()), ("Full", "X25519MLKEM768"));
    let (peer, handshake) = meet(&acceptor, &connector).await;
    assert_eq!(handshake.unwrap().0, "Resumed");
    assert_eq!(peer.unwrap().unwrap().common_name(), Some("ours"), "a resumed session has its peer");

    // After the rule is removed, the earlier ticket is useless.
    let rules = vec![OwnedRuleName::CommonName("else".into()).into()];
    let settings = TrustSettings { clients: Peers::OneOf(rules), ..ours.ca().into() };
    trust.replace(settings).unwrap();
    let (peer, _) = meet(&acceptor, &connector).await;
    assert!(matches!(peer, Err(AcceptError::Refused(Refusal::Denied(_), _))), "{peer:?}");
    trust.replace(theirs.ca()).unwrap();
    let (peer, _) = meet(&acceptor, &connector).await;
    assert!(matches!(peer, Err(AcceptError::Refused(Refusal::Path(_), _))), "{peer:?}");
    trust.replace(ours.ca()).unwrap();
    let (_, handshake) = meet(&acceptor, &connector).await;
    assert_eq!(handshake.unwrap().0, "Full", "no session of another generation is resumed");

    // The same on the client's side.
    servers.replace(theirs.ca()).unwrap();
    let (_, handshake) = meet(&acceptor, &connector).await;
    assert!(matches!(handshake, Err(AcceptError::Refused(Refusal::Path(_), _))), "{handshake:?}");
}

/// Appends this number of certificates that no path needs to the server's own.
fn padded(pki: &Pki, more: usize) {
    let read = |file| std::fs::read_to_string(pki.folder.path().join(file)).unwrap();
    std::fs::write(pki.folder.path().join("cert.pem"), read("cert.pem") + &read("ca.pem").repeat(more)).unwrap();
}

#[tokio::test]
async fn more_certificates_than_a_chain_has_are_refused_unread() {
    let pki = Pki::new("ours");
    let trust = TrustStore::new(pki.ca()).unwrap();
    let ordinary = (acceptor(&pki, &trust), connector(&pki, &trust));
    padded(&pki, MAX_CERTIFICATES - 1);
    let (peer, handshake) = meet(&acceptor(&pki, &trust), &connector(&pki, &trust)).await;
    assert!(peer.is_ok() && handshake.is_ok(), "{peer:?} {handshake:?}");
    padded(&pki, 1);
    let (peer, _) = meet(&ordinary.0, &connector(&pki, &trust)).await;
    assert!(matches!(peer, Err(AcceptError::Refused(Refusal::TooManyCertificates(17), _))), "{peer:?}");
    let (_, handshake) = meet(&acceptor(&pki, &trust), &ordinary.1).await;
    assert!(matches!(handshake, Err(AcceptError::Refused(Refusal::TooManyCertificates(17), _))), "{handshake:?}");
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_form_of_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (make, begin) in [
        ("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem", "-----BEGIN PRIVATE KEY"),
        ("ecparam -name prime256v1 -genkey -out key.pem", "-----BEGIN EC PARAMETERS"),
        ("ecparam -name secp384r1 -genkey -noout -out key.pem", "-----BEGIN EC PRIVATE KEY"),
        ("genrsa -traditional -out key.pem 2048", "-----BEGIN RSA PRIVATE KEY"),
        ("genpkey -algorithm ED25519 -out key.pem", "-----BEGIN PRIVATE KEY"),
    ] {
        openssl(folder.path(), make);
        assert!(std::fs::read_to_string(path("key.pem")).unwrap().starts_with(begin), "{make}");
        openssl(folder.path(), "req -x509 -new -key key.pem -subj /CN=key -days 2 -out cert.pem");
        let loaded = Credential::load(&path("cert.pem"), &path("key.pem"));
        assert!(loaded.is_ok(), "{make}: {}", loaded.unwrap_err());
    }
    for make in [
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:long -out key.pem",
        "genrsa -traditional -aes256 -passout pass:long -out key.pem 2048",
    ] {
        openssl(folder.path(), make);
        let error = Credential::load(&path("cert.pem"), &path("key.pem")).unwrap_err().to_string();
        assert!(error.contains("key.pem: line 1: found an encrypted private key"), "{error}");
    }
}

#[test]
fn bundles_with_comments_and_carriage_returns() {
    let (one, two) = (Pki::new("one"), Pki::new("two"));
    let text = |pki: &Pki| std::fs::read_to_string(pki.folder.path().join("ca.pem")).unwrap();
    let bundle = format!("# site one\nsubject=CN = Root\n\n{}\n  # site two\n{}\n", text(&one), text(&two));
    let file = one.folder.path().join("bundle.pem");
    for text in [bundle.clone(), bundle.replace('\n', "\r\n")] {
        std::fs::write(&file, text).unwrap();
        assert_eq!(pem::read_certificates(&file).unwrap(), [one.ca(), two.ca()].concat());
    }
    std::fs::write(&file, std::fs::read(one.folder.path().join("key.pem")).unwrap()).unwrap();
    let error = pem::read_certificates(&file).unwrap_err().to_string();
    assert!(error.contains("found no certificate"), "{error}");
}
