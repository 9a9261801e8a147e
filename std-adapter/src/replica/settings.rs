//! Holds a `storage` of the configuration, with the files that it names.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgetrust_core::config::NatsStore;
use edgetrust_core::path::DeniedKey;

use super::bucket::Bucket;
#[cfg(feature = "nats")]
use super::nats::{NatsAccess, NatsBucket};
use super::sealing::{SealingKeyError, SealingKeys};
use super::user::{NatsUser, UserFault};
use crate::pem::{CaFiles, PemError, secret_permissions};
use crate::store::StorageError;
use crate::tls::{Anchors, Credential, CredentialError, system_roots};
#[cfg(feature = "nats")]
use crate::tls::{ClientSettings, MinVersion, ServerTrust, TlsClient, TrustSettings, TrustStore};
use crate::token;

/// A `storage`, owned, with its files read.
#[derive(Debug)]
pub struct NatsSettings {
    /// The servers, `tls://HOST:PORT` or `nats://HOST:PORT`.
    pub(crate) servers: Vec<String>,
    /// The name of the bucket.
    pub(crate) bucket: String,
    /// The number of servers that keep the bucket, for a bucket that is made.
    pub(crate) replicas: u8,
    /// The certificate that is shown to the servers.
    pub(crate) credential: Option<Credential>,
    /// The trust anchors for the servers.
    pub(crate) anchors: Anchors,
    /// The user that the servers know.
    pub(crate) user: Option<NatsUser>,
    /// The keys that seal what is stored; none where nothing is sealed.
    pub(crate) sealing_keys: SealingKeys,
}

impl PartialEq for NatsSettings {
    fn eq(&self, other: &Self) -> bool {
        let shown = match (&self.credential, &other.credential) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let sealed = self.sealing_keys == other.sealing_keys;
        let named = (&self.servers, &self.bucket, self.replicas) == (&other.servers, &other.bucket, other.replicas);
        shown && sealed && named && self.anchors == other.anchors && self.user == other.user
    }
}

impl Eq for NatsSettings {}

/// The reason that a `storage` cannot be used.
#[derive(Debug)]
pub enum NatsSettingsError {
    /// This program has no NATS.
    NotBuilt,
    /// The certificate and its key cannot be loaded.
    Credential(CredentialError),
    /// A file with CAs is faulty.
    Roots(PemError),
    /// There is no CA to verify the servers with.
    NoRoots,
    /// The user's file, by this name, is faulty.
    User(PathBuf, UserFault),
    /// A file holds no sealing key.
    SealingKey(SealingKeyError),
}

impl fmt::Display for NatsSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => {
                f.write_str("storage.nats: this program was built without the feature nats, expected no storage")
            }
            Self::Credential(error) => write!(f, "storage.nats.cert_file: {error}"),
            Self::Roots(error) => write!(f, "storage.nats.ca_files: {error}"),
            Self::NoRoots => f.write_str("storage.nats.ca_files: found neither it nor a usable CA of this system"),
            Self::User(file, fault) => write!(f, "storage.nats.credentials_file: {}: {fault}", file.display()),
            Self::SealingKey(error) => write!(f, "storage.nats.sealing_key_files: {error}"),
        }
    }
}

impl Error for NatsSettingsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Credential(error) => Some(error),
            Self::Roots(error) => Some(error),
            Self::User(_, UserFault::Unreadable(error)) => Some(error),
            Self::SealingKey(error) => Some(error),
            Self::NotBuilt | Self::NoRoots | Self::User(_, UserFault::Malformed(_)) => None,
        }
    }
}

