//! Finds objections to a rule whose name matched: a pinned certificate has the name, or the peer's CAs may not issue it.

use super::Denied;
use super::common_name::{self, common_name};
use super::rule::{Rule, RuleName, is_address};
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
            if bears(pin, &rule.name) {
                return Ok(Some(Denied::NameIsPinned));
            }
        }
    }
    if let Some(reason) = rule.issuers.objection(path, work)? {
        return Ok(Some(reason));
    }
    let constrained = matches!(rule.name, RuleName::CommonName(_)) && !path.is_common_name_permitted();
    Ok(constrained.then_some(Denied::CommonNameNotPermitted))
}

/// Returns whether a pin has the name of a rule.
fn bears(pin: &Certificate<'_>, wanted: &RuleName<'_>) -> bool {
    if let RuleName::CommonName(wanted) = wanted {
        return common_name(&pin.subject()).is_ok_and(|name| common_name::is(&name, wanted));
    }
    pin.extensions().subject_alt_name.into_iter().flatten().any(|name| match (wanted, name) {
        (RuleName::Dns(wanted), GeneralName::Dns(name)) => name.eq_ignore_ascii_case(wanted),
        (RuleName::Uri(wanted), GeneralName::Uri(name)) => name == *wanted,
        (RuleName::Ip(wanted), GeneralName::Ip(octets)) => is_address(octets, *wanted),
        _ => false,
    })
}
