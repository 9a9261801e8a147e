//! The states of a handshake (RFC 8446 appendix A), and the messages that may come in each: one table for both roles.

use crate::error::{Error, Fault};
use crate::message::kind;

/// What a side waits for. The names are those of RFC 8446 appendix A.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A client that has not sent its ClientHello.
    Start,
    /// A client that waits for a ServerHello or a HelloRetryRequest.
    WaitServerHello,
    /// A client that has answered a HelloRetryRequest.
    WaitServerHelloAgain,
    WaitEncryptedExtensions,
    WaitCertificateOrRequest,
    WaitServerCertificate,
    WaitServerCertificateVerify,
    WaitServerFinished,
    /// A server that waits for a ClientHello.
    WaitClientHello,
    /// A server that has sent a HelloRetryRequest.
    WaitClientHelloAgain,
    WaitClientCertificate,
    WaitClientCertificateVerify,
    WaitClientFinished,
    /// The handshake is done: the connection has it.
    Connected,
    /// The handshake has failed.
    Failed,
}

use State::{
    Connected, WaitCertificateOrRequest, WaitClientCertificate, WaitClientCertificateVerify, WaitClientFinished,
    WaitClientHello, WaitClientHelloAgain, WaitEncryptedExtensions, WaitServerCertificate, WaitServerCertificateVerify,
    WaitServerFinished, WaitServerHello, WaitServerHelloAgain,
};

/// Each message that may come, and the states that may follow.
const TABLE: &[(State, u8, &[State])] = &[
    (WaitServerHello, kind::SERVER_HELLO, &[WaitEncryptedExtensions, WaitServerHelloAgain]),
    (WaitServerHelloAgain, kind::SERVER_HELLO, &[WaitEncryptedExtensions]),
    // A resumed session has no certificates.
    (WaitEncryptedExtensions, kind::ENCRYPTED_EXTENSIONS, &[WaitCertificateOrRequest, WaitServerFinished]),
    (WaitCertificateOrRequest, kind::CERTIFICATE_REQUEST, &[WaitServerCertificate]),
    (WaitCertificateOrRequest, kind::CERTIFICATE, &[WaitServerCertificateVerify]),
    (WaitServerCertificate, kind::CERTIFICATE, &[WaitServerCertificateVerify]),
    (WaitServerCertificateVerify, kind::CERTIFICATE_VERIFY, &[WaitServerFinished]),
    (WaitServerFinished, kind::FINISHED, &[Connected]),
    (WaitClientHello, kind::CLIENT_HELLO, &[WaitClientHelloAgain, WaitClientCertificate, WaitClientFinished]),
    (WaitClientHelloAgain, kind::CLIENT_HELLO, &[WaitClientCertificate, WaitClientFinished]),
    // A client without a certificate is refused: nothing leads from here to WaitClientFinished.
    (WaitClientCertificate, kind::CERTIFICATE, &[WaitClientCertificateVerify]),
    (WaitClientCertificateVerify, kind::CERTIFICATE_VERIFY, &[WaitClientFinished]),
    (WaitClientFinished, kind::FINISHED, &[Connected]),
];

impl State {
    /// Checks that a message may come.
    pub(crate) fn expects(self, message: u8) -> Result<(), Error> {
        let due = TABLE.iter().any(|(state, due, _)| *state == self && *due == message);
        if due { Ok(()) } else { Err(Error::Peer(Fault::UnexpectedMessage(message))) }
    }

    /// Goes on to a state that follows this one after a message.
    pub(crate) fn go(&mut self, message: u8, to: Self) {
        debug_assert!(
            TABLE.iter().any(|(state, due, next)| state == self && *due == message && next.contains(&to)),
            "{self:?} does not lead to {to:?} by {message}"
        );
        *self = to;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::fmt::Write;
    use std::string::String;

    /// The table as a reviewer reads it. `UPDATE_STATES=1` writes it anew.
    #[test]
    fn the_table_is_as_it_was_reviewed() {
        let mut shown = String::from("state | message | next\n");
        for (state, message, next) in TABLE {
            writeln!(shown, "{state:?} | {} | {next:?}", name(*message)).unwrap();
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/states.txt");
        if std::env::var_os("UPDATE_STATES").is_some() {
            std::fs::write(path, &shown).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), shown, "UPDATE_STATES=1 writes {path} anew");
    }

    #[test]
    fn each_state_takes_its_messages_and_no_others() {
        for state in [WaitServerHello, WaitServerFinished, WaitClientHello, WaitClientCertificate, Connected] {
            for message in 0..=255 {
                let due = TABLE.iter().any(|(one, due, _)| *one == state && *due == message);
                assert_eq!(state.expects(message).is_ok(), due, "{state:?} {message}");
            }
        }
    }

    fn name(message: u8) -> &'static str {
        match message {
            kind::CLIENT_HELLO => "ClientHello",
            kind::SERVER_HELLO => "ServerHello",
            kind::ENCRYPTED_EXTENSIONS => "EncryptedExtensions",
            kind::CERTIFICATE_REQUEST => "CertificateRequest",
            kind::CERTIFICATE => "Certificate",
            kind::CERTIFICATE_VERIFY => "CertificateVerify",
            kind::FINISHED => "Finished",
            _ => "?",
        }
    }
}