impl NatsSettings {
    /// Reads the files that a `storage` names, each given to `note` first; of CAs by `ca_files`. `None` is for no
    /// `storage`.
    ///
    /// # Errors
    /// Returns the key, and which file is faulty.
    pub(crate) fn read(
        store: Option<&NatsStore<'_>>,
        ca_files: &CaFiles,
        mut note: impl FnMut(&Path),
    ) -> Result<Option<Arc<Self>>, NatsSettingsError> {
        let Some(store) = store else { return Ok(None) };
        if cfg!(not(feature = "nats")) {
            return Err(NatsSettingsError::NotBuilt);
        }
        let credential = store.cert_file.zip(store.key_file).map(|(cert_file, key_file)| {
            note(Path::new(cert_file));
            token::watched_file(key_file).iter().for_each(|file| note(file));
            Credential::load(Path::new(cert_file), Path::new(key_file)).map_err(NatsSettingsError::Credential)
        });
        let user = store.credentials_file.map(|file| {
            note(Path::new(file));
            NatsUser::read(Path::new(file)).map_err(|fault| NatsSettingsError::User(PathBuf::from(file), fault))
        });
        let (credential, user) = (credential.transpose()?, user.transpose()?);
        let anchors = anchors(store, ca_files, &mut note)?;
        let sealing_keys = {
            let files = || store.sealing_key_files.iter().map(Path::new);
            files().for_each(&mut note);
            SealingKeys::read(files()).map_err(NatsSettingsError::SealingKey)?
        };
        Ok(Some(Arc::new(Self {
            servers: store.servers.iter().map(|server| (*server).to_owned()).collect(),
            bucket: store.bucket.to_owned(),
            replicas: store.replicas,
            credential,
            anchors,
            user,
            sealing_keys,
        })))
    }
}

impl NatsSettings {
    /// Returns the bucket, which is connected to when it is first used, and the keys that seal what stands in it. Servers
    /// whose keys are denied are refused.
    ///
    /// # Errors
    /// Fails if rustls refuses the settings.
    #[cfg(feature = "nats")]
    pub(crate) fn open(&self, denied_keys: &[DeniedKey]) -> Result<(Arc<dyn Bucket>, Arc<SealingKeys>), StorageError> {
        let denied_keys = denied_keys.to_vec();
        let trust = TrustStore::new(TrustSettings { denied_keys, ..self.anchors.clone().into() });
        let tls = TlsClient::new(ClientSettings {
            trust: ServerTrust::Verified(trust.map_err(StorageError::failed)?),
            credential: self.credential.clone(),
            min_version: MinVersion::Tls12,
            alpn: Vec::new(),
        });
        let bucket = NatsBucket::new(NatsAccess {
            servers: self.servers.clone(),
            bucket: self.bucket.clone(),
            replicas: self.replicas,
            tls: tls.map_err(StorageError::failed)?,
            user: self.user.clone(),
        });
        Ok((Arc::new(bucket), Arc::new(self.sealing_keys.clone())))
    }

    /// Fails: this program has no NATS.
    ///
    /// # Errors
    /// Always fails; [`NatsSettings::read`] has failed before.
    #[cfg(not(feature = "nats"))]
    pub(crate) fn open(&self, _denied_keys: &[DeniedKey]) -> Result<(Arc<dyn Bucket>, Arc<SealingKeys>), StorageError> {
        Err(StorageError::failed(NatsSettingsError::NotBuilt))
    }
}

/// Reads the CAs of the servers; servers without TLS on this machine need none.
fn anchors(
    store: &NatsStore<'_>,
    ca_files: &CaFiles,
    note: &mut impl FnMut(&Path),
) -> Result<Anchors, NatsSettingsError> {
    if store.ca_files.is_empty() {
        let anchors = Anchors { system: system_roots().usable, ..Anchors::default() };
        let verified = store.servers.iter().any(|server| server.starts_with("tls://"));
        return if anchors.is_empty() && verified { Err(NatsSettingsError::NoRoots) } else { Ok(anchors) };
    }
    let mut stated = Vec::new();
    for file in &store.ca_files {
        note(Path::new(file));
        stated.extend(ca_files.read(Path::new(file)).map_err(NatsSettingsError::Roots)?);
    }
    Ok(stated.into())
}

/// Returns warnings of secrets of a `storage` that others may read. A sealing key that others may read is refused.
pub(crate) fn permissions(store: &NatsStore<'_>) -> impl Iterator<Item = String> {
    let key = store.key_file.and_then(token::key_permissions);
    let user = store.credentials_file.and_then(|file| secret_permissions(Path::new(file), "NATS user"));
    key.into_iter().chain(user)
}

#[cfg(feature = "nats")]
#[cfg(test)]
mod tests {
    use super::*;
    use edgetrust_core::config::{Config, CredentialSource, Server};
    use serde_json::{Value, json};
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    const USER: &str = "-----BEGIN NATS USER JWT-----\nhunter2\n------END NATS USER JWT------\n\n\
        -----BEGIN USER NKEY SEED-----\nhunter2\n------END USER NKEY SEED------\n";

