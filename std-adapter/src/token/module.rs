//! Finds keys and signs in a PKCS #11 module. Runs in the helper alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism as Ck, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::{AuthPin, Ulong};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::der::{integer, value};
use super::message::{Answer, Hash, KeyKind, Mechanism, Work};
use super::uri::{KeyUri, hex};

/// The longest PIN, in octets.
const MAX_PIN: u64 = 256;

/// The most names that a message lists.
const MAX_LISTED: usize = 8;

/// The fewest bits of an RSA key, as core takes them in certificates.
const MIN_RSA_BITS: usize = 2048;

/// secp256r1 and secp384r1 as OBJECT IDENTIFIER (RFC 5480 section 2.1.1.1)
const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const P384: [u8; 7] = [6, 5, 0x2b, 0x81, 4, 0, 0x22];

/// The reason that a request fails.
enum Fault {
    /// It fails again if it is repeated.
    Refused(String),
    /// The PIN is a wrong one.
    PinRefused(String),
    /// The token may come back.
    Lost(String),
}

impl Fault {
    /// Returns the fault of a call.
    fn of(doing: &'static str) -> impl FnOnce(Error) -> Self {
        move |error| Self::Lost(format!("{doing}: {}", said(&error)))
    }
}

/// Returns an error of the module by the name of its code.
fn said(error: &Error) -> String {
    match error {
        Error::Pkcs11(code, function) => format!("the module answers {code:?} to C_{function:?}"),
        other => other.to_string(),
    }
}

/// A loaded module.
pub(super) struct Module {
    context: Pkcs11,
    /// The tokens, and the digests of the PINs that they have refused. Tokens lock themselves after a few tries.
    refused: Mutex<BTreeSet<(u64, [u8; 32])>>,
    /// Grows when a key is looked for again.
    generation: AtomicU64,
}

/// A key that was found, with the session that signs.
struct Key {
    session: Session,
    handle: ObjectHandle,
    kind: KeyKind,
    public: Option<Vec<u8>>,
    generation: u64,
}

/// The keys that one thread of the helper has found, by their URIs.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<String, Key>);

impl Module {
    /// Loads a module.
    ///
    /// # Errors
    /// Fails if the file cannot be loaded, or is no PKCS #11 module.
    pub(super) fn load(file: &Path) -> Result<Self, String> {
        let failed = |error: Error| match error {
            Error::LibraryLoading(error) => format!("cannot be loaded: {error}"),
            Error::MissingSymbol(symbol) => format!("found no {symbol} in it, expected a PKCS #11 module"),
            error => format!("cannot be used: {}", said(&error)),
        };
        let failed = |error| format!("module-path: {}: {}", file.display(), failed(error));
        let context = Pkcs11::new(file).map_err(failed)?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(failed)?;
        Ok(Self { context, refused: Mutex::default(), generation: AtomicU64::new(0) })
    }

    /// Does what a request asks.
    pub(super) fn answer(&self, keys: &mut Keys, uri: &str, work: &Work) -> Answer {
        let done = KeyUri::parse(uri).map_err(|error| Fault::Refused(error.to_string())).and_then(|uri| match work {
            Work::Find => self.find_anew(keys, &uri),
            Work::Sign(mechanism, data) => {
                // A session or a handle may have ended since the last signature.
                self.sign(keys, &uri, *mechanism, data).or_else(|_| {
                    keys.0.remove(uri.text());
                    self.sign(keys, &uri, *mechanism, data)
                })
            }
        });
        done.unwrap_or_else(|fault| match fault {
            Fault::Refused(reason) => Answer::Refused(reason),
            Fault::PinRefused(reason) => Answer::PinRefused(reason),
            Fault::Lost(reason) => Answer::Lost(reason),
        })
    }

    fn find_anew(&self, keys: &mut Keys, uri: &KeyUri) -> Result<Answer, Fault> {
        // Other threads find it again too.
        self.generation.fetch_add(1, Ordering::AcqRel);
        keys.0.remove(uri.text());
        let key = self.key(keys, uri)?;
        Ok(Answer::Found(key.kind, key.public.clone()))
    }

