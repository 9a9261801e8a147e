//! The reasons that a configuration does not become a plan.

use std::error::Error;
use std::fmt;

use edgetrust_core::revocation::RevocationListError;
use edgetrust_core::x509::ParseError;

use super::issuers::IssuerError;
use super::mesh_file::MeshFileError;
use crate::egress::EgressError;
use crate::pem::PemError;
use crate::replica::settings::NatsSettingsError;
use crate::tls::{CredentialError, ServerNameError};

/// The reason that a configuration does not become a plan.
#[derive(Debug)]
pub enum PlanError {
    /// The configuration has no tunnel.
    NoTunnel,
    /// The tunnel with this name has a fault.
    Tunnel(String, Box<Self>),
    /// The operator's pages have a fault.
    Admin(Box<Self>),
    /// A file with certificates is faulty.
    Certificates(PemError),
    /// A file with revocation lists is faulty.
    RevocationLists(PemError),
    /// A revocation list is faulty.
    RevocationList(RevocationListError),
    /// Revocation lists are required, and there is none.
    NoRevocationList,
    /// A certificate and its key cannot be loaded.
    Credential(CredentialError),
    /// The provider has no credential for an `acme` section.
    Acme(Box<dyn Error + Send + Sync>),
    /// The allow list of clients has a faulty issuer.
    AllowedClients(IssuerError),
    /// An issuer that servers must come from is faulty.
    ServerIssuers(IssuerError),
    /// A certificate that is to verify peers does not parse.
    Anchor(ParseError),
    /// The mesh file is faulty.
    Mesh(MeshFileError),
    /// The store of the mesh cannot be used.
    MeshStorage(NatsSettingsError),
    /// A tunnel has a service, and there is no mesh.
    NoMesh,
    /// A client tunnel has nothing to verify servers with.
    NoAnchor,
    /// A proxy cannot be used.
    Egress(EgressError),
    /// The name that servers must have is none.
    ServerName(ServerNameError),
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTunnel => f.write_str("gateway.tunnels: found none, expected at least one tunnel"),
            Self::Tunnel(name, error) => write!(f, "tunnel {}: {error}", name.escape_debug()),
            Self::Admin(error) => write!(f, "gateway.admin: {error}"),
            Self::Certificates(error) => error.fmt(f),
            Self::RevocationLists(error) => write!(f, "gateway.crl_files: {error}"),
            Self::RevocationList(error) => write!(f, "gateway.crl_files: {error}"),
            Self::NoRevocationList => {
                f.write_str("gateway.crl_files: found none, expected one at least, since crls_required asks for CRLs")
            }
            Self::Credential(error) => error.fmt(f),
            Self::Acme(error) => error.fmt(f),
            Self::AllowedClients(error) => write!(f, "allowed_clients: {error}"),
            Self::ServerIssuers(error) => write!(f, "server_issuers: {error}"),
            Self::Anchor(error) => error.fmt(f),
            Self::NoAnchor => f.write_str(
                "no CA to verify servers with: found neither ca_files, pinned_certificates nor a usable CA of this system",
            ),
            Self::ServerName(error) => error.fmt(f),
            Self::Egress(error) => error.fmt(f),
            Self::Mesh(error) => write!(f, "gateway.mesh: {error}"),
            Self::MeshStorage(error) => write!(f, "gateway.mesh.{error}"),
            Self::NoMesh => f.write_str("service: expected gateway.mesh"),
        }
    }
}

impl Error for PlanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Tunnel(_, error) | Self::Admin(error) => Some(&**error),
            Self::Certificates(error) | Self::RevocationLists(error) => Some(error),
            Self::RevocationList(error) => Some(error),
            Self::Credential(error) => Some(error),
            Self::Acme(error) => Some(&**error),
            Self::AllowedClients(error) | Self::ServerIssuers(error) => Some(error),
            Self::Anchor(error) => Some(error),
            Self::ServerName(error) => Some(error),
            Self::Egress(error) => Some(error),
            Self::Mesh(error) => Some(error),
            Self::MeshStorage(error) => Some(error),
            Self::NoTunnel | Self::NoRevocationList | Self::NoAnchor | Self::NoMesh => None,
        }
    }
}