    /// A folder with all files of a store.
    struct Made(tempfile::TempDir);

    impl Made {
        fn new() -> Self {
            let made = Self(tempfile::tempdir().unwrap());
            made.credential();
            made.write("user.creds", USER);
            made.seals("new.key", "A");
            made.seals("old.key", "B");
            made
        }

        fn write(&self, name: &str, text: &str) {
            write(self.path(name), text).unwrap();
            set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        }

        /// Writes a certificate of its own, with its key.
        fn credential(&self) {
            let key = rcgen::KeyPair::generate().unwrap();
            let certificate =
                rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
            self.write("cert.pem", &certificate.pem());
            self.write("key.pem", &key.serialize_pem());
        }

        fn seals(&self, name: &str, digit: &str) {
            self.write(name, &format!("{}=\n", digit.repeat(42) + "A"));
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }

        /// Reads a store that names these files, and returns what was noted.
        fn read(&self, change: impl FnOnce(&mut Value)) -> (Result<Arc<NatsSettings>, String>, Vec<PathBuf>) {
            self.with(change, |store| {
                let mut noted = Vec::new();
                let read = NatsSettings::read(Some(store), &CaFiles::default(), |file| noted.push(file.to_owned()));
                (read.map(Option::unwrap).map_err(|error| error.to_string()), noted)
            })
        }

        fn with<T>(&self, change: impl FnOnce(&mut Value), look: impl FnOnce(&NatsStore<'_>) -> T) -> T {
            let [cert, key, user, new, old] =
                ["cert.pem", "key.pem", "user.creds", "new.key", "old.key"].map(|name| self.path(name));
            let mut nats = json!({"servers": ["tls://nats.example:4222"], "bucket": "b", "cert_file": cert,
                "key_file": key, "ca_files": [cert], "credentials_file": user, "sealing_key_files": [new, old],
                "replicas": 3});
            change(&mut nats);
            let acme = json!({"enabled": true, "directory_url": "https://ca.example/d", "domains": ["a.example"],
                "storage_path": "s", "storage": {"nats": nats}});
            let config = json!({"security": {"tls": {"server": {"enabled": true, "mode": "acme", "acme": acme}}}});
            let mut text = config.to_string().into_bytes();
            let config = Config::parse(&mut text).unwrap();
            let Server::Tls(tls) = &config.server else { panic!() };
            let CredentialSource::Acme(acme) = &tls.credential else { panic!() };
            look(acme.storage.as_ref().unwrap())
        }

        fn settings(&self) -> Arc<NatsSettings> {
            self.read(|_| ()).0.unwrap()
        }
    }

    #[test]
    fn every_file_is_noted_and_read() {
        let made = Made::new();
        let (read, mut noted) = made.read(|_| ());
        let settings = read.unwrap();
        assert_eq!((&settings.servers[..], &settings.bucket[..]), (&["tls://nats.example:4222".to_owned()][..], "b"));
        assert_eq!((settings.replicas, settings.anchors.stated.len()), (3, 1));
        assert!(settings.credential.is_some() && settings.anchors.system.is_empty());
        assert_eq!(settings.user.as_ref().unwrap().text(), USER);
        assert!(settings.sealing_keys.current().is_some());
        let said = format!("{settings:?}");
        assert!(!said.contains("hunter2") && !said.contains("AAAAAAAA"), "{said}");
        noted.sort();
        noted.dedup();
        let files = ["cert.pem", "key.pem", "new.key", "old.key", "user.creds"].map(|name| made.0.path().join(name));
        assert_eq!(noted, files);
        assert!(NatsSettings::read(None, &CaFiles::default(), |_| panic!()).unwrap().is_none());
    }

