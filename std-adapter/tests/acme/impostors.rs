//! Impostors at three sites, as clients and as servers, and forged meshes, while all flows: each is refused with the reason,
//! and nothing else happens.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::namespaces::{Machine, Pipe, Running, wait_until};
use super::peers::shell;
use super::sites::{Mesh, Site, shorten};
use super::traffic::{OpenPost, SERVICES, Traffic, WAYS, lead_to_components};

/// The impostors of one gateway: the name of their files, and why they are refused.
const KINDS: [(&str, &str); 3] = [
    ("foreign", "its signature was not made by the issuer's key"),
    ("sister", "its name constraints do not allow a name below"),
    ("below", "its path length allows fewer intermediate CAs below than there are"),
];

/// Issues certificates with the name of a site's gateway: by a foreign root that bears the name of the mesh's, by the CA of
/// another site, and by a CA below the site's own.
fn impostors(mesh: &Mesh, of: &str, sister: &str) -> PathBuf {
    let folder = mesh.folder.path().join(format!("impostors-{of}"));
    std::fs::create_dir(&folder).unwrap();
    let script = format!(
        "ca() {{ openssl pkey -in ../m/sites/$1/ca.key -passin file:../m/passwords/site-$1 -out $1.ca.key; }}
        ca {of}; ca {sister}
        for name in root sub foreign sister below; do openssl ecparam -name prime256v1 -genkey -noout -out $name.key; done
        printf 'basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign\\nsubjectKeyIdentifier=hash\\n' > ca.ext
        printf 'subjectAltName=DNS:gateway.{of}.example\\nkeyUsage=digitalSignature\\n' > leaf.ext
        subject=$(openssl x509 -in ../m/root/root.pem -noout -subject -nameopt compat | sed 's/^subject=//')
        request() {{ openssl req -new -key $1.key -subj \"$2\" -out $1.csr; }}
        issue() {{ openssl x509 -req -in $1.csr -CA $2 -CAkey $3 -CAcreateserial -days 1 -extfile $4 -out $1.pem; }}
        request root \"$subject\"
        openssl x509 -req -in root.csr -signkey root.key -days 1 -extfile ca.ext -out root.pem
        request sub /CN=Below
        issue sub ../m/sites/{of}/ca.pem {of}.ca.key ca.ext
        for name in foreign sister below; do request $name /CN=gateway.{of}.example; done
        issue foreign root.pem root.key leaf.ext
        issue sister ../m/sites/{sister}/ca.pem {sister}.ca.key leaf.ext
        issue below sub.pem sub.key leaf.ext
        cat root.pem >> foreign.pem
        cat ../m/sites/{sister}/ca.pem >> sister.pem
        cat sub.pem ../m/sites/{of}/ca.pem >> below.pem
        chmod 600 *.key"
    );
    shell(&folder, &script);
    folder
}

/// Shows a certificate at an address, and waits until the gateway there has refused it.
fn is_refused(thief: &Machine, files: &Path, kind: (&str, &str), address: &str, site: &Site) {
    let (name, why) = kind;
    let script = format!(
        "printf x | timeout 30 openssl s_client -quiet -connect {address} -cert {name}.pem -key {name}.key \
         -cert_chain {name}.pem"
    );
    // What comes of it the gateway's log says.
    let _ = thief.command(files, "sh").args(["-c", &script]).output().unwrap();
    site.gateway.wait_for_all(&["refused: ", why, "gateway.a.example"]);
}

/// Brings a text to a site as its mesh file, and waits until it is refused.
fn is_not_taken(site: &Site, text: &str, why: &str) {
    std::fs::write(site.folder.join("new"), text).unwrap();
    std::fs::rename(site.folder.join("new"), site.folder.join("mesh.signed.json")).unwrap();
    let line = site.gateway.wait_for("the mesh file is not taken, and the mesh in force stays: ");
    assert!(line.contains("ERROR") && line.contains(why), "{why}: {line}");
}

/// Brings forged meshes to a site: one of another root, one that is not signed, one whose text was changed, and a torn one.
fn bring_forged(mesh: &Mesh, site: &Site) {
    let folder = mesh.folder.path();
    shell(folder, "edgetrust federation init other --name Demo --site a=a.example --site b=b.example");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let signed = read("m/mesh.signed.json");
    let mut changed: Value = serde_json::from_str(&signed).unwrap();
    let foreign: Value = serde_json::from_str(&read("other/mesh.signed.json")).unwrap();
    changed["payload"] = foreign["payload"].clone();
    is_not_taken(site, &read("m/mesh.json"), "found a mesh that is not signed, expected the signed one");
    is_not_taken(site, &changed.to_string(), "the signature was not made by the signer's key");
    is_not_taken(site, &signed[..signed.len() / 2], "not a flattened JWS");
    is_not_taken(site, &read("other/mesh.signed.json"), "the signer's certificate: ");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn impostors_and_forged_meshes_are_refused_with_the_reason() {
    let mesh = Mesh::new(SERVICES);
    let start = |name| {
        mesh.start_with(name, |folder| {
            shorten(folder, 60);
            lead_to_components(folder);
        })
    };
    let (a, mut b, c) = (start("a"), start("b"), start("c"));
    let traffic = Traffic::start(&mesh, &a, &b, &c);
    let thief = mesh.machine("thief");

    // Clients with the name of a's gateway, at every service.
    let files = impostors(&mesh, "a", "b");
    for kind in KINDS {
        for (site, address) in [
            (&b, "gateway.b.example:9443"),
            (&b, "gateway.b.example:7443"),
            (&a, "gateway.a.example:8443"),
            (&c, "gateway.c.example:7443"),
        ] {
            is_refused(&thief, &files, kind, address, site);
        }
    }

    bring_forged(&mesh, &b);
    wait_until("the metric says so", || b.metric("edgetrust_mesh_file_refused") == 1);
    traffic.goes_on(&WAYS);
    traffic.finish(&WAYS);

    // Over a restart the last good mesh stays in force, too.
    b.restart_gateway();
    let not_taken = "the mesh file is not taken, and the mesh in force stays: ";
    wait_until("the file is refused at the start", || b.gateway.count(not_taken) > 0);
    let mut post = OpenPost::open(&a.machine, a.port("post-to-b"));
    wait_until("a posts to b", || {
        let answers = post.answers();
        if !answers {
            post = OpenPost::open(&a.machine, a.port("post-to-b"));
        }
        answers
    });

    // Servers with the name of b's gateway, in its place.
    b.gateway.stop();
    let files = impostors(&mesh, "b", "c");
    for (name, why) in KINDS {
        let mut server = b.machine.command(&files, "openssl");
        server.args(["s_server", "-accept", "9443", "-quiet", "-cert", &format!("{name}.pem")]);
        server.args(["-key", &format!("{name}.key"), "-cert_chain", &format!("{name}.pem"), "-Verify", "3"]);
        server.stdin(Stdio::piped()).stdout(Stdio::null());
        let _server = Running::start_piped(server);
        wait_until(&format!("{name} is refused as a server"), || {
            assert_eq!(Pipe::open(&a.machine, a.port("post-to-b")).line(), "");
            let lines = a.gateway.lines("tunnel=post-to-b");
            lines.iter().any(|line| line.contains(why) && line.contains("gateway.b.example"))
        });
    }
}
