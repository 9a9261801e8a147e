//! Confines files, TCP ports, signals and abstract Unix sockets with Landlock, as far as the kernel has it.

use super::allowed::Allowed;

#[cfg(target_os = "linux")]
mod linux {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr,
        RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
    };

    use crate::sandbox::allowed::{Allowed, Rights};

    /// The newest ABI whose rights over files are confined. Later ones would confine Unix sockets to connect to.
    const FILES: ABI = ABI::V5;

    /// Devices that anything may use.
    const DEVICES: [&str; 4] = ["/dev/null", "/dev/urandom", "/dev/random", "/dev/full"];

    fn rights(rights: Rights) -> BitFlags<AccessFs> {
        match rights {
            Rights::Read => AccessFs::ReadFile | AccessFs::ReadDir,
            Rights::Write => {
                AccessFs::ReadFile
                    | AccessFs::ReadDir
                    | AccessFs::WriteFile
                    | AccessFs::Truncate
                    | AccessFs::MakeReg
                    | AccessFs::MakeDir
                    | AccessFs::MakeSym
                    | AccessFs::RemoveFile
                    | AccessFs::RemoveDir
                    | AccessFs::Refer
            }
            // It is read for the end of its last line. Without the right to cut a file short.
            Rights::Append => AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::MakeReg,
            Rights::Sockets => AccessFs::MakeSock | AccessFs::RemoveFile,
        }
    }

    /// Returns whether systemd is told things by an abstract socket, which is outside.
    fn notifies_abstract() -> bool {
        std::env::var_os("NOTIFY_SOCKET").is_some_and(|socket| socket.as_encoded_bytes().starts_with(b"@"))
    }

    pub(super) fn restrict(allowed: &Allowed) -> Result<Result<u8, String>, RulesetError> {
        let (listen, connect) = (allowed.listen(), allowed.connect());
        let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(FILES))?;
        if listen.is_some() {
            ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
        }
        if connect.is_some() {
            ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
        }
        ruleset = ruleset.scope(Scope::Signal)?;
        if !notifies_abstract() {
            ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
        }
        let mut created = ruleset.create()?;
        for folder in allowed.folders() {
            // A folder that has just gone needs no rule.
            let Ok(fd) = PathFd::new(folder.path()) else { continue };
            created = created.add_rule(PathBeneath::new(fd, rights(folder.rights())))?;
        }
        for device in DEVICES {
            let Ok(fd) = PathFd::new(device) else { continue };
            created = created.add_rule(PathBeneath::new(fd, AccessFs::ReadFile | AccessFs::WriteFile))?;
        }
        for port in listen.into_iter().flatten() {
            created = created.add_rule(NetPort::new(port, AccessNet::BindTcp))?;
        }
        for port in connect.into_iter().flatten() {
            created = created.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
        let status = created.restrict_self()?;
        Ok(match (status.ruleset, status.landlock) {
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
                Err("Landlock is not enabled in this kernel (lsm=landlock,…), files and ports are not confined"
                    .to_owned())
            }
            (RulesetStatus::NotEnforced, _) | (_, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented) => {
                Err("this kernel has no Landlock, files and ports are not confined".to_owned())
            }
            (_, LandlockStatus::Available { effective_abi, .. }) => Ok(number(effective_abi)),
        })
    }

    fn number(abi: ABI) -> u8 {
        let all = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6, ABI::V7, ABI::V8, ABI::V9, ABI::V10];
        let newer = all.iter().filter(|known| **known <= abi).count();
        u8::try_from(newer).unwrap_or(u8::MAX)
    }
}

/// Confines this thread and those that it starts. Returns the kernel's ABI, or why there is none.
#[cfg(target_os = "linux")]
pub(super) fn restrict(allowed: &Allowed) -> Result<Result<u8, String>, String> {
    linux::restrict(allowed).map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn restrict(_: &Allowed) -> Result<Result<u8, String>, String> {
    Ok(Err("Landlock is a part of Linux, files and ports are not confined".to_owned()))
}
