//! The signed texts that a gateway shows to others, and the entity tag that names them (RFC 9110 section 8.8.3).
//!
//! Beside the mesh in force stand its rivals: other texts of its sequence, which deny keys too. They are shown like the mesh
//! in force, so that what they deny is denied everywhere.

use std::fmt::Write as _;
use std::sync::Arc;

use edgetrust_core::mesh::{Digest, Edition};

/// The most rivals of a mesh: those of the highest digests. Of others only the denials count, where they were seen.
pub(super) const MAX_RIVALS: usize = 2;

/// The longest entity tag that is read: two numbers, the digests of a mesh and of more rivals than there may be.
const MAX_TAG: usize = 512;

/// A signed text and its edition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedText {
    /// The text, as it was offered.
    pub text: Arc<str>,
    /// The edition that it states.
    pub edition: Edition,
}

/// The mesh in force and its rivals, as others see them.
#[derive(Clone, Debug)]
pub struct ServedMesh {
    pub(super) in_force: SignedText,
    pub(super) rivals: Vec<SignedText>,
}

impl ServedMesh {
    /// Returns the texts, the mesh in force first.
    pub(super) fn texts(&self) -> impl Iterator<Item = &SignedText> {
        std::iter::once(&self.in_force).chain(&self.rivals)
    }

    /// Returns the entity tag.
    pub fn tag(&self) -> ServedTag {
        let rivals = self.rivals.iter().map(|rival| rival.edition.digest).collect();
        ServedTag { edition: self.in_force.edition, rivals }
    }

    /// Returns the texts that a gateway with another tag of the same sequence does not know.
    pub(super) fn unknown_to(&self, there: &ServedTag) -> impl Iterator<Item = &SignedText> {
        self.texts().filter(|text| !there.names(&text.edition.digest))
    }
}

/// An entity tag: an edition and the digests of its rivals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedTag {
    /// The edition in force.
    pub edition: Edition,
    pub(super) rivals: Vec<Digest>,
}

impl ServedTag {
    /// Reads a tag.
    pub(super) fn parse(tag: &[u8]) -> Option<Self> {
        let tag = std::str::from_utf8(tag).ok().filter(|tag| tag.len() <= MAX_TAG)?;
        let mut parts = tag.strip_prefix('"')?.strip_suffix('"')?.splitn(3, '.');
        let (generation, sequence, digests) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
        if !is_number(generation) || !is_number(sequence) {
            return None;
        }
        let mut digests = digests.split('+').map(Digest::parse);
        let digest = digests.next()??;
        let edition = Edition { generation: generation.parse().ok()?, sequence: sequence.parse().ok()?, digest };
        Some(Self { edition, rivals: digests.collect::<Option<_>>()? })
    }

    /// Returns the tag as it is written.
    pub fn text(&self) -> String {
        let Edition { generation, sequence, digest } = self.edition;
        let mut text = format!("\"{generation}.{sequence}.{digest}");
        for rival in &self.rivals {
            // Writing to a String does not fail.
            let _ = write!(text, "+{rival}");
        }
        text.push('"');
        text
    }

    /// Returns whether both are of one sequence, so that each is a rival of the other unless they are the same.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        let of = |tag: &Self| (tag.edition.generation, tag.edition.sequence);
        of(self) == of(other)
    }

    /// Returns whether it names a text of its sequence.
    pub(super) fn names(&self, digest: &Digest) -> bool {
        self.edition.digest == *digest || self.rivals.contains(digest)
    }

    /// Returns whether it names a text that the other one, of the same sequence, would take up: of too many rivals those of
    /// the highest digests stay.
    pub(super) fn has_news_for(&self, other: &Self) -> bool {
        let lowest = other.rivals.iter().min().filter(|_| other.rivals.len() >= MAX_RIVALS);
        let mut named = std::iter::once(&self.edition.digest).chain(&self.rivals);
        named.any(|digest| !other.names(digest) && lowest.is_none_or(|lowest| digest > lowest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_tag_is_read_as_it_is_written() {
        let digest = Digest::of(b"a mesh");
        let edition = Edition { generation: u32::MAX, sequence: u64::MAX, digest };
        for rivals in [0, 1, MAX_RIVALS, MAX_RIVALS + 2] {
            let rivals = (0..rivals).map(|number| Digest::of(&[number as u8])).collect();
            let written = ServedTag { edition, rivals };
            assert_eq!(ServedTag::parse(written.text().as_bytes()), Some(written));
        }
        for tag in [
            String::new(),
            "\"\"".to_owned(),
            format!("1.2.{digest}"),
            format!("W/\"1.2.{digest}\""),
            format!("\"+1.2.{digest}\""),
            format!("\"1.2.{digest}.\""),
            format!("\"1.2.{digest}+\""),
            format!("\"1.2.+{digest}\""),
            format!("\"4294967296.2.{digest}\""),
            "\"1.2.sha256:00\"".to_owned(),
            format!("\"1.2.{digest}+sha256:00\""),
            format!("\"{}.2.{digest}\"", "0".repeat(500)),
        ] {
            assert_eq!(ServedTag::parse(tag.as_bytes()), None, "{tag}");
        }
    }
}
