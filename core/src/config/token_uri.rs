//! Tells the URI of a key in a token from the name of a file.

/// Returns whether a text is the URI of a key in a token (RFC 7512), whatever is wrong with it.
pub(super) fn is_token_uri(text: &str) -> bool {
    // RFC 3986 section 3.1: schemes have no case
    text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("pkcs11:"))
}
