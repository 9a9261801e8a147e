//! Tries what the sandbox refuses, from a worker of a runtime that starts after it.

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgetrust_core::config::{Config, PathKind};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, Signal, getppid, kill_process, pidfd_getfd, pidfd_open};

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
    println!("{:?}", sandbox.fields());
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
        let this = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
        let stolen = pidfd_getfd(this.as_fd(), 0, PidfdGetfdFlags::empty());
        denied("a descriptor of another process", stolen.map_err(io::Error::from));
        if files {
            denied("a file elsewhere", fs::read(folder.join("out/file")));
            denied("a folder elsewhere", fs::read_dir(folder.join("out")));
            denied("/etc", fs::read("/etc/hosts"));
            denied("a new file where files are read", fs::write(folder.join("in/new"), "new"));
            denied("a log that is read", fs::read(folder.join("logs/file")));
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
        Allowed::by(Needs { hooks, ..needs(PathKind::Folder, "kept") }).hook_within_reach().is_some()
    };
    fs::write(path("kept/hook"), "").unwrap();
    assert!(within("kept/hook") && !within("before/a.pem"));

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
