//! Tests the messages of the firmware's file as a service reads and writes them, with the examples of the document.

#[path = "../../firmware-example/src/messages.rs"]
mod messages;

use messages::{Answer, Command, Reason, Report, Reset};

const DOCUMENT: &str = include_str!("../../docs/FIRMWARE.md");

#[test]
fn the_documents_telemetry_is_a_report() {
    let line = DOCUMENT.lines().find(|line| line.starts_with("{\"sequence\"")).unwrap();
    let report: Report = serde_json::from_str(line).unwrap();
    assert_eq!((report.sequence, report.reset), (0, Reset::PowerOn));
    // The keys and their order are the document's.
    assert_eq!(serde_json::to_string(&report).unwrap(), line);
}

#[test]
fn the_documents_commands_have_its_answers() {
    let section = DOCUMENT.split("### Commands").nth(1).unwrap().split("\n## ").next().unwrap();
    let code = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let rows = section.lines().filter(|line| line.starts_with("| `{")).map(|row| {
        let mut cells = row.split('|').skip(1);
        (code(cells.next().unwrap()), code(cells.next().unwrap()))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), 5, "{rows:?}");
    for (text, written) in rows {
        let answer: Answer = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&answer).unwrap(), written);
        match serde_json::from_str::<Command<'_>>(&text) {
            Ok(command) => {
                let known = ["rotate", "report", "restart"].contains(&command.command);
                assert_eq!((answer.accepted, answer.id), (known, command.id), "{text}");
                assert_eq!(answer.reason, (!known).then_some(Reason::Unknown), "{text}");
            }
            Err(_) => assert_eq!(answer, Answer { accepted: false, id: None, reason: Some(Reason::Malformed) }),
        }
    }
}
