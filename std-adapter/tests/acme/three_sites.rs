//! Three sites as `edgetrust federation init` makes them, each on a machine of its own in network namespaces: step-ca, the
//! gateway and nats-server run by the generated files, without a change. Then a fourth site comes, a link goes, and the
//! CA of a site is denied.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use tempfile::TempDir;

use super::ca::tool;
use super::namespaces::{Machine, Network, Pipe, Running, wait_until};
use super::peers::shell;

/// All sites, the machine of each, and the folder of the mesh.
pub struct Mesh {
    pub folder: TempDir,
    hosts: PathBuf,
    pub network: Network,
}

/// Three sites in a row, with a feed and NATS.
pub const IN_A_ROW: &str = "--service feed=8443 --service nats=7443 \
    --site a=a.example --site b=b.example --site c=c.example \
    --link a:b:feed --link b:c:feed --link a:b:nats --link b:c:nats";

/// A site that runs.
pub struct Site {
    pub name: &'static str,
    pub machine: Arc<Machine>,
    pub folder: PathBuf,
    password: PathBuf,
    pub gateway: Running,
    ca: Running,
    _services: Vec<Running>,
}

/// Starts the CA of a site in the folder of its files, with the password of its key.
fn start_ca(machine: &Machine, folder: &Path, password: &Path) -> Running {
    let mut ca = machine.command(folder, &program("step-ca"));
    ca.args(["--password-file", &password.display().to_string(), "ca.json"]);
    // step-ca validates through a proxy if it is told to.
    ca.env_remove("HTTP_PROXY").env_remove("http_proxy");
    let ca = Running::start(ca);
    ca.wait_for("Serving HTTPS");
    ca
}

/// Returns the file of a test server.
pub fn program(name: &str) -> String {
    tool(name).get_program().to_string_lossy().into_owned()
}

impl Mesh {
    /// Makes a mesh of sites among a, b, c and d.
    pub fn new(options: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        shell(folder.path(), &format!("edgetrust federation init m --name Demo {options}"));
        let hosts = folder.path().join("hosts");
        let names: String = ["a", "b", "c", "d"]
            .iter()
            .zip(1..)
            .map(|(site, number)| format!("10.99.0.{number} gateway.{site}.example ca.{site}.example\n"))
            .collect();
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{names}")).unwrap();
        Self { folder, hosts, network: Network::new() }
    }

    /// Starts a machine with all that a site runs.
    pub fn start(&mut self, name: &'static str) -> Site {
        self.start_with(name, |_| ())
    }

    /// Starts a machine with all that a site runs, after a change of its files.
    pub fn start_with(&mut self, name: &'static str, change: impl Fn(&Path)) -> Site {
        let machine = Arc::new(self.network.machine(&self.hosts));
        // A copy, as it is carried to the site: what changes in the folder of the mesh does not come here by itself.
        shell(self.folder.path(), &format!("mkdir -p run && cp -r m/sites/{name} run/{name}"));
        let folder = self.folder.path().join("run").join(name);
        let password = self.folder.path().join("m/passwords").join(format!("site-{name}"));
        change(&folder);
        let ca = start_ca(&machine, &folder, &password);
        let mut services = Vec::new();
        let mut gateway = machine.command(&folder, env!("CARGO_BIN_EXE_edgetrust"));
        let gateway = {
            gateway.args(["run", "--config", "gateway.json", "--watch-interval", "100ms"]);
            Running::start(gateway)
        };
        gateway.wait_for("the issued certificate is shown");
        if folder.join("nats.conf").exists() {
            // Its monitoring pages stand for the service that the feed leads to.
            let mut nats = machine.command(&folder, &program("nats-server"));
            nats.args(["-c", "nats.conf", "-m", "8081"]);
            services.push(Running::start(nats));
        }
        Site { name, machine, folder, password, gateway, ca, _services: services }
    }

    pub fn federation(&self, command: &str) -> Output {
        shell(self.folder.path(), &format!("edgetrust federation {command}"))
    }
}

