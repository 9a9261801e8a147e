//! Mailboxes (RFC 5321 section 4.1.2): what an rfc822Name is (RFC 5280 section 4.2.1.6).

use crate::text::{split, split_once};

/// A mailbox, taken apart; its host is not looked at.
pub(super) struct Mailbox<'a> {
    /// With quotation marks, where they are there.
    local: &'a str,
    pub(super) host: &'a str,
}

impl<'a> Mailbox<'a> {
    /// A dot-string or a quoted string, `@`, and whatever follows.
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

    /// The same mailbox: the local part with regard to case, the host without (RFC 5280 section 7.5). Quoting a local part does not change
    /// it.
    pub(super) fn is(&self, other: &Self) -> bool {
        unquoted(self.local).eq(unquoted(other.local)) && self.host.eq_ignore_ascii_case(other.host)
    }
}

/// The characters that a local part stands for.
fn unquoted(local: &str) -> impl Iterator<Item = u8> {
    let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let quoted = inner.is_some();
    let mut escaped = false;
    inner.unwrap_or(local).bytes().filter(move |octet| {
        escaped = quoted && !escaped && *octet == b'\\';
        !escaped
    })
}

/// atext (RFC 5322 section 3.2.3), at least once.
fn is_atom(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet))
}
