//! Reads the URI that names a key in a token (RFC 7512).

use std::fmt;
use std::path::{Path, PathBuf};

/// The scheme, with its colon. URI schemes have no case (RFC 3986 section 3.1); configurations use this form.
const SCHEME: &str = "pkcs11:";

/// The longest URI, in octets.
const MAX_URI: usize = 1024;

/// The attributes that choose a token and a key (RFC 7512 section 2.3), as errors list them.
const PATH_ATTRIBUTES: &str = "token, manufacturer, model, serial, object, id or type";

/// The attributes of the query, as errors list them.
const QUERY_ATTRIBUTES: &str = "module-path or pin-source";

/// The name of a key in a token, and of the module that reaches it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyUri {
    text: String,
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    /// CKA_LABEL of the key.
    pub(super) object: Option<String>,
    /// CKA_ID of the key.
    pub(super) id: Option<Vec<u8>>,
    module: PathBuf,
    pin_file: Option<PathBuf>,
}

/// A fault of a URI. It shows no value, since one may be a PIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UriError(String);

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pkcs11 URI: {}", self.0)
    }
}

impl std::error::Error for UriError {}

impl KeyUri {
    /// Returns whether the name of a key file is a URI of this kind.
    pub(crate) fn is(name: &str) -> bool {
        name.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
    }

    /// Returns the URI that stands in place of a key.
    pub(crate) fn in_place_of(key: &[u8]) -> Option<&str> {
        std::str::from_utf8(key).ok().map(str::trim).filter(|text| Self::is(text))
    }

    /// Parses a URI. Every attribute is checked, none is ignored.
    ///
    /// # Errors
    /// Returns the attribute and its fault.
    pub(crate) fn parse(text: &str) -> Result<Self, UriError> {
        let fault = |reason: String| Err(UriError(reason));
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return fault(format!("expected {SCHEME} in lower case at the start"));
        };
        if text.len() > MAX_URI {
            return fault(format!("found {} octets, expected at most {MAX_URI}", text.len()));
        }
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut uri = Self { text: text.to_owned(), ..Self::default() };
        for attribute in path.split(';').filter(|_| !path.is_empty()) {
            let (name, octets) = read(attribute, ':', "[]@!$'()*+,=&")?;
            let place = match name {
                "token" => &mut uri.token,
                "manufacturer" => &mut uri.manufacturer,
                "model" => &mut uri.model,
                "serial" => &mut uri.serial,
                "object" => &mut uri.object,
                "id" => {
                    set(&mut uri.id, name, octets)?;
                    continue;
                }
                "type" if octets == b"private" => continue,
                "type" => return fault("type: expected private".to_owned()),
                _ => return fault(format!("found the attribute {}, expected {PATH_ATTRIBUTES}", shown(name))),
            };
            set(place, name, utf8(name, octets)?)?;
        }
        let mut module = None;
        for attribute in query.unwrap_or_default().split('&').filter(|_| query.is_some()) {
            let name = attribute.split('=').next().unwrap_or_default();
            if name == "pin-value" {
                return fault("pin-value: a PIN has no place in a configuration, expected pin-source=file:/...".into());
            }
            let (name, octets) = read(attribute, '/', ":[]@!$'()*+,=;|?")?;
            let value = utf8(name, octets)?;
            match name {
                "module-path" => set(&mut module, name, absolute(name, &value)?)?,
                "pin-source" => {
                    // RFC 7512 section 2.4: a file, as a name or a file URI (RFC 8089), or a command after a bar.
                    let file = value.strip_prefix("file:").unwrap_or(&value);
                    let file = file.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(file);
                    set(&mut uri.pin_file, name, absolute(name, file)?)?;
                }
                _ => return fault(format!("found the attribute {}, expected {QUERY_ATTRIBUTES}", shown(name))),
            }
        }
        if uri.token.is_none() && uri.serial.is_none() {
            return fault("expected token or serial, which choose the token".to_owned());
        }
        if uri.object.is_none() && uri.id.is_none() {
            return fault("expected object or id, which choose the key".to_owned());
        }
        let Some(module) = module else {
            return fault("expected module-path, the absolute name of the module's file".to_owned());
        };
        uri.module = module;
        Ok(uri)
    }

    /// Returns the URI as it was written. It holds no secret.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the file of the PKCS #11 module.
    pub(crate) fn module(&self) -> &Path {
        &self.module
    }

    /// Returns the file with the PIN.
    pub(crate) fn pin_file(&self) -> Option<&Path> {
        self.pin_file.as_deref()
    }

    /// Returns what chooses the token, as messages show it.
    pub(super) fn shown_token(&self) -> String {
        let chosen = [
            ("token", &self.token),
            ("manufacturer", &self.manufacturer),
            ("model", &self.model),
            ("serial", &self.serial),
        ];
        let chosen = chosen.iter().filter_map(|(name, value)| Some(format!("{name} {:?}", value.as_ref()?)));
        chosen.collect::<Vec<_>>().join(", ")
    }

    /// Returns what chooses the key, as messages show it.
    pub(super) fn shown_object(&self) -> String {
        let label = self.object.as_ref().map(|label| format!("object {label:?}"));
        let id = self.id.as_ref().map(|id| format!("id {}", hex(id)));
        label.into_iter().chain(id).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for KeyUri {
    /// Formats token and key, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.shown_token(), self.shown_object())
    }
}

