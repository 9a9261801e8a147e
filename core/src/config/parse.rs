//! Reads a file against the schema, without recursion.

use super::error::ConfigError;
use super::model::Config;
use super::raw::Raw;
use super::schema::{Kind, MISPLACED, Object, Objects, Refused, TOP};
use super::validate;
use crate::json::{Found, InPlace, MAX_DEPTH, MAX_PATH, ScanError, Scanner, Segment, Token, nearest};

impl<'a> Config<'a> {
    /// Parses and validates a file. The result borrows from `json`, in which text is decoded in place.
    ///
    /// # Errors
    /// The first error: its place, the value found, the value expected.
    pub fn parse(json: &'a mut [u8]) -> Result<Self, ConfigError<'a>> {
        let mut reader =
            Reader { scanner: Scanner::new(InPlace::new(json)), path: heapless::Vec::new(), raw: Raw::default() };
        reader.read()?;
        validate::config(&reader.raw)
    }
}

#[cfg(feature = "device")]
impl<'a> super::model::Device<'a> {
    /// Parses a file as [`Config::parse`] does, for a device: every key is read, but only the device's settings are
    /// validated. It is for a host, and for a device that reads text: the firmware reads octets
    /// ([`from_octets`](Self::from_octets)), and `edgetrust-hil image` validates the whole file by [`Config::parse`].
    ///
    /// # Errors
    /// As [`Config::parse`], and if there is no `device` section.
    pub fn parse(json: &'a mut [u8]) -> Result<Self, ConfigError<'a>> {
        let mut reader =
            Reader { scanner: Scanner::new(InPlace::new(json)), path: heapless::Vec::new(), raw: Raw::default() };
        reader.read()?;
        super::validate_device::required(&reader.raw)
    }
}

/// An object or a list of objects that has been entered.
enum Frame {
    Object { object: &'static Object, seen: u64, first: bool },
    Objects { list: &'static Objects, next: u16 },
}

type Frames = heapless::Vec<Frame, MAX_PATH>;

struct Reader<'a> {
    scanner: Scanner<InPlace<'a>>,
    path: heapless::Vec<Segment<'a>, MAX_PATH>,
    raw: Raw<'a>,
}

impl<'a> Reader<'a> {
    #[inline(never)]
    fn read(&mut self) -> Result<(), ConfigError<'a>> {
        let mut frames = Frames::new();
        let first = self.next()?;
        self.require(first, Token::ObjectStart, "{ at the beginning of the file")?;
        self.push(&mut frames, Frame::Object { object: &TOP, seen: 0, first: true })?;
        while let Some(frame) = frames.last_mut() {
            let entered = match frame {
                Frame::Object { object, seen, first } => self.member(object, seen, first)?,
                Frame::Objects { list, next } => self.element(list, next)?,
            };
            match entered {
                Step::Enter(frame) => self.push(&mut frames, frame)?,
                Step::Stay => {}
                Step::Leave => {
                    frames.pop();
                    self.path.pop();
                }
            }
        }
        let last = self.next()?;
        self.require(last, Token::End, "nothing after the last }")
    }

