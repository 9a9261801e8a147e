//! Describes the values that a key takes, as far as that can be said without the other keys: for documents and editors.
//!
//! The parser does not read these descriptions. A test holds them against it, since a description that refuses what the
//! parser takes would mislead.

/// The form of a text or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Any value of its kind.
    Any,
    /// A text of one character at least: a file, a folder, a name.
    NotEmpty,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A duration in Go's syntax.
    Duration,
    /// A duration above zero.
    PositiveDuration,
    /// `ADDRESS:PORT`.
    Address,
    /// `ADDRESS:PORT` or `unix:PATH`.
    Listen,
    /// `ADDRESS:PORT`, `HOST:PORT` or `unix:PATH`.
    Endpoint,
    /// `HOST:PORT`, where the host may be an address.
    Remote,
    /// A DNS name.
    DnsName,
    /// A DNS name or an IP address.
    Host,
    /// `sha256:` and the hash of a key.
    KeyHash,
    /// The file of a CA, or the hash of its key.
    Issuer,
    /// A URL that begins with `https://`.
    HttpsUrl,
    /// A time in UTC (RFC 3339), as `2027-01-31T00:00:00Z`.
    Time,
    /// The absolute path of an HTTP request.
    RequestPath,
    /// A number from the first to the second.
    Range(u32, u32),
}

/// The shape of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// A text.
    Text(Form),
    /// A whole number.
    Number(Form),
    /// A list of texts.
    Texts {
        /// The form of each.
        form: Form,
        /// The largest number of them.
        at_most: usize,
        /// `null` stands for a list that is not written, as Go writes it.
        null: bool,
    },
    /// An object, whose keys follow.
    Object(Members),
    /// A list of objects, whose keys follow.
    Objects {
        /// The keys of each.
        members: Members,
        /// The largest number of them.
        at_most: usize,
        /// `null` stands for a list that is not written, as Go writes it.
        null: bool,
        /// A text of this form may stand for an object.
        text: Option<Form>,
    },
}

impl Shape {
    /// Returns the kind of value in words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "true or false",
            Self::Text(_) => "text",
            Self::Number(_) => "number",
            Self::Texts { .. } => "list of texts",
            Self::Object(_) => "object",
            Self::Objects { text: Some(_), .. } => "list of texts or objects",
            Self::Objects { text: None, .. } => "list of objects",
        }
    }
}

/// The keys of an object as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    /// Other keys are ignored: they belong to other programs. But one that differs from a known key only in the case of
    /// its letters is refused.
    pub open: bool,
    /// The keys that must be there.
    pub needs: Needs,
}

/// The keys that an object must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Needs {
    /// No key, as far as this object alone is concerned.
    Nothing,
    /// Each of these.
    All(&'static [&'static str]),
    /// One of these and no more.
    One(&'static [&'static str]),
    /// `enabled`, beside any other key.
    Enabled,
}
