//! Finds the log messages in Rust source text, so that a test can compare them with the documents.

use std::collections::BTreeSet;

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

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Text(String),
    Word(String),
    Sign(char),
}

impl Token {
    fn is(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    fn word(&self) -> &str {
        if let Self::Word(word) = self { word } else { "" }
    }
}

/// Returns the messages of all calls of `tracing`'s macros, and of the program's `log!`, which adds two fields.
///
/// # Panics
/// Panics at a call whose message is not a string literal.
pub fn log_messages(source: &str) -> BTreeSet<LogMessage> {
    let tokens = tokens(source);
    let mut found = BTreeSet::new();
    for (place, opening) in tokens.windows(3).enumerate() {
        let name = opening[0].word();
        let is_call = opening[1].is('!') && ['(', '[', '{'].iter().any(|sign| opening[2].is(*sign));
        if is_call && matches!(name, "trace" | "debug" | "info" | "warn" | "error" | "log") {
            found.insert(message(name, &arguments(&tokens[place + 3..])));
        }
    }
    found
}

/// Returns the message of one call.
fn message(name: &str, arguments: &[&[Token]]) -> LogMessage {
    let (level, common, rest): (_, &[&str], _) = match (name, arguments) {
        ("log", [[level], _credential, rest @ ..]) => (level.word(), &["credential", "storage_path"], rest),
        _ => (name, &[], arguments),
    };
    let mut fields: Vec<String> = common.iter().map(|field| (*field).to_owned()).collect();
    for argument in rest {
        match argument {
            [Token::Text(text)] => {
                return LogMessage { message: with_gaps(text), level: level.to_uppercase(), fields };
            }
            [Token::Sign('%' | '?'), Token::Word(field), ..] | [Token::Word(field)] => fields.push(field.clone()),
            // `target: TARGET` is no field.
            [Token::Word(field), sign, ..] if !sign.is(':') => fields.push(field.clone()),
            _ => {}
        }
    }
    panic!("{name}!: no message among {arguments:?}");
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

/// Splits the arguments of a call, from behind its opening bracket.
fn arguments(tokens: &[Token]) -> Vec<&[Token]> {
    let mut arguments = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign('(' | '[' | '{') => depth += 1,
            Token::Sign(')' | ']' | '}') if depth == 0 => {
                arguments.push(&tokens[start..place]);
                break;
            }
            Token::Sign(')' | ']' | '}') => depth -= 1,
            Token::Sign(',') if depth == 0 => {
                arguments.push(&tokens[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    arguments
}

/// Splits source text into words, signs and string literals; comments, blanks and characters are left out.
fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if rest.starts_with("//") {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if rest.starts_with("/*") {
            rest = rest.split_once("*/").map_or("", |(_, rest)| rest);
        } else if rest.starts_with('"') {
            let (text, behind) = text(&rest[1..]);
            tokens.push(Token::Text(text));
            rest = behind;
        } else if let Some((text, behind)) = raw_text(rest) {
            tokens.push(Token::Text(text.to_owned()));
            rest = behind;
        } else if let Some(behind) = character(rest) {
            rest = behind;
        } else if is_word(first) {
            let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            rest = &rest[first.len_utf8()..];
        }
    }
    tokens
}

/// Reads a string literal from behind its opening quote; returns its value and what follows it.
fn text(source: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = source;
    while let Some(place) = rest.find(['"', '\\']) {
        value.push_str(&rest[..place]);
        if rest[place..].starts_with('"') {
            return (value, &rest[place + 1..]);
        }
        let escaped = &rest[place + 1..];
        rest = match escaped.chars().next() {
            // A line that goes on in the next one, without its indentation.
            Some('\n') => escaped.trim_start(),
            Some(other) => {
                value.push(if other == 'n' { '\n' } else { other });
                &escaped[other.len_utf8()..]
            }
            None => escaped,
        };
    }
    (value, "")
}

/// Reads a raw string literal, `r"…"` or `r#"…"#`.
fn raw_text(source: &str) -> Option<(&str, &str)> {
    let behind = source.strip_prefix('r')?;
    let content = behind.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(behind.len() - content.len()));
    content.strip_prefix('"')?.split_once(&end)
}

/// Passes over a character literal, but not over a lifetime.
fn character(source: &str) -> Option<&str> {
    let behind = source.strip_prefix('\'')?;
    if let Some(escaped) = behind.strip_prefix('\\') {
        let end = escaped.char_indices().nth(1)?.0;
        return escaped[end..].split_once('\'').map(|(_, rest)| rest);
    }
    let end = behind.char_indices().nth(1)?.0;
    behind[end..].strip_prefix('\'')
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
