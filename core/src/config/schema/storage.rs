//! Lists the keys of `storage`.

use super::field::{FILE, Field, Kind, Object, Refused, described, not_empty, push};
use crate::config::nats::{MAX_NATS_CA_FILES, MAX_NATS_SERVERS, MAX_SEALING_KEYS};
use crate::config::raw::{List, Raw, RawStore};
use crate::config::shape::Form;

const FULL: Refused = "at most 8 stores in one file";
const BUCKET: Refused = "1 to 64 letters, digits, - and _";
const REPLICAS: Refused = "1, 3 or 5";

pub(super) static STORAGE: Object = members!(
    false,
    All(&["nats"]),
    None,
    [object!("nats", "a bucket of NATS JetStream", NATS, |raw| {
        let offset = raw.offset;
        set(raw, |store| store.nats = Some(offset));
    })]
);

/// A key that takes a list of texts.
macro_rules! list {
    ($key:literal, $doc:literal, $at_most:expr, $list:ident, $expected:expr, $full:literal) => {
        field!(
            $key,
            $doc,
            NotEmpty,
            $at_most,
            Kind::Texts(|raw, text| add(raw, |store| &mut store.$list, text, $expected, $full))
        )
    };
}

static NATS: Object = members!(
    false,
    All(&["servers"]),
    None,
    [
        list!(
            "servers",
            "tls://HOST:PORT, each of one cluster; nats://HOST:PORT on this machine alone",
            MAX_NATS_SERVERS,
            servers,
            "tls://HOST:PORT",
            "at most 8 servers"
        ),
        text!("bucket", "1 to 64 letters, digits, - and _, default \"edgetrust\"", NotEmpty, |raw, text| {
            let allowed = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_');
            let bucket = Some(text).filter(|text| (1..=64).contains(&text.len()) && text.bytes().all(allowed));
            set(raw, |store| store.bucket = bucket);
            bucket.ok_or(BUCKET)?
        }),
        text!("cert_file", "the certificate that is shown to the servers, PEM", NotEmpty, |raw, text| {
            let file = not_empty(text, FILE)?;
            set(raw, |store| store.cert_file = file);
        }),
        text!("key_file", "its private key, PEM, or the URI of a key in a token", NotEmpty, |raw, text| {
            let file = not_empty(text, FILE)?;
            set(raw, |store| store.key_file = file);
        }),
        list!(
            "ca_files",
            "CAs of the servers, PEM; default: the system's",
            MAX_NATS_CA_FILES,
            ca_files,
            FILE,
            "at most 4 files"
        ),
        text!("credentials_file", "file with a NATS user's JWT and seed (.creds)", NotEmpty, |raw, text| {
            let file = not_empty(text, FILE)?;
            set(raw, |store| store.credentials_file = file);
        }),
        list!(
            "sealing_key_files",
            "files with 32 random octets in base64 that seal what is stored: the first seals, all open; acme.storage alone, where they are required",
            MAX_SEALING_KEYS,
            sealing_key_files,
            FILE,
            "at most 4 files"
        ),
        Field {
            key: "replicas",
            form: Form::Range(1, 5),
            at_most: 0,
            doc: described("1, 3 or 5 servers keep the bucket, for a bucket that is made; default 1"),
            kind: Kind::Number(|raw, number| {
                let replicas = [1_u8, 3, 5].into_iter().find(|allowed| u32::from(*allowed) == number);
                set(raw, |store| store.replicas = replicas);
                replicas.map(|_| ()).ok_or(REPLICAS)
            }),
        },
    ]
);

/// Begins a `storage`, and returns its index among all of the file.
pub(super) fn enter(raw: &mut Raw<'_>) -> Result<u8, Refused> {
    let (offset, stores) = (raw.offset, &mut raw.gateway.stores);
    let index = u8::try_from(stores.len()).map_err(|_| FULL)?;
    stores.push(RawStore { offset, ..RawStore::default() }).map_err(|_| FULL)?;
    Ok(index)
}

/// Sets a value of the store that is being read.
fn set<'a>(raw: &mut Raw<'a>, set: impl FnOnce(&mut RawStore<'a>)) {
    let store = raw.gateway.stores.last_mut();
    debug_assert!(store.is_some(), "the object was entered");
    if let Some(store) = store {
        set(store);
    }
}

/// Adds a text to a list of the store that is being read.
fn add<'a, const N: usize>(
    raw: &mut Raw<'a>,
    list: impl for<'r> FnOnce(&'r mut RawStore<'a>) -> &'r mut List<'a, N>,
    text: Option<&'a str>,
    expected: Refused,
    full: Refused,
) -> Result<(), Refused> {
    let store = raw.gateway.stores.last_mut();
    debug_assert!(store.is_some(), "the object was entered");
    store.map_or(Ok(()), |store| push(list(store), text, expected, full))
}
