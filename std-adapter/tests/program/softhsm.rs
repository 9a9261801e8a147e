//! A token of SoftHSM in a folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The PIN of all tokens. No message may have it.
pub const PIN: &str = "4711000815";

/// Returns SoftHSM's module, as Debian has it.
pub fn module() -> String {
    let found = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so"];
    let found = found.into_iter().find(|file| Path::new(file).exists());
    found.expect("the module of SoftHSM: apt-get install softhsm2").to_owned()
}

/// A token with the label `edge`.
pub struct Token {
    folder: PathBuf,
    conf: String,
}

impl Token {
    /// Makes a token, and the file with its PIN, in a folder.
    pub fn new(folder: &Path) -> Self {
        let (conf, tokens) = (folder.join("softhsm2.conf"), folder.join("tokens"));
        fs::create_dir(&tokens).unwrap();
        let text =
            format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
        fs::write(&conf, text).unwrap();
        let token = Self { folder: folder.to_owned(), conf: conf.display().to_string() };
        token.util(&["--init-token", "--free", "--label", "edge", "--so-pin", "12345678", "--pin", PIN]);
        fs::write(token.pin(), format!("{PIN}\n")).unwrap();
        fs::set_permissions(token.pin(), fs::Permissions::from_mode(0o600)).unwrap();
        token
    }

    /// Returns the variables by which the module finds the token.
    pub fn environment(&self) -> [(&str, &str); 1] {
        [("SOFTHSM2_CONF", &self.conf)]
    }

    /// Returns the file with the PIN.
    pub fn pin(&self) -> PathBuf {
        self.folder.join("pin")
    }

    fn done(&self, mut command: Command) {
        let output = command.envs(self.environment()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn util(&self, arguments: &[&str]) {
        let mut command = Command::new("softhsm2-util");
        command.args(arguments);
        self.done(command);
    }

    /// Runs pkcs11-tool on the token.
    pub fn tool(&self, arguments: &[&str]) {
        let mut command = Command::new("pkcs11-tool");
        command.args(["--module", &module(), "--token-label", "edge", "--login", "--pin", PIN]).args(arguments);
        self.done(command);
    }

    /// Makes a key in the token.
    pub fn generate(&self, kind: &str, object: &str) {
        self.tool(&["--keypairgen", "--key-type", kind, "--label", object, "--id", &hex(object)]);
    }

    /// Puts a key, in PEM, into the token.
    #[allow(dead_code, reason = "shared by two test programs")]
    pub fn import(&self, pem: &str, object: &str) {
        let file = self.folder.join("import.key");
        fs::write(&file, pem).unwrap();
        let name = file.display().to_string();
        self.util(&["--import", &name, "--token", "edge", "--label", object, "--id", &hex(object), "--pin", PIN]);
        fs::remove_file(file).unwrap();
    }

    /// Returns the URI of a key, by SoftHSM's module.
    pub fn uri(&self, object: &str) -> String {
        self.uri_by(&module(), object)
    }

    /// Returns the URI of a key, by a module.
    pub fn uri_by(&self, module: &str, object: &str) -> String {
        format!("pkcs11:token=edge;object={object}?module-path={module}&pin-source=file:{}", self.pin().display())
    }
}

fn hex(object: &str) -> String {
    object.bytes().map(|octet| format!("{octet:02x}")).collect()
}
