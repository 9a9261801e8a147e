//! Writes the partition of a device's settings: named blobs in place of files.
//!
//! `EDGEBLOB`, version, count; entries of 64 octets: name (48, padded with NUL), offset, length, 8 octets 0; then the
//! blobs, each at a multiple of 4; the last 32 octets are the SHA-256 of all octets before them.

use std::collections::BTreeMap;
use std::path::Path;

use edgetrust_core::config::{
    Config, CredentialSource, DEVICE_OCTETS_VERSION, FirstCredential, MAX_DEVICE_ISSUERS, VoucherFile,
};
use edgetrust_core::crypto::P256Key;
use edgetrust_core::identity::is_dns_name;
use edgetrust_core::request::{MAX_COMMON_NAME, OneName};
use edgetrust_core::rotation::{ERASES, LEAST_LIFE_S, Policy, SlotCertificate};
use edgetrust_core::store::Slot;
use edgetrust_core::x509::{Certificate, KeyHash, Validity};
use sha2::{Digest, Sha256};

use crate::pem;

/// The name of the blob with the configuration in octets, which the device reads.
pub const CONFIG: &str = "config.bin";
/// The name of the blob with its text, which is there for people.
pub const CONFIG_TEXT: &str = "config.json";
/// The size of the partition in octets.
pub(super) const PARTITION: usize = 64 * 1024;
const MAGIC: &[u8; 8] = b"EDGEBLOB";
const HEAD: usize = 16;
const ENTRY: usize = 64;
const NAME: usize = 48;
const DIGEST: usize = 32;

/// A device's limits: number of CAs, octets of its own certificate (`firmware-example/src/settings.rs`, `renewal.rs`).
const MAX_ANCHORS: usize = 4;
const MAX_CERTIFICATE: usize = 1024;
/// The limit of a voucher in octets.
const MAX_VOUCHER: usize = 128;

/// The firmware that an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MadeFor {
    /// The firmware of this version.
    ThisFirmware,
    /// Firmware that parses the text: there are no octets.
    TextAlone,
    /// Firmware whose octets have the next version.
    NextVersion,
}

