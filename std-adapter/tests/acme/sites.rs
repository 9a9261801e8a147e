//! Sites of a mesh as `edgetrust federation init` makes them, each on a machine of its own in network namespaces: step-ca,
//! the gateway and nats-server run by the generated files.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use serde_json::{Value, json};
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

/// The machines of a mesh, by the numbers of their addresses from one on: those of sites, and `b2` of a second gateway of b.
const MACHINES: [&str; 6] = ["a", "b", "c", "d", "b2", "thief"];

/// A site that runs, or a second gateway of one.
pub struct Site {
    pub name: &'static str,
    pub machine: Arc<Machine>,
    pub folder: PathBuf,
    password: PathBuf,
    pub gateway: Running,
    ca: Option<Running>,
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

/// Starts a gateway, and waits until it has its certificates.
fn start_gateway(machine: &Machine, folder: &Path) -> Running {
    let mut gateway = machine.command(folder, env!("CARGO_BIN_EXE_edgetrust"));
    gateway.args(["run", "--config", "gateway.json", "--watch-interval", "100ms"]);
    let gateway = Running::start(gateway);
    gateway.wait_for("the issued certificate is shown");
    gateway
}

/// Changes the configuration of a gateway.
pub fn configure(folder: &Path, change: impl FnOnce(&mut Value)) {
    let file = folder.join("gateway.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut config);
    std::fs::write(folder.join("next.json"), config.to_string()).unwrap();
    std::fs::rename(folder.join("next.json"), file).unwrap();
}

/// Changes a tunnel in the configuration of a gateway.
pub fn configure_tunnel(folder: &Path, name: &str, key: &str, value: &str) {
    configure(folder, |config| {
        let tunnels = config["gateway"]["tunnels"].as_array_mut().unwrap();
        let tunnel = tunnels.iter_mut().find(|tunnel| tunnel["name"] == name).unwrap();
        tunnel[key] = json!(value);
    });
}

/// Has the CA of a site issue certificates for so many seconds.
pub fn shorten(folder: &Path, seconds: u32) {
    shell(folder, &format!("sed -i 's/\"24h\"/\"{seconds}s\"/; s/\"5m\"/\"1s\"/' ca.json"));
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
        let names: String = MACHINES
            .iter()
            .zip(1..)
            .map(|(machine, number)| match *machine {
                "b2" => format!("10.99.0.{number} gateway2.b.example\n"),
                site => format!("10.99.0.{number} gateway.{site}.example ca.{site}.example\n"),
            })
            .collect();
        std::fs::write(&hosts, format!("127.0.0.1 localhost\n{names}")).unwrap();
        Self { folder, hosts, network: Network::new() }
    }

    /// Starts a machine without any program.
    pub fn machine(&self, name: &str) -> Arc<Machine> {
        let number = MACHINES.iter().position(|machine| *machine == name).unwrap() + 1;
        Arc::new(self.network.machine(number, &self.hosts))
    }

    /// Starts a machine with all that a site runs.
    pub fn start(&self, name: &'static str) -> Site {
        self.start_with(name, |_| ())
    }

    /// Starts a machine with all that a site runs, after a change of its files.
    pub fn start_with(&self, name: &'static str, change: impl Fn(&Path)) -> Site {
        self.start_on(self.machine(name), name, change)
    }

    /// Starts all that a site runs on a machine.
    pub fn start_on(&self, machine: Arc<Machine>, name: &'static str, change: impl Fn(&Path)) -> Site {
        let (folder, password) = self.carry(name, name);
        change(&folder);
        let ca = start_ca(&machine, &folder, &password);
        let mut services = Vec::new();
        let gateway = start_gateway(&machine, &folder);
        if folder.join("nats.conf").exists() {
            // Its monitoring pages stand for the service that the feed leads to.
            let mut nats = machine.command(&folder, &program("nats-server"));
            nats.args(["-c", "nats.conf", "-m", "8081"]);
            services.push(Running::start(nats));
        }
        Site { name, machine, folder, password, gateway, ca: Some(ca), _services: services }
    }

    /// Starts the second gateway of site b on a machine of its own, with a copy of `gateway.json` and its own name.
    pub fn start_second(&self, change: impl Fn(&Path)) -> Site {
        let machine = self.machine("b2");
        let (folder, password) = self.carry("b", "b2");
        shell(&folder, "sed -i s/gateway.b.example/gateway2.b.example/ gateway.json");
        change(&folder);
        let gateway = start_gateway(&machine, &folder);
        Site { name: "b2", machine, folder, password, gateway, ca: None, _services: Vec::new() }
    }

    /// Starts another gateway of site b with the same files: it has the same name.
    pub fn start_replica_on(&self, machine: Arc<Machine>, change: impl Fn(&Path)) -> Site {
        let (folder, password) = self.carry("b", "b2");
        change(&folder);
        let gateway = start_gateway(&machine, &folder);
        Site { name: "b2", machine, folder, password, gateway, ca: None, _services: Vec::new() }
    }

    /// Copies the files of a site, as they are carried there: what changes in the folder of the mesh does not come to the
    /// copy by itself. Returns the copy, and the password of the site's CA.
    fn carry(&self, site: &str, to: &str) -> (PathBuf, PathBuf) {
        shell(self.folder.path(), &format!("mkdir -p run && cp -r m/sites/{site} run/{to}"));
        let password = self.folder.path().join("m/passwords").join(format!("site-{site}"));
        (self.folder.path().join("run").join(to), password)
    }

    pub fn federation(&self, command: &str) -> Output {
        shell(self.folder.path(), &format!("edgetrust federation {command}"))
    }
}

impl Site {
    pub fn stop_ca(&mut self) {
        self.ca = None;
    }

