//! Tries what the sandbox refuses, from a worker of a runtime that starts after it.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgetrust_core::config::{Config, PathKind};
use rustix::process::{
    PidfdFlags, PidfdGetfdFlags, Resource, Rlimit, Signal, getppid, kill_process, pidfd_getfd, pidfd_open, prlimit,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Needs, NotAllowed, WITH_SCOPES, allowed::Allowed, confine};
use crate::acme::Hooks;

/// The folder of a test that runs again as a process of its own, which is confined for good.
const FOLDER: &str = "EDGETRUST_TEST_OF_SANDBOX";

fn denied<T>(what: &str, result: io::Result<T>) {
    match result {
        Ok(_) => panic!("{what}: it was let"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{what}: {error}"),
    }
}

/// Runs one test of this program as a process of its own.
fn again(test: &str, folder: &Path) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&format!("sandbox::tests::{test}"), "--exact", "--nocapture"]).env(FOLDER, folder);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_worker_reaches_what_the_configuration_names_and_nothing_else() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        let folder = tempfile::tempdir().unwrap();
        for name in ["in", "out", "logs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("file"), name).unwrap();
        }
        return again("a_worker_reaches_what_the_configuration_names_and_nothing_else", folder.path());
    };
    let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let parent = getppid().unwrap();
    let mut needs = Needs::one_file(&folder.join("in/file"));
    needs.paths.push((PathKind::Folder, folder.join("kept")));
    needs.paths.push((PathKind::Log, folder.join("logs/audit")));
    needs.listen.insert(0, "a".to_owned());
    needs.connect.insert(target.local_addr().unwrap().port(), "a".to_owned());
    let sandbox = confine(needs).unwrap();
    println!("{:?}", sandbox.layers());
    let (files, ports, abi) = (sandbox.confines_files(), sandbox.confines_ports(), sandbox.abi());
    let tried = move || {
        assert_eq!(fs::read(folder.join("in/file")).unwrap(), b"in");
        // A file that takes its place, as writers of certificates put it there.
        fs::write(folder.join("kept/new"), "new").unwrap();
        fs::rename(folder.join("kept/new"), folder.join("kept/old")).unwrap();
        fs::create_dir(folder.join("kept/folder")).unwrap();
        std::os::unix::fs::symlink("folder", folder.join("kept/live")).unwrap();
        fs::rename(folder.join("kept/live"), folder.join("kept/folder/live")).unwrap();
        // A log that is written, renamed by others, and made again.
        let mut log = fs::OpenOptions::new().append(true).create(true).open(folder.join("logs/audit")).unwrap();
        log.write_all(b"line").unwrap();
        drop(fs::File::open("/dev/urandom").unwrap());
        drop(TcpListener::bind("127.0.0.1:0").unwrap());
        drop(TcpStream::connect(target.local_addr().unwrap()).unwrap());
        denied("a program", Command::new("/bin/true").spawn());
        denied("a socket of MPTCP", Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::from(262))));
        denied("a socket of another family", Socket::new(Domain::from(40), Type::STREAM, None));
        let fast = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let sent = fast.send_to_with_flags(b"x", &elsewhere.local_addr().unwrap().into(), libc::MSG_FASTOPEN);
        denied("a connection by its first octets", sent);
        let nothing = Rlimit { current: None, maximum: None };
        let limited = prlimit(Some(parent), Resource::Core, nothing);
        denied("a limit of another process", limited.map_err(io::Error::from));
        let this = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        let stolen = pidfd_getfd(this.as_fd(), 0, PidfdGetfdFlags::empty());
        denied("a descriptor of another process", stolen.map_err(io::Error::from));
        if files {
            denied("a file elsewhere", fs::read(folder.join("out/file")));
            denied("a folder elsewhere", fs::read_dir(folder.join("out")));
            denied("/etc", fs::read("/etc/hosts"));
            denied("a new file where files are read", fs::write(folder.join("in/new"), "new"));
            denied("a log that is removed", fs::remove_file(folder.join("logs/file")));
            denied("a new file elsewhere", fs::write(folder.join("out/new"), "new"));
            denied("a file that is removed", fs::remove_file(folder.join("in/file")));
            // EXDEV, as from Landlock.
            fs::rename(folder.join("kept/old"), folder.join("out/old")).unwrap_err();
            fs::hard_link(folder.join("out/file"), folder.join("kept/link")).unwrap_err();
        }
        if ports {
            denied("a port to listen on", TcpListener::bind(other));
            denied("a port to connect to", TcpStream::connect(elsewhere.local_addr().unwrap()));
        }
        if abi >= WITH_SCOPES {
            denied("a signal", kill_process(parent, Signal::CONT).map_err(io::Error::from));
        }
    };
    // A worker of a runtime, which starts after the sandbox.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let this = std::thread::current().id();
    runtime
        .block_on(runtime.spawn(async move {
            assert_ne!(std::thread::current().id(), this);
            tried();
        }))
        .unwrap();
}

