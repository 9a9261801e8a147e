//! The plan of the operator's pages, from `gateway.admin`.

use edgetrust_core::config::Admin;

use super::Address;
use crate::tls::{Certificates, ServerSettings};

/// The plan of the operator's pages.
#[derive(Clone, Debug)]
pub(crate) struct AdminPlan {
    /// The address to listen on.
    pub(crate) listen: Address,
    /// The names beside IP addresses and `localhost` by which the pages may be asked for.
    pub(crate) hosts: Vec<String>,
    /// The server's credential, and those who may read; none where the pages are plaintext.
    pub(crate) tls: Option<ServerSettings>,
    /// The gateway is ready only while the targets of its server tunnels accept connections.
    pub(crate) check_targets: bool,
}

impl AdminPlan {
    /// Returns the certificates that the pages use; none where they are plaintext.
    pub(crate) fn certificates(&self) -> Option<Certificates> {
        self.tls.as_ref().map(ServerSettings::certificates)
    }

    /// Makes the plan, with the settings of its `tls`.
    pub(super) fn new(admin: &Admin<'_>, tls: Option<ServerSettings>) -> Self {
        Self {
            listen: admin.listen.into(),
            hosts: admin.hosts.iter().map(|host| (*host).to_owned()).collect(),
            tls: tls.map(|tls| ServerSettings { alpn: vec![b"http/1.1".to_vec()], ..tls }),
            check_targets: admin.check_targets,
        }
    }
}
