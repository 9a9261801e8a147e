//! Reads the text of a mesh, and checks it as a whole.

use super::bounds::{MAX_DENIED_KEYS, MAX_LINKS, MAX_MESH, MAX_NAME, MAX_ROOTS, MAX_SERVICES, MAX_SITES};
use super::edition::Digest;
use super::error::MeshError;
use super::mesh::Mesh;
use super::model::{HASH, TIME, time};
use super::names::is_text;
use super::read::{List, MORE, Reader};
use super::validate::validate;
use crate::json::Token;

impl<'a> Mesh<'a> {
    const KEYS: &'static [&'static str] =
        &["mesh", "sequence", "roots", "sites", "services", "links", "denied_keys", "previous", "not_after"];
    /// The number of keys that are not left out.
    const REQUIRED: usize = 6;

    /// Reads and checks a text.
    ///
    /// # Errors
    /// The first error: its place, the value found, the value expected.
    pub fn parse(text: &'a [u8]) -> Result<Self, MeshError<'a>> {
        let mut reader = Reader::new(text);
        if text.len() > MAX_MESH {
            return Err(reader.refuse_at(MAX_MESH, MORE, "at most 1048576 octets"));
        }
        let mut mesh = Self {
            name: "",
            sequence: 0,
            previous: None,
            not_after: None,
            roots: List::absent(),
            sites: List::absent(),
            services: List::absent(),
            links: List::absent(),
            denied_keys: List::absent(),
        };
        reader.object(Self::KEYS, Self::REQUIRED, |reader, key| mesh.member(reader, key))?;
        reader.require(Token::End, "nothing after the last }")?;
        validate(&mesh)?;
        Ok(mesh)
    }

    fn member(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Result<(), MeshError<'a>> {
        match key {
            "mesh" => {
                let is_name = |text: &&str| !text.is_empty() && is_text(text, MAX_NAME);
                let expected = "a name of 1 to 128 octets without control characters";
                self.name = reader.text(expected, |text| Some(text).filter(is_name))?;
            }
            "sequence" => self.sequence = reader.value("a whole number from 1 to 18446744073709551615", sequence)?,
            "previous" => self.previous = Some(reader.text(HASH, Digest::parse)?),
            "not_after" => self.not_after = Some(reader.text(TIME, time)?),
            "roots" => self.roots = reader.list(MAX_ROOTS, "at most 8 roots")?,
            "sites" => self.sites = reader.list(MAX_SITES, "at most 1024 sites")?,
            "services" => self.services = reader.list(MAX_SERVICES, "at most 64 services")?,
            "links" => self.links = reader.list(MAX_LINKS, "at most 16384 links")?,
            _ => self.denied_keys = reader.list(MAX_DENIED_KEYS, "at most 1024 denied keys")?,
        }
        Ok(())
    }
}

fn sequence(token: Token<'_>) -> Option<u64> {
    match token {
        Token::Number(digits) => digits.parse().ok().filter(|sequence| *sequence > 0),
        _ => None,
    }
}
