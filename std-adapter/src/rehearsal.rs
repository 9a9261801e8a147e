//! The parts of a gateway that the simulation of a mesh runs: nothing of them is a copy, and none opens a socket.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use edgetrust_core::mesh::Edition;
use edgetrust_core::x509::KeyHash;

use crate::config_file::with_config;
use crate::federation::RehearsalError;
use crate::gateway::decisions::ControlState;
use crate::gateway::{Kept, MeshKeeper, NoAcme, Offered, Plan, PreparedControl, SharedTrust, Watched};
use crate::store::MeshFolder;
use crate::{clock, pem};

fn refused(error: impl Display) -> RehearsalError {
    error.to_string().into()
}

/// A signed mesh that a gateway has in force, with its proof.
#[derive(Clone, Debug)]
pub struct Held(Kept);

impl Held {
    /// Takes the first mesh, proved by the roots of a file, as a gateway that has none does.
    ///
    /// # Errors
    /// Returns why it is not taken.
    pub fn first(text: &str, roots: &Path) -> Result<Self, RehearsalError> {
        let roots = pem::read_certificates(roots).map_err(refused)?;
        Kept::first(text.as_bytes().to_vec(), &roots, &[], clock::now()).map(Self).map_err(refused)
    }

    /// Offers another mesh. This value becomes what is in force afterwards.
    ///
    /// # Errors
    /// Returns why the offer is refused; nothing changes then.
    pub fn offer(&mut self, text: &str) -> Result<Offered, RehearsalError> {
        self.0.offer(text.as_bytes().to_vec(), &[], clock::now()).map_err(refused)
    }

    /// Writes it to a folder for the mesh in force, as a gateway does.
    ///
    /// # Errors
    /// Returns why it cannot be kept.
    pub fn keep(&self, storage: &Path) -> Result<(), RehearsalError> {
        let folder = MeshFolder::hold(storage).map_err(refused)?;
        self.0.write(&folder).map_err(refused)
    }

    /// Returns the signed text.
    pub fn signed(&self) -> &str {
        self.0.signed()
    }

    /// Returns whether both are one text with the same rivals, which deny the same.
    pub fn is(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }

    /// Returns the edition.
    pub fn edition(&self) -> Edition {
        self.0.edition()
    }

    /// Returns all keys that are denied while this mesh is in force.
    pub fn denied(&self) -> Vec<KeyHash> {
        self.0.denied().into_iter().map(|denied| denied.key).collect()
    }
}

/// Reads a configuration as a gateway that starts does, and returns its control channel.
///
/// # Errors
/// Fails if the configuration or a file of it is refused, or it has no control channel.
pub fn control(config: &Path) -> Result<Arc<ControlState>, RehearsalError> {
    let read = with_config(config, |config| {
        let (mut watched, keeper) = (Watched::default(), MeshKeeper::default());
        let shared = SharedTrust::read(&config.gateway, &config.denied_keys, &mut watched, &keeper).map_err(refused)?;
        let plan = Plan::new(&config.gateway, &shared, &mut watched, &mut NoAcme).map_err(refused)?;
        let plan = plan.control.ok_or_else(|| refused("the gateway has no control channel"))?;
        PreparedControl::new(plan).map(|prepared| prepared.state()).map_err(refused)
    });
    read.map_err(refused)?
}
