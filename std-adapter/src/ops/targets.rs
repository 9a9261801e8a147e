//! Checks whether the targets of server tunnels accept connections, for `/readyz`.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::gateway::{Side, Status, connect};

/// The time that the targets of a tunnel have to accept a connection, each an equal part of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The time for which a result holds, so that those who ask cause no flood of connections.
const HOLDS: Duration = Duration::from_secs(2);

/// The last result.
#[derive(Debug, Default)]
pub(super) struct TargetCheck(Mutex<Option<(Instant, Option<String>)>>);

impl TargetCheck {
    /// Returns why the first tunnel whose target does not accept is not ready. Whoever asks meanwhile gets the same result.
    pub(super) async fn failed(&self, status: &Status) -> Option<String> {
        let mut last = self.0.lock().await;
        if let Some((at, result)) = &*last
            && at.elapsed() < HOLDS
        {
            return result.clone();
        }
        let mut attempts = JoinSet::new();
        for tunnel in status.tunnels().iter().filter(|tunnel| tunnel.side != Side::Client) {
            let targets: Vec<_> = tunnel.targets.iter().map(|target| target.address().clone()).collect();
            let name = tunnel.name.clone();
            let part = PATIENCE.checked_div(u32::try_from(targets.len()).unwrap_or(u32::MAX)).unwrap_or(PATIENCE);
            attempts.spawn(async move {
                let mut reason = None;
                // One that lives is enough.
                for target in targets {
                    match connect(&target, None, part).await {
                        Ok(_) => return None,
                        Err(error) => {
                            reason.get_or_insert_with(|| {
                                format!("tunnel {name}: its target {target} does not accept: {error}")
                            });
                        }
                    }
                }
                reason
            });
        }
        let mut failed: Vec<String> = attempts.join_all().await.into_iter().flatten().collect();
        failed.sort_unstable();
        let result = failed.into_iter().next();
        *last = Some((Instant::now(), result.clone()));
        result
    }
}