    fn sign(&self, keys: &mut Keys, uri: &KeyUri, mechanism: Mechanism, data: &[u8]) -> Result<Answer, Fault> {
        let key = self.key(keys, uri)?;
        let signed = key.session.sign(&ck(mechanism), key.handle, data);
        signed.map(Answer::Signature).map_err(Fault::of("the signature"))
    }

    /// Returns a key that was found since it was last asked for anew, or finds it.
    fn key<'k>(&self, keys: &'k mut Keys, uri: &KeyUri) -> Result<&'k Key, Fault> {
        let generation = self.generation.load(Ordering::Acquire);
        keys.0.retain(|_, key| key.generation == generation);
        if !keys.0.contains_key(uri.text()) {
            let key = self.find(uri, generation)?;
            keys.0.insert(uri.text().to_owned(), key);
        }
        keys.0.get(uri.text()).ok_or_else(|| Fault::Lost("the key was not kept".to_owned()))
    }

    fn find(&self, uri: &KeyUri, generation: u64) -> Result<Key, Fault> {
        let (slot, info) = self.token(uri)?;
        let session = self.context.open_ro_session(slot).map_err(Fault::of("the session"))?;
        self.login(&session, slot, &info, uri)?;
        let handle = find_private(&session, uri)?;
        let (kind, public) = describe(&session, handle)?;
        Ok(Key { session, handle, kind, public, generation })
    }

    /// Returns the token that a URI names.
    fn token(&self, uri: &KeyUri) -> Result<(Slot, TokenInfo), Fault> {
        let slots = self.context.get_slots_with_initialized_token().map_err(Fault::of("the list of tokens"))?;
        let mut tokens: Vec<(Slot, TokenInfo)> = Vec::new();
        for slot in slots {
            // A token may leave in between.
            tokens.extend(self.context.get_token_info(slot).ok().map(|info| (slot, info)));
        }
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let fits = |info: &TokenInfo| {
            is(&uri.token, info.label())
                && is(&uri.serial, info.serial_number())
                && is(&uri.model, info.model())
                && is(&uri.manufacturer, info.manufacturer_id())
        };
        let labels =
            list(tokens.iter().map(|(_, info)| format!("{:?} with serial {:?}", info.label(), info.serial_number())));
        let mut fitting = tokens.into_iter().filter(|(_, info)| fits(info));
        match (fitting.next(), fitting.next()) {
            (Some(token), None) => Ok(token),
            (None, _) => Err(Fault::Lost(format!("found no such token, but {labels}"))),
            (Some(_), Some(_)) => Err(Fault::Refused(format!(
                "found more than one such token among {labels}, expected one: add its serial"
            ))),
        }
    }

    /// Logs in once for all sessions with the token.
    fn login(&self, session: &Session, slot: Slot, info: &TokenInfo, uri: &KeyUri) -> Result<(), Fault> {
        // One at a time: four threads with a wrong PIN would use up the tries of a token.
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = uri.pin_file() else {
            if info.login_required() {
                return Err(Fault::Refused("the token asks for a PIN, expected pin-source in the URI".to_owned()));
            }
            return Ok(());
        };
        let again = "it is not tried again, since a token locks itself: correct the file";
        let pin =
            read_pin(file).map_err(|reason| Fault::Refused(format!("pin-source: {}: {reason}", file.display())))?;
        let known = (slot.id(), Sha256::digest(pin.as_bytes()).into());
        if refused.contains(&known) {
            return Err(Fault::PinRefused(format!(
                "pin-source: {}: the token has refused the PIN; {again}",
                file.display()
            )));
        }
        if info.user_pin_locked() {
            return Err(Fault::Refused("the token has locked its PIN after too many tries".to_owned()));
        }
        if info.user_pin_final_try() {
            let reason = "the token has one try left for its PIN, which is left to its operator: log in once by hand";
            return Err(Fault::Refused(reason.to_owned()));
        }
        match session.login(UserType::User, Some(&AuthPin::from(pin.as_str().to_owned()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(
                code @ (RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange | RvError::PinLocked),
                _,
            )) => {
                refused.insert(known);
                let file = file.display();
                Err(Fault::PinRefused(format!("pin-source: {file}: the token refuses the PIN ({code:?}); {again}")))
            }
            Err(error) => Err(Fault::of("the login")(error)),
        }
    }
}

