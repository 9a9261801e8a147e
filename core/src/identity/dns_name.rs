//! Checks and compares DNS names (RFC 9525 section 6.3).

use crate::text::{contains, rsplit_once, split, split_once};

/// Returns whether `name` is a DNS name that a client can ask for: labels of letters, digits, hyphens and underscores
/// (RFC 1034 section 3.5, and the underscore that deployments use), no wildcard, at most one trailing dot, not shaped
/// like an IPv4 address.
pub fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    is_labels(name) && !last_label_is_numeric(name)
}

/// Returns whether `name` fits an allow list: a DNS name, or a wildcard that stands for itself, as certificates have.
pub fn is_dns_rule(name: &str) -> bool {
    is_dns_name(name.strip_prefix("*.").unwrap_or(name))
}

/// Returns a name without the dot of the root: `a.example.` and `a.example` are one name (RFC 1034 section 3.1), and
/// certificates hold the second form (RFC 5280 section 4.2.1.6). A name like an IPv4 address is not changed.
pub fn without_root(name: &str) -> &str {
    match name.strip_suffix('.') {
        Some(bare) if !last_label_is_numeric(bare) => bare,
        _ => name,
    }
}

/// Returns whether a dNSName of a certificate covers the name that was asked for.
///
/// RFC 9525 section 6.3: ASCII without regard to case; a wildcard is the whole leftmost label, stands for one label,
/// and has at least two labels after it.
pub(super) fn covers(presented: &str, wanted: &str) -> bool {
    let wanted = wanted.strip_suffix('.').unwrap_or(wanted);
    if let Some(parent) = presented.strip_prefix("*.") {
        let Some((_, rest)) = split_once(wanted, b'.') else { return false };
        return rest.eq_ignore_ascii_case(parent) && contains(parent, b'.') && is_labels(parent);
    }
    presented.eq_ignore_ascii_case(wanted) && is_labels(presented)
}

fn is_labels(name: &str) -> bool {
    name.len() <= 253
        && split(name, b'.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
        })
}

fn last_label_is_numeric(name: &str) -> bool {
    let last = rsplit_once(name, b'.').map_or(name, |(_, label)| label);
    last.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presented_covers_wanted() {
        for (presented, wanted, expected) in [
            ("example.com", "example.com", true),
            ("EXAMPLE.com", "example.COM", true),
            ("example.com", "example.com.", true),
            ("example.com.", "example.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.b.example.com", false),
            ("a*.example.com", "ab.example.com", false),
            ("a.*.example.com", "a.b.example.com", false),
            ("*.com", "example.com", false),
            ("*", "localhost", false),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", true),
            ("b\u{fc}cher.example", "b\u{fc}cher.example", false),
            ("a_b.example", "a_b.example", true),
            ("", "", false),
            ("example.com\0.evil", "example.com", false),
        ] {
            assert_eq!(covers(presented, wanted), expected, "{presented} {wanted}");
        }
    }

    #[test]
    fn the_dot_of_the_root_is_taken_off_once() {
        for (name, expected) in [
            ("a.example.", "a.example"),
            ("a.example", "a.example"),
            ("a..", "a.."),
            ("10.0.0.1.", "10.0.0.1."),
            (".", "."),
        ] {
            assert_eq!(without_root(name), expected, "{name}");
        }
    }

    #[test]
    fn names_that_can_be_asked_for() {
        for (name, expected) in [
            ("localhost", true),
            ("a.example.", true),
            ("127.0.0.1", false),
            ("*.example.com", false),
            ("a..example", false),
            ("-a.example", false),
            ("", false),
            (".", false),
        ] {
            assert_eq!(is_dns_name(name), expected, "{name}");
        }
    }
}