    /// The mesh's file is public: nothing is sealed, and whoever is told nothing of CAs takes the system's.
    #[test]
    fn a_store_may_have_servers_alone() {
        let mut text = br#"{"gateway": {"mesh": {"file": "m", "site": "a", "storage_path": "s", "ca_bundle": "r",
            "storage": {"nats": {"servers": ["nats://127.0.0.1:4222"]}}}}}"#
            .to_vec();
        let config = Config::parse(&mut text).unwrap();
        let store = config.gateway.mesh.as_ref().unwrap().storage.as_ref();
        let settings = NatsSettings::read(store, &CaFiles::default(), |_| panic!()).unwrap().unwrap();
        assert!(settings.credential.is_none() && settings.user.is_none());
        assert_eq!((settings.sealing_keys.current(), settings.anchors.stated.len()), (None, 0));
    }

    #[test]
    fn a_reload_sees_what_has_changed() {
        let made = Made::new();
        let before = made.settings();
        assert_eq!(before, made.settings());
        let changed = |change: &dyn Fn(&mut Value)| made.read(change).0.unwrap();
        assert_ne!(before, changed(&|store| store["bucket"] = json!("c")));
        assert_ne!(before, changed(&|store| store["replicas"] = json!(1)));
        assert_ne!(before, changed(&|store| drop(store.as_object_mut().unwrap().remove("credentials_file"))));
        assert_ne!(
            before,
            changed(&|store| store
                .as_object_mut()
                .unwrap()
                .retain(|key, _| !matches!(&key[..], "cert_file" | "key_file")))
        );
        assert_ne!(before, changed(&|store| store["servers"][0] = json!("tls://nats.example:4223")));
        assert_ne!(before, changed(&|store| store["sealing_key_files"].as_array_mut().unwrap().truncate(1)));
        made.seals("new.key", "C");
        assert_ne!(before, made.settings());
        made.seals("new.key", "A");
        assert_eq!(before, made.settings());
        made.write("user.creds", &USER.replace("hunter2", "hunter3"));
        assert_ne!(before, made.settings());
        made.write("user.creds", USER);
        made.credential();
        assert_ne!(before, made.settings());
    }

    #[test]
    fn a_fault_names_the_key_and_the_file_and_no_secret() {
        let faulty = |name: &str, text: &str| {
            let made = Made::new();
            made.write(name, text);
            let said = made.read(|_| ()).0.unwrap_err();
            assert!(said.contains(&made.path(name)) && !said.contains("hunter2"), "{said}");
            said.replace(&format!("{}/", made.0.path().display()), "")
        };
        let user = "expected the JWT and the seed of a NATS user (.creds)";
        for (name, text, expected) in [
            ("user.creds", String::new(), format!("credentials_file: user.creds: found nothing, {user}")),
            (
                "user.creds",
                "hunter2".to_owned(),
                format!("credentials_file: user.creds: found no NATS USER JWT, {user}"),
            ),
            (
                "user.creds",
                USER.split_once("\n\n").unwrap().0.to_owned(),
                format!("credentials_file: user.creds: found no USER NKEY SEED, {user}"),
            ),
            (
                "user.creds",
                USER.to_owned() + &" ".repeat(65_536),
                format!("credentials_file: user.creds: found more than 65536 octets, {user}"),
            ),
            ("new.key", "hunter2".to_owned(), "sealing_key_files: new.key: found no base64".to_owned()),
            ("key.pem", "hunter2".to_owned(), "cert_file: key.pem: ".to_owned()),
        ] {
            let said = faulty(name, &text);
            assert!(said.starts_with(&format!("storage.nats.{expected}")), "{said}");
        }
        let made = Made::new();
        for (name, expected) in [("user.creds", "credentials_file"), ("old.key", "sealing_key_files")] {
            std::fs::remove_file(made.path(name)).unwrap();
            let (read, noted) = made.read(|_| ());
            let said = read.unwrap_err();
            let place = format!("storage.nats.{expected}: {}: cannot be read", made.path(name));
            assert!(said.starts_with(&place), "{said}");
            // Whoever mends the file is seen.
            assert!(noted.contains(&made.0.path().join(name)));
            made.write("user.creds", USER);
        }
        let said = made.read(|store| store["ca_files"][0] = json!("/none/ca.pem")).0.unwrap_err();
        assert!(said.starts_with("storage.nats.ca_files: /none/ca.pem: "), "{said}");
    }

    #[test]
    fn secrets_that_others_may_read_are_told() {
        let made = Made::new();
        let warnings = || made.with(|_| (), |store| permissions(store).collect::<Vec<_>>());
        assert_eq!(warnings(), Vec::<String>::new());
        for name in ["key.pem", "user.creds"] {
            set_permissions(made.path(name), Permissions::from_mode(0o644)).unwrap();
        }
        let told = warnings();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].ends_with("user.creds: mode 644 lets others use the NATS user, expected 600"), "{told:?}");
    }
}
