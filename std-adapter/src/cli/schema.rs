//! Implements `edgetrust schema`: a JSON Schema of the configuration, from the parser's own table of keys.

use std::iter::Peekable;
use std::process::ExitCode;
use std::vec::IntoIter;

use edgetrust_core::config::{Entry, Form, MISPLACED, Members, Needs, Shape, TOP_MEMBERS, reference};
use serde_json::{Map, Value, json};

use super::Outcome;

#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_: Args) -> Outcome {
    outln!("{:#}", schema());
    Ok(ExitCode::SUCCESS)
}

/// Returns the schema (JSON Schema, draft 2020-12).
fn schema() -> Value {
    let mut entries = Vec::new();
    reference(|entry| entries.push(entry));
    let mut whole = Map::new();
    whole.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    whole.insert("title".to_owned(), "Configuration of EdgeTrust".into());
    whole.insert("description".to_owned(), "docs/CONFIGURATION.md explains the keys, and gives examples".into());
    whole.extend(object(TOP_MEMBERS, 0, &mut entries.into_iter().peekable()));
    let forms = NAMED.map(|(form, name)| (name.to_owned(), Value::Object(defined(form))));
    whole.insert("$defs".to_owned(), Value::Object(forms.into_iter().collect()));
    Value::Object(whole)
}

/// Returns the schema of an object whose keys are at `depth`, and takes their entries.
fn object(members: Members, depth: usize, entries: &mut Peekable<IntoIter<Entry>>) -> Map<String, Value> {
    let (mut properties, mut known) = (Map::new(), Vec::new());
    while let Some(entry) = entries.next_if(|entry| entry.depth == depth) {
        let mut inside = |members| object(members, depth.saturating_add(1), entries);
        let mut schema = match entry.shape {
            Shape::Flag => schema_of(json!({ "type": "boolean" })),
            Shape::Text(form) => text(form),
            Shape::Number(Form::Range(least, most)) => {
                schema_of(json!({ "type": "integer", "minimum": least, "maximum": most }))
            }
            Shape::Number(_) => schema_of(json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })),
            Shape::Texts { form, at_most, null } => list(text(form), at_most, null),
            Shape::Object(members) => inside(members),
            Shape::Objects { members, at_most, null, text: None } => list(inside(members), at_most, null),
            Shape::Objects { members, at_most, null, text: Some(form) } => {
                list(schema_of(json!({ "anyOf": [text(form), inside(members)] })), at_most, null)
            }
            // A shape that a later version of the core has: every value passes here, and the parser decides.
            _ => Map::new(),
        };
        schema.insert("description".to_owned(), entry.doc.into());
        properties.insert(entry.key.to_owned(), Value::Object(schema));
        known.push(entry.key);
    }
    let mut schema = schema_of(json!({ "type": "object", "properties": properties }));
    if members.open {
        let cases: Vec<_> = known.iter().chain([&MISPLACED]).map(|key| in_any_case(key)).collect();
        let other = json!({ "not": { "pattern": format!("^({})$", cases.join("|")) } });
        schema.insert("propertyNames".to_owned(), json!({ "anyOf": [{ "enum": known }, other] }));
    } else {
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    match members.needs {
        Needs::All(keys) => {
            schema.insert("required".to_owned(), json!(keys));
        }
        Needs::One(keys) => {
            let each: Vec<_> = keys.iter().map(|key| json!({ "required": [key] })).collect();
            schema.insert("oneOf".to_owned(), each.into());
        }
        Needs::Enabled => {
            schema.insert("anyOf".to_owned(), json!([{ "required": ["enabled"] }, { "maxProperties": 0 }]));
        }
        _ => {}
    }
    schema
}

