//! Finds the log messages in Rust source text, so that a test can compare them with the documents.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::LitStr;

/// A log message as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogMessage {
    /// The message, with `…` for each part that differs.
    pub message: String,
    /// The level as the log writes it, `WARN`.
    pub level: String,
    /// The names of the fields, in the order of the log line.
    pub fields: Vec<String>,
}

/// Returns the messages of all calls of `tracing`'s macros, and of the program's `log!`, which adds two fields.
///
/// # Panics
/// Panics at a call whose message is not a string literal, and at text that is not Rust.
pub fn log_messages(source: &str) -> BTreeSet<LogMessage> {
    let mut found = BTreeSet::new();
    collect(source.parse().expect("Rust"), &mut found);
    found
}

/// Collects the calls among these tokens, and among those in their brackets.
fn collect(tokens: TokenStream, found: &mut BTreeSet<LogMessage>) {
    let tokens: Vec<_> = tokens.into_iter().collect();
    for call in tokens.windows(3) {
        let [TokenTree::Ident(name), TokenTree::Punct(sign), TokenTree::Group(arguments)] = call else { continue };
        let name = name.to_string();
        if sign.as_char() == '!' && matches!(&*name, "trace" | "debug" | "info" | "warn" | "error" | "log") {
            found.insert(message(&name, arguments.stream()));
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            collect(group.stream(), found);
        }
    }
}

/// Returns the message of one call.
fn message(name: &str, arguments: TokenStream) -> LogMessage {
    let tokens: Vec<_> = arguments.into_iter().collect();
    let comma = |token: &TokenTree| matches!(token, TokenTree::Punct(sign) if sign.as_char() == ',');
    let mut arguments = tokens.split(comma);
    let (mut level, mut fields) = (name.to_owned(), Vec::new());
    if name == "log" {
        level = arguments.next().map(|level| level.iter().map(ToString::to_string).collect()).unwrap_or_default();
        // The credential, as two fields.
        arguments.next();
        fields.extend(["credential", "storage_path"].map(str::to_owned));
    }
    for argument in arguments {
        match argument {
            [TokenTree::Literal(text)] => {
                let text = syn::parse_str::<LitStr>(&text.to_string()).expect("a text").value();
                return LogMessage { message: with_gaps(&text), level: level.to_uppercase(), fields };
            }
            // `target: TARGET` is no field.
            [TokenTree::Ident(_), TokenTree::Punct(sign), ..] if sign.as_char() == ':' => {}
            [TokenTree::Punct(_), TokenTree::Ident(field), ..] | [TokenTree::Ident(field), ..] => {
                fields.push(field.to_string());
            }
            _ => {}
        }
    }
    panic!("{name}!: no message among {tokens:?}");
}

/// Replaces each placeholder of a format string by `…`.
fn with_gaps(text: &str) -> String {
    let mut parts = text.split('{');
    let mut message = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        message.push('…');
        message.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(source: &str) -> Vec<(String, String, String)> {
        let joined = |found: LogMessage| (found.message, found.level, found.fields.join(" "));
        log_messages(source).into_iter().map(joined).collect()
    }

    #[test]
    fn calls_are_found_with_level_message_and_fields() {
        let source = r##"
            // warn!("in a comment");
            let (quote, escaped, text) = ('"', '\'', "info!(\"in a text\")");
            let raw = r#"error!("in a raw text")"#;
            tracing::warn!(
                target: TARGET,
                %tunnel, ?status, rule,
                code = answered.map(|(_, code)| display(code, ",")),
                "closed: {end} \
                 after {} s", seconds
            );
            fn of<'a>(name: &'a str) { debug! { "plain" } }
            log!(info, self.settings.which(), url = order.url(), "an order was created");
            macro_rules! log { ($level:ident) => { tracing::$level!(credential = %$credential.name) }; }
            compile_error!("not a message");
        "##;
        let expected = [
            ("an order was created", "INFO", "credential storage_path url"),
            ("closed: … after … s", "WARN", "tunnel status rule code"),
            ("plain", "DEBUG", ""),
        ];
        assert_eq!(found(source), expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())));
    }

    #[test]
    #[should_panic(expected = "no message")]
    fn a_call_without_a_literal_message_is_an_error() {
        found("warn!(%remote, text)");
    }
}
