//! The signed form of `mesh.json`: JWS in the flattened JSON serialization (RFC 7515 section 7.2.2).

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use edgetrust_core::mesh::{SignedMesh, scratch_length, takes};
use edgetrust_core::path::{Anchor, Trust};
use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, UnixTime};
use rcgen::{KeyPair, SigningKey as _};
use serde::{Deserialize, Serialize};

use super::certificate::generation;
use super::changing::chain;
use super::der;
use super::mesh::{Mesh, published};
use crate::tls::provider;

/// The type of the payload (RFC 7515 section 4.1.9).
const TYPE: &str = "edgetrust-mesh+jws";

/// The size limit of a signed file, in octets: base64 of the largest `mesh.json`, and its header.
const MAX_TEXT: usize = 1536 * 1024;

/// A signer with its opened key.
pub(super) struct Signer {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: KeyPair,
}

/// The protected header: exactly these members. `alg` is ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    /// Certificates in DER, in base64, the signer's first (RFC 7515 section 4.1.6).
    x5c: Vec<String>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flattened {
    payload: String,
    protected: String,
    signature: String,
}

/// The claims of a signed file, which nothing here verifies.
pub(super) struct Stated {
    /// The octets of the `mesh.json` that was signed.
    pub(super) payload: Vec<u8>,
    /// The certificate of the signer.
    pub(super) signer: CertificateDer<'static>,
    /// The generation of the signer.
    pub(super) generation: u32,
}

/// Signs the mesh of the octets of `mesh.json`.
///
/// # Errors
/// Fails if a gateway that holds its roots would not take it.
pub(super) fn sign(mesh: &[u8], signer: &Signer, now: UnixTime) -> Result<String, String> {
    let of_mesh = Mesh::parse(mesh)?;
    let text = jws(&published(mesh)?, signer, &of_mesh)?;
    verify(text.as_bytes(), &of_mesh.root_certificates(), now).map_err(|error| {
        format!(
            "no gateway would take the mesh with this signature: {error}; edgetrust federation signer makes another signer"
        )
    })?;
    Ok(text)
}

/// Checks that a gateway which holds these roots, and no mesh yet, takes a signed file. Returns the octets of `mesh.json`.
pub(super) fn verify(text: &[u8], roots: &[CertificateDer<'_>], now: UnixTime) -> Result<Vec<u8>, String> {
    let roots = roots.iter().map(|root| Certificate::from_der(root).map_err(|error| format!("roots: {error}")));
    let anchors: Vec<Anchor<'_>> = roots.map(|root| root.map(Anchor::ca)).collect::<Result<_, _>>()?;
    let algorithms = provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let mut scratch = vec![0; scratch_length(text.len())];
    let signed = SignedMesh::verify(text, &mut scratch, &trust, now).map_err(|error| error.to_string())?;
    let offer = signed.offer().map_err(|error| error.to_string())?;
    takes(None, &offer, &trust, now).map_err(|error| error.to_string())?;
    Ok(signed.payload().to_vec())
}

fn jws(mesh: &[u8], signer: &Signer, of_mesh: &Mesh) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the mesh cannot be signed: {error}");
    let header = Header {
        alg: "ES256".to_owned(),
        typ: TYPE.to_owned(),
        // Whoever holds the root before alone takes it too.
        x5c: chain(of_mesh, &signer.certificate)?.iter().map(|one| BASE64_STANDARD.encode(one)).collect(),
    };
    let header = serde_json::to_vec(&header).map_err(|error| failed(&error))?;
    let protected = BASE64_URL_SAFE_NO_PAD.encode(header);
    let payload = BASE64_URL_SAFE_NO_PAD.encode(mesh);
    let signature = signer.key.sign(format!("{protected}.{payload}").as_bytes()).map_err(|error| failed(&error))?;
    let signature = der::es256(&signature).ok_or_else(|| failed(&"found a key that is not P-256"))?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signature);
    let text = serde_json::to_string_pretty(&Flattened { payload, protected, signature });
    Ok(format!("{}\n", text.map_err(|error| failed(&error))?))
}

/// Reads a signed file.
pub(super) fn stated(text: &[u8]) -> Result<Stated, String> {
    if text.len() > MAX_TEXT {
        return Err(format!("found {} octets, expected at most {MAX_TEXT}", text.len()));
    }
    let flattened: Flattened = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let decoded = |field: &str, text: &str| {
        BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("{field}: found no base64url, expected it"))
    };
    let header = serde_json::from_slice(&decoded("protected", &flattened.protected)?);
    let Header { x5c, .. } = header.map_err(|error| format!("protected: {error}"))?;
    let first = x5c.first().ok_or("protected: x5c: found no certificate, expected the signer's")?;
    let signer = BASE64_STANDARD.decode(first);
    let signer = signer.map_err(|_| "protected: x5c: found no base64, expected a certificate in base64")?;
    let signer = CertificateDer::from(signer);
    let generation = generation(&signer).map_err(|error| format!("protected: x5c: {error}"))?;
    Ok(Stated { payload: decoded("payload", &flattened.payload)?, signer, generation })
}
