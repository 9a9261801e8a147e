//! Finds sites by name, without reading the text for each name.

use super::bounds::MAX_SITES;
use super::model::{Site, SiteName};
use super::read::List;

/// The names of all sites, sorted.
pub(super) struct Index<'a> {
    names: heapless::Vec<&'a str, { MAX_SITES as usize }>,
}

/// A set of sites, by their numbers in an index.
#[derive(Clone)]
pub(super) struct Sites([u64; MAX_SITES as usize / 64]);

impl<'a> Index<'a> {
    /// Creates the index of a list of sites; or the name that two sites have, as the error.
    pub(super) fn new(sites: &List<'a, Site<'a>>) -> Result<Self, &'a str> {
        let mut names = heapless::Vec::new();
        for site in sites.iter() {
            let pushed = names.push(site.name()).is_ok();
            debug_assert!(pushed, "the list has at most MAX_SITES");
        }
        names.sort_unstable();
        let mut pairs = names.iter().zip(names.iter().skip(1));
        match pairs.find(|(one, other)| one == other) {
            Some((name, _)) => Err(name),
            None => Ok(Self { names }),
        }
    }

    /// Returns the number of a site.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.binary_search(&name).ok()
    }

    /// Returns the numbers of the sites that a side of a link names. `*` stands for all but `other`.
    pub(super) fn numbers(
        &self,
        side: &List<'a, SiteName<'a>>,
        other: usize,
    ) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let mut names = side.iter();
        let first = names.next();
        let every_other = if first == Some(SiteName::EVERY_OTHER) { 0..self.names.len() } else { 0..0 };
        let named = first.into_iter().chain(names).filter_map(|name| self.number(name.0));
        every_other.filter(move |number| *number != other).chain(named)
    }
}

impl Sites {
    /// Creates an empty set.
    pub(super) const fn new() -> Self {
        Self([0; MAX_SITES as usize / 64])
    }

    /// Adds a site; returns whether it was not in the set.
    pub(super) fn insert(&mut self, number: usize) -> bool {
        let is_new = !self.contains(number);
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
        is_new
    }

    /// Returns whether a site is in the set.
    pub(super) fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_added() {
        let mut sites = Sites::new();
        for number in [0, 63, 64, 1_023] {
            assert!(!sites.contains(number));
            assert!(sites.insert(number));
            assert!(!sites.insert(number));
            assert!(sites.contains(number));
        }
        assert!(!sites.contains(1) && !sites.contains(1_024));
    }
}
