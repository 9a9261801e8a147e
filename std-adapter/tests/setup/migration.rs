//! Runs the configurations of `docs/MIGRATION.md` through `check`, and holds its flags against the program's.

use std::path::Path;

use super::peers::edgetrust;
use super::pki::{Pki, arg};

pub fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/MIGRATION.md")).unwrap()
}

#[test]
fn each_configuration_of_ours_passes_check() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("a", &["a.example"]);
    std::fs::rename(cert, pki.path("a.pem")).unwrap();
    std::fs::rename(key, pki.path("a.key")).unwrap();
    if pki.ca() != pki.path("ca.pem") {
        std::fs::copy(pki.ca(), pki.path("ca.pem")).unwrap();
    }
    let document = document();
    let blocks: Vec<_> = document.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3, "one for each program");
    for block in blocks {
        let file = pki.path("gateway.json");
        std::fs::write(&file, block).unwrap();
        let checked = edgetrust(&["check", "--config", &arg(&file)]);
        let said = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success() && said.contains("0 errors"), "{block}{said}");
    }
}

/// The flags in the second column of ghostunnel's table are those of `serve` and `connect`.
#[test]
fn the_flags_beside_ghostunnels_exist() {
    let help = ["serve", "connect"].map(|command| String::from_utf8(edgetrust(&[command, "--help"]).stdout).unwrap());
    let document = document();
    let section = document.split("\n## ghostunnel\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut count = 0;
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        let column = if cells[1] == "the same" { cells[0] } else { cells[1] };
        for flag in column.split('`').skip(1).step_by(2).filter(|text| text.starts_with("--") && !text.contains('…'))
        {
            let flag = flag.split(' ').next().unwrap();
            assert!(
                help.iter().any(|help| help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n"))),
                "{row}: {flag}"
            );
            count += 1;
        }
    }
    assert!(count > 20, "{count}");
}
