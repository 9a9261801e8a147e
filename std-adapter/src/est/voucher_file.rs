//! Keeps the vouchers in a file that the gateway and commands change, each reading anew before it writes.
//!
//! The file is in the folder of the EST server's account. Several gateways that share an address by a load balancer
//! each have a folder, so that each has its own vouchers.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::vouchers::{Vouchers, VouchersError};
use crate::clock;
use crate::store::{LockedFile, Stamp, StorageError};

const NAME: &str = "vouchers.json";
const LOCK: &str = "vouchers.lock";

/// The reason that there are no vouchers, or none is changed.
#[derive(Debug)]
pub enum VoucherFileError {
    /// The file cannot be locked, read or written.
    Storage(StorageError),
    /// The file has other contents.
    Garbage(PathBuf, VouchersError),
    /// The vouchers cannot be written as JSON.
    Unwritable(PathBuf, serde_json::Error),
}

impl fmt::Display for VoucherFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::Garbage(path, fault) => {
                write!(f, "{}: {fault}; without the file there is no voucher, and new ones can be made", path.display())
            }
            Self::Unwritable(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for VoucherFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Storage(error) => error.source(),
            Self::Garbage(_, error) => Some(error),
            Self::Unwritable(_, error) => Some(error),
        }
    }
}

impl From<StorageError> for VoucherFileError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// The file of an EST server's vouchers.
#[derive(Debug)]
pub struct VoucherFile {
    file: LockedFile,
    /// The vouchers that were read last, with their stamp: attempts do not read a file again that has not changed.
    last: Mutex<Option<(Stamp, Arc<Vouchers>)>>,
}

impl VoucherFile {
    /// Names the file in the folder of an account, which need not exist.
    pub fn new(storage_path: &Path) -> Self {
        Self { file: LockedFile::new(storage_path, NAME, LOCK), last: Mutex::default() }
    }

    /// Returns the file's path.
    pub fn path(&self) -> PathBuf {
        self.file.path()
    }

    /// Returns the vouchers as they are kept now. The file is read where it has changed.
    ///
    /// # Errors
    /// Fails if the file cannot be read or is no list of vouchers: then no voucher is good.
    pub fn read(&self) -> Result<Arc<Vouchers>, VoucherFileError> {
        // Before the file is read, so that no change is missed.
        let stamp = self.file.stamp()?;
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, vouchers)) = last().as_ref().filter(|(before, _)| *before == stamp) {
            return Ok(vouchers.clone());
        }
        let vouchers = Arc::new(self.parse(self.file.read()?.as_deref())?);
        *last() = Some((stamp, vouchers.clone()));
        Ok(vouchers)
    }

    /// Changes the vouchers as they are kept now, and writes them where `change` says that it has changed any.
    ///
    /// # Errors
    /// Fails as [`Self::read`] does, and if the file cannot be written; then nothing has changed.
    pub fn change<T>(&self, change: impl FnOnce(&mut Vouchers) -> (T, bool)) -> Result<T, VoucherFileError> {
        self.file.change(|kept| {
            let mut vouchers = self.parse(kept)?;
            let (result, changed) = change(&mut vouchers);
            let after = changed.then(|| vouchers.kept(clock::now())).transpose();
            let after = after.map_err(|error| VoucherFileError::Unwritable(self.path(), error))?;
            Ok((result, after))
        })
    }

    fn parse(&self, kept: Option<&[u8]>) -> Result<Vouchers, VoucherFileError> {
        Vouchers::parse(kept).map_err(|fault| VoucherFileError::Garbage(self.path(), fault))
    }
}

#[cfg(test)]
mod tests {
    use super::super::secret::KeptHash;
    use super::*;
    use std::time::Duration;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn invite(file: &VoucherFile, name: &str) -> Result<(), VoucherFileError> {
        let invited = file.change(|all| (all.invite(name, KeptHash::of_password(b"s"), clock::now(), DAY), true))?;
        invited.unwrap();
        Ok(())
    }

    #[test]
    fn the_gateway_and_commands_lose_no_change_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = VoucherFile::new(folder.path());
        assert!(gateway.read().unwrap().all().is_empty());
        std::thread::scope(|scope| {
            for command in 0..4 {
                let path = folder.path();
                scope.spawn(move || {
                    for number in 0..10 {
                        invite(&VoucherFile::new(path), &format!("sensor-{command}-{number}.a.example")).unwrap();
                    }
                });
            }
            for _ in 0..10 {
                gateway.change(|all| (all.revoke("nobody", clock::now()), true)).unwrap();
            }
        });
        assert_eq!(gateway.read().unwrap().all().len(), 40);
    }

    #[test]
    fn a_file_with_other_contents_is_named_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = VoucherFile::new(folder.path());
        invite(&file, "sensor-7.a.example").unwrap();
        let whole = std::fs::read(file.path()).unwrap();
        assert_eq!(file.read().unwrap().all().len(), 1);
        for garbage in [&b""[..], b"{}", b"garbage", &whole[..whole.len() / 2]] {
            std::fs::remove_file(file.path()).unwrap();
            std::fs::write(file.path(), garbage).unwrap();
            for error in [file.read().unwrap_err(), invite(&file, "sensor-8.a.example").unwrap_err()] {
                let said = error.to_string();
                assert!(said.starts_with(&format!("{}: found no vouchers at line ", file.path().display())), "{said}");
            }
            assert_eq!(std::fs::read(file.path()).unwrap(), garbage);
        }
        std::fs::remove_file(file.path()).unwrap();
        assert!(file.read().unwrap().all().is_empty(), "no file, no voucher");
        invite(&file, "sensor-8.a.example").unwrap();
    }
}
