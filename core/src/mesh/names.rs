//! The names in a mesh: each has one form, so that equal names are equal octets.

use core::cmp::Ordering;

use crate::identity::is_dns_name;

/// Returns whether a text can name a site or a service: a DNS label (RFC 1123 section 2.1) in small letters.
pub(super) fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|octet| matches!(octet, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Returns whether a text is a DNS name in small letters, without the dot of the root.
pub(super) fn is_domain(text: &str) -> bool {
    is_dns_name(text) && !text.ends_with('.') && !text.bytes().any(|octet| octet.is_ascii_uppercase())
}

/// Returns whether a text for people has at most this many octets and no control characters.
pub(super) fn is_text(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

/// Returns whether a domain is equal to another or below it.
pub(super) fn is_within(domain: &str, other: &str) -> bool {
    domain.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Compares domains label by label from the right, so that all that are below a domain follow it at once.
pub(super) fn by_labels(a: &str, b: &str) -> Ordering {
    octets_from_the_right(a).cmp(octets_from_the_right(b))
}

/// Returns the octets of a name, with dots before all others.
fn octets_from_the_right(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().rev().map(|octet| if octet == b'.' { 0 } else { octet })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn labels() {
        let longest = "a".repeat(63);
        for (text, expected) in [
            ("a", true),
            ("site-7", true),
            (longest.as_str(), true),
            ("7", true),
            ("", false),
            ("*", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a.b", false),
            ("a_b", false),
            ("\u{e4}", false),
        ] {
            assert_eq!(is_label(text), expected, "{text}");
        }
        assert!(!is_label(&"a".repeat(64)));
    }

    #[test]
    fn domains() {
        for (text, expected) in
            [("a.example", true), ("localhost", true), ("a.example.", false), ("A.example", false), ("10.0.0.1", false)]
        {
            assert_eq!(is_domain(text), expected, "{text}");
        }
        for (domain, other, expected) in [
            ("a.example", "a.example", true),
            ("b.a.example", "a.example", true),
            ("ba.example", "a.example", false),
            ("a.example", "b.a.example", false),
            ("example", "a.example", false),
        ] {
            assert_eq!(is_within(domain, other), expected, "{domain} {other}");
        }
    }

    #[test]
    fn what_is_below_a_domain_follows_it() {
        let mut names =
            ["b.example", "a-a.example", "x.a.example", "a.example", "aa.example", "y.x.a.example", "a.org"];
        names.sort_by(|a, b| by_labels(a, b));
        let first = names.iter().position(|name| *name == "a.example").unwrap();
        assert_eq!(names[first..first + 3], ["a.example", "x.a.example", "y.x.a.example"]);
    }
}
