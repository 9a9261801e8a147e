//! Tests the form of this repository's files.

use std::collections::BTreeSet;

use edgetrust_tests::repository::{root, rust, sources};

/// The maximum length of a file; a longer one holds more than one decision and is split.
const MAX_LINES: usize = 500;

#[test]
fn rooms_are_small() {
    for source in rust("") {
        let lines = source.text.lines().count();
        assert!(lines <= MAX_LINES, "{}: {lines} lines, at most {MAX_LINES}", source.path);
    }
}

/// Returns the unwanted words, joined here so that this file does not contain them.
fn unwanted() -> Vec<String> {
    [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("dbg", "!("),
        ("todo", "!("),
        ("unimplemented", "!("),
        ("/wo", "rk/"),
        ("/ro", "ot/"),
        ("index.crates", ".io"),
        ("mod util", "s"),
        ("#[ign", "ore"),
    ]
    .iter()
    .map(|(one, other)| format!("{one}{other}"))
    .collect()
}

/// Returns whether `text` contains the word. A path of a machine begins with a slash; a relative path has something
/// before it.
fn contains(text: &str, word: &str) -> bool {
    let relative = |place: usize| word.starts_with('/') && text[..place].ends_with(|c: char| c.is_alphanumeric());
    text.match_indices(word).any(|(place, _)| !relative(place))
}

#[test]
fn nothing_unfinished_or_of_one_machine() {
    for source in sources("") {
        if source.path.ends_with(".lock") || source.path.contains("LICENSE-") {
            continue;
        }
        // Tests that need another program are skipped by a plain `cargo test`, and run by tests/run.
        let passed_over = [
            "step-ca",
            "pebble",
            "nats-server",
            "step-ca and nats-server",
            "pebble and nats-server",
            "promtool",
            "chromium",
            "packaging/build",
            "stunnel",
            "nginx",
            "softhsm2",
            "go",
            "gnutls-cli",
            "gnutls-serv",
            "tstclnt",
            "selfserv",
            "tlslite-ng",
        ]
        .map(|program| ["#[ign", "ore = \"needs ", program, ": tests/run\"]"].concat());
        let text = passed_over.iter().fold(source.text.clone(), |text, attribute| text.replace(attribute, ""));
        for word in unwanted() {
            assert!(!contains(&text, &word), "{}: contains {word}", source.path);
        }
        assert!(!source.text.contains('\r'), "{}: has carriage returns", source.path);
        for (number, line) in (1..).zip(source.text.lines()) {
            assert!(!line.ends_with([' ', '\t']), "{}:{number}: ends with a blank", source.path);
        }
    }
}

/// Citations have one style: `RFC 5280 section 4.2.1.9`, `RFC 8446 appendix C.4`.
#[test]
fn citations_have_one_style() {
    for source in sources("") {
        if !source.path.ends_with(".rs") && !source.path.ends_with(".md") || source.path.ends_with("tidy.rs") {
            continue;
        }
        for (number, line) in (1..).zip(source.text.lines()) {
            for (place, _) in line.match_indices("RFC") {
                let after = &line[place + 3..];
                let digits = after.trim_start().chars().take_while(char::is_ascii_digit).count();
                // "RFC822" in quotes is a word of a file format.
                if digits < 3 || line[..place].ends_with('"') {
                    continue;
                }
                assert!(after.starts_with(' '), "{}:{number}: expected a blank after RFC: {line}", source.path);
                let rest = &after.trim_start()[digits..];
                let bad = [", section", ", Section", " Section", " sec.", " §", "§", " s.", "#section", " Appendix"];
                assert!(!bad.iter().any(|bad| rest.starts_with(bad)), "{}:{number}: {line}", source.path);
            }
        }
    }
}

/// A discarded result has its reason beside it: a comment on the line or before it, which also holds for lines that
/// follow at once.
#[test]
fn what_is_thrown_away_has_a_reason() {
    for source in ["core/src", "core/tls/src", "std-adapter/src", "firmware-example/src", "hil"]
        .iter()
        .flat_map(|folder| rust(folder))
    {
        let mut reasoned = false;
        for (number, line) in (1..).zip(source.shipped().lines()) {
            let drops = line.contains("let _ =");
            reasoned = line.contains("//") || (drops && reasoned);
            assert!(!drops || reasoned, "{}:{number}: give the reason: {line}", source.path);
        }
    }
}

/// A file that no `mod` names is not compiled.
#[test]
fn every_file_is_part_of_something() {
    let folders = [
        "core/src",
        "core/tls/src",
        "std-adapter/src",
        "std-adapter/tests/program",
        "tests/src",
        "tests/verdicts/src",
        "hil/src",
    ];
    for folder in folders {
        let files = rust(folder);
        let declared: BTreeSet<String> = files
            .iter()
            .flat_map(|source| source.text.lines().map(str::to_owned).collect::<Vec<_>>())
            .filter_map(|line| Some(line.trim().split_once("mod ")?.1.strip_suffix(';')?.to_owned()))
            .collect();
        for source in &files {
            let path = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
            let name = path.rsplit('/').next().unwrap();
            let whole = matches!(name, "lib" | "main") || source.path.contains("/bin/");
            assert!(whole || declared.contains(name), "{}: no mod names it", source.path);
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for source in sources("").into_iter().filter(|source| source.path.ends_with(".md")) {
        for (place, _) in source.text.match_indices("](") {
            let target = source.text[place + 2..].split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let folder = root().join(&source.path);
            assert!(folder.parent().unwrap().join(target).exists(), "{}: {target} is not there", source.path);
        }
    }
}

/// The last column of a table of SECURITY.md names the tests that hold each row. Names of two words are folders and files
/// of tests.
#[test]
fn tests_that_documents_name_exist() {
    let rust: String = rust("").into_iter().map(|source| source.text).collect();
    let text = std::fs::read_to_string(root().join("docs/SECURITY.md")).unwrap();
    let last = |row: &str| row.strip_suffix('|').and_then(|row| row.rsplit('|').next()).map(str::to_owned);
    let cells: Vec<String> = text.lines().filter(|line| line.starts_with('|')).filter_map(last).collect();
    let names: Vec<&str> = cells.iter().flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let is_test = |name: &&str| {
        name.matches('_').count() > 1 && name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let tests: Vec<&str> = names.into_iter().filter(is_test).collect();
    assert!(!tests.is_empty());
    for test in tests {
        assert!(rust.contains(&format!("fn {test}(")), "docs/SECURITY.md: no test is called {test}");
    }
}

/// Tables, code, headings and link definitions cannot be wrapped; the changelog is left as it is.
#[test]
fn prose_ends_before_column_120() {
    const COLUMNS: usize = 120;
    for source in sources("").iter().filter(|source| source.path.ends_with(".md") && source.path != "CHANGELOG.md") {
        let mut in_code = false;
        for (number, line) in (1..).zip(source.text.lines()) {
            let is_fence = line.trim_start().starts_with("```");
            in_code ^= is_fence;
            let is_definition = line.starts_with('[') && line.contains("]: ");
            let is_whole = is_definition || ["|", "#", "    "].iter().any(|start| line.starts_with(start));
            let columns = line.chars().count();
            assert!(
                in_code || is_fence || is_whole || columns < COLUMNS,
                "{}:{number}: prose of {columns} columns, expected fewer than {COLUMNS}",
                source.path
            );
        }
    }
}
