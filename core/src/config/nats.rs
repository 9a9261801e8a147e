//! Defines the store that several gateways share: a bucket of NATS JetStream.

/// The largest number of a store's servers.
pub const MAX_NATS_SERVERS: usize = 8;

/// The largest number of a store's files with CAs.
pub const MAX_NATS_CA_FILES: usize = 4;

/// The largest number of sealing keys: the one in use, and those before.
pub const MAX_SEALING_KEYS: usize = 4;

/// The largest number of stores in a file.
pub(super) const MAX_STORES: usize = 8;

/// The bucket of a store that names none.
pub const DEFAULT_BUCKET: &str = "edgetrust";

/// A bucket of NATS JetStream that several gateways share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatsStore<'a> {
    /// The servers, `tls://HOST:PORT`, or `nats://HOST:PORT` on this machine alone.
    pub servers: heapless::Vec<&'a str, MAX_NATS_SERVERS>,
    /// The bucket's name.
    pub bucket: &'a str,
    /// The certificate that is shown to the servers, PEM; another than the shared one.
    pub cert_file: Option<&'a str>,
    /// Its key, PEM.
    pub key_file: Option<&'a str>,
    /// The roots of the servers, PEM; the system's if there is none.
    pub ca_files: heapless::Vec<&'a str, MAX_NATS_CA_FILES>,
    /// The file with a NATS user's JWT and seed.
    pub credentials_file: Option<&'a str>,
    /// The files with the keys that seal what is stored; the first seals, all open.
    pub sealing_key_files: heapless::Vec<&'a str, MAX_SEALING_KEYS>,
    /// The number of servers that keep the bucket, for a bucket that is made.
    pub replicas: u8,
}
