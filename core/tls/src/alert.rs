//! Alerts (RFC 8446 section 6).

/// An alert: it ends the connection, or a direction of it (RFC 8446 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Alert {
    /// The sender sends nothing more.
    CloseNotify,
    /// A message came that was not due.
    UnexpectedMessage,
    /// A record does not decrypt.
    BadRecordMac,
    /// A record is too long.
    RecordOverflow,
    /// No parameters fit both sides.
    HandshakeFailure,
    /// The certificate is corrupt.
    BadCertificate,
    /// The certificate is of a kind that is not taken.
    UnsupportedCertificate,
    /// The certificate is revoked.
    CertificateRevoked,
    /// The certificate is outside its time.
    CertificateExpired,
    /// The certificate is refused for another reason.
    CertificateUnknown,
    /// A field has a value that is not allowed.
    IllegalParameter,
    /// No path leads to a trusted CA.
    UnknownCa,
    /// The certificate is valid, and its holder is not let in.
    AccessDenied,
    /// A message does not parse.
    DecodeError,
    /// A signature, a Finished or a binder is wrong.
    DecryptError,
    /// No common version.
    ProtocolVersion,
    /// The parameters of the other side are too weak.
    InsufficientSecurity,
    /// The sender has failed by itself.
    InternalError,
    /// A version fell back (RFC 7507).
    InappropriateFallback,
    /// The user ended the handshake.
    UserCanceled,
    /// An extension that belongs to the message is missing.
    MissingExtension,
    /// An extension that was not offered, or does not belong to the message.
    UnsupportedExtension,
    /// No server has this name (RFC 6066 section 3).
    UnrecognizedName,
    /// The OCSP response is not taken.
    BadCertificateStatusResponse,
    /// The pre-shared key is not known.
    UnknownPskIdentity,
    /// A client certificate is required.
    CertificateRequired,
    /// No common protocol (RFC 7301 section 3.2).
    NoApplicationProtocol,
    /// One that has no name here.
    Other(u8),
}

/// Gives each alert its code and its name.
macro_rules! descriptions {
    ($($alert:ident $code:literal $name:literal,)*) => {
        impl Alert {
            /// Returns the code of the alert.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$alert => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// Returns the alert of a code.
            pub const fn of(code: u8) -> Self {
                match code {
                    $($code => Self::$alert,)*
                    other => Self::Other(other),
                }
            }

            /// Returns the name that RFC 8446 gives the alert.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$alert => $name,)*
                    Self::Other(_) => "unknown alert",
                }
            }
        }
    };
}

descriptions! {
    CloseNotify 0 "close_notify",
    UnexpectedMessage 10 "unexpected_message",
    BadRecordMac 20 "bad_record_mac",
    RecordOverflow 22 "record_overflow",
    HandshakeFailure 40 "handshake_failure",
    BadCertificate 42 "bad_certificate",
    UnsupportedCertificate 43 "unsupported_certificate",
    CertificateRevoked 44 "certificate_revoked",
    CertificateExpired 45 "certificate_expired",
    CertificateUnknown 46 "certificate_unknown",
    IllegalParameter 47 "illegal_parameter",
    UnknownCa 48 "unknown_ca",
    AccessDenied 49 "access_denied",
    DecodeError 50 "decode_error",
    DecryptError 51 "decrypt_error",
    ProtocolVersion 70 "protocol_version",
    InsufficientSecurity 71 "insufficient_security",
    InternalError 80 "internal_error",
    InappropriateFallback 86 "inappropriate_fallback",
    UserCanceled 90 "user_canceled",
    MissingExtension 109 "missing_extension",
    UnsupportedExtension 110 "unsupported_extension",
    UnrecognizedName 112 "unrecognized_name",
    BadCertificateStatusResponse 113 "bad_certificate_status_response",
    UnknownPskIdentity 115 "unknown_psk_identity",
    CertificateRequired 116 "certificate_required",
    NoApplicationProtocol 120 "no_application_protocol",
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
