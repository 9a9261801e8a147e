//! A site's CA gets a new key, and a mesh a new root, while traffic goes on between two sites: each on a machine of its
//! own in network namespaces, with step-ca and the gateway by the generated files.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::namespaces::{Machine, Pipe, Running, wait_until};
use super::sites::{Mesh, Nats, Site, deliver, program};

/// The port of site a at which the service of site b is reached.
const SERVICE: u16 = 9001;

/// Two sites, of which a reaches b.
struct Two {
    mesh: Mesh,
    a: Site,
    b: Site,
    _service: Running,
}

impl Two {
    fn start() -> Self {
        let mesh = Mesh::new("--site a=a.example --site b=b.example --link a:b:feed");
        // The gateways keep a copy of the first root for themselves, which nobody changes.
        let apart = |folder: &Path| {
            let config = std::fs::read_to_string(folder.join("gateway.json")).unwrap();
            std::fs::write(folder.join("gateway.json"), config.replace("\"root.pem\"", "\"first-root.pem\"")).unwrap();
            std::fs::copy(folder.join("root.pem"), folder.join("first-root.pem")).unwrap();
        };
        let (a, b) = (mesh.start_with("a", apart), mesh.start_with("b", apart));
        // Whoever speaks with it gets each message back.
        let mut service = b.machine.command(&b.folder, &program("nats-server"));
        service.args(["-a", "127.0.0.1", "-p", "8081"]);
        let service = Running::start(service);
        service.wait_for("Server is ready");
        wait_until("a reaches b", || Pipe::open(&a.machine, SERVICE).line().starts_with("INFO "));
        Self { mesh, a, b, _service: service }
    }

    fn sites(&mut self) -> [&mut Site; 2] {
        [&mut self.a, &mut self.b]
    }

    /// Runs a step at site a, whose gateway asks that of b, and whose own `/status` is saved.
    fn step(&self, command: &str) -> Result<String, String> {
        self.a.machine.shell("curl -s http://127.0.0.1:9090/status > /var/lib/status.json");
        let folder = self.mesh.folder.path();
        let heard = "--config run/a/gateway.json --status a=/var/lib/status.json";
        let mut run = self.a.machine.command(folder, "sh");
        let program = env!("CARGO_BIN_EXE_edgetrust");
        let output = run.args(["-c", &format!("{program} federation {command} {heard}")]).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        if output.status.success() { Ok(said) } else { Err(said) }
    }

    /// Brings the mesh to one gateway, and waits until both have it in force.
    fn spread(&self, sequence: u32) {
        deliver(&self.mesh, &self.b);
        for site in [&self.a, &self.b] {
            site.gateway.wait_for(&format!("another mesh is in force: sequence {sequence} "));
            site.gateway.wait_for("reloaded");
        }
    }

    fn password(&self, site: &str) -> PathBuf {
        let passwords = self.mesh.folder.path().join("m/passwords");
        let mut all = passwords.read_dir().unwrap().map(|entry| entry.unwrap().path());
        let begins = format!("site-{site}.");
        let later = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&begins);
        all.find(later).unwrap_or_else(|| passwords.join(format!("site-{site}")))
    }
}

/// Brings files of a site's CA to its machine, and starts the CA anew.
fn carry(mesh: &Path, site: &mut Site, files: &[&str], password: &Path) {
    for file in files {
        std::fs::copy(mesh.join("m/sites").join(site.name).join(file), site.folder.join(file)).unwrap();
    }
    site.restart_ca(password);
}