impl Site {
    pub fn stop_ca(&mut self) {
        self.ca.stop();
    }

    pub fn start_ca(&mut self) {
        self.ca = start_ca(&self.machine, &self.folder, &self.password);
    }

    /// Starts the CA anew, by its files as they are now.
    pub fn restart_ca(&mut self, password: &Path) {
        self.ca.stop();
        self.ca = start_ca(&self.machine, &self.folder, password);
    }

    /// Returns what the service behind a local port answers; nothing if there is none.
    fn get(&self, port: u16) -> String {
        self.machine.shell(&format!("curl -s -m 5 http://127.0.0.1:{port}/varz || true"))
    }

    /// Waits until the tunnel at a local port leads to another site's service.
    pub fn reaches(&self, port: u16, other: &str) {
        let wanted = format!("\"server_name\": \"{other}\"");
        wait_until(&format!("{} reaches {other}", self.name), || self.get(port).contains(&wanted));
    }

    /// Connects to this site's NATS server.
    pub fn nats(&self) -> Nats {
        let mut client = Nats(Pipe::open(&self.machine, 4222));
        client.0.send("CONNECT {\"verbose\":false}\r\n");
        client.settle();
        client
    }

    /// Shows a certificate to another site's gateway.
    fn knock(&self, files: &Path, name: &str, other: &str) {
        let (cert, key) = (format!("{}/{name}.pem", files.display()), format!("{}/{name}.key", files.display()));
        self.machine.shell(&format!(
            "printf x | timeout 5 openssl s_client -quiet -connect gateway.{other}.example:8443 -cert {cert} -key {key} \
             -cert_chain {cert} || true"
        ));
    }
}

/// A client of NATS.
pub struct Nats(pub Pipe);

impl Nats {
    /// Waits until the server has taken all before; returns the messages that came meanwhile.
    pub fn settle(&mut self) -> Vec<String> {
        self.0.send("PING\r\n");
        let mut messages = Vec::new();
        loop {
            let line = self.0.line();
            assert!(!line.is_empty(), "the server has gone");
            if line.starts_with("PONG") {
                return messages;
            }
            if line.starts_with("MSG ") {
                messages.push(self.0.line().trim_end().to_owned());
            }
        }
    }

    pub fn send(&mut self, subject: &str, text: &str) {
        self.0.send(&format!("PUB {subject} {}\r\n{text}\r\n", text.len()));
        self.settle();
    }

    pub fn subscribe(&mut self, subject: &str) {
        self.0.send(&format!("SUB {subject} 1\r\n"));
        self.settle();
    }

    /// Publishes numbered messages once the first one has reached the other client, and returns what arrives.
    pub fn publish(&mut self, subject: &str, other: &mut Self) -> Vec<String> {
        wait_until(&format!("a message on {subject}"), || {
            self.0.send(&format!("PUB {subject} 5\r\nbegin\r\n"));
            self.settle();
            !other.settle().is_empty()
        });
        for number in 0..100 {
            let text = format!("{number}");
            self.0.send(&format!("PUB {subject} {}\r\n{text}\r\n", text.len()));
        }
        self.settle();
        let mut all = Vec::new();
        wait_until(&format!("all messages on {subject}"), || {
            all.extend(other.settle());
            all.last().is_some_and(|last| last == "99")
        });
        all.retain(|text| text != "begin");
        all
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn three_sites_and_a_fourth() {
    let mut mesh = Mesh::new(IN_A_ROW);
    // In this order, by which the file of hosts numbers them.
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

/// Brings the signed mesh to one site. The files of the others stay as they were.
pub fn deliver(mesh: &Mesh, to: &Site) {
    let signed = mesh.folder.path().join("m/mesh.signed.json");
    let there = to.folder.join("mesh.signed.json");
    std::fs::copy(signed, to.folder.join("new")).unwrap();
    std::fs::rename(to.folder.join("new"), there).unwrap();
}
