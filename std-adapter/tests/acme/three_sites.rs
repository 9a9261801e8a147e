//! Three sites that run by the generated files, without a change. Then a fourth site comes, a link goes, and the CA of a
//! site is denied.

use super::peers::shell;
use super::sites::{IN_A_ROW, Mesh, deliver};

#[test]
#[ignore = "needs step-ca: tests/run"]
fn three_sites_and_a_fourth() {
    let mesh = Mesh::new(IN_A_ROW);
    let (a, b, c) = (mesh.start("a"), mesh.start("b"), mesh.start("c"));

    // The feed, and NATS both ways through the site in the middle: every message is numbered.
    a.reaches(9001, "b");
    b.reaches(9001, "c");
    let (mut at_a, mut at_c) = (a.nats(), c.nats());
    at_a.subscribe("from.c");
    at_c.subscribe("from.a");
    let numbers: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    assert_eq!(at_a.publish("from.a", &mut at_c), numbers);
    assert_eq!(at_c.publish("from.c", &mut at_a), numbers);

    // The CA of c issues what it can with a's name: a common name.
    let impostors = mesh.folder.path().join("impostors");
    std::fs::create_dir(&impostors).unwrap();
    let issue = "openssl pkey -in ../m/sites/c/ca.key -passin file:../m/passwords/site-c -out ca.key
        openssl ecparam -name prime256v1 -genkey -noout -out sister.key
        openssl req -new -key sister.key -subj /CN=gateway.a.example -out csr
        echo subjectAltName=DNS:gateway.c.example > ext
        openssl x509 -req -in csr -CA ../m/sites/c/ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile ext -out sister.pem
        cat ../m/sites/c/ca.pem >> sister.pem";
    shell(&impostors, issue);
    c.knock(&impostors, "sister", "b");
    b.gateway.wait_for("its names are not on the allow list");

    // A fourth site: nobody else is touched, and its own first connection brings the mesh that admits it.
    mesh.federation("add m --site d=d.example --link d:c:feed");
    let d = mesh.start("d");
    for site in [&c, &b, &a] {
        site.gateway.wait_for("another mesh is in force: sequence 2");
    }
    d.reaches(9001, "c");

    // A link goes, said at one place alone, against the links' direction.
    mesh.federation("unlink m a b --service feed --yes");
    deliver(&mesh, &c);
    a.gateway.wait_for("the tunnel is left out: ");
    assert_eq!(a.get(9001), "");
    assert_eq!(at_a.publish("from.a", &mut at_c), numbers, "NATS goes on");

    // The CA of d was stolen: denied at a, and out at c within a minute. The rest goes on.
    let key = mesh.folder.path().join("m/sites/d/ca.pem");
    mesh.federation(&format!("deny m --certificate {} --reason stolen --yes", key.display()));
    deliver(&mesh, &a);
    c.gateway.wait_for("another mesh is in force: sequence 4");
    assert_eq!(d.get(9001), "");
    c.gateway.wait_for("its key is denied: sha256:");
    b.reaches(9001, "c");
    assert_eq!(at_c.publish("from.c", &mut at_a), numbers);
}
