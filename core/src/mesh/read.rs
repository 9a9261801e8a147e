//! Reads the values of a text one after the other, and knows the place of each.

use core::marker::PhantomData;

use super::bounds::MAX_SERVICES;
use super::error::{Detail, MeshError};
use crate::json::{Found, MAX_PATH, Plain, ScanError, Scanner, Segment, Token, nearest};

type Path<'a> = heapless::Vec<Segment<'a>, MAX_PATH>;

/// A place in a text, and the path from the top of the text to it.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    text: &'a [u8],
    scanner: Scanner<Plain<'a>>,
    path: Path<'a>,
    /// The text was read to its end before: lists inside of what is read are skipped.
    again: bool,
}

/// A value of which a text has a list.
pub(super) trait Element<'a>: Sized {
    /// Reads one value.
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>>;
}

/// The place of a value that was read, and is read again for each use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The whole text; empty if the value is not written.
    text: &'a [u8],
    /// The offset of the value.
    begin: usize,
}

impl<'a> Place<'a> {
    /// Returns the place of a value that is not written.
    pub(super) const fn absent() -> Self {
        Self { text: &[], begin: 0 }
    }

    /// Returns whether the value is written.
    pub(super) fn is_written(&self) -> bool {
        !self.text.is_empty()
    }

    /// Returns a reader of the value at this path.
    pub(super) fn reader(&self, path: &[Segment<'a>]) -> Reader<'a> {
        let rest = self.text.get(self.begin..).unwrap_or(&[]);
        let path = Path::from_slice(path).unwrap_or_default();
        Reader { text: self.text, scanner: Scanner::at(Plain::new(rest), self.begin), path, again: true }
    }
}

/// A list in a text.
#[derive(Debug)]
pub(super) struct List<'a, T> {
    place: Place<'a>,
    elements: PhantomData<fn() -> T>,
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T: Element<'a>> List<'a, T> {
    /// Returns a list that is not written.
    pub(super) const fn absent() -> Self {
        Self { place: Place::absent(), elements: PhantomData }
    }

    /// Returns the elements of a list that was read before.
    pub(super) fn iter(&self) -> Elements<'a, T> {
        self.at(&[])
    }

    /// Returns the elements of the list at this path.
    pub(super) fn at(&self, path: &[Segment<'a>]) -> Elements<'a, T> {
        let is_at_end = !self.place.is_written();
        Elements { reader: self.place.reader(path), next: 0, is_at_end, elements: PhantomData }
    }
}

/// The elements of a list. Each is read from the text.
#[derive(Clone)]
pub(super) struct Elements<'a, T> {
    pub(super) reader: Reader<'a>,
    /// The index of the next element.
    next: u16,
    is_at_end: bool,
    elements: PhantomData<fn() -> T>,
}

impl<'a, T: Element<'a>> Elements<'a, T> {
    /// Reads the next element. The reader then stands at it, until the next call.
    pub(super) fn try_next(&mut self) -> Result<Option<T>, MeshError<'a>> {
        if self.is_at_end {
            return Ok(None);
        }
        if self.next == 0 {
            self.reader.require(Token::ArrayStart, "a list")?;
        } else {
            self.reader.path.pop();
        }
        let before = self.reader.scanner;
        match self.reader.next()? {
            Token::ArrayEnd => {
                self.is_at_end = true;
                return Ok(None);
            }
            Token::Comma if self.next > 0 => {}
            token if self.next > 0 => return Err(self.reader.refuse(token.found(), ", or ]")),
            _ => self.reader.scanner = before,
        }
        self.reader.push(Segment::Index(self.next))?;
        self.next = self.next.saturating_add(1);
        T::read(&mut self.reader).map(Some)
    }
}

