//! Prepares the pages of a configuration, so that a reload that fails changes nothing.

use super::Failure;
use crate::agent::Agents;
use crate::est;
use crate::gateway::{Address, AdminPlan, Gateway, Listener};
use crate::ops::{Desk, Pages, Sources};

/// Pages that are ready but not yet in force.
pub(super) struct PreparedPages {
    desk: Option<Desk>,
    /// The address with a new listener; `None` where the pages stay at theirs.
    bound: Option<(Address, Listener)>,
}

impl PreparedPages {
    /// Makes all that can fail.
    pub(super) async fn new(
        plan: Option<AdminPlan>,
        running: Option<&Pages>,
        gateway: &Gateway,
        agents: &Agents,
        est: &est::Server,
    ) -> Result<Self, Failure> {
        let Some(plan) = plan else { return Ok(Self { desk: None, bound: None }) };
        let listen = plan.listen.clone();
        let sources = Sources {
            status: gateway.status().clone(),
            credentials: agents.credentials().clone(),
            devices: est.status().clone(),
        };
        let desk = Desk::new(plan, sources).map_err(|error| format!("gateway.admin.tls: {error}"))?;
        let bound = match running {
            Some(running) if *running.asked() == listen => None,
            _ => {
                let bound = Pages::bind(&listen).await;
                let bound =
                    bound.map_err(|error| format!("gateway.admin.listen: cannot listen on {listen}: {error}"))?;
                Some((listen, bound))
            }
        };
        Ok(Self { desk: Some(desk), bound })
    }

    pub(super) fn commit(self, pages: &mut Option<Pages>) {
        let before = match (self.desk, self.bound) {
            (None, _) => pages.take(),
            (Some(desk), Some((address, listener))) => pages.replace(Pages::serve(&address, listener, desk)),
            (Some(desk), None) => {
                if let Some(pages) = pages {
                    pages.replace(desk);
                }
                None
            }
        };
        if let Some(before) = before {
            tokio::spawn(before.end());
        }
    }
}
