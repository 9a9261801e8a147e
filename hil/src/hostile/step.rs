//! What a server can do, step by step.

use super::chains::Chain;

/// Which ServerHello is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hello {
    Right,
    /// A HelloRetryRequest for another group.
    Retry,
    /// TLS_CHACHA20_POLY1305_SHA256.
    OtherSuite,
    /// secp384r1, with a share of secp256r1.
    OtherGroup,
    /// Without supported_versions.
    Tls12,
    NoKeyShare,
    /// A point that is not on the curve.
    BadPoint,
    /// Longer than all its parts.
    Trailing,
}

/// Whose key signs, and what.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// The key of the certificate that was sent last, this handshake.
    Leaf,
    /// A key that no certificate names.
    Another,
    /// The leaf's, another handshake.
    OtherTranscript,
    /// The leaf's, as a client signs (RFC 8446 section 4.4.3).
    AsClient,
    /// The leaf's, under a scheme of this number.
    Scheme(u16),
    /// No octet of a signature.
    Empty,
}

/// A handshake message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    EncryptedExtensions,
    /// With an extension of so many octets.
    LongExtensions(usize),
    CertificateRequest,
    /// With schemes that nobody knows before the one that is known.
    OddCertificateRequest,
    Certificate(Chain),
    CertificateVerify(By),
    Finished,
    BadFinished,
    KeyUpdate,
    /// With a context, as it must be after the handshake (RFC 8446 section 4.6.2).
    LateCertificateRequest,
    Ticket,
    /// A Certificate that says that it has 16 MiB.
    Endless,
    /// Of a type that does not exist.
    Unknown,
}

/// What is done next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Waits for the ClientHello.
    ReadHello,
    Hello(Hello),
    /// A handshake message in a record of its own; part of the transcript.
    Send(Message),
    /// Several in one record.
    Together(&'static [Message]),
    /// The ServerHello and these in one record that is not encrypted, without the last octets, as many as the number says.
    HelloWith(&'static [Message], usize),
    /// Several in one record, without the last octets, as many as the number says.
    Part(&'static [Message], usize),
    /// The octets that were left out, in a record with the keys of now.
    Rest,
    /// In records of so many octets.
    Fragments(usize, &'static [Message]),
    /// Not encrypted.
    Clear(Message),
    /// These octets, as they are.
    Raw(&'static [u8]),
    /// So many octets that mean nothing.
    Noise(usize),
    /// A record that is not encrypted: content type and contents.
    ClearRecord(u8, &'static [u8]),
    /// An encrypted record with this TLSInnerPlaintext.
    Inner(&'static [u8]),
    /// The same, so many times.
    Inners(usize, &'static [u8]),
    /// An encrypted record of so many octets, all zero.
    ZeroInner(usize),
    /// A record with a tag that is not right.
    BadTag,
    /// A header that promises so many octets, and as many.
    Oversized(u16),
    /// So many change_cipher_spec.
    ChangeCipherSpec(usize),
    /// Waits for the client's Finished.
    ReadFinished,
    /// Waits for application data, and answers.
    Answer,
    /// From here on one octet a second.
    Drip,
    /// Nothing more, until the client gives up.
    Stall,
    Close,
    Reset,
}
