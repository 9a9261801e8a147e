//! `allowed_clients`: names that are let in, each from its own CAs.

use crate::identity::RuleName;

/// The largest number of elements in all `allowed_clients` of a file.
pub const MAX_CLIENT_RULES: usize = 128;
/// The largest number of issuers in all `allowed_clients` of a file.
pub const MAX_ISSUERS: usize = 128;

/// A part of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub(in crate::config) from: u16,
    pub(in crate::config) until: u16,
}

impl Span {
    pub(in crate::config) fn is_empty(self) -> bool {
        self.from == self.until
    }

    /// Returns this part of a list.
    pub(in crate::config) fn of<T>(self, list: &[T]) -> &[T] {
        list.get(usize::from(self.from)..usize::from(self.until)).unwrap_or_default()
    }
}

/// The elements of all `allowed_clients` of a file: names that are let in, each from its own CAs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedClients<'a> {
    pub(in crate::config) rules: heapless::Vec<(RuleName<'a>, Option<Span>), MAX_CLIENT_RULES>,
    /// The issuers of all rules, one after the other: files, and hashes of keys.
    pub(in crate::config) issuers: heapless::Vec<&'a str, MAX_ISSUERS>,
}

impl<'a> AllowedClients<'a> {
    /// Returns the names of one side's `allowed_clients`, each with its issuers (files, and hashes of keys), or `None`
    /// for any issuer.
    pub fn of(&self, allowed: Span) -> impl Iterator<Item = (RuleName<'a>, Option<&[&'a str]>)> {
        let rules = allowed.of(&self.rules).iter();
        rules.map(|(name, issuers)| (*name, issuers.map(|issuers| issuers.of(&self.issuers))))
    }
}
