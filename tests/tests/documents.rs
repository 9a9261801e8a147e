//! Compares the documents with what they describe: keys of the configuration, sizes of the firmware, log messages.

use std::collections::{BTreeMap, BTreeSet};

use edgetrust_core::config::{Config, INHERITANCE, reference};
use edgetrust_tests::log_calls::{LogMessage, log_messages};
use edgetrust_tests::repository::{root, rust, sources};

const BEGIN: &str = "<!-- keys: generated from core/src/config/schema.rs -->\n";
const END: &str = "<!-- end of keys -->";
const INHERITANCE_BEGIN: &str = "<!-- inheritance: generated from core/src/config/inherit.rs -->\n";
const INHERITANCE_END: &str = "<!-- end of inheritance -->";
const SIZES_BEGIN: &str = "<!-- sizes: generated from tests/data/firmware-size.txt -->\n";
const SIZES_END: &str = "<!-- end of sizes -->";

fn table() -> String {
    let mut table = String::from("| key | takes | |\n|---|---|---|\n");
    reference(|entry| {
        let indent = "&nbsp;&nbsp;".repeat(entry.depth);
        table.push_str(&format!("| {indent}`{}` | {} | {} |\n", entry.key, entry.shape.name(), entry.doc));
    });
    table
}

/// Compares a generated part with the document; `UPDATE_DOCUMENTS=1 cargo test --workspace --test documents` writes
/// it.
fn generated(document: &str, begin: &str, end: &str, expected: &str) {
    let file = root().join(document);
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(begin).expect("the table's beginning");
    let (found, after) = rest.split_once(end).expect("the table's end");
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&file, format!("{before}{begin}{expected}{end}{after}")).unwrap();
    } else {
        assert_eq!(found, expected, "{document} is not what it is generated from");
    }
}

#[test]
fn the_table_of_keys_is_the_parsers() {
    generated("docs/CONFIGURATION.md", BEGIN, END, &table());
}

#[test]
fn the_table_of_inheritance_is_the_parsers() {
    let mut table = String::from("| group | keys below `tls` | inherited |\n|---|---|---|\n");
    for entry in INHERITANCE {
        let keys: Vec<_> = entry.keys.iter().map(|key| format!("`{key}`")).collect();
        table.push_str(&format!("| {} | {} | {} |\n", entry.group, keys.join(", "), entry.rule));
    }
    generated("docs/CONFIGURATION.md", INHERITANCE_BEGIN, INHERITANCE_END, &table);
}

/// The table has the parts of the firmware's image, largest first, in octets as counted by `tests/firmware-size`.
#[test]
fn the_table_of_sizes_is_what_was_counted() {
    let text = std::fs::read_to_string(root().join("tests/data/firmware-size.txt")).unwrap();
    let mut sizes = BTreeMap::<&str, BTreeMap<&str, u64>>::new();
    for line in text.lines() {
        let [column, part, octets] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        sizes.entry(part).or_default().insert(column, octets.parse().unwrap());
    }
    let (whole, mut crates): (Vec<_>, Vec<_>) = sizes.into_iter().partition(|(part, _)| !part.starts_with("code:"));
    crates.sort_by_key(|(_, sizes)| std::cmp::Reverse(sizes.values().max().copied()));
    let whole = BTreeMap::from_iter(whole);
    let mut table = String::from("| | profile `release` | profile `small` |\n|---|---|---|\n");
    let mut row = |name: &str, sizes: &BTreeMap<&str, u64>| {
        let cell = |column| sizes.get(column).map_or(String::new(), |octets| thousands(*octets));
        table.push_str(&format!("| {name} | {} | {} |\n", cell("release"), cell("small")));
    };
    row("code", &whole["text"]);
    for (part, sizes) in &crates {
        row(&format!("— {}", part.trim_start_matches("code:").replace('_', "-")), sizes);
    }
    row("constants", &whole["rodata"]);
    let memory = |column| whole["bss"][column] + whole["uninit"][column];
    row("memory beside the stack", &["release", "small"].map(|column| (column, memory(column))).into());
    assert!(crates.len() > 8, "{} crates", crates.len());
    generated("docs/BENCHMARKS.md", SIZES_BEGIN, SIZES_END, &table);
}

/// Formats a number like `12,345`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

#[test]
fn configurations_in_documents_parse() {
    let mut count = 0;
    for source in sources("").into_iter().filter(|source| source.path.ends_with(".md")) {
        for block in source.text.split("```json").skip(1) {
            let block = block.split_once('\n').unwrap().1.split("```").next().unwrap();
            if !block.contains("\"security\"") && !block.contains("\"gateway\"") {
                continue;
            }
            count += 1;
            let mut json = block.as_bytes().to_vec();
            if let Err(error) = Config::parse(&mut json) {
                panic!("{}: {error}\n{block}", source.path);
            }
        }
    }
    assert!(count >= 2, "{count} configurations found");
}

/// Returns the rows of the tables below `## Log messages`.
fn documented_messages(document: &str) -> BTreeSet<LogMessage> {
    let section = document.split("\n## Log messages\n").nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let message = |row: &str| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [message, level, fields, meaning] = cells.as_slice() else { panic!("{row}: expected four cells") };
        assert!(!meaning.is_empty(), "{row}: no meaning");
        LogMessage {
            message: message.trim_matches('`').to_owned(),
            level: (*level).to_owned(),
            fields: fields.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
        }
    };
    rows.map(message).collect()
}

/// Operators search for log messages, so each is in the table with its level and fields, and the table has no other.
#[test]
fn the_tables_of_log_messages_are_complete() {
    let document = std::fs::read_to_string(root().join("docs/OPERATIONS.md")).unwrap();
    let documented = documented_messages(&document);
    let mut logged = BTreeSet::new();
    for source in rust("std-adapter/src") {
        for message in log_messages(source.shipped()) {
            assert!(documented.contains(&message), "docs/OPERATIONS.md lacks this of {}: {message:?}", source.path);
            logged.insert(message);
        }
    }
    let gone: Vec<_> = documented.difference(&logged).collect();
    assert!(gone.is_empty(), "docs/OPERATIONS.md has messages that are not logged: {gone:?}");
    assert!(logged.len() > 60, "{} messages found", logged.len());
}
