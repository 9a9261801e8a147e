//! Holds what the sandbox allows, in the terms of the kernel, so that a reload that needs more is told so before it
//! begins. Landlock's rules are for folders as they were at the start, whatever takes their names later.

use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use edgetrust_core::config::PathKind;

use super::needs::Needs;
use crate::acme::Hooks;
use crate::store;
use crate::token::KeyUri;

/// The folders of name resolution, of the system's CAs and of the libraries that both load, where they exist.
const SYSTEM: [&str; 7] =
    ["/etc", "/usr", "/lib", "/lib64", "/run/systemd/resolve", "/var/lib/ca-certificates", "/nix/store"];

/// The file of the resolver, which may be a link to a folder of whoever manages the network.
const RESOLVER: &str = "/etc/resolv.conf";

/// The variables that name the system's CAs elsewhere.
const CA_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The folders that tell of this process and of how many processors it may use.
const PROCESS: [&str; 2] = ["/proc", "/sys/fs/cgroup"];

/// The ports for which a capability is needed, by default.
const LOW: u16 = 1024;

/// The rights below a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// Files are read.
    Read,
    /// Files are made, written, renamed and removed too.
    Write,
    /// Files are made, read and written.
    Append,
    /// Unix sockets are made and removed.
    Sockets,
}

/// A folder with what may be done below it.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The device and inode: the rule is for this folder, not for its name.
    identity: (u64, u64),
    rights: Rights,
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn rights(&self) -> Rights {
        self.rights
    }

    pub(super) fn is_written(&self) -> bool {
        self.rights != Rights::Read
    }

    /// Returns whether everything is below this folder.
    pub(super) fn is_everything(&self) -> bool {
        self.path.as_os_str() == "/"
    }
}

/// The folders, ports, hooks and keys that the sandbox allows.
#[derive(Debug)]
pub(super) struct Allowed {
    folders: Vec<Folder>,
    logs: Vec<PathBuf>,
    needs: Needs,
}

/// A need of a configuration that the sandbox does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAllowed {
    /// A path below none of the folders.
    Path(PathBuf),
    /// A port to listen on, and who asks for it.
    Listen(u16, String),
    /// A port to connect to, and who asks for it.
    Connect(u16, String),
    /// Ports of a mesh, which may be any, and who asks for them.
    AnyPort(String),
    /// Names or the system's CAs, and who asks for them.
    System(String),
    /// A command.
    Hook(String),
    /// A key in a token.
    Token(String),
}

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(
                f,
                "found {}, expected a path below the folders of the configuration at the start",
                path.display()
            )?,
            Self::Listen(port, who) => {
                write!(f, "{who}: found port {port} to listen on, expected one of the ports at the start")?
            }
            Self::Connect(port, who) => {
                write!(f, "{who}: found port {port} to connect to, expected one of the ports at the start")?
            }
            Self::AnyPort(who) => write!(
                f,
                "{who}: found a mesh, whose links may have any port, and none was in the configuration at the start"
            )?,
            Self::System(who) => write!(
                f,
                "{who}: found a name to look up or the system's CAs, and none was in the configuration at the start"
            )?,
            Self::Token(uri) => write!(f, "found the key {uri}, expected one of the configuration at the start")?,
            Self::Hook(hook) => write!(f, "found the hook {hook:?}, expected one of the configuration at the start")?,
        }
        f.write_str(": the sandbox allows no more than that, restart to change it")
    }
}

impl std::error::Error for NotAllowed {}

