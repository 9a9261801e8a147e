//! Alerts (RFC 8446 section 6).

/// The descriptions of alerts, as they are sent (RFC 8446 section 6).
macro_rules! descriptions {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        /// An alert: it ends the connection, or a direction of it (RFC 8446 section 6).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        pub enum Alert {
            $($(#[$doc])* $name,)*
            /// One that has no name here.
            Other(u8),
        }

        impl Alert {
            /// Returns the code of the alert.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// Returns the alert of a code.
            pub const fn of(code: u8) -> Self {
                match code {
                    $($code => Self::$name,)*
                    other => Self::Other(other),
                }
            }

            /// Returns the name that RFC 8446 gives the alert.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Other(_) => "unknown alert",
                }
            }
        }
    };
}

descriptions! {
    /// The sender sends nothing more.
    CloseNotify = 0 "close_notify",
    /// A message came that was not due.
    UnexpectedMessage = 10 "unexpected_message",
    /// A record does not decrypt.
    BadRecordMac = 20 "bad_record_mac",
    /// A record is too long.
    RecordOverflow = 22 "record_overflow",
    /// No parameters fit both sides.
    HandshakeFailure = 40 "handshake_failure",
    /// The certificate is corrupt.
    BadCertificate = 42 "bad_certificate",
    /// The certificate is of a kind that is not taken.
    UnsupportedCertificate = 43 "unsupported_certificate",
    /// The certificate is revoked.
    CertificateRevoked = 44 "certificate_revoked",
    /// The certificate is outside its time.
    CertificateExpired = 45 "certificate_expired",
    /// The certificate is refused for another reason.
    CertificateUnknown = 46 "certificate_unknown",
    /// A field has a value that is not allowed.
    IllegalParameter = 47 "illegal_parameter",
    /// No path leads to a trusted CA.
    UnknownCa = 48 "unknown_ca",
    /// The certificate is valid, and its holder is not let in.
    AccessDenied = 49 "access_denied",
    /// A message does not parse.
    DecodeError = 50 "decode_error",
    /// A signature, a Finished or a binder is wrong.
    DecryptError = 51 "decrypt_error",
    /// No common version.
    ProtocolVersion = 70 "protocol_version",
    /// The parameters of the other side are too weak.
    InsufficientSecurity = 71 "insufficient_security",
    /// The sender has failed by itself.
    InternalError = 80 "internal_error",
    /// A version fell back (RFC 7507).
    InappropriateFallback = 86 "inappropriate_fallback",
    /// The user ended the handshake.
    UserCanceled = 90 "user_canceled",
    /// An extension that belongs to the message is missing.
    MissingExtension = 109 "missing_extension",
    /// An extension that was not offered, or does not belong to the message.
    UnsupportedExtension = 110 "unsupported_extension",
    /// No server has this name (RFC 6066 section 3).
    UnrecognizedName = 112 "unrecognized_name",
    /// The OCSP response is not taken.
    BadCertificateStatusResponse = 113 "bad_certificate_status_response",
    /// The pre-shared key is not known.
    UnknownPskIdentity = 115 "unknown_psk_identity",
    /// A client certificate is required.
    CertificateRequired = 116 "certificate_required",
    /// No common protocol (RFC 7301 section 3.2).
    NoApplicationProtocol = 120 "no_application_protocol",
}

impl core::fmt::Display for Alert {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Other(code) => write!(f, "alert {code}"),
            named => f.write_str(named.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_that_of_its_alert() {
        for code in 0..=255 {
            assert_eq!(Alert::of(code).code(), code);
        }
        assert_eq!(Alert::of(116), Alert::CertificateRequired);
        assert_eq!(Alert::CertificateRequired.name(), "certificate_required");
    }
}
