//! Says what to do about a server that is refused, and about one that speaks no TLS.

use std::io;

use edgetrust_core::identity::Denied;
use edgetrust_core::path::PathErrorKind;

use super::first::First;
use crate::tls::{Refusal, is_no_tls};

/// Says who has to change what, so that a refused server is taken. `docs/TLS_SETUP.md` has a line for each reason.
pub(in crate::cli) fn advice(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::ServerName(_) | Refusal::Denied(Denied::WrongServerName) => {
            "the other side has a certificate issued with that name; or correct `server_name` or `target` here"
        }
        Refusal::Denied(Denied::OtherIssuer { .. }) => {
            "the other side has its certificate issued by its own site's CA; if it has, correct `server_issuers` or \
             the mesh; if not, another site answers there"
        }
        Refusal::Path(error) | Refusal::Unparsed(error, _) => match error.kind {
            PathErrorKind::UnknownIssuer | PathErrorKind::SelfSigned | PathErrorKind::Loop => {
                "the other side sends its intermediates with its certificate; or name its CA in `ca_files` here, if \
                 you trust it"
            }
            PathErrorKind::Expired { .. } => "the other side renews that certificate; if it is valid, set this clock",
            PathErrorKind::NotYetValid { .. } => "set this machine's clock, if it is behind",
            PathErrorKind::KeyDenied(_) => "the other side gets a new key; find out why this one is denied",
            PathErrorKind::WrongPurpose => "the other side has its certificate issued with serverAuth",
            _ => TABLE,
        },
        _ => TABLE,
    }
}

const TABLE: &str = "docs/TLS_SETUP.md has this reason under \"What a refusal means\": the other side's certificate";

/// Describes a server that does not finish the handshake in time, and says what to do.
pub(in crate::cli) fn silent(first: &First) -> (&'static str, &'static str) {
    if first.is_empty() {
        (
            "it accepts the connection and says nothing",
            "that port may be of a service without TLS, which waits for its client; or the other side is overloaded",
        )
    } else {
        (
            "the handshake has begun, and is not finished",
            "look at the network's loss and MTU, and at the other side's load",
        )
    }
}

/// Describes a handshake that broke without an alert, and says what to do.
pub(in crate::cli) fn broken(error: &io::Error, first: &First) -> (String, &'static str) {
    const NO_TLS: &str = "that port is of another service, or its service begins without TLS, as NATS does unless it \
        has `handshake_first`; correct `target`, or switch TLS on there";
    if let Some(begins) = first.other_protocol() {
        return (format!("what answers does not speak TLS: {begins}"), NO_TLS);
    }
    if is_no_tls(error) {
        return (format!("what answers does not speak TLS as it should: {error}"), NO_TLS);
    }
    if first.is_empty() {
        let what = format!("the server left without a word: {error}");
        return (
            what,
            "that port may be of a service without TLS; or the other side's limits turn us away: see its log",
        );
    }
    (error.to_string(), "ask the other side what its log says")
}
