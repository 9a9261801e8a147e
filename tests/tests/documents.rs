//! What the documents say of the configuration is what the parser does.

use edgetrust_core::config::{Config, reference};
use edgetrust_tests::repository::{root, sources};

const BEGIN: &str = "<!-- keys: generated from core/src/config/schema.rs -->\n";
const END: &str = "<!-- end of keys -->";

fn table() -> String {
    let mut table = String::from("| key | takes | |\n|---|---|---|\n");
    reference(|entry| {
        let indent = "&nbsp;&nbsp;".repeat(entry.depth);
        table.push_str(&format!("| {indent}`{}` | {} | {} |\n", entry.key, entry.takes, entry.doc));
    });
    table
}

/// `UPDATE_DOCUMENTS=1 cargo test -p edgetrust-tests --test documents` writes it.
#[test]
fn the_table_of_keys_is_the_parsers() {
    let file = root().join("docs/CONFIGURATION.md");
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table's beginning");
    let (found, after) = rest.split_once(END).expect("the table's end");
    let expected = table();
    if std::env::var_os("UPDATE_DOCUMENTS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
    } else {
        assert_eq!(found, expected, "docs/CONFIGURATION.md is not what the parser takes");
    }
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
