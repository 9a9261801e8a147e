//! Identifies a session, and proves that an end of a control connection is an end of the session too.
//!
//! Identifier, proofs and binding come from exporters (RFC 8446 section 7.5). A proof is an HMAC-SHA256 by a key that
//! the session exports, over the end that proves and the binding of the control connection: it is good for that
//! connection and that end alone. The key is exported once, so that a false proof costs the session nothing.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::tls::{Exported, Exporter};

/// The labels begin as RFC 5705 section 4 has it for those that are not registered.
const ID_LABEL: &str = "EXPERIMENTAL edgetrust session id";
const PROOF_LABEL: &str = "EXPERIMENTAL edgetrust session proof";
const BINDING_LABEL: &str = "EXPERIMENTAL edgetrust control binding";

/// The identifier of a session. It is no secret between the two ends, and nobody else's business: no log has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(pub(super) [u8; 32]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId")
    }
}

/// An end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Dialer,
    Listener,
}

/// The proof that an end of a control connection is an end of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Proof(pub(super) [u8; 32]);

/// The exported octets of a control connection.
pub(super) struct Binding(Exported);

impl Binding {
    /// Returns the binding of a control connection; none below TLS 1.3.
    pub(super) fn of(connection: &impl Exporter) -> Option<Self> {
        connection.export(BINDING_LABEL).map(Self)
    }
}

/// The exported octets of a session.
pub(in crate::gateway) struct SessionKeys {
    id: SessionId,
    proof: Exported,
}

impl SessionKeys {
    /// Returns the keys of a session; none below TLS 1.3.
    pub(in crate::gateway) fn of(connection: &impl Exporter) -> Option<Self> {
        Some(Self { id: SessionId(*connection.export(ID_LABEL)?), proof: connection.export(PROOF_LABEL)? })
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn prove(&self, end: Endpoint, binding: &Binding) -> Proof {
        Proof(self.mac(end, binding).finalize().into_bytes().into())
    }

    /// Returns whether a proof is this session's, of this end and for this control connection; takes the same time
    /// whatever the proof.
    pub(super) fn verifies(&self, end: Endpoint, binding: &Binding, proof: &Proof) -> bool {
        self.mac(end, binding).verify_slice(&proof.0).is_ok()
    }

    fn mac(&self, end: Endpoint, binding: &Binding) -> Hmac<Sha256> {
        // No key of an HMAC has the wrong length (RFC 2104 section 2): one of 32 octets is padded to the block.
        let mut block = Zeroizing::new([0; 64]);
        for (place, octet) in block.iter_mut().zip(self.proof.iter()) {
            *place = *octet;
        }
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(match end {
            Endpoint::Dialer => b"dialer",
            Endpoint::Listener => b"listener",
        });
        mac.update(&*binding.0);
        mac
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::gateway::continuation) fn keys(number: u8) -> SessionKeys {
        SessionKeys { id: SessionId([number; 32]), proof: Exported::new([number; 32]) }
    }

    pub(in crate::gateway::continuation) fn binding(number: u8) -> Binding {
        Binding(Exported::new([number; 32]))
    }

    #[test]
    fn a_proof_is_of_one_session_one_end_and_one_connection() {
        let proof = keys(1).prove(Endpoint::Dialer, &binding(7));
        assert!(keys(1).verifies(Endpoint::Dialer, &binding(7), &proof));
        assert!(!keys(2).verifies(Endpoint::Dialer, &binding(7), &proof));
        assert!(!keys(1).verifies(Endpoint::Listener, &binding(7), &proof));
        assert!(!keys(1).verifies(Endpoint::Dialer, &binding(8), &proof));
        assert!(!keys(1).verifies(Endpoint::Dialer, &binding(7), &Proof([0; 32])));
    }

    /// The same by Python's `hmac`.
    #[test]
    fn a_proof_is_hmac_sha256_of_the_end_and_the_binding() {
        let Proof(proof) = keys(1).prove(Endpoint::Dialer, &binding(7));
        let expected = [
            0xe8, 0x0a, 0x7e, 0x21, 0x2d, 0xc6, 0x6e, 0x02, 0x24, 0xfd, 0xde, 0xe0, 0xd1, 0xe6, 0x7c, 0xe6, 0xff, 0x3f,
            0xc6, 0x44, 0x14, 0x74, 0x6a, 0xa5, 0xda, 0x30, 0x88, 0x82, 0x51, 0x68, 0x5d, 0xa3,
        ];
        assert_eq!(proof, expected);
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?} {:?}", keys(1), keys(1).id()), "SessionKeys SessionId");
    }
}