#[test]
fn what_a_reload_may_not_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("in")).unwrap();
    fs::create_dir(path("out")).unwrap();
    for file in ["in/a.pem", "out/a.pem"] {
        fs::write(path(file), "").unwrap();
    }
    let needs = |kind, name: &str| Needs { paths: vec![(kind, path(name))], ..Needs::default() };
    let both = needs(PathKind::File, "in/a.pem").and(needs(PathKind::Folder, "kept"));
    let allowed = Allowed::by(both);
    assert!(path("kept").is_dir());
    let allows = |needs: &Needs| allowed.allows(needs, true, true);
    let refused = |name: &str| Err(NotAllowed::Path(path(name)));
    for (kind, name) in [
        (PathKind::File, "in/b.pem"),
        (PathKind::File, "in/../in/a.pem"),
        (PathKind::File, "kept/live/a.pem"),
        (PathKind::Folder, "kept/more"),
        // What is not there is said by whoever opens it.
        (PathKind::File, "nowhere/a.pem"),
        (PathKind::Socket, "out/socket"),
    ] {
        assert_eq!(allows(&needs(kind, name)), Ok(()), "{name}");
    }
    std::os::unix::fs::symlink("../out/a.pem", path("in/link.pem")).unwrap();
    for (kind, name) in [
        (PathKind::File, "out/a.pem"),
        (PathKind::File, "out/new.pem"),
        (PathKind::File, "in/link.pem"),
        (PathKind::Folder, "in"),
        (PathKind::Folder, "new"),
        (PathKind::Listener, "in/socket"),
        (PathKind::Log, "in/log"),
    ] {
        assert_eq!(allows(&needs(kind, name)), refused(name), "{name}");
    }
    assert_eq!(allows(&needs(PathKind::Log, "kept/log")), Ok(()));
    // Another folder of the same name.
    fs::rename(path("in"), path("before")).unwrap();
    fs::rename(path("out"), path("in")).unwrap();
    assert_eq!(allows(&needs(PathKind::File, "in/a.pem")), refused("in/a.pem"));
    assert_eq!(allows(&needs(PathKind::File, "before/a.pem")), Ok(()));
    // Where the kernel does not confine files, none is refused.
    assert_eq!(allowed.allows(&needs(PathKind::File, "in/a.pem"), false, true), Ok(()));

    let within = |program: &str| {
        let hooks = Hooks { renewal: Vec::new(), dns: vec![format!("{} it", path(program).display())] };
        !Allowed::by(Needs { hooks, ..needs(PathKind::Folder, "kept") }).within_reach().is_empty()
    };
    fs::write(path("kept/hook"), "").unwrap();
    assert!(within("kept/hook") && !within("before/a.pem"));
    let reached = |config: &str, kind, name: &str| {
        Allowed::by(Needs { config: Some(path(config)), ..needs(kind, name) }).within_reach().len()
    };
    assert_eq!(reached("before/a.pem", PathKind::Folder, "kept"), 0);
    assert_eq!(reached("kept/hook", PathKind::Folder, "kept"), 1);
    assert_eq!(reached("before/a.pem", PathKind::Log, "before/log"), 1, "a log beside the configuration");
    assert_eq!(reached("before/a.pem", PathKind::Listener, "before/socket"), 1);
    let log =
        Needs { paths: vec![(PathKind::Folder, path("kept")), (PathKind::Log, path("kept/log"))], ..Needs::default() };
    assert_eq!(Allowed::by(log).within_reach().len(), 1, "a log that links can be planted for");

    let port = |port, who: &str| [(port, who.to_owned())].into();
    let who = || "tunnel a".to_owned();
    let hooks = Hooks { renewal: vec!["/bin/a".to_owned()], dns: Vec::new() };
    for (needs, expected) in [
        (Needs { listen: port(1, "tunnel a"), ..Needs::default() }, NotAllowed::Listen(1, who())),
        (Needs { connect: port(1, "tunnel a"), ..Needs::default() }, NotAllowed::Connect(1, who())),
        (Needs { any_port: Some(who()), ..Needs::default() }, NotAllowed::AnyPort(who())),
        (Needs { system: Some(who()), ..Needs::default() }, NotAllowed::System(who())),
        (Needs { tokens: vec![who()], ..Needs::default() }, NotAllowed::Token(who())),
        (Needs { hooks, ..Needs::default() }, NotAllowed::Hook("/bin/a".to_owned())),
    ] {
        assert_eq!(allows(&needs), Err(expected));
    }
}