/// Returns octets in hexadecimal.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Splits an attribute, and decodes its value. Besides unreserved characters (RFC 3986 section 2.3) a value may have
/// `more` and `also`; all others must be percent-encoded.
fn read<'a>(attribute: &'a str, also: char, more: &str) -> Result<(&'a str, Vec<u8>), UriError> {
    let Some((name, value)) = attribute.split_once('=') else {
        return Err(UriError(format!("found {} without a value, expected name=value", shown(attribute))));
    };
    let fault = |reason: &str| Err(UriError(format!("{}: {reason}", shown(name))));
    let mut octets = Vec::new();
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        match character {
            '%' => {
                let digits =
                    (rest.next().and_then(|digit| digit.to_digit(16)), rest.next().and_then(|d| d.to_digit(16)));
                let (Some(high), Some(low)) = digits else {
                    return fault("found % without two hexadecimal digits");
                };
                octets.push(u8::try_from((high << 4) | low).unwrap_or_default());
            }
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => octets.push(character as u8),
            other if other == also || other == '/' && also == '/' || more.contains(other) => {
                octets.extend(other.encode_utf8(&mut [0; 4]).bytes());
            }
            _ => return fault("found a character that has to be percent-encoded (RFC 7512 section 2.3)"),
        }
    }
    if octets.is_empty() {
        return fault("found an empty value, expected none or one with characters");
    }
    Ok((name, octets))
}

fn utf8(name: &str, octets: Vec<u8>) -> Result<String, UriError> {
    match String::from_utf8(octets) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(UriError(format!("{name}: expected UTF-8 without a NUL"))),
    }
}

fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), UriError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UriError(format!("{name}: found twice, expected once"))),
    }
}

fn absolute(name: &str, file: &str) -> Result<PathBuf, UriError> {
    if file.starts_with('/') {
        return Ok(PathBuf::from(file));
    }
    let kind =
        if name == "pin-source" { "file:/ and the absolute name of a file" } else { "the absolute name of a file" };
    Err(UriError(format!("{name}: expected {kind}")))
}