/// Reads the first line of a file.
fn read_pin(file: &Path) -> Result<Zeroizing<String>, String> {
    let mut text = Zeroizing::new(String::new());
    let opened = File::open(file).map_err(|error| format!("cannot be read: {error}"))?;
    opened
        .take(MAX_PIN.saturating_add(1))
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    let line = text.lines().next().unwrap_or_default();
    match line.len() {
        0 => Err("found an empty first line, expected a PIN".to_owned()),
        length if length as u64 > MAX_PIN => Err(format!("found more than {MAX_PIN} octets, expected a PIN")),
        _ => Ok(Zeroizing::new(line.to_owned())),
    }
}

/// Returns the private key that a URI names.
fn find_private(session: &Session, uri: &KeyUri) -> Result<ObjectHandle, Fault> {
    let mut wanted = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    wanted.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    wanted.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let found = session.find_objects(&wanted).map_err(Fault::of("the search for the key"))?;
    match found.as_slice() {
        [key] => Ok(*key),
        [] => {
            let all = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)]);
            let all = all.map_err(Fault::of("the search for keys"))?;
            let others = list(all.iter().map(|key| named(session, *key)));
            Err(Fault::Lost(format!("found no such private key in the token, but {others}")))
        }
        many => {
            let many = list(many.iter().map(|key| named(session, *key)));
            Err(Fault::Refused(format!("found more than one such private key: {many}, expected one: add its id")))
        }
    }
}

/// Returns label and ID of an object.
fn named(session: &Session, object: ObjectHandle) -> String {
    let attributes = session.get_attributes(object, &[AttributeType::Label, AttributeType::Id]).unwrap_or_default();
    let named = attributes.iter().filter_map(|attribute| match attribute {
        Attribute::Label(label) => Some(format!("{:?}", String::from_utf8_lossy(label))),
        Attribute::Id(id) if !id.is_empty() => Some(format!("with id {}", hex(id))),
        _ => None,
    });
    named.collect::<Vec<_>>().join(" ")
}

