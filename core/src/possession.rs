//! Checks that a peer has the key of its certificate: its CertificateVerify in TLS 1.3 (RFC 8446 section 4.4.3).

use pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, alg_id};

use crate::x509::Certificate;

/// The number of octets of the largest key: P-384, uncompressed.
const MAX_PUBLIC_KEY: usize = 97;

/// The signature schemes (RFC 8446 section 4.2.3), each with the algorithms of the key and of the signature: the curve
/// belongs to the scheme.
const SCHEMES: [(u16, AlgorithmIdentifier, AlgorithmIdentifier); 3] = [
    (0x0403, alg_id::ECDSA_P256, alg_id::ECDSA_SHA256),
    (0x0503, alg_id::ECDSA_P384, alg_id::ECDSA_SHA384),
    (0x0807, alg_id::ED25519, alg_id::ED25519),
];

/// The side of a connection that signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// The reason that a CertificateVerify proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PossessionError {
    /// The key is of no accepted algorithm, or the scheme is not for it.
    SignatureScheme,
    /// The signature is wrong.
    BadSignature,
}

/// Returns the octets that a CertificateVerify signs (RFC 8446 section 4.4.3), for the hash of the messages before it.
pub fn signed_content(signer: Signer, transcript: &[u8; 32]) -> [u8; 130] {
    let context: &[u8; 34] = match signer {
        Signer::Client => b"TLS 1.3, client CertificateVerify\0",
        Signer::Server => b"TLS 1.3, server CertificateVerify\0",
    };
    let mut content = [b' '; 130];
    let octets = context.iter().chain(transcript);
    content.iter_mut().skip(64).zip(octets).for_each(|(to, from)| *to = *from);
    content
}

/// Returns the schemes that these algorithms verify, in their order.
pub fn schemes<'a>(
    algorithms: &'a [&'a dyn SignatureVerificationAlgorithm],
) -> impl Iterator<Item = u16> + Clone + use<'a> {
    algorithms.iter().filter_map(|algorithm| {
        let found = SCHEMES.iter().find(|(_, key, signature)| is(*algorithm, *key, *signature));
        found.map(|(scheme, _, _)| *scheme)
    })
}

fn is(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
) -> bool {
    algorithm.public_key_alg_id() == key && algorithm.signature_alg_id() == signature
}

/// The key of a leaf, kept until its CertificateVerify comes.
#[derive(Clone, Debug)]
pub struct LeafKey {
    algorithm: AlgorithmIdentifier,
    octets: heapless::Vec<u8, MAX_PUBLIC_KEY>,
}

impl LeafKey {
    /// Reads the key of a leaf.
    ///
    /// # Errors
    /// [`PossessionError::SignatureScheme`] where none of the algorithms can verify with it.
    pub fn of(
        leaf: &Certificate<'_>,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<Self, PossessionError> {
        let key = leaf.subject_public_key_info();
        let mut known = algorithms.iter().map(|algorithm| algorithm.public_key_alg_id());
        let algorithm = known.find(|known| known.as_ref() == key.algorithm).ok_or(PossessionError::SignatureScheme)?;
        let octets = heapless::Vec::from_slice(key.public_key).map_err(|_| PossessionError::SignatureScheme)?;
        Ok(Self { algorithm, octets })
    }

    /// Verifies a CertificateVerify by its scheme, the hash of the messages before it, and its signature.
    ///
    /// # Errors
    /// The reason that it proves nothing.
    pub fn verify(
        &self,
        algorithms: &[&dyn SignatureVerificationAlgorithm],
        signer: Signer,
        transcript: &[u8; 32],
        scheme: u16,
        signature: &[u8],
    ) -> Result<(), PossessionError> {
        let fits = |(known, key, _): &&(u16, AlgorithmIdentifier, AlgorithmIdentifier)| {
            *known == scheme && *key == self.algorithm
        };
        let (_, key, kind) = SCHEMES.iter().find(fits).ok_or(PossessionError::SignatureScheme)?;
        let algorithm = algorithms.iter().find(|algorithm| is(**algorithm, *key, *kind));
        algorithm
            .ok_or(PossessionError::SignatureScheme)?
            .verify_signature(&self.octets, &signed_content(signer, transcript), signature)
            .map_err(|_| PossessionError::BadSignature)
    }
}
