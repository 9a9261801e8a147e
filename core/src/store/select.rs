//! Selects the record that counts: the only decision, and a pure one.

use super::medium::Slot;
use super::record::Header;

/// The records to begin with after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selected {
    /// The newest confirmed record.
    pub active: Option<Slot>,
    /// A newer record that was committed and not confirmed.
    pub trial: Option<Slot>,
}

/// Selects among two records that are whole and committed: the newest confirmed record is active, a newer one that is
/// not confirmed is on trial. An older one that is not confirmed does not count: it was reverted, or its trial ended
/// with power loss.
pub fn select(a: Option<&Header>, b: Option<&Header>) -> Selected {
    let both = [(Slot::A, a), (Slot::B, b)];
    let newest = |confirmed: bool| {
        let found = both.iter().filter_map(|(slot, header)| header.map(|header| (*slot, header)));
        found.filter(|(_, header)| header.confirmed == confirmed).max_by_key(|(_, header)| header.generation)
    };
    let active = newest(true);
    let trial =
        newest(false).filter(|(_, trial)| active.is_none_or(|(_, active)| trial.generation > active.generation));
    Selected { active: active.map(|(slot, _)| slot), trial: trial.map(|(slot, _)| slot) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki_types::UnixTime;

    #[test]
    fn all_pairs() {
        let header = |generation, confirmed| {
            let time = UnixTime::since_unix_epoch(core::time::Duration::ZERO);
            Header {
                generation,
                key_len: 1,
                chain_len: 1,
                not_before: time,
                not_after: time,
                time_seen: time,
                written: time,
                confirmed,
                digest: [0; 32],
            }
        };
        let (a, b) = (Some(Slot::A), Some(Slot::B));
        for (first, second, active, trial) in [
            (None, None, None, None),
            (Some((1, false)), None, None, a),
            (Some((1, true)), None, a, None),
            (None, Some((1, true)), b, None),
            (Some((1, true)), Some((2, false)), a, b),
            (Some((1, true)), Some((2, true)), b, None),
            (Some((2, true)), Some((1, true)), a, None),
            (Some((2, true)), Some((1, false)), a, None),
            (Some((2, false)), Some((1, true)), b, a),
            (Some((2, false)), Some((1, false)), None, a),
        ] {
            let [first, second] =
                [first, second].map(|record| record.map(|(generation, confirmed)| header(generation, confirmed)));
            assert_eq!(select(first.as_ref(), second.as_ref()), Selected { active, trial });
        }
    }
}