    pub fn start_ca(&mut self) {
        self.ca = Some(start_ca(&self.machine, &self.folder, &self.password));
    }

    /// Starts the CA anew, by its files as they are now.
    pub fn restart_ca(&mut self, password: &Path) {
        self.ca = None;
        self.ca = Some(start_ca(&self.machine, &self.folder, password));
    }

    /// Starts the gateway anew, by its files as they are now.
    pub fn restart_gateway(&mut self) {
        self.gateway.stop();
        self.gateway = start_gateway(&self.machine, &self.folder);
    }

    /// Has the gateway renew its certificates at once.
    pub fn renew(&self) {
        let mut renew = self.machine.command(&self.folder, env!("CARGO_BIN_EXE_edgetrust"));
        let output = renew.args(["acme", "renew", "--config", "gateway.json"]).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", self.name);
    }

    pub fn page(&self, path: &str) -> String {
        self.machine.shell(&format!("curl -s -m 5 http://127.0.0.1:9090{path}"))
    }

    /// Returns the least number of certificates that were issued for a side of the gateway.
    pub fn issued(&self) -> u64 {
        let status: Value = serde_json::from_str(&self.page("/status")).unwrap_or_default();
        let credentials = status["credentials"].as_array().into_iter().flatten();
        credentials.filter_map(|credential| credential["issued"].as_u64()).min().unwrap_or_default()
    }

    /// Returns the sum of a metric over all its labels.
    pub fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics");
        let lines = page.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Returns the port of this machine at which a client tunnel listens.
    pub fn port(&self, tunnel: &str) -> u16 {
        let config: Value = serde_json::from_slice(&std::fs::read(self.folder.join("gateway.json")).unwrap()).unwrap();
        let tunnels = config["gateway"]["tunnels"].as_array().unwrap();
        let tunnel = tunnels.iter().find(|one| one["name"] == tunnel).unwrap();
        tunnel["listen"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Returns what the service behind a local port answers; nothing if there is none.
    pub fn get(&self, port: u16) -> String {
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
    pub fn knock(&self, files: &Path, name: &str, other: &str) {
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

    /// Publishes without waiting until the server has taken it.
    pub fn begin(&mut self, subject: &str, text: &str) {
        self.0.send(&format!("PUB {subject} {}\r\n{text}\r\n", text.len()));
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

/// Brings the signed mesh to one site. The files of the others stay as they were.
pub fn deliver(mesh: &Mesh, to: &Site) {
    let signed = mesh.folder.path().join("m/mesh.signed.json");
    let there = to.folder.join("mesh.signed.json");
    std::fs::copy(signed, to.folder.join("new")).unwrap();
    std::fs::rename(to.folder.join("new"), there).unwrap();
}
