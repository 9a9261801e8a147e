//! Applies dNSName constraints to common names that look like DNS names.

use core::fmt::Write;

use super::name_constraints;
use crate::x509::{Attribute, Certificate, NameConstraints, Work};

/// The largest length of a DNS name as text (RFC 1035 section 2.3.4).
const MAX_DNS_NAME: usize = 253;

/// Returns whether `constraints` permit each common name of `leaf` that has a dot, as if it were a dNSName.
/// Constraints do not bind common names (RFC 5280 section 4.2.1.10), so a caller that compares one with a host name
/// must apply them. Returns false if the work runs out.
///
/// Not inlined, so that the buffer takes stack only during a call.
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

/// Returns the name as text, or `.`, which no constraint permits, for a name that cannot be a DNS name.
fn host_name<'b>(name: &Attribute<'_>, text: &'b mut heapless::String<MAX_DNS_NAME>) -> &'b str {
    let whole = name.chars().all(|c| c.is_ok_and(|c| c.is_ascii() && text.write_char(c).is_ok()));
    if whole { text } else { "." }
}