/// Joins names for a message.
fn list(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = names.collect();
    let more = names.len().saturating_sub(MAX_LISTED);
    names.truncate(MAX_LISTED);
    match (names.is_empty(), more) {
        (true, _) => "none at all".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// Returns what a private key is, and its public key if the token tells it.
fn describe(session: &Session, key: ObjectHandle) -> Result<(KeyKind, Option<Vec<u8>>), Fault> {
    let wanted = [
        AttributeType::KeyType,
        AttributeType::Sign,
        AttributeType::AlwaysAuthenticate,
        AttributeType::EcParams,
        AttributeType::Modulus,
        AttributeType::PublicExponent,
        AttributeType::Id,
        AttributeType::Label,
    ];
    let of_key = session.get_attributes(key, &wanted).map_err(Fault::of("the key's attributes"))?;
    if of_key.contains(&Attribute::Sign(false)) {
        return Err(Fault::Refused("the key may not sign (CKA_SIGN), expected one that may".to_owned()));
    }
    if of_key.contains(&Attribute::AlwaysAuthenticate(true)) {
        let reason =
            "the key asks for its PIN before each signature (CKA_ALWAYS_AUTHENTICATE), expected one that does not";
        return Err(Fault::Refused(reason.to_owned()));
    }
    let of_public = public_attributes(session, &of_key)?;
    let expected = "expected P-256, P-384 or RSA with at least 2048 bits";
    let other = |found: String| Err(Fault::Refused(format!("found {found}, {expected}")));
    let key_type = of_key.iter().find_map(|attribute| match attribute {
        Attribute::KeyType(key_type) => Some(*key_type),
        _ => None,
    });
    let ec_params = of_key.iter().chain(&of_public).find_map(|attribute| match attribute {
        Attribute::EcParams(params) => Some(params.as_slice()),
        _ => None,
    });
    let modulus = of_key.iter().chain(&of_public).find_map(|attribute| match attribute {
        Attribute::Modulus(modulus) => Some(modulus.as_slice()),
        _ => None,
    });
    match key_type {
        Some(KeyType::EC) => {
            let kind = match ec_params {
                Some(params) if params == P256 => KeyKind::P256,
                Some(params) if params == P384 => KeyKind::P384,
                Some(params) => return other(format!("a key of the curve {}", hex(params))),
                None => return other("a key of an unknown curve".to_owned()),
            };
            let point = of_public.iter().find_map(|attribute| match attribute {
                Attribute::EcPoint(point) => Some(bare_point(point)),
                _ => None,
            });
            Ok((kind, point.map(<[u8]>::to_vec)))
        }
        Some(KeyType::RSA) => {
            let Some(modulus) = modulus else { return other("an RSA key of unknown length".to_owned()) };
            let zeros: usize = modulus.iter().take_while(|octet| **octet == 0).count();
            let first = modulus.get(zeros).map_or(0, |first| first.leading_zeros() as usize);
            let bits = modulus.len().saturating_sub(zeros).saturating_mul(8).saturating_sub(first);
            if bits < MIN_RSA_BITS {
                return other(format!("RSA with {bits} bits"));
            }
            let exponent = of_key.iter().chain(&of_public).find_map(|attribute| match attribute {
                Attribute::PublicExponent(exponent) if !exponent.is_empty() => Some(exponent),
                _ => None,
            });
            let numbers = exponent.map(|exponent| value(0x30, &[integer(modulus), integer(exponent)].concat()));
            Ok((KeyKind::Rsa, numbers))
        }
        Some(found) => other(format!("a key of the type {found}")),
        None => other("a key of an unknown type".to_owned()),
    }
}

/// Returns the attributes of the public key beside a private key; none if the token does not keep it.
fn public_attributes(session: &Session, private: &[Attribute]) -> Result<Vec<Attribute>, Fault> {
    let id = private.iter().find(|attribute| matches!(attribute, Attribute::Id(id) if !id.is_empty()));
    let label = private.iter().find(|attribute| matches!(attribute, Attribute::Label(label) if !label.is_empty()));
    let Some(same) = id.or(label) else { return Ok(Vec::new()) };
    let found = session.find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY), same.clone()]);
    let [public] = *found.map_err(Fault::of("the search for the public key"))? else { return Ok(Vec::new()) };
    let wanted =
        [AttributeType::EcParams, AttributeType::EcPoint, AttributeType::Modulus, AttributeType::PublicExponent];
    session.get_attributes(public, &wanted).map_err(Fault::of("the public key's attributes"))
}

/// Returns a point without the OCTET STRING around it, which PKCS #11 asks for and some modules leave out.
fn bare_point(point: &[u8]) -> &[u8] {
    match point {
        [4, length, rest @ ..] if usize::from(*length) == rest.len() => rest,
        [4, 0x81, length, rest @ ..] if usize::from(*length) == rest.len() => rest,
        bare => bare,
    }
}

/// Returns a mechanism as the module takes it.
fn ck(mechanism: Mechanism) -> Ck<'static> {
    // CK_ULONG is as wide as a pointer.
    let pss = |hash_alg, mgf, length: <Ulong as Deref>::Target| {
        Ck::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len: length.into() })
    };
    match mechanism {
        Mechanism::Ecdsa => Ck::Ecdsa,
        Mechanism::RsaPkcs1 => Ck::RsaPkcs,
        Mechanism::RsaPss(Hash::Sha256) => pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        Mechanism::RsaPss(Hash::Sha384) => pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Mechanism::RsaPss(Hash::Sha512) => pss(MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    }
}
