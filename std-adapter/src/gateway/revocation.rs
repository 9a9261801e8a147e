//! Reads the revocation lists of a configuration, and says when they end.

use std::path::Path;

use edgetrust_core::config::{CrlsRequired, Gateway};
use edgetrust_core::path::RequiredLists;
use edgetrust_core::revocation::RevocationList;
use edgetrust_core::time::Utc;
use pki_types::UnixTime;
use tracing::{error, warn};

use super::Watched;
use super::plan_error::PlanError;
use crate::pem;
use crate::tls::{RevocationLists, shown_name};

/// A revocation list that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListStatus {
    /// The file.
    pub file: String,
    /// The name of the CA.
    pub issuer: String,
    /// The time at which the list was made.
    pub this_update: UnixTime,
    /// The last second at which the list tells what is revoked.
    pub next_update: UnixTime,
}

/// The nearness of a list's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Good,
    Ending,
    Ended,
}

impl ListStatus {
    pub(crate) fn new(file: &str, list: &RevocationList<'_>) -> Self {
        Self {
            file: file.to_owned(),
            issuer: shown_name(list.issuer()),
            this_update: list.this_update(),
            next_update: list.next_update(),
        }
    }

    /// Returns whether the list is past its end.
    pub(crate) fn has_ended(&self, now: UnixTime) -> bool {
        now > self.next_update
    }

    /// Returns whether the list is in the last sixth of its life: CAs publish the next one well before that.
    pub(crate) fn ends_soon(&self, now: UnixTime) -> bool {
        let seconds = |from: UnixTime| self.next_update.as_secs().saturating_sub(from.as_secs());
        seconds(now) < seconds(self.this_update) / 6
    }

    fn stage(&self, now: UnixTime) -> Stage {
        match () {
            () if self.has_ended(now) => Stage::Ended,
            () if self.ends_soon(now) => Stage::Ending,
            () => Stage::Good,
        }
    }
}

/// The ends of lists that the log has said.
#[derive(Debug, Default)]
pub(crate) struct ListEnds(Vec<(ListStatus, Stage)>);

impl ListEnds {
    /// Logs each list that has come near its end, or has ended, since the last look.
    pub(crate) fn look(&mut self, lists: &[ListStatus], now: UnixTime) {
        let before = std::mem::take(&mut self.0);
        for list in lists {
            let (ListStatus { file, issuer, next_update, .. }, stage) = (list, list.stage(now));
            let said = before.iter().find(|(before, _)| before == list).map_or(Stage::Good, |(_, stage)| *stage);
            match stage {
                stage if stage == said => {}
                Stage::Good => {}
                Stage::Ending => {
                    warn!(%file, "the CRL of {issuer} ends at {}: replace it", Utc(*next_update));
                }
                Stage::Ended => error!(
                    %file,
                    "the CRL of {issuer} ended at {}: certificates of this CA are refused until there is a newer one",
                    Utc(*next_update)
                ),
            }
            self.0.push((list.clone(), stage));
        }
    }
}

/// Reads the revocation lists of a configuration, each file noted in `watched` first.
pub(super) fn read(
    gateway: &Gateway<'_>,
    watched: &mut Watched,
) -> Result<(RevocationLists, Vec<ListStatus>), PlanError> {
    let (mut ders, mut files) = (Vec::new(), Vec::new());
    for file in &gateway.crl_files {
        watched.note(Path::new(file));
        let read = pem::read_revocation_lists(Path::new(file)).map_err(PlanError::RevocationLists)?;
        files.extend(read.iter().map(|_| *file));
        ders.extend(read);
    }
    // Every peer but pinned ones would be refused.
    if ders.is_empty() && gateway.crls_required != CrlsRequired::None {
        return Err(PlanError::NoRevocationList);
    }
    let lists = RevocationLists::new(ders, required(gateway.crls_required)).map_err(PlanError::RevocationList)?;
    let status = files.iter().zip(lists.lists()).map(|(file, list)| ListStatus::new(file, list)).collect();
    Ok((lists, status))
}

fn required(required: CrlsRequired) -> RequiredLists {
    match required {
        CrlsRequired::None => RequiredLists::None,
        CrlsRequired::Leaf => RequiredLists::Leaf,
        CrlsRequired::Chain => RequiredLists::Chain,
    }
}

/// Warns of lists that no CA of the configuration has signed. They are verified with CAs that peers show.
pub(super) fn warn_of_strange(lists: &RevocationLists, status: &[ListStatus]) {
    for (ListStatus { file, issuer, .. }, is_known) in status.iter().zip(lists.are_signed()) {
        if !is_known {
            warn!(
                %file,
                "the CRL of {issuer} is signed by no CA of this configuration: its signature is verified in each handshake"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_list_ends_soon_in_the_last_sixth() {
        let at = |hours: u64| UnixTime::since_unix_epoch(Duration::from_secs(hours * 3600));
        let list = ListStatus {
            file: "site.crl".to_owned(),
            issuer: "CN=Site CA".to_owned(),
            this_update: at(0),
            next_update: at(24),
        };
        let stages = [0, 20, 21, 24, 25].map(|hours| list.stage(at(hours)));
        assert_eq!(stages, [Stage::Good, Stage::Good, Stage::Ending, Stage::Ending, Stage::Ended]);
    }
}