    /// Reads the next member of an object, or its end.
    #[inline(never)]
    fn member(&mut self, object: &'static Object, seen: &mut u64, first: &mut bool) -> Result<Step, ConfigError<'a>> {
        const KEY: &str = "a key in quotes";
        let mut token = self.next()?;
        if token == Token::ObjectEnd {
            return Ok(Step::Leave);
        }
        if !core::mem::replace(first, false) {
            self.require(token, Token::Comma, ", or }")?;
            token = self.next()?;
        }
        let Token::Text(key) = token else { return Err(self.refuse(token.found(), KEY)) };
        self.push_path(Segment::Key(key))?;
        let found = (0_u32..).zip(object.fields).find(|(_, field)| field.key == key);
        // Go ignores the case of keys: a key that SemStreams reads as a section of ours is refused, not ignored.
        let unknown = || !object.open || object.fields.iter().any(|field| field.key.eq_ignore_ascii_case(key));
        if found.is_none() && object.open && key.eq_ignore_ascii_case(MISPLACED) {
            return Err(self.refuse(Found::Text(key), "denied_keys in security.tls, where it has effect"));
        }
        if found.is_none() && unknown() {
            let mut error = self.refuse(Found::Text(key), "a known key");
            error.nearest = nearest(key, object.fields.iter().map(|field| field.key));
            return Err(error);
        }
        let bit = found.map_or(0, |(index, _)| 1_u64.checked_shl(index).unwrap_or(0));
        if *seen & bit != 0 {
            return Err(self.refuse(Found::Text(key), "each key once"));
        }
        *seen |= bit;
        if let (Some(on_key), Some((_, field))) = (object.on_key, found) {
            on_key(&mut self.raw, field.key);
        }
        let colon = self.next()?;
        self.require(colon, Token::Colon, ": after the key")?;
        let token = self.next()?;
        let step = match found {
            Some((_, field)) => self.value(token, &field.kind)?,
            None => {
                self.pass_over(token)?;
                Step::Stay
            }
        };
        if matches!(step, Step::Stay) {
            self.path.pop();
        }
        Ok(step)
    }

    /// Reads the next element of a list of objects, or its end.
    #[inline(never)]
    fn element(&mut self, list: &'static Objects, next: &mut u16) -> Result<Step, ConfigError<'a>> {
        let mut token = self.next()?;
        if token == Token::ArrayEnd {
            return Ok(Step::Leave);
        }
        if *next > 0 {
            self.require(token, Token::Comma, ", or ]")?;
            token = self.next()?;
        }
        self.push_path(Segment::Index(*next))?;
        *next = next.saturating_add(1);
        self.raw.offset = self.offset();
        if let (Some(text), Token::Text(found)) = (list.text, token) {
            text(&mut self.raw, found).map_err(|expected| self.refuse(token.found(), expected))?;
            self.path.pop();
            return Ok(Step::Stay);
        }
        self.require(token, Token::ObjectStart, list.element)?;
        (list.enter)(&mut self.raw).map_err(|expected| self.refuse(Found::Object, expected))?;
        Ok(Step::Enter(Frame::Object { object: list.object, seen: 0, first: true }))
    }

    #[inline(never)]
    fn value(&mut self, token: Token<'a>, kind: &'static Kind) -> Result<Step, ConfigError<'a>> {
        self.raw.offset = self.offset();
        let refused = match (kind, token) {
            (Kind::Bool(set), Token::True | Token::False) => {
                set(&mut self.raw, token == Token::True);
                Ok(())
            }
            (Kind::Text(set), Token::Text(text)) => set(&mut self.raw, text),
            (Kind::Number(set), Token::Number(number)) => match number.parse() {
                Ok(number) => set(&mut self.raw, number),
                Err(_) => Err("a whole number from 0 to 4294967295"),
            },
            (Kind::Texts(push) | Kind::Narrowing(push) | Kind::Rules(push), Token::ArrayStart) => {
                return self.texts(token, *push);
            }
            // Go writes an empty list as `null`.
            (Kind::Texts(_) | Kind::Objects(Objects { begin: None, .. }), Token::Null) => Ok(()),
            (Kind::Object(object, enter), Token::ObjectStart) => {
                enter(&mut self.raw).map_err(|expected| self.refuse(Found::Object, expected))?;
                return Ok(Step::Enter(Frame::Object { object, seen: 0, first: true }));
            }
            (Kind::Objects(list), Token::ArrayStart) => {
                if let Some(begin) = list.begin {
                    begin(&mut self.raw);
                }
                return Ok(Step::Enter(Frame::Objects { list, next: 0 }));
            }
            (Kind::Bool(_), _) => Err("true or false"),
            (Kind::Text(_), _) => Err("text in quotes"),
            (Kind::Number(_), _) => Err("a number"),
            (Kind::Texts(_), _) => Err("a list of texts"),
            (Kind::Narrowing(_), _) => Err("a list of texts; without this key any CA may issue"),
            (Kind::Rules(_), _) => Err("a list of texts: [] lets nobody in, and no list at all every verified client"),
            (Kind::Object(..), _) => Err("an object"),
            (Kind::Objects(Objects { begin: Some(_), .. }), _) => {
                Err("a list: [] lets nobody in, and no list at all every verified client")
            }
            (Kind::Objects(_), _) => Err("a list of objects"),
        };
        refused.map_err(|expected| self.refuse(token.found(), expected))?;
        Ok(Step::Stay)
    }

    fn texts(
        &mut self,
        start: Token<'a>,
        push: fn(&mut Raw<'a>, Option<&'a str>) -> Result<(), Refused>,
    ) -> Result<Step, ConfigError<'a>> {
        push(&mut self.raw, None).map_err(|expected| self.refuse(start.found(), expected))?;
        for index in 0_u16.. {
            let mut token = self.next()?;
            if token == Token::ArrayEnd && index == 0 {
                break;
            }
            self.push_path(Segment::Index(index))?;
            let refused = match token {
                Token::Text(text) => push(&mut self.raw, Some(text)),
                _ => Err("text in quotes"),
            };
            refused.map_err(|expected| self.refuse(token.found(), expected))?;
            self.path.pop();
            token = self.next()?;
            if token == Token::ArrayEnd {
                break;
            }
            self.require(token, Token::Comma, ", or ]")?;
        }
        Ok(Step::Stay)
    }

