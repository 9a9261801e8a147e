//! Allow lists and server names.
use super::Denied;
use crate::path::VerifiedPath;
use core::net::IpAddr;
/// One entry of an allow list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule<'a> {
    /// The subject's only commonName, exactly.
    CommonName(&'a str),
    /// A dNSName of the subjectAltName.
    Dns(&'a str),
    /// A uniformResourceIdentifier of the subjectAltName, exactly.
    Uri(&'a str),
    /// An iPAddress of the subjectAltName.
    Ip(IpAddr),
}
/// Which clients are let in.
#[derive(Clone, Copy, Debug)]
pub enum PeerPolicy<'a> {
    /// No list configured: every verified path.
    AnyVerified,
    /// One rule must match; an empty list lets nobody in.
    OneOf(&'a [Rule<'a>]),
}
/// The name that a server's certificate must be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerName<'a> {
    /// A DNS name.
    Dns(&'a str),
    /// An IP address.
    Ip(IpAddr),
}
/// Proof that this peer may talk to us; what a gateway forwards bytes for.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizedPeer<'p> {
    path: VerifiedPath<'p>,
    rule: Option<u16>,
}
impl<'p> AuthorizedPeer<'p> {
    /// The path.
    pub fn path(&self) -> &VerifiedPath<'p> {
        &self.path
    }
    /// Index of the rule that matched.
    pub fn rule(&self) -> Option<u16> {
        self.rule
    }
}
impl PeerPolicy<'_> {
    /// Lets a client in, or says why not.
    pub fn authorize<'p>(&self, _path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        todo!()
    }
}
impl ServerName<'_> {
    /// Accepts a server, or says why not.
    pub fn authorize<'p>(&self, _path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        todo!()
    }
}
