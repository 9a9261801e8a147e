//! Name constraints (RFC 5280 section 4.2.1.10): whether the names of one certificate lie where a CA above allows.

use super::Budget;
use super::error::PathErrorKind;
use crate::text::{before, rsplit_once, split, split_once};
use crate::x509::{Certificate, GeneralName, NameConstraints};

/// id-emailAddress (RFC 5280 section 4.1.2.6)
const EMAIL_ADDRESS: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];

/// How a name lies to one subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// The subtree is of another kind of name.
    OtherKind,
    Inside,
    Outside,
    /// Some of what a wildcard stands for is inside, some outside.
    Partly,
}

/// Checks every name of `certificate`: its alternative names, and its subject.
pub(super) fn check(
    constraints: &NameConstraints<'_>,
    certificate: &Certificate<'_>,
    budget: &mut Budget,
) -> Result<(), PathErrorKind> {
    let alternative = certificate.extensions().subject_alt_name;
    for name in alternative.into_iter().flatten() {
        check_name(constraints, name, budget)?;
    }
    let subject = certificate.subject();
    if !subject.is_empty() {
        check_name(constraints, GeneralName::Directory(subject), budget)?;
    }
    // RFC 5280 section 4.2.1.10: without a subjectAltName, an rfc822Name constraint holds for emailAddress
    if alternative.is_none() {
        for attribute in subject.attributes().filter(|attribute| attribute.oid == EMAIL_ADDRESS) {
            let text = core::str::from_utf8(attribute.value).map_err(|_| PathErrorKind::NameConstraint)?;
            check_name(constraints, GeneralName::Rfc822(text), budget)?;
        }
    }
    Ok(())
}

fn check_name(
    constraints: &NameConstraints<'_>,
    name: GeneralName<'_>,
    budget: &mut Budget,
) -> Result<(), PathErrorKind> {
    for base in constraints.excluded {
        budget.name_comparison()?;
        match relation(name, base)? {
            Relation::OtherKind | Relation::Outside => {}
            Relation::Inside | Relation::Partly => return Err(PathErrorKind::NameConstraint),
        }
    }
    let mut of_this_kind = false;
    for base in constraints.permitted {
        budget.name_comparison()?;
        match relation(name, base)? {
            Relation::OtherKind => {}
            Relation::Inside => return Ok(()),
            Relation::Outside | Relation::Partly => of_this_kind = true,
        }
    }
    if of_this_kind { Err(PathErrorKind::NameConstraint) } else { Ok(()) }
}

fn relation(name: GeneralName<'_>, base: GeneralName<'_>) -> Result<Relation, PathErrorKind> {
    match (name, base) {
        (GeneralName::Dns(name), GeneralName::Dns(base)) => dns(name, base),
        (GeneralName::Ip(name), GeneralName::Ip(base)) => Ok(inside(ip(name, base))),
        (GeneralName::Rfc822(name), GeneralName::Rfc822(base)) => rfc822(name, base).map(inside),
        (GeneralName::Uri(name), GeneralName::Uri(base)) => uri(name, base).map(inside),
        (GeneralName::Directory(name), GeneralName::Directory(base)) => Ok(inside(name.is_within(&base))),
        // RFC 5280 section 4.2.1.10: a constraint that cannot be processed rejects a name of its kind
        (GeneralName::Other(_), GeneralName::Other(_)) => Err(PathErrorKind::MalformedNameConstraint),
        (GeneralName::Unsupported(a, _), GeneralName::Unsupported(b, _)) if a == b => {
            Err(PathErrorKind::MalformedNameConstraint)
        }
        _ => Ok(Relation::OtherKind),
    }
}

fn inside(inside: bool) -> Relation {
    if inside { Relation::Inside } else { Relation::Outside }
}

/// dNSName: a subtree is a name with all that has more labels on the left.
fn dns(name: &str, base: &str) -> Result<Relation, PathErrorKind> {
    if !base.is_empty() && !is_host_name(base) {
        return Err(PathErrorKind::MalformedNameConstraint);
    }
    let (wildcard, host) = match name.strip_prefix("*.") {
        Some(parent) => (true, parent),
        None => (false, name),
    };
    if !is_host_name(host) {
        return Err(PathErrorKind::NameConstraint);
    }
    Ok(if is_below(host, base) || host.eq_ignore_ascii_case(base) {
        Relation::Inside
    } else if wildcard && split_once(base, b'.').is_some_and(|(_, parent)| parent.eq_ignore_ascii_case(host)) {
        // One of the names that the wildcard stands for is the base (RFC 9525 section 6.3)
        Relation::Partly
    } else {
        Relation::Outside
    })
}

/// `host` has labels to the left of `base`.
fn is_below(host: &str, base: &str) -> bool {
    if base.is_empty() {
        return true;
    }
    let Some(at) = host.len().checked_sub(base.len()) else { return false };
    match (host.get(..at), host.get(at..)) {
        (Some(left), Some(right)) => left.ends_with('.') && right.eq_ignore_ascii_case(base),
        _ => false,
    }
}