impl<'a, T: Element<'a>> Iterator for Elements<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let next = self.try_next();
        debug_assert!(next.is_ok(), "the list was read before");
        next.ok().flatten()
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, scanner: Scanner::new(Plain::new(text)), path: Path::new(), again: false }
    }

    /// Creates a reader of a text that is the value of a member of another one.
    pub(super) fn of_member(key: &'static str, text: &'a [u8]) -> Self {
        let mut reader = Self::new(text);
        let pushed = reader.push(Segment::Key(key)).is_ok();
        debug_assert!(pushed, "the path was empty");
        reader
    }

    pub(super) fn refuse(&self, found: Found<'a>, expected: &'static str) -> MeshError<'a> {
        self.refuse_at(self.scanner.token_offset, found, expected)
    }

    pub(super) fn refuse_at(&self, offset: usize, found: Found<'a>, expected: &'static str) -> MeshError<'a> {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        MeshError { path: self.path.clone(), offset, found, expected, detail: None }
    }

    /// Returns the error of a member's value, which stands at this offset.
    pub(super) fn refuse_member(
        &self,
        key: &'static str,
        offset: usize,
        found: Found<'a>,
        expected: &'static str,
    ) -> MeshError<'a> {
        let mut error = self.refuse_at(offset, found, expected);
        let pushed = error.path.push(Segment::Key(key)).is_ok();
        debug_assert!(pushed, "the value was read at this path");
        error
    }

    /// Returns the path to a member of the object that is being read.
    pub(super) fn path_to(&self, key: &'static str) -> Path<'a> {
        let mut path = self.path.clone();
        let pushed = path.push(Segment::Key(key)).is_ok();
        debug_assert!(pushed, "the value was read at this path");
        path
    }

    /// Returns the offset of the last token.
    pub(super) fn token_offset(&self) -> usize {
        self.scanner.token_offset
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, MeshError<'a>> {
        let scanned = self.scanner.next();
        scanned.map_err(|ScanError { offset, found, expected }| self.refuse_at(offset, found, expected))
    }

    pub(super) fn require(&mut self, wanted: Token<'a>, expected: &'static str) -> Result<(), MeshError<'a>> {
        let token = self.next()?;
        if token == wanted { Ok(()) } else { Err(self.refuse(token.found(), expected)) }
    }

    /// Reads a token that `read` makes a value of.
    pub(super) fn value<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(Token<'a>) -> Option<T>,
    ) -> Result<T, MeshError<'a>> {
        let token = self.next()?;
        read(token).ok_or_else(|| self.refuse(token.found(), expected))
    }

    /// Reads a text that `read` makes a value of.
    pub(super) fn text<T>(
        &mut self,
        expected: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, MeshError<'a>> {
        self.value(expected, |token| match token {
            Token::Text(text) => read(text),
            _ => None,
        })
    }

    /// Reads an object with these keys, of which the first `required` must be there. `member` reads the value of a key.
    pub(super) fn object(
        &mut self,
        keys: &'static [&'static str],
        required: usize,
        mut member: impl FnMut(&mut Self, &'static str) -> Result<(), MeshError<'a>>,
    ) -> Result<(), MeshError<'a>> {
        let mut seen = 0_u32;
        self.members(|reader, key| {
            let Some((place, known)) = (0_u32..).zip(keys).find(|(_, known)| **known == key) else {
                let error = reader.refuse(Found::Text(key), "a known key");
                let near = nearest(key, keys.iter().copied());
                return Err(MeshError { detail: near.map(Detail::Nearest), ..error });
            };
            if seen & bit(place) != 0 {
                return Err(reader.refuse(Found::Text(key), "each key once"));
            }
            seen |= bit(place);
            reader.require(Token::Colon, ": after the key")?;
            member(reader, known)
        })?;
        match (0_u32..).zip(keys).take(required).find(|(place, _)| seen & bit(*place) == 0) {
            None => Ok(()),
            Some((_, key)) => {
                self.push(Segment::Key(key))?;
                Err(self.refuse(Found::Nothing, "this key"))
            }
        }
    }

    /// Reads an object whose keys are names of services, each at most once. `member` reads the value of a key.
    pub(super) fn by_service(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Result<(), MeshError<'a>>,
    ) -> Result<(), MeshError<'a>> {
        let mut seen = heapless::Vec::<&str, { MAX_SERVICES as usize }>::new();
        self.members(|reader, key| {
            if seen.contains(&key) {
                return Err(reader.refuse(Found::Text(key), "each service once"));
            }
            seen.push(key).map_err(|_| reader.refuse(Found::Text(key), "at most 64 services"))?;
            reader.require(Token::Colon, ": after the key")?;
            member(reader, key)
        })
    }

    /// Reads an object. `member` reads on after each key.
    fn members(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a str) -> Result<(), MeshError<'a>>,
    ) -> Result<(), MeshError<'a>> {
        self.require(Token::ObjectStart, "an object")?;
        let mut token = self.next()?;
        let mut is_first = true;
        while token != Token::ObjectEnd {
            if !core::mem::replace(&mut is_first, false) {
                if token != Token::Comma {
                    return Err(self.refuse(token.found(), ", or }"));
                }
                token = self.next()?;
            }
            let Token::Text(key) = token else { return Err(self.refuse(token.found(), "a key in quotes")) };
            self.push(Segment::Key(key))?;
            member(self, key)?;
            self.path.pop();
            token = self.next()?;
        }
        Ok(())
    }

    /// Reads a list of at most `most` elements.
    pub(super) fn list<T: Element<'a>>(&mut self, most: u16, full: &'static str) -> Result<List<'a, T>, MeshError<'a>> {
        let list = List { place: self.place(), elements: PhantomData };
        if self.pass_over(&list.place) {
            return Ok(list);
        }
        let mut elements = Elements::<'a, T> { reader: self.clone(), next: 0, is_at_end: false, elements: PhantomData };
        while elements.try_next()?.is_some() {
            if elements.next > most {
                return Err(elements.reader.refuse(MORE, full));
            }
        }
        self.scanner = elements.reader.scanner;
        Ok(list)
    }

    /// Skips a list or an object at this place if it was read before.
    pub(super) fn pass_over(&mut self, place: &Place<'a>) -> bool {
        if self.again {
            self.scanner = place.reader(&[]).scanner;
            self.scanner.pass_over();
        }
        self.again
    }

    /// Returns the place of the value that follows.
    pub(super) fn place(&self) -> Place<'a> {
        let mut ahead = self.scanner;
        // What is no token is an error where the value is read.
        let begin = if ahead.next().is_ok() { ahead.token_offset } else { 0 };
        Place { text: self.text, begin }
    }

    fn push(&mut self, segment: Segment<'a>) -> Result<(), MeshError<'a>> {
        self.path.push(segment).map_err(|_| self.refuse(Found::Object, "fewer objects in each other"))
    }
}

/// The value found where a list has one element too many.
pub(super) const MORE: Found<'static> = Found::Literal("more");

fn bit(place: u32) -> u32 {
    1_u32.checked_shl(place).unwrap_or(0)
}