/// Returns a name of an attribute as messages show it: cut, since it is anything at all.
fn shown(name: &str) -> String {
    format!("{:?}", name.split('=').next().unwrap_or_default().chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "pkcs11:token=edge;object=gateway?module-path=/usr/lib/p.so&pin-source=file:/run/pin";

    #[test]
    fn attributes_are_decoded() {
        let uri = KeyUri::parse(GOOD).unwrap();
        assert_eq!((uri.token.as_deref(), uri.object.as_deref()), (Some("edge"), Some("gateway")));
        assert_eq!((uri.module(), uri.pin_file()), (Path::new("/usr/lib/p.so"), Some(Path::new("/run/pin"))));
        assert_eq!(uri.to_string(), r#"token "edge", object "gateway""#);
        let uri = KeyUri::parse(
            "pkcs11:serial=12;id=%00%fFz;manufacturer=A%20B;type=private;model=M%c3%bc?pin-source=/p&module-path=/m%3b",
        )
        .unwrap();
        assert_eq!((uri.id.as_deref(), uri.model.as_deref()), (Some(&b"\0\xffz"[..]), Some("Mü")));
        assert_eq!((uri.module(), uri.pin_file()), (Path::new("/m;"), Some(Path::new("/p"))));
        assert_eq!(uri.to_string(), r#"manufacturer "A B", model "Mü", serial "12", id 00ff7a"#);
        let uri = KeyUri::parse("pkcs11:token=a;object=b?module-path=/m&pin-source=file:///run/p").unwrap();
        assert_eq!(uri.pin_file(), Some(Path::new("/run/p")));
    }

    #[test]
    fn faults_name_their_attribute_and_no_value() {
        for (text, expected) in [
            ("PKCS11:token=a", "expected pkcs11: in lower case at the start"),
            ("pkcs11:", "expected token or serial, which choose the token"),
            ("pkcs11:token=a?module-path=/m", "expected object or id, which choose the key"),
            ("pkcs11:token=a;object=b", "expected module-path, the absolute name of the module's file"),
            ("pkcs11:token=a;object=b?", "found \"\" without a value, expected name=value"),
            ("pkcs11:token=a;object=b?module-path=m.so", "module-path: expected the absolute name of a file"),
            (
                "pkcs11:token=a;object=b?module-path=/m&pin-value=4711",
                "pin-value: a PIN has no place in a configuration, expected pin-source=file:/...",
            ),
            (
                "pkcs11:token=a;object=b?module-path=/m&pin-source=4711",
                "pin-source: expected file:/ and the absolute name of a file",
            ),
            (
                "pkcs11:token=a;object=b?module-path=/m&pin-source=|cat",
                "pin-source: expected file:/ and the absolute name of a file",
            ),
            (
                "pkcs11:token=a;object=b?module-path=/m&module-name=x",
                "found the attribute \"module-name\", expected module-path or pin-source",
            ),
            (
                "pkcs11:token=a;objekt=b?module-path=/m",
                "found the attribute \"objekt\", expected token, manufacturer, model, serial, object, id or type",
            ),
            ("pkcs11:token=a;token=b?module-path=/m", "token: found twice, expected once"),
            ("pkcs11:token=a;type=cert?module-path=/m", "type: expected private"),
            ("pkcs11:token=a;object", "found \"object\" without a value, expected name=value"),
            ("pkcs11:token=;object=b", "\"token\": found an empty value, expected none or one with characters"),
            ("pkcs11:token=a%2;object=b", "\"token\": found % without two hexadecimal digits"),
            ("pkcs11:token=a%g0;object=b", "\"token\": found % without two hexadecimal digits"),
            (
                "pkcs11:token=a b;object=b",
                "\"token\": found a character that has to be percent-encoded (RFC 7512 section 2.3)",
            ),
            ("pkcs11:token=%ff;object=b", "token: expected UTF-8 without a NUL"),
        ] {
            let error = KeyUri::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("pkcs11 URI: {expected}"), "{text}");
            assert!(!error.contains("4711"), "{error}");
        }
        let long = format!("pkcs11:token={}", "a".repeat(MAX_URI));
        let error = KeyUri::parse(&long).unwrap_err().to_string();
        assert_eq!(error, "pkcs11 URI: found 1037 octets, expected at most 1024");
    }

    #[test]
    fn names_of_files_are_none() {
        assert!(KeyUri::is(GOOD) && KeyUri::is("PKCS11:"));
        assert!(!KeyUri::is("/etc/pkcs11:key.pem") && !KeyUri::is("pkcs11") && !KeyUri::is("äääääää"));
    }
}
