//! Limits the immediate retries of an order.

use std::time::Duration;

use tokio::time::sleep;

use super::error::{AcmeError, Remedy};
use super::settings::Settings;

/// The number of rounds after a stale nonce or a broken connection: the order continues where it was (RFC 8555 section
/// 6.5). A directory that rejects every second nonce needs a few, since instant-acme gives up after three.
const ROUNDS: u32 = 16;

/// The number of rounds after failures that take long or cost the CA something.
const COSTLY_ROUNDS: u32 = 3;

/// The rounds so far.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    all: u32,
    costly: u32,
}

impl Rounds {
    /// Waits for another round, if one is worthwhile after this error.
    ///
    /// # Errors
    /// Returns the error itself if no other round is worthwhile.
    pub(super) async fn another(&mut self, settings: &Settings, error: AcmeError) -> Result<(), AcmeError> {
        self.all = self.all.saturating_add(1);
        self.costly = self.costly.saturating_add(u32::from(error.remedy != Remedy::AnotherNonce));
        let worth_it = matches!(error.remedy, Remedy::AnotherNonce | Remedy::Again | Remedy::NewAccount);
        if !worth_it || self.all >= ROUNDS || self.costly >= COSTLY_ROUNDS || error.failure.retry_after_s.is_some() {
            return Err(error);
        }
        log!(debug, settings.which(), rounds = self.all, "the attempt is repeated at once: {error}");
        sleep(Duration::from_millis(200).saturating_mul(1 << self.costly.min(4))).await;
        Ok(())
    }
}