/// Returns the configuration and the files that it names in the device's form, or an error for anything that a device
/// would refuse.
fn blobs(config: &str, folder: &Path, voucher: Option<&str>) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut scratch = config.as_bytes().to_vec();
    let parsed = Config::parse(&mut scratch).map_err(|error| format!("{CONFIG_TEXT}: {error}"))?;
    let Some(device) = &parsed.device else {
        return Err(format!("{CONFIG_TEXT}: device: not there, expected an object"));
    };
    let mut octets = vec![0; PARTITION];
    let length = device.to_octets(&mut octets).ok_or(format!(
        "{CONFIG_TEXT}: found more than {PARTITION} octets when compiled, expected {PARTITION} at the most"
    ))?;
    octets.truncate(length);
    let text = (CONFIG_TEXT.to_owned(), config.as_bytes().to_vec());
    let mut blobs = BTreeMap::from([(CONFIG.to_owned(), octets), text]);
    let mut anchors = 0;
    for name in &parsed.client.ca_files {
        let found = certificates(&folder.join(name))?;
        anchors += found.len();
        blobs.insert((*name).to_owned(), found.concat());
    }
    let mut issuers = 0;
    for name in &parsed.client.server_issuers {
        if KeyHash::parse(name).is_some() {
            issuers += 1;
            continue;
        }
        let found = certificates(&folder.join(name))?;
        issuers += found.len();
        blobs.insert((*name).to_owned(), found.concat());
    }
    if issuers > MAX_DEVICE_ISSUERS {
        return Err(format!("server_issuers: found {issuers} CAs, expected {MAX_DEVICE_ISSUERS} at the most"));
    }
    if anchors > MAX_ANCHORS {
        return Err(format!("ca_files: found {anchors} certificates, expected {MAX_ANCHORS} at the most"));
    }
    match (device.credential, voucher) {
        (FirstCredential::Voucher(VoucherFile { file, .. }), Some(text)) => {
            blobs.insert(file.to_owned(), voucher_line(text).map_err(|error| format!("--voucher: {error}"))?);
        }
        (FirstCredential::Voucher(VoucherFile { file, .. }), None) => {
            let path = folder.join(file);
            let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let line = voucher_line(&text).map_err(|error| format!("{}: {error}", path.display()))?;
            blobs.insert(file.to_owned(), line);
        }
        (FirstCredential::Files(_), Some(_)) => {
            return Err("--voucher: found one, expected device.voucher in the configuration too".to_owned());
        }
        (FirstCredential::Files(_), None) => {}
    }
    if let Some(CredentialSource::Files(files)) = &parsed.client.credential {
        let chain = certificates(&folder.join(files.cert_file))?;
        let leaf = chain.first().map(Vec::as_slice).unwrap_or_default();
        if leaf.len() > MAX_CERTIFICATE {
            let (name, found) = (files.cert_file, leaf.len());
            return Err(format!(
                "{name}: found a certificate of {found} octets, expected {MAX_CERTIFICATE} at the most"
            ));
        }
        flash_lasts(&parsed, files.cert_file, leaf)?;
        let key = private_key(&folder.join(files.key_file))?;
        let public_key = Certificate::from_der(leaf).map(|leaf| leaf.subject_public_key_info().public_key);
        if public_key.ok() != Some(&key.public_key()[..]) {
            return Err(format!("{}: not the key of {}", files.key_file, files.cert_file));
        }
        blobs.insert(files.cert_file.to_owned(), chain.concat());
        blobs.insert(files.key_file.to_owned(), key.to_pkcs8().to_vec());
    }
    Ok(blobs)
}

/// Returns a voucher as the device has it: the line that `edgetrust devices invite` prints.
fn voucher_line(text: &str) -> Result<Vec<u8>, String> {
    const EXPECTED: &str = "expected one line, NAME:PASSWORD, as `edgetrust devices invite` prints it";
    let line = text.trim();
    let (name, password) = line.split_once(':').ok_or(format!("found no colon, {EXPECTED}"))?;
    if OneName::new(name).is_none() || !is_dns_name(name) {
        return Err(format!("found no DNS name of at most {MAX_COMMON_NAME} octets before the colon, {EXPECTED}"));
    }
    // No message repeats the password.
    if password.is_empty() || !password.bytes().all(|octet| octet.is_ascii_graphic()) || line.len() > MAX_VOUCHER {
        return Err(format!("found no password behind the colon, {EXPECTED}"));
    }
    Ok(line.as_bytes().to_vec())
}

/// Checks that renewals of certificates like this one do not wear the device's flash out.
fn flash_lasts(config: &Config<'_>, name: &str, leaf: &[u8]) -> Result<(), String> {
    let Some(device) = config.device.as_ref().filter(|device| device.enroll.is_some()) else { return Ok(()) };
    let Validity { not_before, not_after } =
        Certificate::from_der(leaf).map_err(|error| format!("{name}: {error}"))?.validity();
    let policy = Policy { renew_before_s: device.renew_before_s, ..Policy::default() };
    let like = SlotCertificate { slot: Slot::A, not_before, not_after, received: not_before };
    let (life_s, lifetime_min) = (policy.flash_life_s(&like), like.lifetime_s() / 60);
    if life_s >= LEAST_LIFE_S {
        return Ok(());
    }
    let (days, renew_before_min) = (life_s / 86_400, policy.lead_s(&like) / 60);
    Err(format!(
        "{name}: found a certificate of {lifetime_min} min that is renewed {renew_before_min} min before its end, \
         which wears the flash out in {days} days ({ERASES} erases of each slot); expected one that lets it last ten \
         years: a longer one, or device.renew_before shorter"
    ))
}

