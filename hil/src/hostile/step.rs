//! The steps of which a mode consists.

use super::chains::Chain;

/// The kind of ServerHello to send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hello {
    Right,
    /// A HelloRetryRequest for another group.
    Retry,
    /// TLS_CHACHA20_POLY1305_SHA256.
    OtherSuite,
    /// secp384r1, with a share of secp256r1.
    OtherGroup,
    /// A ServerHello without supported_versions.
    Tls12,
    NoKeyShare,
    /// A point that is not on the curve.
    BadPoint,
    /// A ServerHello that is longer than its parts.
    Trailing,
}

/// The key that signs, and the signed contents.
#[derive(Clone, Copy, Debug)]
pub(super) enum By {
    /// The key of the certificate that was sent last, over this handshake.
    Leaf,
    /// A key that is in no certificate.
    Another,
    /// The leaf's key, over another handshake.
    OtherTranscript,
    /// The leaf's key, with the context string of a client (RFC 8446 section 4.4.3).
    AsClient,
    /// The leaf's key, under the scheme of this number.
    Scheme(u16),
    /// An empty signature.
    Empty,
}

/// A handshake message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Message {
    EncryptedExtensions,
    /// EncryptedExtensions with an extension of this number of octets.
    LongExtensions(usize),
    CertificateRequest,
    /// A CertificateRequest with unknown schemes before the known one.
    OddCertificateRequest,
    Certificate(Chain),
    CertificateVerify(By),
    Finished,
    BadFinished,
    KeyUpdate,
    /// A CertificateRequest with a context, as required after the handshake (RFC 8446 section 4.6.2).
    LateCertificateRequest,
    Ticket,
    /// A Certificate that claims a length of 16 MiB.
    Endless,
    /// A message of a type that does not exist.
    Unknown,
}

/// The server's next action.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Waits for the ClientHello.
    ReadHello,
    Hello(Hello),
    /// Sends a handshake message in a record of its own, and adds it to the transcript.
    Send(Message),
    /// Sends several messages in one record.
    Together(&'static [Message]),
    /// Sends the ServerHello and these messages in one unencrypted record, without this number of last octets.
    HelloWith(&'static [Message], usize),
    /// Sends several messages in one record, without this number of last octets.
    Part(&'static [Message], usize),
    /// Sends the octets that were left out, in a record under the current keys.
    Rest,
    /// Sends messages in records of this number of octets.
    Fragments(usize, &'static [Message]),
    /// Sends a message unencrypted.
    Clear(Message),
    /// Sends these octets unchanged.
    Raw(&'static [u8]),
    /// Sends this number of random octets.
    Noise(usize),
    /// Sends an unencrypted record: content type and contents.
    ClearRecord(u8, &'static [u8]),
    /// Sends an encrypted record with this TLSInnerPlaintext.
    Inner(&'static [u8]),
    /// Sends such a record this number of times.
    Inners(usize, &'static [u8]),
    /// Sends an encrypted record of this number of zero octets.
    ZeroInner(usize),
    /// Sends a record with a wrong tag.
    BadTag,
    /// Sends a header that announces this number of octets, and as many octets.
    Oversized(u16),
    /// Sends this number of change_cipher_spec.
    ChangeCipherSpec(usize),
    /// Waits for the client's Finished.
    ReadFinished,
    /// Waits for application data, and answers.
    Answer,
    /// Sends one octet a second from now on.
    Drip,
    /// Sends nothing more until the client gives up.
    Stall,
    Close,
    Reset,
}
