//! Finds objections to a rule that matched: the name is a pinned certificate's, or the peer's CAs may not issue it.

use super::Denied;
use super::common_name::{self, common_name};
use super::rule::{Rule, is_address};
use crate::path::VerifiedPath;
use crate::x509::{Certificate, Exhausted, GeneralName, Work};

/// Returns the reason to deny the leaf although one of its names matches the rule, or `None`.
pub(super) fn objection(
    rule: &Rule<'_>,
    path: &VerifiedPath<'_>,
    work: &mut Work,
) -> Result<Option<Denied>, Exhausted> {
    if !path.is_pinned() {
        for pin in path.pins() {
            // A rule may match as many times as the leaf has names.
            work.spend(pin.der().len() / 4)?;
            if bears(pin, rule) {
                return Ok(Some(Denied::NameIsPinned));
            }
        }
    }
    let constrained = matches!(rule, Rule::CommonName(_)) && !path.is_common_name_permitted();
    Ok(constrained.then_some(Denied::CommonNameNotPermitted))
}

/// Returns whether a pin has the name of a rule.
fn bears(pin: &Certificate<'_>, rule: &Rule<'_>) -> bool {
    if let Rule::CommonName(wanted) = rule {
        return common_name(&pin.subject()).is_ok_and(|name| common_name::is(&name, wanted));
    }
    pin.extensions().subject_alt_name.into_iter().flatten().any(|name| match (rule, name) {
        (Rule::Dns(wanted), GeneralName::Dns(name)) => name.eq_ignore_ascii_case(wanted),
        (Rule::Uri(wanted), GeneralName::Uri(name)) => name == *wanted,
        (Rule::Ip(wanted), GeneralName::Ip(octets)) => is_address(octets, *wanted),
        _ => false,
    })
}
