//! Why a peer with a verified path was not let in.
/// Why a peer with a verified path was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denied {
    /// The certificate has no name of a kind that the rules ask for.
    NoName,
    /// Several common names: a CN rule cannot tell which is meant.
    SeveralCommonNames,
    /// No rule of the list matched.
    NoRuleMatched,
    /// The server's certificate is not for the name that was asked for.
    WrongServerName,
    /// The path was verified for another purpose.
    WrongPurpose,
}
