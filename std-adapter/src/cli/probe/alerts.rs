//! Says what an alert of a server means for its client, and who has to act.

/// The meaning of an alert.
pub(in crate::cli) struct Meaning {
    /// The name in RFC 8446 section 6.
    pub(in crate::cli) name: &'static str,
    pub(in crate::cli) meaning: &'static str,
    pub(in crate::cli) advice: &'static str,
}

/// The log of the other side has the reason, which the alert alone does not say.
const THEIR_LOG: &str = "ask the other side what its log says";

/// Number, name (RFC 8446 section 6; unrecognized_name: RFC 6066 section 3), meaning, and what to do. EdgeTrust sends
/// them as `docs/TLS_SETUP.md` says; other servers choose alike, though some always send bad_certificate.
const ALERTS: &[(u8, &str, &str, &str)] = &[
    (
        40,
        "handshake_failure",
        "nothing was agreed on: no common version or cipher, or no certificate where TLS 1.2 requires one",
        "configure `mtls` of the tunnel if it shows no certificate; else compare the versions of TLS of both sides",
    ),
    (
        42,
        "bad_certificate",
        "our certificate, or one above it, is malformed or not signed as it says",
        "have our certificate issued again, by the CA that the other side knows; its log says what is wrong",
    ),
    (
        43,
        "unsupported_certificate",
        "our certificate is of a kind that is not taken: a purpose other than clientAuth, an algorithm, a key",
        "issue our certificate for both serverAuth and clientAuth, with a P-256 key and SHA-256",
    ),
    (
        44,
        "certificate_revoked",
        "the key of our certificate, or of a CA above it, is denied there",
        "ask the other side why it is in its `denied_keys`, or in the mesh; then give this gateway a new key",
    ),
    (
        45,
        "certificate_expired",
        "our certificate, or one above it, is not valid at the other side's time",
        "renew our certificate; if it is valid, compare the clocks of both sides",
    ),
    (46, "certificate_unknown", "our certificate was not taken, for a reason that no other alert has", THEIR_LOG),
    (47, "illegal_parameter", "the server found a fault in what it received", THEIR_LOG),
    (
        48,
        "unknown_ca",
        "the other side knows no CA that leads to our certificate",
        "send our intermediates with our certificate; or the other side adds our CA to its `client_ca_files`",
    ),
    (
        49,
        "access_denied",
        "our certificate is valid there, and not allowed: its names, or the CA that issued it, are on no allow list",
        "the other side allows our name, or the mesh gets a link; our name may have to come from our site's own CA",
    ),
    (50, "decode_error", "the server could not read what it received", THEIR_LOG),
    (51, "decrypt_error", "a signature of our handshake did not verify there", THEIR_LOG),
    (
        70,
        "protocol_version",
        "the versions of TLS have nothing in common",
        "compare `min_version` of the tunnel with that of the other side",
    ),
    (71, "insufficient_security", "the server wants stronger algorithms than those in common", THEIR_LOG),
    (
        80,
        "internal_error",
        "the server has a fault of its own; a gateway that has no certificate yet says this too",
        "the other side looks at its log, and at its own certificate",
    ),
    (
        112,
        "unrecognized_name",
        "no tunnel there is for the server name that we ask for",
        "compare `server_name` of the tunnel with `sni` of the other side's tunnels",
    ),
    (
        116,
        "certificate_required",
        "the server requires a certificate, and we show none",
        "configure `mtls` of the tunnel, with a certificate that the other side allows",
    ),
    (120, "no_application_protocol", "the server wants an application protocol, and a tunnel asks for none", THEIR_LOG),
];

/// Returns the meaning of an alert by its number.
pub(in crate::cli) fn meaning(number: u8) -> Meaning {
    let known = ALERTS.iter().find(|(known, ..)| *known == number);
    let unnamed = (number, "of this number", "the server has ended the connection, and says no more of it", THEIR_LOG);
    let (_, name, meaning, advice) = *known.unwrap_or(&unnamed);
    Meaning { name, meaning, advice }
}

/// Returns whether an alert is about a client's certificate, and not about the handshake.
pub(in crate::cli) const fn is_of_certificate(number: u8) -> bool {
    matches!(number, 40 | 42..=49 | 116)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_unknown_ones_are_named_by_their_number() {
        assert!(ALERTS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(meaning(49).name, "access_denied");
        assert_eq!(meaning(200).name, "of this number");
    }
}