/// A link that comes later has ports of its own.
#[test]
fn a_mesh_may_come_to_need_any_port_but_no_capability() {
    let who = || "gateway.mesh".to_owned();
    let with = |listen: u16| Needs {
        any_port: Some(who()),
        listen: [(listen, "tunnel a".to_owned())].into(),
        connect: [(9000, "tunnel a".to_owned())].into(),
        ..Needs::default()
    };
    let allowed = Allowed::by(with(8443));
    assert_eq!((allowed.listen(), allowed.connect()), (None, None));
    let other = Needs { connect: [(1, "tunnel a".to_owned())].into(), ..with(8444) };
    assert_eq!(allowed.allows(&other, true, true), Ok(()));
    // The capability for low ports was given up at the start, whatever the kernel confines.
    for ports in [true, false] {
        let refused = Err(NotAllowed::Listen(443, "tunnel a".to_owned()));
        assert_eq!(allowed.allows(&with(443), true, ports), refused);
    }
    assert_eq!(Allowed::by(with(443)).allows(&with(444), true, true), Ok(()));
}

#[test]
fn ports_of_proxies_stand_for_those_behind_them() {
    let mut text = br#"{"gateway": {"tunnels": [
        {"name": "out", "mode": "client", "listen": "127.0.0.1:1001", "target": "b.example:8443",
         "proxy": "http://127.0.0.1:3128"},
        {"name": "in", "mode": "server", "listen": "127.0.0.1:1002", "allow_remote_plaintext": true,
         "targets": ["127.0.0.1:5001", "127.0.0.1:5002"]}],
        "admin": {"listen": "unix:/run/edgetrust/admin"}}}"#
        .to_vec();
    let needs = Needs::of(&Config::parse(&mut text).unwrap());
    assert_eq!(needs.connect.keys().copied().collect::<Vec<_>>(), [53, 3128, 5001, 5002]);
    assert_eq!(needs.listen.keys().copied().collect::<Vec<_>>(), [1001, 1002]);
    let socket = (PathKind::Listener, PathBuf::from("/run/edgetrust/admin"));
    assert!(needs.paths.contains(&socket), "{needs:?}");
}