/// Returns the label and DER of each block of a PEM file.
fn read(path: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    pem::decode(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the DER of one or more certificates.
fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let blocks = read(path)?;
    if blocks.is_empty() {
        return Err(format!("{}: no CERTIFICATE in it", path.display()));
    }
    let certificate = |(number, (label, der)): (usize, (String, Vec<u8>))| {
        if label != "CERTIFICATE" {
            return Err(format!("{}: found {}, expected CERTIFICATE", path.display(), pem::shown(&label)));
        }
        match Certificate::from_der(&der) {
            Ok(_) => Ok(der),
            Err(error) => Err(format!("{}: certificate {number}: {error}", path.display())),
        }
    };
    (1..).zip(blocks).map(certificate).collect()
}

/// Reads a key in PKCS #8 or in the form that `openssl ecparam -genkey` writes (RFC 5915).
fn private_key(path: &Path) -> Result<P256Key, String> {
    let mut blocks = read(path)?;
    blocks.retain(|(label, _)| label != "EC PARAMETERS");
    let [(label, der)] = blocks.as_slice() else {
        return Err(format!("{}: found {} blocks, expected one PRIVATE KEY", path.display(), blocks.len()));
    };
    let key = match label.as_str() {
        "PRIVATE KEY" => P256Key::from_pkcs8(der),
        "EC PRIVATE KEY" => {
            p256::SecretKey::from_sec1_der(der).ok().and_then(|key| P256Key::from_random(&key.to_bytes().into()))
        }
        found => return Err(format!("{}: found {}, expected PRIVATE KEY", path.display(), pem::shown(found))),
    };
    key.ok_or_else(|| format!("{}: not a key of P-256, which is what a device signs with", path.display()))
}

/// Returns a partition for the device of this configuration; the files that the configuration names are read from
/// `folder`. A `voucher` stands for the file of `device.voucher`.
///
/// # Errors
/// Returns the name of the file or key, and its fault.
pub(super) fn partition(
    config: &str,
    folder: &Path,
    voucher: Option<&str>,
    made_for: MadeFor,
) -> Result<Vec<u8>, String> {
    let mut blobs = blobs(config, folder, voucher)?;
    match made_for {
        MadeFor::ThisFirmware => {}
        MadeFor::TextAlone => blobs.retain(|name, _| name != CONFIG),
        MadeFor::NextVersion => {
            let version = blobs.get_mut(CONFIG).and_then(|octets| octets.get_mut(8..12));
            version.ok_or("no version")?.copy_from_slice(&(DEVICE_OCTETS_VERSION + 1).to_le_bytes());
        }
    }
    write(&blobs)
}

fn write(blobs: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, String> {
    let word = |number: usize| u32::try_from(number).map(u32::to_le_bytes).map_err(|_| "too large".to_owned());
    let mut head = [&MAGIC[..], &word(1)?, &word(blobs.len())?].concat();
    let mut contents = Vec::new();
    let begin = HEAD + ENTRY * blobs.len();
    for (name, blob) in blobs {
        let mut entry = [0; ENTRY];
        let room = entry[..NAME].get_mut(..name.len());
        room.ok_or(format!("{name}: longer than {NAME} octets"))?.copy_from_slice(name.as_bytes());
        entry[NAME..NAME + 4].copy_from_slice(&word(begin + contents.len())?);
        entry[NAME + 4..NAME + 8].copy_from_slice(&word(blob.len())?);
        head.extend_from_slice(&entry);
        contents.extend_from_slice(blob);
        contents.resize(contents.len().next_multiple_of(4), 0xff);
    }
    head.extend_from_slice(&contents);
    if head.len() > PARTITION - DIGEST {
        return Err(format!("{} octets of blobs, at most {}", head.len(), PARTITION - DIGEST));
    }
    head.resize(PARTITION - DIGEST, 0xff);
    let digest = Sha256::digest(&head);
    head.extend_from_slice(&digest);
    Ok(head)
}

#[cfg(test)]
pub(super) mod tests {
    use edgetrust_core::config::Device;
    use p256::pkcs8::DecodePrivateKey as _;
    use rcgen::KeyPair;
    use tempfile::TempDir;

    use super::*;
    use crate::pki::{Pki, Wish};

    pub(in super::super) const TEXT: &str = r#"{
        // Comments are allowed.
        "security": {"tls": {"client": {"ca_files": ["roots.pem"],
            "mtls": {"enabled": true, "cert_file": "device.pem", "key_file": "device.key"}}}},
        "device": {"gateway": "gateway.a.example:8443", "websocket": "/telemetry"}
    }"#;

    pub(in super::super) fn folder() -> (TempDir, Pki, crate::pki::Credential) {
        let (folder, pki) = (tempfile::tempdir().unwrap(), Pki::new());
        let device = pki.device(&Wish::client("sensor-7.a.example"));
        let roots = pki.root.pem() + &pki.stranger.pem();
        for (name, text) in [("roots.pem", roots), ("device.pem", device.chain_pem()), ("device.key", device.key_pem())]
        {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        (folder, pki, device)
    }

    /// Returns a blob as the firmware finds it.
    fn blob(octets: &[u8], name: &str) -> Option<Vec<u8>> {
        let number = |at: usize| u32::from_le_bytes(octets[at..at + 4].try_into().unwrap()) as usize;
        assert_eq!((&octets[..8], number(8)), (&MAGIC[..], 1));
        (0..number(12)).map(|entry| HEAD + ENTRY * entry).find_map(|entry| {
            let found = std::str::from_utf8(&octets[entry..entry + NAME]).unwrap().trim_end_matches('\0');
            let (offset, length) = (number(entry + NAME), number(entry + NAME + 4));
            assert_eq!(offset % 4, 0);
            (found == name).then(|| octets[offset..offset + length].to_vec())
        })
    }

    #[test]
    fn what_a_configuration_names_is_on_the_flash_in_der() {
        let (folder, pki, device) = folder();
        let octets = partition(TEXT, folder.path(), None, MadeFor::ThisFirmware).unwrap();
        assert_eq!(octets.len(), PARTITION);
        assert_eq!(blob(&octets, CONFIG_TEXT).as_deref(), Some(TEXT.as_bytes()));
        let read = blob(&octets, CONFIG).unwrap();
        let found = Device::from_octets(&read).unwrap();
        assert_eq!((found.gateway.host, &found.ca_files[..]), ("gateway.a.example", &["roots.pem"][..]));
        assert_eq!(blob(&octets, "roots.pem"), Some([pki.root.der, pki.stranger.der].concat()));
        assert_eq!(blob(&octets, "device.pem").as_ref(), device.chain.first());
        assert_eq!(blob(&octets, "device.key").as_deref(), Some(device.key.serialized_der()));
        assert_eq!(blob(&octets, "other"), None);
        let (before, digest) = octets.split_at(PARTITION - DIGEST);
        assert_eq!(digest, &Sha256::digest(before)[..]);
        assert!(before[PARTITION / 2..].iter().all(|octet| *octet == 0xff), "the rest is erased");
    }

    /// The limits are compared as text, since the firmware is another workspace for another target.
    #[test]
    fn the_limits_are_the_firmwares() {
        let source = |file: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-example/src").join(file);
            std::fs::read_to_string(path).unwrap()
        };
        let (settings, renewal) = (source("settings.rs"), source("renewal.rs"));
        assert!(settings.contains(&format!("const MAX_VOUCHER: usize = {MAX_VOUCHER};")));
        for name in [CONFIG, CONFIG_TEXT] {
            assert!(settings.contains(&format!("\"{name}\"")), "{name}");
        }
        assert!(settings.contains(&format!("const MAX_ANCHORS: usize = {MAX_ANCHORS};")));
        assert!(renewal.contains(&format!("const MAX_CERTIFICATE: usize = {MAX_CERTIFICATE};")));
    }

    #[test]
    fn a_key_is_taken_as_openssl_writes_it() {
        let (folder, _, device) = folder();
        let sec1 = p256::SecretKey::from_pkcs8_der(device.key.serialized_der()).unwrap().to_sec1_der().unwrap();
        // id-prime256v1: `openssl ecparam -genkey` writes this curve before the key.
        let curve = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
        let text = pem::encode("EC PARAMETERS", &curve) + &pem::encode("EC PRIVATE KEY", &sec1);
        std::fs::write(folder.path().join("device.key"), text).unwrap();
        let octets = partition(TEXT, folder.path(), None, MadeFor::ThisFirmware).unwrap();
        assert_eq!(blob(&octets, "device.key").as_deref(), Some(device.key.serialized_der()));
    }

    #[test]
    fn a_device_has_a_voucher_and_the_root_alone() {
        let (folder, ..) = folder();
        let config = r#"{"security": {"tls": {"client": {"ca_files": ["roots.pem"]}}},
            "device": {"gateway": "gateway.a.example:8443", "websocket": "/telemetry", "enroll": "gateway.a.example:8444",
                "first_enroll": "gateway.a.example:8445", "voucher": "sensor-7.voucher"}}"#;
        let line = "sensor-7.a.example:0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV";
        let made = partition(config, folder.path(), Some(&format!("{line}\n")), MadeFor::ThisFirmware).unwrap();
        assert_eq!(blob(&made, "sensor-7.voucher").as_deref(), Some(line.as_bytes()));
        assert_eq!((blob(&made, "device.pem"), blob(&made, "device.key")), (None, None));
        assert!(
            partition(config, folder.path(), None, MadeFor::ThisFirmware).unwrap_err().contains("sensor-7.voucher: ")
        );
        std::fs::write(folder.path().join("sensor-7.voucher"), format!("{line}\n")).unwrap();
        assert_eq!(partition(config, folder.path(), None, MadeFor::ThisFirmware).unwrap(), made);
        let longest_name = format!("{}.example", "a".repeat(56));
        let longest = format!("{longest_name}:{}", "b".repeat(MAX_VOUCHER - 65));
        partition(config, folder.path(), Some(&longest), MadeFor::ThisFirmware).unwrap();
        for (text, found) in [
            ("", "found no colon"),
            ("0123-4567", "found no colon"),
            (":0123", "found no DNS name of at most 64 octets before the colon"),
            ("a b:0123", "found no DNS name"),
            (&format!("a{longest_name}:0123"), "found no DNS name"),
            ("sensor-7.a.example:", "found no password behind the colon"),
            ("sensor-7.a.example:0123\nsensor-8.a.example:4567", "found no password"),
            (&format!("{longest}b"), "found no password"),
        ] {
            let said = partition(config, folder.path(), Some(text), MadeFor::ThisFirmware).unwrap_err();
            assert!(said.starts_with(&format!("--voucher: {found}")) && !said.contains("0123"), "{said}");
        }
        let said = partition(TEXT, folder.path(), Some(line), MadeFor::ThisFirmware).unwrap_err();
        assert!(said.contains("expected device.voucher in the configuration too"), "{said}");
    }

    #[test]
    fn what_cannot_be_a_devices_is_refused() {
        let (folder, pki, device) = folder();
        let refused = |config: &str, reason: &str| {
            let Err(error) = partition(config, folder.path(), None, MadeFor::ThisFirmware) else {
                panic!("not refused: {reason}")
            };
            assert!(error.contains(reason), "{error}");
        };
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        refused("{", "config.json: ");
        refused("{}", "device: not there");
        refused(&(TEXT.to_owned() + &" ".repeat(PARTITION)), "octets of blobs");
        refused(&TEXT.replace("roots.pem", "none.pem"), "none.pem");
        refused(&TEXT.replace("roots.pem", "device.key"), "found PRIVATE KEY, expected CERTIFICATE");
        refused(&TEXT.replace("device.key", "device.pem"), "device.pem: found CERTIFICATE, expected PRIVATE KEY");

        let bound = |issuers: &str| TEXT.replace("\"mtls\"", &format!("\"server_issuers\": [{issuers}], \"mtls\""));
        let hash = format!("{:?}", pki.intermediate.key_hash().to_string());
        refused(&bound("\"none.pem\""), "none.pem");
        refused(&bound("\"device.key\""), "found PRIVATE KEY, expected CERTIFICATE");
        refused(&bound(&[&hash[..]; 5].join(",")), "expected at most 4 issuers, as a device has room for");
        let denied = [&hash[..]; 9].join(",");
        let denied = TEXT.replace("\"client\"", &format!("\"denied_keys\": [{denied}], \"client\""));
        refused(&denied, "denied_keys: found an array, expected at most 8 keys");
        refused(&bound(&format!("{hash}, {hash}, {hash}, \"roots.pem\"")), "found 5 CAs, expected 4 at the most");
        partition(&bound(&format!("{hash}, \"roots.pem\"")), folder.path(), None, MadeFor::ThisFirmware).unwrap();

        let long = "r".repeat(60);
        std::fs::copy(folder.path().join("roots.pem"), folder.path().join(&long)).unwrap();
        refused(&TEXT.replace("roots.pem", &long), "longer than 48 octets");
        write("many.pem", &pki.root.pem().repeat(5));
        refused(&TEXT.replace("roots.pem", "many.pem"), "ca_files: found 5 certificates, expected 4 at the most");
        write("broken.pem", &pem::encode("CERTIFICATE", &[0x30, 0]));
        refused(&TEXT.replace("roots.pem", "broken.pem"), "broken.pem: certificate 1: ");

        let keys = |name: &str| TEXT.replace("device.key", name);
        write("stranger.key", &pki.device(&Wish::client("sensor-8.a.example")).key_pem());
        refused(&keys("stranger.key"), "stranger.key: not the key of device.pem");
        write("p384.key", &KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap().serialize_pem());
        refused(&keys("p384.key"), "p384.key: not a key of P-256");
        write("none.key", "");
        refused(&keys("none.key"), "none.key: found 0 blocks, expected one PRIVATE KEY");

        let day = pki.device(&Wish::client("sensor-7.a.example").valid(0, 12 * 3600));
        write("day.pem", &day.chain_pem());
        write("day.key", &day.key_pem());
        let short = TEXT.replace("device.pem", "day.pem").replace("device.key", "day.key");
        // It is not renewed.
        partition(&short, folder.path(), None, MadeFor::ThisFirmware).unwrap();
        let enrolls = short.replace("\"gateway\":", "\"enroll\": \"gateway.a.example:8444\", \"gateway\":");
        refused(
            &enrolls,
            "day.pem: found a certificate of 720 min that is renewed 480 min before its end, which wears the flash out \
             in 2916 days (10000 erases of each slot); expected one that lets it last ten years",
        );
        let late = enrolls.replace("\"enroll\"", "\"renew_before\": \"4h\", \"enroll\"");
        partition(&late, folder.path(), None, MadeFor::ThisFirmware).unwrap();

        write("device.pem", &device.chain_pem().repeat(200));
        refused(TEXT, "octets of blobs");
        let names: Vec<_> = (0..40).map(|number| format!("sensor-{number}.quite-a-long-name.a.example")).collect();
        let large = pki.device(&Wish { names, ..Wish::client("sensor-7.a.example") });
        write("device.pem", &large.chain_pem());
        refused(TEXT, "expected 1024 at the most");
    }
}
