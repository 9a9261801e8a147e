//! Describes the server of a scenario: which one, its flaw, and what a device is to do.

use serde::Deserialize;

use crate::hostile::Expected;

/// The server behind the gateway's port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Server {
    /// The `edgetrust` program, mutual TLS, with a service behind it.
    Gateway(Shown),
    /// `openssl s_server`, mutual TLS, with a service behind it.
    Openssl(Shown),
    /// One of the modes of the hostile server.
    Hostile {
        /// The mode's name.
        #[serde(default)]
        mode: String,
        /// In place of a name: run one scenario for each mode with this expectation.
        every: Option<Expectation>,
    },
    /// No server: the port resets.
    None,
}

/// The certificate that a real server shows, and the clients that it admits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shown {
    /// The flaw of the server's certificate.
    pub certificate: Flaw,
    /// The DNS names of admitted clients; without any, the device's.
    pub clients: Option<Vec<String>>,
    /// The common names of admitted clients, in place of DNS names.
    pub common_names: Option<Vec<String>>,
    /// The lifetime of step-ca's certificates, such as `24h`, if the gateway lets devices renew.
    pub est: Option<String>,
    /// True if the gateway lacks the intermediate of step-ca, and thus refuses the certificates that devices get
    /// there.
    pub forgets_issuer: bool,
    /// The tunnel's `max_fragment_size`; by default as the gateway decides.
    pub max_fragment_size: Option<u16>,
}

/// The flaw of a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// The certificate has no flaw.
    #[default]
    None,
    /// The certificate expired an hour ago.
    Expired,
    /// The certificate becomes valid tomorrow.
    NotYetValid,
    /// The certificate is for another name.
    WrongName,
    /// The issuer is the CA of another location below the same root.
    SisterSite,
    /// The issuer is unknown.
    Stranger,
}

/// The expected behaviour of a device that meets a hostile server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// The device refuses the server.
    Refused,
    /// The device trusts the server, and then ends the connection.
    Broken,
    /// The device trusts the server, and sees the connection end.
    Ended,
    /// The device gives up by its own deadline.
    GivenUp,
    /// The device gives up on a server that it trusts.
    Silent,
    /// The device panics and restarts.
    Panics,
    /// The device is served.
    Served,
}

impl Expectation {
    pub(super) fn is(self, expected: Expected) -> bool {
        matches!(
            (self, expected),
            (Self::Refused, Expected::Refused(_))
                | (Self::Broken, Expected::Broken(_))
                | (Self::Ended, Expected::Ended)
                | (Self::GivenUp, Expected::GivenUp)
                | (Self::Silent, Expected::Silent)
                | (Self::Panics, Expected::Panics)
                | (Self::Served, Expected::Served)
        )
    }
}