/// A server of a shared store is connected to as the configuration at the start says, and no other after a reload.
#[test]
fn ports_of_shared_stores_may_be_connected_to() {
    let needs = |acme: &str, mesh: &str| {
        let mut text = format!(
            r#"{{"gateway": {{
            "mesh": {{"file": "/m", "site": "a", "storage_path": "/s", "ca_bundle": "/r",
                "storage": {{"nats": {{"servers": ["{mesh}"], "ca_files": ["/mesh-ca"], "credentials_file": "/u.creds"}}}}}},
            "tunnels": [{{"name": "in", "mode": "server", "listen": "127.0.0.1:1002", "target": "127.0.0.1:5001",
                "tls": {{"mode": "acme", "acme": {{"enabled": true, "directory_url": "https://ca.example/d",
                "domains": ["a.example"], "storage_path": "/acme", "storage": {{"nats": {{"servers": ["{acme}"],
                "cert_file": "/c", "key_file": "/k", "sealing_key_files": ["/seal"]}}}}}}}}}}]}}}}"#
        )
        .into_bytes();
        Needs::of(&Config::parse(&mut text).unwrap())
    };
    let first = needs("tls://127.0.0.1:4222", "tls://nats.example:4223");
    assert_eq!(first.connect.keys().copied().collect::<Vec<_>>(), [53, 443, 4222, 4223, 5001]);
    assert_eq!(first.connect[&4222], "tunnel in: acme.storage");
    for file in ["/mesh-ca", "/u.creds", "/c", "/k", "/seal"] {
        assert!(first.paths.contains(&(PathKind::File, PathBuf::from(file))), "{file}: {first:?}");
    }
    // A mesh may need any port: without it the ports are those at the start.
    let without = |needs: Needs| Needs { any_port: None, paths: Vec::new(), ..needs };
    let allowed = Allowed::by(without(first));
    let other = without(needs("tls://127.0.0.1:4222", "tls://nats.example:4224"));
    let refused = NotAllowed::Connect(4224, "gateway.mesh.storage".to_owned());
    assert_eq!(allowed.allows(&other, true, true), Err(refused));
    let same = without(needs("tls://10.0.0.1:4222", "tls://nats.example:4223"));
    assert_eq!(allowed.allows(&same, true, true), Ok(()));
}

/// The ways in which certificates are replaced: what a link leads to is another file beside, or in another folder.
#[test]
fn links_that_are_turned_lead_to_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let turn = |link: &str, target: &str| {
        // As those who turn links do it.
        symlink(target, path("turned")).unwrap();
        fs::rename(path("turned"), path(link)).unwrap();
    };
    for (at, next) in [("a/1", "a/2"), ("b/store/1", "b/store/2"), ("c/rel/1", "c/rel/2"), ("d/..2026_1", "d/..2026_2")]
    {
        for place in [at, next] {
            fs::create_dir_all(path(place)).unwrap();
            fs::write(path(place).join("cert.pem"), "").unwrap();
        }
    }
    fs::create_dir_all(path("b/shown")).unwrap();
    // A folder by a link; a file by a link to another folder; releases; the mounts of Kubernetes.
    turn("a/live", "1");
    turn("b/shown/cert.pem", "../store/1/cert.pem");
    turn("c/current", "rel/1");
    turn("d/..data", "..2026_1");
    turn("d/cert.pem", "..data/cert.pem");
    let files = ["a/live/cert.pem", "b/shown/cert.pem", "c/current/cert.pem", "d/cert.pem"];
    for file in files {
        let needs = || Needs { paths: vec![(PathKind::File, path(file))], ..Needs::default() };
        let allowed = Allowed::by(needs());
        assert_eq!(allowed.allows(&needs(), true, true), Ok(()), "{file}");
        match file {
            "a/live/cert.pem" => turn("a/live", "2"),
            "b/shown/cert.pem" => turn("b/shown/cert.pem", "../store/2/cert.pem"),
            "c/current/cert.pem" => turn("c/current", "rel/2"),
            _ => turn("d/..data", "..2026_2"),
        }
        let after = allowed.allows(&needs(), true, true);
        // A file elsewhere is what a restart is for.
        let elsewhere = file == "b/shown/cert.pem";
        assert_eq!(after.is_err(), elsewhere, "{file}: {after:?}");
    }
}

#[test]
fn a_log_in_a_device_opens_no_more() {
    for name in ["/dev/stdout", "/dev/null", "/dev/full"] {
        let allowed = Allowed::by(Needs { paths: vec![(PathKind::Log, PathBuf::from(name))], ..Needs::default() });
        let places: Vec<_> = allowed.folders().iter().map(|folder| folder.path().to_owned()).collect();
        assert!(!places.contains(&PathBuf::from("/dev")), "{name}: {places:?}");
    }
}
