//! The page for people: one file of HTML, CSS and script, from the program itself.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// The page.
pub(super) const PAGE: &str = include_str!("page.html");

/// The value of `Content-Security-Policy`: the page's own script and style, and this gateway's answers. Whatever a peer
/// might smuggle into a name cannot run.
pub(super) static POLICY: LazyLock<String> = LazyLock::new(|| {
    let [script, style] = [("<script>", "</script>"), ("<style>", "</style>")].map(|(begin, end)| {
        let inner = PAGE.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inner, _)| inner);
        STANDARD.encode(Sha256::digest(inner))
    });
    format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});
