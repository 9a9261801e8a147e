//! Common names that look like DNS names, under dNSName constraints.

use core::fmt::Write;

use super::name_constraints;
use crate::x509::{Attribute, Certificate, NameConstraints, Work};

/// What a DNS name has at the most (RFC 1035 section 2.3.4), in text.
const MAX_DNS_NAME: usize = 253;

/// Whether `constraints` permit each common name of `leaf` that has a dot, as they would a dNSName. They bind no common name
/// (RFC 5280 section 4.2.1.10), but whoever compares one as the name of a host has to have them do so. Where the work ends: no.
///
/// Out of line: its buffer is on the stack of nobody who does not ask.
#[inline(never)]
pub(super) fn permitted<'a>(
    leaf: &Certificate<'_>,
    mut constraints: impl Iterator<Item = NameConstraints<'a>>,
    work: &mut Work,
) -> bool {
    constraints.all(|constraints| {
        // The subject is read once to find its common names, and each of them twice.
        work.spend(leaf.subject().as_bytes().len().saturating_mul(4)).is_ok()
            && leaf.subject().common_names().filter(has_dot).all(|name| {
                let mut text = heapless::String::new();
                let text = host_name(&name, &mut text);
                name_constraints::check_dns(&constraints, text, work).is_ok()
            })
    })
}

fn has_dot(name: &Attribute<'_>) -> bool {
    name.chars().any(|c| c == Ok('.'))
}

/// The name as text; what no DNS name can be is one that no constraint permits.
fn host_name<'b>(name: &Attribute<'_>, text: &'b mut heapless::String<MAX_DNS_NAME>) -> &'b str {
    let whole = name.chars().all(|c| c.is_ok_and(|c| c.is_ascii() && text.write_char(c).is_ok()));
    if whole { text } else { "." }
}