/// Labels of letters, digits, hyphens and underscores, none of them empty.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && split(name, b'.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
        })
}

/// iPAddress: `base` is an address and a mask of the same family.
fn ip(name: &[u8], base: &[u8]) -> bool {
    let (address, mask) = base.split_at_checked(name.len()).unwrap_or((&[], &[]));
    mask.len() == name.len()
        && name.iter().zip(address).zip(mask).all(|((name, address), mask)| name & mask == address & mask)
}

/// rfc822Name: `base` is one mailbox, a host, or `.` and a domain.
fn rfc822(name: &str, base: &str) -> Result<bool, PathErrorKind> {
    let (local, host) = rsplit_once(name, b'@').ok_or(PathErrorKind::NameConstraint)?;
    if local.is_empty() || !is_host_name(host) {
        return Err(PathErrorKind::NameConstraint);
    }
    if let Some((base_local, base_host)) = rsplit_once(base, b'@') {
        return Ok(local == base_local && host.eq_ignore_ascii_case(base_host));
    }
    host_or_domain(host, base)
}

/// uniformResourceIdentifier: `base` is a host, or `.` and a domain; a name without a host, or with an address, is outside all.
fn uri(name: &str, base: &str) -> Result<bool, PathErrorKind> {
    let (_, rest) = split_once(name, b':').ok_or(PathErrorKind::NameConstraint)?;
    let rest = rest.strip_prefix("//").ok_or(PathErrorKind::NameConstraint)?;
    let authority = before(rest, |octet| matches!(octet, b'/' | b'?' | b'#'));
    let host_and_port = rsplit_once(authority, b'@').map_or(authority, |(_, host)| host);
    let host = split_once(host_and_port, b':').map_or(host_and_port, |(host, _)| host);
    if !is_host_name(host) || host.parse::<core::net::Ipv4Addr>().is_ok() {
        return Err(PathErrorKind::NameConstraint);
    }
    host_or_domain(host, base)
}

fn host_or_domain(host: &str, base: &str) -> Result<bool, PathErrorKind> {
    match base.strip_prefix('.') {
        Some(domain) if is_host_name(domain) => Ok(is_below(host, domain)),
        None if is_host_name(base) => Ok(host.eq_ignore_ascii_case(base)),
        _ => Err(PathErrorKind::MalformedNameConstraint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_table() {
        use Relation::*;
        for (name, base, expected) in [
            ("example.com", "example.com", Ok(Inside)),
            ("a.EXAMPLE.com", "example.COM", Ok(Inside)),
            ("badexample.com", "example.com", Ok(Outside)),
            ("com", "example.com", Ok(Outside)),
            ("anything.test", "", Ok(Inside)),
            ("*.example.com", "example.com", Ok(Inside)),
            ("*.example.com", "bar.example.com", Ok(Partly)),
            ("*.example.com", "a.bar.example.com", Ok(Outside)),
            ("a.example.com", ".example.com", Err(PathErrorKind::MalformedNameConstraint)),
            ("a.example.com", "*.example.com", Err(PathErrorKind::MalformedNameConstraint)),
            ("a b.example.com", "example.com", Err(PathErrorKind::NameConstraint)),
        ] {
            assert_eq!(dns(name, base), expected, "{name} {base}");
        }
    }

    #[test]
    fn rfc822_table() {
        for (name, base, expected) in [
            ("a@example.com", "a@example.com", Ok(true)),
            ("A@example.com", "a@example.com", Ok(false)),
            ("a@EXAMPLE.com", "example.com", Ok(true)),
            ("a@b.example.com", "example.com", Ok(false)),
            ("a@b.example.com", ".example.com", Ok(true)),
            ("a@example.com", ".example.com", Ok(false)),
            ("example.com", "example.com", Err(PathErrorKind::NameConstraint)),
        ] {
            assert_eq!(rfc822(name, base), expected, "{name} {base}");
        }
    }

    #[test]
    fn uri_table() {
        for (name, base, expected) in [
            ("https://a.example/x", "a.example", Ok(true)),
            ("spiffe://mesh.example/b", ".example", Ok(true)),
            ("https://u@a.example:8443?q", "a.example", Ok(true)),
            ("https://b.example", "a.example", Ok(false)),
            ("https://10.0.0.1/", "a.example", Err(PathErrorKind::NameConstraint)),
            ("urn:x", "a.example", Err(PathErrorKind::NameConstraint)),
        ] {
            assert_eq!(uri(name, base), expected, "{name} {base}");
        }
    }

    #[test]
    fn ip_needs_the_same_family() {
        assert!(ip(&[10, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!ip(&[11, 1, 2, 3], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!ip(&[0; 16], &[10, 0, 0, 0, 255, 0, 0, 0]));
        assert!(!ip(&[10, 1, 2, 3], &[0; 32]));
    }
}
