//! Shows how much of each limit is used.

/// A limit, and how much of it is used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The limit's key below `limits`.
    pub limit: &'static str,
    /// The amount in use: of a limit for each source, by the source that uses most.
    pub used: u64,
    /// Its value; `None` for no limit.
    pub at_most: Option<u64>,
}

impl Usage {
    pub(super) fn new(limit: &'static str, used: usize, at_most: Option<usize>) -> Self {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self { limit, used: number(used), at_most: at_most.map(number) }
    }

    /// Makes the usage of a limit for each source, where 0 means no limit.
    pub(super) fn of_source(limit: &'static str, used: u32, at_most: u32) -> Self {
        Self { limit, used: used.into(), at_most: (at_most > 0).then(|| at_most.into()) }
    }
}
