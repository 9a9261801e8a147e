//! The sizes that bound work and memory.

/// The largest plaintext of a record (RFC 8446 section 5.1).
pub const MAX_PLAINTEXT: usize = 16_384;

/// The octets before the fragment of a record (RFC 8446 section 5.1).
pub const HEADER: usize = 5;

/// The octets that a protected record adds to its content: header, content type, authentication tag.
pub const OVERHEAD: usize = HEADER + 1 + TAG;

/// The length of an authentication tag, which both cipher suites share.
pub(crate) const TAG: usize = 16;

/// The smallest record size limit (RFC 8449 section 4).
pub const MIN_RECORD_SIZE: u16 = 64;

/// The largest number of certificates that a peer may send beside its own.
pub const MAX_SENT: usize = 4;

/// The largest number of extensions in a message. Browsers send about twenty.
pub(crate) const MAX_EXTENSIONS: usize = 48;

/// The largest number of pre-shared keys that a client may offer: each that is known costs a hash.
#[cfg(feature = "resumption")]
pub(crate) const MAX_IDENTITIES: usize = 4;

/// The largest number of records without data that may follow each other: they cost work and bring nothing.
pub(crate) const MAX_IDLE_RECORDS: u8 = 32;

/// The number of records after which a sender takes its next key, well before [`MAX_RECORDS`].
pub(crate) const UPDATE_AFTER: u64 = 1 << 23;

/// The number of records that may be read with one key: 2^24.5 (RFC 8446 section 5.5).
pub(crate) const MAX_RECORDS: u64 = 23_726_566;

/// The longest cookie that a server may ask a client to bring back (RFC 8446 section 4.2.2).
pub(crate) const MAX_COOKIE: usize = 1024;

/// The room for a ServerHello or a ClientHello of this engine: no limit is for records that are not protected (RFC 8449
/// section 4).
const HELLO: usize = 512;

/// Returns the octets that a buffer for records needs with a record size limit. A server whose clients are of other makes
/// needs as many as their ClientHellos have, which is up to 2,000.
pub const fn record_buffer(record_size_limit: u16) -> usize {
    let content = if (record_size_limit as usize) < HELLO { HELLO } else { record_size_limit as usize };
    content.saturating_add(HEADER).saturating_add(TAG)
}
