//! The connections to other gateways that one configuration asks for.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::channel::Control;
use super::state::PreparedControl;
use super::{dialer, store};
use crate::gateway::Limits;

/// Keeps a connection to each gateway where a tunnel leads. When the value is dropped, all end.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Dialers(Mutex<JoinSet<()>>);

impl Dialers {
    /// Puts a channel in force, or none. Gateways are dialled anew: what they should hear has changed.
    pub(in crate::gateway) fn set(&self, control: &Arc<Control>, prepared: Option<PreparedControl>, limits: &Limits) {
        let (state, dials, bucket) =
            prepared.map_or((None, Vec::new(), None), |it| (Some(it.state), it.dials, it.store));
        control.set(state);
        let contacts = dials.iter().map(|dial| (dial.server_name.to_str().into_owned(), dial.tunnels.clone()));
        control.contacts.replace(contacts);
        let mut dialers = JoinSet::new();
        for (number, dial) in (0_u32..).zip(dials) {
            dialers.spawn(dialer::keep(dial, control.clone(), number, limits.handshake_timeout));
        }
        if let Some(bucket) = bucket {
            dialers.spawn(store::keep(bucket, control.clone()));
        }
        // Those before end with this.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = dialers;
    }
}