/// Does something while a session goes on and new ones are opened; none fails, and no message is lost.
fn under_traffic<T>(machine: &Machine, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut session = open(machine);
            session.subscribe("numbers");
            let (mut sent, mut came) = (0_u32, Vec::new());
            // At least one of each after the end.
            loop {
                let last = over.load(Ordering::Relaxed);
                session.0.send(&format!("PUB numbers {}\r\n{sent}\r\n", sent.to_string().len()));
                sent += 1;
                came.extend(session.settle());
                open(machine);
                if last {
                    break;
                }
            }
            came.extend(session.settle());
            assert_eq!(came, (0..sent).map(|number| number.to_string()).collect::<Vec<_>>());
            sent
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        let sent = traffic.join().expect("a connection failed");
        assert!(sent > 2, "{sent}");
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Opens a session, which panics if it does not reach the service.
fn open(machine: &Machine) -> Nats {
    let mut session = Nats(Pipe::open(machine, SERVICE));
    session.0.send("CONNECT {\"verbose\":false}\r\n");
    session.settle();
    session
}

/// Waits until a step is no longer refused.
fn until_taken(two: &Two, command: &str) -> String {
    let mut said = Err(String::new());
    wait_until(&format!("{command} is taken"), || {
        said = two.step(command);
        said.is_ok()
    });
    said.unwrap()
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_new_key_for_a_sites_ca_under_traffic() {
    let mut two = Two::start();
    let folder = two.mesh.folder.path().to_owned();
    let machine = two.a.machine.clone();
    under_traffic(&machine, || {
        two.mesh.federation("renew m b start");
        let refused = two.step("renew m b commit").unwrap_err();
        assert!(refused.contains("against it: gateway.b.example of site b has not acknowledged"), "{refused}");
        two.spread(2);
        let said = two.step("renew m b commit").unwrap();
        assert!(said.contains("2 of 2 gateways have acknowledged the mesh"), "{said}");
        two.spread(3);
        let password = two.password("b");
        carry(&folder, &mut two.b, &["ca.pem", "ca.key"], &password);
        let refused = two.step("renew m b finish --lifetime 1s").unwrap_err();
        assert!(refused.contains("shows a certificate of another CA than the one in use"), "{refused}");
        two.b.renew();
        // New connections may be resumed from ones under certificates of the old key; a change of the mesh ends that.
        two.mesh.federation(&format!("deny m --key sha256:{}", "0".repeat(64)));
        two.spread(4);
    });
    under_traffic(&machine, || {
        let said = until_taken(&two, "renew m b finish --lifetime 1s");
        assert!(!said.contains("on your word"), "{said}");
        two.spread(5);
        two.b.renew();
    });
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_new_root_under_traffic() {
    let mut two = Two::start();
    let folder = two.mesh.folder.path().to_owned();
    let machine = two.a.machine.clone();
    under_traffic(&machine, || {
        two.mesh.federation("rollover m start");
        let refused = two.step("rollover m commit").unwrap_err();
        assert!(refused.contains("against it: gateway.b.example of site b has not acknowledged"), "{refused}");
        two.spread(2);
        two.step("rollover m commit").unwrap();
        two.spread(3);
        let passwords = ["a", "b"].map(|site| two.password(site));
        for (site, password) in two.sites().into_iter().zip(passwords) {
            carry(&folder, site, &["ca.pem", "root.pem"], &password);
        }
        let refused = two.step("rollover m finish --lifetime 1s").unwrap_err();
        assert!(refused.contains("shows a certificate of another CA than the one in use"), "{refused}");
        two.sites().into_iter().for_each(|site| site.renew());
    });
    under_traffic(&machine, || {
        let said = until_taken(&two, "rollover m finish --lifetime 1s");
        assert!(!said.contains("on your word"), "{said}");
        two.spread(4);
        two.sites().into_iter().for_each(|site| site.renew());
        // The key of the root before was stolen: no path leads over it any more. No file of the gateways has changed, and
        // their certificates are renewed under the next root.
        let first = folder.join("run/a/first-root.pem");
        two.mesh.federation(&format!("deny m --certificate {} --yes", first.display()));
        two.spread(5);
        two.sites().into_iter().for_each(|site| site.renew());
    });
    for site in [&two.a, &two.b] {
        let first = std::fs::read(site.folder.join("first-root.pem")).unwrap();
        assert_eq!(first, std::fs::read(folder.join("run").join(site.name).join("first-root.pem")).unwrap());
        assert_ne!(first, std::fs::read(folder.join("m/root/root.pem")).unwrap());
    }
}
