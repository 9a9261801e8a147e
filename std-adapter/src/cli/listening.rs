//! Lists the addresses that a configuration listens on, and compares them with the sockets that were passed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use edgetrust_core::config::{Acme, ChallengeType, Config, CredentialSource};

use super::Failure;
use crate::activation::{At, Wanted, passed};
use crate::agent::credential_sources;
use crate::gateway::{Address, Plan};

/// An address with the place in the configuration that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) place: String,
    pub(crate) address: Address,
}

/// The addresses of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) all: Vec<Listening>,
    /// Those among them at which http-01 is answered.
    pub(crate) http01: Vec<SocketAddr>,
}

impl Addresses {
    /// Returns the addresses of tunnels, of EST, of the pages and of http-01.
    pub(crate) fn of(config: &Config<'_>) -> Self {
        let gateway = &config.gateway;
        let mut found = Self::default();
        for tunnel in &gateway.tunnels {
            found.add(format!("gateway.tunnels: {}: listen", tunnel.name), tunnel.listen.into());
        }
        if let Some(est) = &gateway.est {
            found.add("gateway.est.listen".to_owned(), Address::Tcp(est.listen));
            if let Some(first) = est.first_enrollment {
                found.add("gateway.est.first_enrollment.listen".to_owned(), Address::Tcp(first));
            }
        }
        if let Some(admin) = &gateway.admin {
            found.add("gateway.admin.listen".to_owned(), admin.listen.into());
        }
        for (source, _) in credential_sources(config) {
            if let CredentialSource::Acme(acme) | CredentialSource::AcmeWithFallback(acme, _) = source {
                found.add_http01(acme);
            }
        }
        if let Some(est) = &gateway.est {
            found.add_http01(&est.acme);
        }
        found
    }

    /// Returns the addresses of tunnels that flags describe.
    pub(crate) fn of_plan(plan: &Plan) -> Self {
        let mut found = Self::default();
        for tunnel in &plan.tunnels {
            found.add("--listen".to_owned(), tunnel.listen.clone());
        }
        if let Some(admin) = &plan.admin {
            found.add("--admin".to_owned(), admin.listen.clone());
        }
        found
    }

    fn add(&mut self, place: String, address: Address) {
        if !self.all.iter().any(|known| known.address == address) {
            self.all.push(Listening { place, address });
        }
    }

    fn add_http01(&mut self, acme: &Acme<'_>) {
        if acme.challenge_type == ChallengeType::Http01 && !self.http01.contains(&acme.http_listen) {
            self.http01.push(acme.http_listen);
            self.add("acme.http_listen".to_owned(), Address::Tcp(acme.http_listen));
        }
    }

    /// Checks that each socket that was passed to this process is for one of the addresses.
    ///
    /// # Errors
    /// Names the sockets that are for none, and the addresses.
    pub(crate) fn check_passed(&self) -> Result<(), Failure> {
        if passed().is_empty() {
            return Ok(());
        }
        let wanted: Vec<Wanted> = self.all.iter().map(wanted).collect();
        let unserved = passed().unserved(&wanted);
        if unserved.is_empty() {
            return Ok(());
        }
        let expected: Vec<String> = wanted.iter().map(Wanted::to_string).collect();
        let (found, expected) = (unserved.join(", "), expected.join(", "));
        Err(format!("LISTEN_FDS: found the socket {found}, expected sockets of the configuration alone: {expected}")
            .into())
    }
}

fn wanted(listening: &Listening) -> Wanted {
    let at = match &listening.address {
        Address::Tcp(address) => At::Tcp(vec![*address]),
        // A name that is not found is an error where it is listened on.
        Address::Host(host, port) => {
            At::Tcp((host.as_str(), *port).to_socket_addrs().map(Iterator::collect).unwrap_or_default())
        }
        Address::Unix(path) => At::Unix(PathBuf::from(path)),
    };
    Wanted { place: listening.place.clone(), at }
}
