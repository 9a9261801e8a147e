//! Records in the audit log how what is in force changes.

use edgetrust_core::path::DeniedKey;
use serde_json::json;

use crate::audit::AuditLog;
use crate::est;
use crate::gateway::{MeshStatus, Status};
use crate::ops::Inventory;
use crate::tls::Certificates;

/// The number of characters of a cause or a reason that the audit log has.
const MAX_REASON: usize = 512;

/// Returns a text, cut to a limited length.
pub(super) fn bounded(text: &str) -> String {
    text.chars().take(MAX_REASON).collect()
}

/// The state that the audit log has.
#[derive(Default)]
pub(super) struct AuditedState {
    inventory: Inventory,
    mesh: Option<MeshStatus>,
    /// The certificates of the pages in force.
    pages: Option<Certificates>,
}

impl AuditedState {
    /// Creates the state of a log that has nothing yet.
    pub(super) fn new(pages: Option<Certificates>) -> Self {
        Self { pages, ..Self::default() }
    }

    /// Replaces the certificates of the pages.
    pub(super) fn set_pages(&mut self, pages: Option<Certificates>) {
        self.pages = pages;
    }

    /// Forgets what the log before had: one that begins gets all that is in force.
    pub(super) fn forget(&mut self) {
        (self.inventory, self.mesh) = (Inventory::default(), None);
    }

    /// Records in the audit log that another mesh is in force, or that the mesh file is refused.
    pub(super) async fn record_mesh(&mut self, mesh: Option<&MeshStatus>, cause: &str, audit: &AuditLog) {
        let before = self.mesh.as_ref();
        if mesh.map(|mesh| mesh.edition) != before.map(|mesh| mesh.edition) {
            let another = mesh.map(|mesh| {
                json!({
                    "cause": bounded(cause), "name": mesh.name, "site": mesh.site, "sequence": mesh.edition.sequence,
                    "signer_generation": mesh.edition.generation, "signer": mesh.signer,
                    "digest": mesh.edition.digest.to_string(),
                })
            });
            audit.record("mesh", &another.unwrap_or_else(|| json!({"name": null}))).taken().await;
        }
        let refused = |mesh: Option<&MeshStatus>| mesh.and_then(|mesh| mesh.file_refused.clone());
        if let Some(reason) = refused(mesh).filter(|reason| refused(before).as_ref() != Some(reason)) {
            let refused = json!({"at": "file", "cause": bounded(cause), "reason": bounded(&reason)});
            audit.record("mesh_refused", &refused).taken().await;
        }
        self.mesh = mesh.cloned();
    }

    /// Records in the audit log how what is trusted, shown and denied has changed.
    pub(super) async fn record_trust(
        &mut self,
        status: &Status,
        devices: &est::Status,
        denied: &[DeniedKey],
        audit: &AuditLog,
    ) {
        if !audit.is_on() {
            return;
        }
        let now = Inventory::new(status, devices, self.pages.as_ref(), denied);
        for recorded in self.inventory.record(&now, audit) {
            recorded.taken().await;
        }
        self.inventory = now;
    }
}
