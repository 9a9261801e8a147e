//! Parses configuration texts for the tests of configurations.

use edgetrust_core::config::Config;

/// Parses a text and looks at the result, or returns the error's text.
pub fn parse<T>(json: &str, look: impl FnOnce(&mut Config<'_>) -> T) -> Result<T, String> {
    let mut bytes = json.as_bytes().to_vec();
    match Config::parse(&mut bytes) {
        Ok(mut config) => Ok(look(&mut config)),
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the error of a text that is not accepted.
#[allow(dead_code, reason = "shared by several test programs")]
pub fn refused(json: &str) -> String {
    parse(json, |_| ()).expect_err(json)
}