fn is_low(port: u16) -> bool {
    (1..LOW).contains(&port)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// Returns the folder that holds a file.
fn parent(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The number of folders of links: Linux follows 40 (path_resolution(7)).
const MOST_LINKS: usize = 80;

/// Returns the folders of all links that a path leads through, and that of the file at its end. Folders of links that
/// lie in `/`, as `/var` does, would open too much: whoever turns such a link has to restart.
fn places_on_the_way(path: &Path) -> Vec<PathBuf> {
    let mut places = Vec::new();
    let mut rest: Vec<OsString> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
    let mut at = if path.is_absolute() { PathBuf::from("/") } else { PathBuf::from(".") };
    while let Some(part) = rest.pop() {
        let next = at.join(&part);
        let Ok(target) = std::fs::read_link(&next) else {
            at = next;
            continue;
        };
        // The folder of the link, and that of what it leads to.
        places.push(at.clone());
        places.extend(at.join(&target).parent().map(Path::to_owned));
        if places.len() > MOST_LINKS {
            return Vec::new();
        }
        rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
    }
    let below_root = |place: &PathBuf| place.canonicalize().map_or(0, |place| place.components().skip(1).count());
    places.retain(|place| below_root(place) > 1);
    places.extend(Some(parent(&at).to_owned()).filter(|place| below_root(place) > 0));
    places
}

/// Returns the places that a log is written to: the folder, where it is made again once it was renamed; of a device or a
/// pipe, that alone. Links are followed, and below `/dev` and `/proc` nothing is made.
fn log_places(file: &Path) -> Vec<PathBuf> {
    let is_special = std::fs::metadata(file).is_ok_and(|found| !found.is_file() && !found.is_dir());
    let is_of_the_kernel = ["/dev", "/proc"].iter().any(|folder| file.starts_with(folder));
    if is_of_the_kernel {
        // The one thing that stands behind the name. A pipe without a name needs no rule.
        return file.canonicalize().into_iter().collect();
    }
    let mut places = vec![parent(file).to_owned()];
    match file.canonicalize() {
        Ok(target) if is_special => places.push(target),
        Ok(target) => places.push(parent(&target).to_owned()),
        Err(_) => places.extend(places_on_the_way(file)),
    }
    if is_special && std::fs::symlink_metadata(file).is_ok_and(|found| !found.is_symlink()) {
        places.remove(0);
    }
    places
}

impl Allowed {
    /// Returns what these needs take. Folders that are written are made first, as they would be later.
    pub(super) fn by(needs: Needs) -> Self {
        let mut allowed = Self { folders: Vec::new(), logs: Vec::new(), needs };
        let paths = std::mem::take(&mut allowed.needs.paths);
        for (kind, path) in &paths {
            match kind {
                PathKind::File => {
                    allowed.add(parent(path), Rights::Read);
                    allowed.add_target(path);
                }
                PathKind::Folder => {
                    // The configuration is loaded next, and tells why the folder cannot be made.
                    let _ = store::make_folder(path);
                    allowed.add(path, Rights::Write);
                }
                PathKind::Log => {
                    log_places(path).iter().for_each(|place| allowed.add(place, Rights::Append));
                    allowed.logs.push(path.clone());
                }
                PathKind::Listener => allowed.add(parent(path), Rights::Sockets),
                // Landlock does not confine them, and hooks run elsewhere.
                PathKind::Socket | PathKind::Token | PathKind::Hook => {}
            }
        }
        for folder in PROCESS {
            allowed.add(Path::new(folder), Rights::Read);
        }
        if allowed.needs.system.is_some() {
            for folder in SYSTEM {
                allowed.add(Path::new(folder), Rights::Read);
            }
            allowed.add_target(Path::new(RESOLVER));
            for path in CA_VARIABLES.iter().filter_map(std::env::var_os).map(PathBuf::from) {
                allowed.add(if path.is_dir() { &path } else { parent(&path) }, Rights::Read);
                allowed.add_target(&path);
            }
        }
        allowed
    }

    /// Adds a folder that exists.
    fn add(&mut self, path: &Path, rights: Rights) {
        let Some(identity) = identity(path) else { return };
        if !self.folders.iter().any(|known| known.identity == identity && known.rights == rights) {
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            self.folders.push(Folder { path, identity, rights });
        }
    }

    /// Adds the folder of each link on the way that a path leads, and of the file at its end: a link that is turned
    /// leads to another folder beside the one before. A link to a folder in `/` adds nothing.
    fn add_target(&mut self, path: &Path) {
        for place in places_on_the_way(path) {
            self.add(&place, Rights::Read);
        }
    }

    pub(super) fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// Returns the ports to listen on; `None` for any.
    pub(super) fn listen(&self) -> Option<Vec<u16>> {
        self.needs.any_port.is_none().then(|| self.needs.listen.keys().copied().collect())
    }

    /// Returns the ports to connect to; `None` for any.
    pub(super) fn connect(&self) -> Option<Vec<u16>> {
        self.needs.any_port.is_none().then(|| self.needs.connect.keys().copied().collect())
    }

    /// Returns whether a port is listened on that takes a capability.
    pub(super) fn listens_low(&self) -> bool {
        self.needs.listen.keys().copied().any(is_low)
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.needs.hooks
    }

    /// Returns what this process could replace, and what then runs or is followed with more rights than it has: the
    /// configuration, programs and files of hooks, and a log below a folder that is written.
    pub(super) fn within_reach(&self) -> Vec<String> {
        let is_below = |path: &Path, rights: &[Rights]| {
            let place = path.canonicalize().or_else(|_| parent(path).canonicalize());
            let above = place.iter().flat_map(|place| place.ancestors()).filter_map(identity);
            above
                .into_iter()
                .any(|at| self.folders.iter().any(|one| one.identity == at && rights.contains(&one.rights)))
        };
        let mut found = Vec::new();
        if let Some(config) = &self.needs.config
            && is_below(config, &[Rights::Write, Rights::Append, Rights::Sockets])
        {
            found.push(format!("the configuration {}", config.display()));
        }
        let Hooks { renewal, dns } = &self.needs.hooks;
        for hook in renewal.iter().chain(dns) {
            let words = hook.split_whitespace().flat_map(|word| word.split(':'));
            let mut files = words.filter(|word| word.starts_with('/'));
            if files.any(|file| is_below(Path::new(file), &[Rights::Write])) {
                found.push(format!("a file of the hook {hook}"));
            }
        }
        let keys = self.needs.tokens.iter().filter_map(|uri| KeyUri::parse(uri).ok());
        for key in keys.filter(|key| is_below(key.module(), &[Rights::Write])) {
            found.push(format!("the PKCS #11 module {}", key.module().display()));
        }
        for log in self.logs.iter().filter(|log| is_below(log, &[Rights::Write])) {
            found.push(format!("the log {}", log.display()));
        }
        found
    }

    /// Checks needs against this; files and ports only where the kernel confines them.
    pub(super) fn allows(&self, needs: &Needs, files: bool, ports: bool) -> Result<(), NotAllowed> {
        if files {
            if let Some((_, path)) = needs.paths.iter().find(|(kind, path)| !self.reaches(*kind, path)) {
                return Err(NotAllowed::Path(path.clone()));
            }
            if let (None, Some(who)) = (&self.needs.system, &needs.system) {
                return Err(NotAllowed::System(who.clone()));
            }
        }
        // Any port may be of a mesh, but for low ones the capability was given up.
        let low = || needs.listen.iter().find(|(port, _)| is_low(**port));
        let gave_up = self.needs.any_port.is_some() && !self.listens_low();
        if let Some((port, who)) = gave_up.then(low).flatten() {
            return Err(NotAllowed::Listen(*port, who.clone()));
        }
        if ports && self.needs.any_port.is_none() {
            if let Some((port, who)) = needs.listen.iter().find(|(port, _)| !self.needs.listen.contains_key(port)) {
                return Err(NotAllowed::Listen(*port, who.clone()));
            }
            if let Some(who) = &needs.any_port {
                return Err(NotAllowed::AnyPort(who.clone()));
            }
            if let Some((port, who)) = needs.connect.iter().find(|(port, _)| !self.needs.connect.contains_key(port)) {
                return Err(NotAllowed::Connect(*port, who.clone()));
            }
        }
        if let Some(uri) = needs.tokens.iter().find(|uri| !self.needs.tokens.contains(uri)) {
            return Err(NotAllowed::Token(uri.clone()));
        }
        let known = &self.needs.hooks;
        let renewal = needs.hooks.renewal.iter().find(|hook| !known.renewal.contains(hook));
        let dns = needs.hooks.dns.iter().find(|hook| !known.dns.contains(hook));
        renewal.or(dns).map_or(Ok(()), |hook| Err(NotAllowed::Hook(hook.clone())))
    }

    /// Returns whether the kernel would let a path be used. What is not there, or cannot be looked at, is left to
    /// whoever opens it.
    fn reaches(&self, kind: PathKind, path: &Path) -> bool {
        let rights = match kind {
            PathKind::File => Rights::Read,
            PathKind::Folder => Rights::Write,
            PathKind::Log => Rights::Append,
            PathKind::Listener => Rights::Sockets,
            PathKind::Socket | PathKind::Token | PathKind::Hook => return true,
        };
        let found = match (rights, path.canonicalize()) {
            (Rights::Sockets, _) => parent(path).canonicalize(),
            (Rights::Append, Err(error)) if error.kind() == ErrorKind::NotFound => parent(path).canonicalize(),
            (Rights::Write, Err(error)) if error.kind() == ErrorKind::NotFound => {
                let above = path.ancestors().skip(1).find(|above| above.exists());
                above.unwrap_or(Path::new(".")).canonicalize()
            }
            (Rights::Read, Err(error)) if error.kind() == ErrorKind::NotFound => parent(path).canonicalize(),
            (_, found) => found,
        };
        let Ok(found) = found else { return true };
        found.ancestors().filter_map(identity).any(|at| {
            let fits = |known: &&Folder| known.rights == rights || known.rights == Rights::Write;
            self.folders.iter().filter(fits).any(|known| known.identity == at)
        })
    }
}
