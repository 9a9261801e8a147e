//! A mesh of sites: one text says which sites there are, who reaches whom for what, and which keys are denied.
//!
//! [`Mesh::parse`] checks a text as a whole. [`Mesh::clients`] and [`Mesh::servers`] say what follows for the tunnels of
//! a gateway. [`SignedMesh::verify`] proves that a root's signer signed a text, and [`takes`] decides whether it comes
//! into force in place of another one.
//!
//! Octets become a decision in one direction: text → [`SignedMesh`] → [`Offer`] → [`Taken`].

#![allow(clippy::result_large_err, reason = "there is no heap to put an error on")]

mod base64;
mod bounds;
mod certificate;
mod edition;
mod error;
mod index;
#[expect(clippy::module_inception, reason = "the noun is the mesh")]
mod mesh;
mod model;
mod names;
mod offer;
mod parse;
mod reach;
mod read;
mod signed;
mod signed_error;
mod signer;
mod validate;

pub use bounds::{
    MAX_CERTIFICATE, MAX_DENIED_KEYS, MAX_DOMAINS, MAX_GATEWAYS, MAX_ISSUERS, MAX_LINKS, MAX_MESH, MAX_NAME,
    MAX_OF_ALL_SITES, MAX_REASON, MAX_ROOTS, MAX_SERVICES, MAX_SIGNED_MESH, MAX_SITES,
};
pub use certificate::{EncodedCertificate, SiteIssuer};
pub use edition::{Digest, Edition};
pub use error::{Detail, MeshError};
pub use mesh::Mesh;
pub use model::{DeniedKey, Gateway, Link, Service, Site};
pub use offer::{InForce, NotTaken, Offer, Taken, takes};
pub use reach::{Client, Server, Unreachable};
pub use signed::{SignedMesh, scratch_length};
pub use signed_error::SignedMeshError;
