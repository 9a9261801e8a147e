//! Runs commands of `docs/OPERATIONS.md` against a gateway, as an operator does.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::addresses::free_address;
use super::peers::{OpensslClient, Program, blocks, echo, edgetrust, shell};
use super::pki::{Pki, arg};

/// Returns the block that contains a text.
fn block(text: &str) -> String {
    let blocks = blocks("docs/OPERATIONS.md");
    blocks.into_iter().find(|block| block.contains(text)).unwrap_or_else(|| panic!("no block has {text}"))
}

/// The gateway of the document, whose files lie in one folder.
struct Site {
    pki: Pki,
}

impl Site {
    fn new() -> Self {
        let pki = Pki::new("Root");
        std::fs::copy(pki.ca(), pki.path("mesh-root.pem")).unwrap();
        pki.issue("a", &["gateway.a.example"]);
        pki.issue("b", &["b.example"]);
        let config = json!({
            "security": {"tls": {"server": {
                "enabled": true, "cert_file": "a.pem", "key_file": "a.key",
                "mtls": {"enabled": true, "client_ca_files": ["mesh-root.pem"], "allowed_client_dns": ["b.example"]}
            }}},
            "gateway": {
                "tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()}],
                "admin": {"listen": free_address()},
            },
        });
        std::fs::write(pki.path("gateway.json"), config.to_string()).unwrap();
        Self { pki }
    }

    fn run(&self) -> Program {
        Program::start(&["run".to_owned(), "--config".to_owned(), arg(&self.pki.path("gateway.json"))])
    }

    fn client(&self, program: &Program, pki: &Pki, name: &str) -> OpensslClient {
        let file = |end: &str| arg(&pki.path(&format!("{name}.{end}")));
        OpensslClient::start(program.address, &["-cert", &file("pem"), "-key", &file("key")])
    }

    fn folder(&self) -> PathBuf {
        self.pki.ca().parent().unwrap().to_owned()
    }
}

/// Every command of the document is there, with its flags.
#[test]
fn commands_of_the_questions_are_there() {
    let blocks = blocks("docs/OPERATIONS.md").concat();
    let commands: BTreeSet<&str> = blocks.lines().filter_map(|line| line.strip_prefix("edgetrust ")).collect();
    assert!(commands.len() > 12, "{commands:?}");
    for command in commands {
        let words: Vec<_> = command.split_whitespace().collect();
        let names = words.iter().copied().take_while(|word| word.bytes().all(|octet| octet.is_ascii_lowercase()));
        let help = edgetrust(&names.take(2).chain(["--help"]).collect::<Vec<_>>());
        assert_eq!(help.status.code(), Some(0), "edgetrust {command}");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(*flag), "edgetrust {command}: {flag} is not there");
        }
    }
}

#[test]
fn the_digest_in_force_is_that_of_the_file_and_sections_are_shown() {
    let site = Site::new();
    let _program = site.run();
    let said = String::from_utf8(shell(&site.folder(), &block("sha256sum")).stdout).unwrap();
    let digest = said.lines().last().unwrap().split(' ').next().unwrap();
    assert!(said.contains(&format!("sha256 {}", &digest[..12])), "{said}");
    for section in ["certificates", "sessions", "refusals"] {
        let command = format!("edgetrust status {section}");
        assert!(block(&command).contains(&command));
        let said = String::from_utf8(shell(&site.folder(), &command).stdout).unwrap();
        assert!(said.contains(&section.to_uppercase()), "{said}");
    }
}

#[test]
fn a_certificate_and_a_root_are_replaced_and_sessions_stay() {
    let site = Site::new();
    let program = site.run();
    let mut session = site.client(&program, &site.pki, "b");
    assert_eq!(session.ask("hello").as_deref(), Some("hello"));

    site.pki.issue("a-next", &["gateway.a.example"]);
    shell(&site.folder(), &block("mv a-next.key a.key"));
    program.wait_for("reloaded");

    let next = Pki::new("Next Root");
    std::fs::copy(next.ca(), site.pki.path("next-root.pem")).unwrap();
    next.issue("b", &["b.example"]);
    let refused = site.client(&program, &next, "b").ask("hello");
    assert_eq!(refused, None);
    shell(&site.folder(), &block("next-root.pem > both.pem"));
    program.wait_for("reloaded");
    let mut session_of_next = site.client(&program, &next, "b");
    assert_eq!(session_of_next.ask("hello").as_deref(), Some("hello"));
    assert_eq!(session.ask("again").as_deref(), Some("again"));
}

/// With `DynamicUser`, systemd makes `/var/lib/edgetrust` a link.
#[test]
fn a_backup_is_restored_and_checked() {
    let site = Site::new();
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let etc = old.path().join("etc/edgetrust");
    let kept = old.path().join("var/lib/private/edgetrust/acme");
    std::fs::create_dir_all(&etc).unwrap();
    std::fs::create_dir_all(&kept).unwrap();
    std::os::unix::fs::symlink("private/edgetrust", old.path().join("var/lib/edgetrust")).unwrap();
    std::fs::write(kept.join("account.json"), "{}").unwrap();
    for file in ["gateway.json", "a.pem", "a.key", "mesh-root.pem"] {
        std::fs::copy(site.pki.path(file), etc.join(file)).unwrap();
    }
    let below = |commands: &str, root: &Path| {
        ["/etc/edgetrust", "/var/lib/edgetrust"]
            .iter()
            .fold(commands.to_owned(), |text, folder| text.replace(folder, &format!("{}{folder}", arg(root))))
    };
    shell(&site.folder(), &below(&block("-czf edgetrust-etc.tar.gz"), old.path()));
    let checked = shell(&site.folder(), &below(&block("-xzpf edgetrust-etc.tar.gz"), new.path())).stdout;
    let said = String::from_utf8(checked).unwrap();
    assert!(said.contains("0 errors"), "{said}");
    assert!(new.path().join("var/lib/edgetrust/acme/account.json").exists());
}
