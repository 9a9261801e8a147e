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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alarm_has_its_runbook_in_the_page_and_in_full() {
        let alarms = include_str!("alarms.rs").split("#[cfg(test)]").next().unwrap();
        let document = include_str!("../../../docs/OPERATIONS.md");
        let raised = |call: &str| -> Vec<&str> {
            alarms.split(call).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
        };
        let names: Vec<&str> = [raised("all.error(\""), raised("all.warning(\"")].concat();
        assert!(names.len() > 15, "{names:?}");
        for name in names {
            let article = format!("<article id=\"edgetrust{}\"", name.to_lowercase());
            assert!(PAGE.contains(&article), "the page says nothing of {name}");
            assert!(document.contains(&format!("### Edgetrust{name}\n")), "docs/OPERATIONS.md says nothing of {name}");
        }
    }

    #[test]
    fn the_policy_is_for_one_script_and_one_style() {
        for element in ["<script", "<style"] {
            assert_eq!(PAGE.matches(element).count(), 1, "{element}");
        }
        let forbidden = [" style=\"", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("];
        for word in forbidden {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert!(!PAGE.contains("://") || PAGE.matches("://").count() == PAGE.matches("http://www.w3.org/").count());
    }
}
