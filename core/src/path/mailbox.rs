//! Parses mailboxes (RFC 5321 section 4.1.2), the form of an rfc822Name (RFC 5280 section 4.2.1.6).

use crate::text::{split, split_once};

/// A mailbox, split into local part and host; the host is not checked.
pub(super) struct Mailbox<'a> {
    /// The local part, with any quotation marks.
    local: &'a str,
    pub(super) host: &'a str,
}

impl<'a> Mailbox<'a> {
    /// Reads a dot-string or a quoted string, `@`, and the rest as host.
    pub(super) fn read(name: &'a str) -> Option<Self> {
        if !name.starts_with('"') {
            let (local, host) = split_once(name, b'@')?;
            return split(local, b'.').all(is_atom).then_some(Self { local, host });
        }
        let mut escaped = false;
        for (at, octet) in name.bytes().enumerate().skip(1) {
            match octet {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let (local, rest) = name.split_at_checked(at.saturating_add(1))?;
                    return Some(Self { local, host: rest.strip_prefix('@')? });
                }
                b' '..=b'~' => {}
                _ => return None,
            }
        }
        None
    }

    /// Returns whether two mailboxes are the same: the local part is case-sensitive, the host is not
    /// (RFC 5280 section 7.5). Quoting does not change a local part.
    pub(super) fn is(&self, other: &Self) -> bool {
        unquoted(self.local).eq(unquoted(other.local)) && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// Returns the characters that a local part stands for.
fn unquoted(local: &str) -> impl Iterator<Item = u8> {
    let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let quoted = inner.is_some();
    let mut escaped = false;
    inner.unwrap_or(local).bytes().filter(move |octet| {
        escaped = quoted && !escaped && *octet == b'\\';
        !escaped
    })
}

/// Returns whether `text` is one or more atext characters (RFC 5322 section 3.2.3).
fn is_atom(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet))
}
