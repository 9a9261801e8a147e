//! Checks the names of sites, services, meshes and domains.

use std::net::IpAddr;

/// The longest name of a site or a service, in octets: a DNS label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// The longest domain, in octets: with `gateway.` before it, it fits into a common name (RFC 5280 appendix A.1,
/// ub-common-name).
const MAX_DOMAIN: usize = 56;

/// The longest name of a mesh, in characters. It is part of names of certificates, which have 64 at the most
/// (RFC 5280 appendix A.1, ub-common-name).
const MAX_MESH: usize = 48;

/// The longest reason of a denial, in characters.
const MAX_REASON: usize = 200;

/// Checks the name of a site or a service, which `what` names in the error.
pub(super) fn label(what: &str, name: &str) -> Result<(), String> {
    let known = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || octet == b'-';
    let good = (1..=MAX_LABEL).contains(&name.len())
        && name.bytes().all(known)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if good {
        return Ok(());
    }
    Err(format!(
        "{what}: found {name:?}, expected 1 to {MAX_LABEL} characters of a-z, 0-9 and -, with no - at either end"
    ))
}

/// Checks a domain in lower case, of two labels or more (RFC 1034 section 3.5).
pub(super) fn domain(what: &str, domain: &str) -> Result<(), String> {
    let labels = || domain.split('.');
    let all_digits = |label: &str| label.bytes().all(|octet| octet.is_ascii_digit());
    let good = domain.len() <= MAX_DOMAIN
        && labels().count() >= 2
        && labels().all(|part| label(what, part).is_ok())
        && !labels().next_back().is_some_and(all_digits);
    if good {
        return Ok(());
    }
    Err(format!(
        "{what}: found {domain:?}, expected a domain as a.example, in lower case, of at most {MAX_DOMAIN} characters"
    ))
}

/// Checks a host, which must lie in one of the domains.
pub(super) fn host(what: &str, host: &str, domains: &[String]) -> Result<(), String> {
    // A host of a domain has a label more.
    let parts_are_labels = host.split('.').all(|part| label(what, part).is_ok());
    if parts_are_labels && host.len() <= 253 && domains.iter().any(|domain| is_within(host, domain)) {
        return Ok(());
    }
    Err(format!("{what}: found {host:?}, expected a host name below {}", domains.join(" or ")))
}

/// Returns whether a name is a domain or below it.
pub(super) fn is_within(name: &str, domain: &str) -> bool {
    name == domain || name.strip_suffix(domain).is_some_and(|before| before.ends_with('.'))
}

/// Returns whether a name could belong to both domains.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    is_within(one, other) || is_within(other, one)
}

/// Checks the name of a mesh.
pub(super) fn mesh(what: &str, name: &str) -> Result<(), String> {
    text(what, name, MAX_MESH)
}

/// Checks the reason of a denial.
pub(super) fn reason(what: &str, reason: &str) -> Result<(), String> {
    text(what, reason, MAX_REASON)
}

/// Checks a text that stands in JSON without escapes.
fn text(what: &str, text: &str, longest: usize) -> Result<(), String> {
    let escaped = |character: char| matches!(character, '"' | '\\') || character.is_control();
    let good =
        !text.trim().is_empty() && text.trim() == text && text.chars().count() <= longest && !text.chars().any(escaped);
    if good {
        return Ok(());
    }
    let expected = "without quotation marks, backslashes, control characters, or blanks at either end";
    Err(format!("{what}: found {text:?}, expected 1 to {longest} characters, {expected}"))
}

/// Checks an address.
pub(super) fn address(what: &str, address: &str) -> Result<(), String> {
    match address.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{what}: found {address:?}, expected an IP address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for name in ["a", "site-1", &"x".repeat(63)] {
            assert_eq!(label("--site", name), Ok(()));
        }
        for name in ["", "A", "a.b", "a_b", "-a", "a-", "é", "..", "a/b", &"x".repeat(64)] {
            let error = label("--site", name).unwrap_err();
            assert!(error.starts_with(&format!("--site: found {name:?}, expected ")), "{error}");
        }
    }

    #[test]
    fn domains() {
        for name in ["a.example", "x.y.example", "1.example"] {
            assert_eq!(domain("--site", name), Ok(()));
        }
        let long = format!("{}.example", "abc.".repeat(50));
        for name in ["example", "A.example", ".a.example", "a.example.", "a..example", "10.0.0.1", "*.a.example", &long]
        {
            assert!(domain("--site", name).is_err(), "{name}");
        }
    }

    #[test]
    fn domains_overlap_at_labels() {
        assert!(overlap("a.example", "a.example") && overlap("x.a.example", "a.example"));
        assert!(overlap("a.example", "x.a.example"));
        assert!(!overlap("xa.example", "a.example") && !overlap("a.example", "b.example"));
        assert_eq!(host("--host", "gateway.a.example", &["a.example".to_owned()]), Ok(()));
        for found in ["gateway.b.example", "xa.example", "gate way.a.example", ".a.example", "*.a.example"] {
            assert!(host("--host", found, &["a.example".to_owned()]).is_err(), "{found}");
        }
    }

    #[test]
    fn texts_need_no_escapes() {
        assert_eq!(mesh("--name", "Example Mesh, été"), Ok(()));
        for name in ["", " ", "a ", "a\"b", "a\\b", "a\nb", "a\u{7f}b", "a\u{85}b", &"x".repeat(49)] {
            assert!(mesh("--name", name).is_err(), "{name:?}");
        }
    }
}