    /// Skips a value of another program.
    #[inline(never)]
    fn pass_over(&mut self, first: Token<'a>) -> Result<(), ConfigError<'a>> {
        // One bit for each open bracket: 1 is an object.
        let (mut open, mut depth) = (0_u128, 0_u32);
        let mut token = first;
        loop {
            let mut closed = !matches!(token, Token::ObjectStart | Token::ArrayStart);
            match token {
                Token::Text(_) | Token::Number(_) | Token::True | Token::False | Token::Null => {}
                Token::ObjectStart | Token::ArrayStart => {
                    if depth >= MAX_DEPTH {
                        return Err(self.refuse(token.found(), "at most 128 objects and lists in each other"));
                    }
                    let is_object = token == Token::ObjectStart;
                    open = open << 1 | u128::from(is_object);
                    depth = depth.saturating_add(1);
                    token = self.next()?;
                    if token == (if is_object { Token::ObjectEnd } else { Token::ArrayEnd }) {
                        open >>= 1;
                        depth = depth.saturating_sub(1);
                        closed = true;
                    } else if is_object {
                        token = self.key_of_other(token)?;
                    }
                }
                _ => return Err(self.refuse(token.found(), "a JSON value")),
            }
            while closed {
                if depth == 0 {
                    return Ok(());
                }
                let is_object = open & 1 == 1;
                token = self.next()?;
                match token {
                    Token::Comma => {
                        token = self.next()?;
                        if is_object {
                            token = self.key_of_other(token)?;
                        }
                        closed = false;
                    }
                    Token::ObjectEnd if is_object => {
                        open >>= 1;
                        depth = depth.saturating_sub(1);
                    }
                    Token::ArrayEnd if !is_object => {
                        open >>= 1;
                        depth = depth.saturating_sub(1);
                    }
                    _ => return Err(self.refuse(token.found(), if is_object { ", or }" } else { ", or ]" })),
                }
            }
        }
    }

    /// Requires that `token` is a key, and reads on to its value.
    fn key_of_other(&mut self, token: Token<'a>) -> Result<Token<'a>, ConfigError<'a>> {
        if !matches!(token, Token::Text(_)) {
            return Err(self.refuse(token.found(), "a key in quotes"));
        }
        let colon = self.next()?;
        self.require(colon, Token::Colon, ": after the key")?;
        self.next()
    }

    fn next(&mut self) -> Result<Token<'a>, ConfigError<'a>> {
        self.scanner.next().map_err(|ScanError { offset, found, expected }| ConfigError {
            offset: u32::try_from(offset).unwrap_or(u32::MAX),
            ..self.refuse(found, expected)
        })
    }

    fn require(&self, token: Token<'a>, wanted: Token<'a>, expected: &'static str) -> Result<(), ConfigError<'a>> {
        if token == wanted { Ok(()) } else { Err(self.refuse(token.found(), expected)) }
    }

    fn refuse(&self, found: Found<'a>, expected: &'static str) -> ConfigError<'a> {
        ConfigError { path: self.path.clone(), offset: self.offset(), found, expected, nearest: None }
    }

    fn offset(&self) -> u32 {
        u32::try_from(self.scanner.token_offset).unwrap_or(u32::MAX)
    }

    fn push_path(&mut self, segment: Segment<'a>) -> Result<(), ConfigError<'a>> {
        self.path.push(segment).map_err(|_| self.refuse(Found::Object, "fewer objects in each other"))
    }

    fn push(&self, frames: &mut Frames, frame: Frame) -> Result<(), ConfigError<'a>> {
        frames.push(frame).map_err(|_| self.refuse(Found::Object, "fewer objects in each other"))
    }
}

enum Step {
    Enter(Frame),
    Stay,
    Leave,
}
