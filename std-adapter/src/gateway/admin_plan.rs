//! Turns `gateway.admin` into the plan of the operator's pages, and reads the files that it names.

use edgetrust_core::config::Admin;

use super::plan::{CredentialProvider, client_auth, tls_settings};
use super::plan_error::PlanError;
use super::{Address, SharedTrust, Watched};
use crate::tls::ServerSettings;

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
    /// Reads every file that the section names, each noted in `watched` first.
    ///
    /// # Errors
    /// Returns the file that is faulty.
    pub(super) fn read(
        admin: &Admin<'_>,
        shared: &SharedTrust<'_>,
        watched: &mut Watched,
        provider: &mut dyn CredentialProvider,
    ) -> Result<Self, PlanError> {
        let tls = match &admin.tls {
            None => None,
            Some(tls) => {
                let clients = client_auth(&admin.clients, shared, watched)?;
                let mut settings = tls_settings(tls, clients, watched, provider)?;
                settings.alpn = vec![b"http/1.1".to_vec()];
                Some(settings)
            }
        };
        Ok(Self {
            listen: admin.listen.into(),
            hosts: admin.hosts.iter().map(|host| (*host).to_owned()).collect(),
            tls,
            check_targets: admin.check_targets,
        })
    }
}
