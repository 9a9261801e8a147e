//! Tests the help and the manual: examples, files, signals, exit status.

use super::peers::edgetrust;
use super::pki::arg;

#[test]
fn pages_have_the_sections_that_apply() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(edgetrust(&["man", "--out", &arg(folder.path())]).status.code(), Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    for (name, sections) in [
        ("edgetrust.1", &["SUBCOMMANDS", "EXIT STATUS", "FILES", "EXAMPLES", "VERSION"][..]),
        ("edgetrust-run.1", &["OPTIONS", "SIGNALS", "EXIT STATUS", "FILES", "EXAMPLES"]),
        ("edgetrust-inspect.1", &["EXIT STATUS", "EXAMPLES"]),
        ("edgetrust-acme-renew.1", &["EXIT STATUS", "FILES", "EXAMPLES"]),
        ("edgetrust-federation-sign-mesh.1", &["EXIT STATUS", "FILES", "EXAMPLES"]),
        ("edgetrust-federation-renew-start.1", &["EXIT STATUS"]),
    ] {
        let text = page(name);
        let found: Vec<_> = sections
            .iter()
            .filter_map(|title| text.find(&format!(".SH \"{title}\"")).or_else(|| text.find(&format!(".SH {title}"))))
            .collect();
        assert!(found.len() == sections.len() && found.is_sorted(), "{name}: {sections:?} in {text}");
    }
    assert!(!page("edgetrust-inspect.1").contains("SIGNALS") && page("edgetrust-run.1").contains("SIGHUP"));
    assert!(!folder.path().join("edgetrust-help.1").exists());
    let whole = String::from_utf8(edgetrust(&["man"]).stdout).unwrap();
    assert_eq!(whole, page("edgetrust.1"));
}

#[test]
fn help_ends_with_examples() {
    for (command, line) in [
        (&["--help"][..], "    edgetrust init"),
        (&["inspect", "-h"], "    edgetrust inspect gateway.b.example:8443"),
        (&["mesh", "link", "--help"], "    edgetrust federation link mesh d b --service feed"),
    ] {
        let help = String::from_utf8(edgetrust(command).stdout).unwrap();
        let examples = help.split("\nExamples:\n").nth(1).unwrap_or_else(|| panic!("{help}"));
        assert!(examples.lines().any(|found| found == line), "{help}");
    }
}
