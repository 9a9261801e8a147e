//! What is wrong with a certificate, and where.
/// What is wrong and where: the byte offset in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Byte offset in the certificate.
    pub offset: u32,
}
/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// Not DER.
    Der,
}