/// Returns the members of a JSON object.
fn schema_of(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn list(items: Map<String, Value>, at_most: usize, null: bool) -> Map<String, Value> {
    let kind = if null { json!(["array", "null"]) } else { json!("array") };
    schema_of(json!({ "type": kind, "items": items, "maxItems": at_most }))
}

/// Returns a pattern for a key in large and small letters.
fn in_any_case(key: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_alphabetic() {
        true => format!("[{}{}]", letter.to_ascii_lowercase(), letter.to_ascii_uppercase()),
        false => letter.to_string(),
    };
    key.chars().map(letter).collect()
}

// Patterns of ECMA-262 without look-around, so that every validator takes them. They say nothing of lengths.
const DURATION: &str = r"^(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ms|h|m|s))+)$";
const NOT_ONLY_ZEROS: &str = "[1-9]";
const PORT: &str = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[0-5]?[0-9]{1,4})";
const IPV4: &str = r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
const IPV6: &str = "[0-9A-Fa-f]*:[0-9A-Fa-f:.]*";
/// The last label of a name has more than digits, so that no address is taken for a name.
const NAME: &str = r"([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?\.)*([0-9]*[A-Za-z_]([A-Za-z0-9_-]*[A-Za-z0-9_])?|[0-9]+-[A-Za-z0-9_-]*[A-Za-z0-9_])\.?";
const UNIX: &str = r"unix:[\s\S]+";
const KEY_HASH: &str = "^sha256:[0-9A-Fa-f]{64}$";
const TIME: &str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$";

/// The forms that have a name in the schema.
const NAMED: [(Form, &str); 12] = [
    (Form::Duration, "duration"),
    (Form::PositiveDuration, "positiveDuration"),
    (Form::Address, "address"),
    (Form::Listen, "listen"),
    (Form::Endpoint, "endpoint"),
    (Form::Remote, "remote"),
    (Form::DnsName, "dnsName"),
    (Form::Host, "host"),
    (Form::KeyHash, "keyHash"),
    (Form::Issuer, "issuer"),
    (Form::HttpsUrl, "httpsUrl"),
    (Form::Time, "time"),
];

/// Returns the schema of a text.
fn text(form: Form) -> Map<String, Value> {
    let named = NAMED.iter().find(|(named, _)| *named == form);
    named.map_or_else(|| defined(form), |(_, name)| schema_of(json!({ "$ref": format!("#/$defs/{name}") })))
}

/// Returns the schema of a text in full.
fn defined(form: Form) -> Map<String, Value> {
    let pattern = |pattern: String| json!({ "type": "string", "pattern": pattern });
    let address = format!(r"({IPV4}|\[{IPV6}\]):{PORT}");
    schema_of(match form {
        Form::NotEmpty => json!({ "type": "string", "minLength": 1 }),
        Form::OneOf(texts) => json!({ "enum": texts }),
        Form::Duration => pattern(DURATION.to_owned()),
        Form::PositiveDuration => {
            json!({ "type": "string", "allOf": [{ "pattern": DURATION }, { "pattern": NOT_ONLY_ZEROS }] })
        }
        Form::Address => pattern(format!("^{address}$")),
        Form::Listen => pattern(format!("^({address}|{UNIX})$")),
        Form::Endpoint => pattern(format!("^({address}|{NAME}:{PORT}|{UNIX})$")),
        Form::Remote => pattern(format!("^({address}|{NAME}:{PORT})$")),
        Form::DnsName => pattern(format!("^{NAME}$")),
        Form::Host => pattern(format!("^({NAME}|{IPV4}|{IPV6})$")),
        Form::KeyHash => pattern(KEY_HASH.to_owned()),
        Form::Issuer => json!({
            "type": "string",
            "minLength": 1,
            "anyOf": [{ "pattern": KEY_HASH }, { "not": { "pattern": "^sha256:" } }],
        }),
        Form::HttpsUrl => pattern("^https://.".to_owned()),
        Form::Time => pattern(TIME.to_owned()),
        Form::RequestPath => pattern("^/[!-~]*$".to_owned()),
        _ => json!({ "type": "string" }),
    })
}
