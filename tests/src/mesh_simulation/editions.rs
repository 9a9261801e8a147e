//! The meshes of a run, and all real verdicts on them and by them, each made once.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgetrust::program::mesh::{Caller, ControlState, Fleet, Held, Leaf, Offered, control};
use edgetrust_core::x509::{KeyHash, ParseError};

use super::Failure;
use crate::chains::key_hash;

/// The number of a state that a gateway has in force: a text, and the denials of other texts of the same sequence.
pub type HeldNumber = usize;
/// A signed text.
pub type TextNumber = usize;

/// A state of a gateway that was come to.
struct Known {
    held: Held,
    text: TextNumber,
    control: Arc<ControlState>,
    callers: HashMap<usize, Option<Caller>>,
}

/// The verdict on an offer, and what is in force then.
pub type Judged = (Result<Offered, String>, HeldNumber);

/// All meshes of a run.
pub struct Editions {
    folder: PathBuf,
    roots: PathBuf,
    leafs: Vec<Leaf>,
    texts: Vec<String>,
    known: Vec<Known>,
    judged: HashMap<(HeldNumber, TextNumber), Judged>,
    /// The longest time for a real verdict on an offer, and for a real load.
    pub longest: [Duration; 2],
}

impl Editions {
    /// Begins with the signed mesh of a fleet, in a folder for the configuration of one gateway.
    pub fn new(fleet: &Fleet, made: &Path, folder: &Path, sites: usize) -> Result<Self, Failure> {
        let leafs: Vec<Leaf> = (0..sites).map(|site| fleet.leaf(site)).collect::<Result<_, _>>()?;
        let (roots, signed) = Fleet::files(made);
        let first = leafs.first().ok_or("found no site")?;
        write(&folder.join("gateway.key"), &first.key)?;
        write(&folder.join("gateway.pem"), &first.chain.iter().map(|der| pem(der)).collect::<String>())?;
        write(&folder.join("gateway.json"), &configuration(&roots))?;
        let mut editions = Self {
            folder: folder.to_owned(),
            roots,
            leafs,
            texts: Vec::new(),
            known: Vec::new(),
            judged: HashMap::new(),
            longest: [Duration::ZERO; 2],
        };
        let text = editions.add(&signed)?;
        let held = Held::first(&editions.texts[text], &editions.roots)?;
        editions.note(held)?;
        Ok(editions)
    }

    /// Adds a signed file.
    pub fn add(&mut self, signed: &Path) -> Result<TextNumber, Failure> {
        let text = fs::read_to_string(signed).map_err(|error| format!("{}: {error}", signed.display()))?;
        self.texts.push(text);
        Ok(self.texts.len() - 1)
    }

    /// Returns the number of octets of a text.
    pub fn octets(&self, text: TextNumber) -> u64 {
        self.texts[text].len() as u64
    }

    /// Returns the text that a gateway with this in force shows.
    pub fn text(&self, held: HeldNumber) -> TextNumber {
        self.known[held].text
    }

    /// Returns the number of a text that was added.
    pub fn number(&self, text: &str) -> TextNumber {
        self.texts.iter().position(|known| known == text).expect("a text of this run")
    }

    /// Returns the channel of a gateway with this in force.
    pub fn control(&self, held: HeldNumber) -> &Arc<ControlState> {
        &self.known[held].control
    }

    /// Returns what a gateway has in force.
    pub fn held(&self, held: HeldNumber) -> &Held {
        &self.known[held].held
    }

    /// Returns the hash of the key of a site's gateway.
    pub fn key(&self, site: usize) -> Result<KeyHash, ParseError> {
        key_hash(&self.leafs[site].chain[0])
    }

    /// Judges an offer.
    pub fn judge(&mut self, held: HeldNumber, text: TextNumber) -> Judged {
        if let Some(judged) = self.judged.get(&(held, text)) {
            return judged.clone();
        }
        let (mut after, since) = (self.known[held].held.clone(), Instant::now());
        let verdict = after.offer(&self.texts[text]).map_err(|error| error.to_string());
        self.longest[0] = self.longest[0].max(since.elapsed());
        let changed = verdict.as_ref().is_ok_and(|offered| !matches!(offered, Offered::InForce | Offered::Older(_)));
        let after = if changed { self.note(after).expect("what was taken can be loaded") } else { held };
        self.judged.insert((held, text), (verdict.clone(), after));
        (verdict, after)
    }

    /// Returns who a site's gateway is for a gateway with this in force; none if it is refused.
    pub fn caller(&mut self, held: HeldNumber, site: usize) -> Option<Caller> {
        let (known, leafs) = (&mut self.known[held], &self.leafs);
        let judge = || Caller::of(&known.control, &leafs[site].chain).ok();
        known.callers.entry(site).or_insert_with(judge).clone()
    }

    /// Notes what a gateway has in force, and loads it as a gateway does.
    fn note(&mut self, held: Held) -> Result<HeldNumber, Failure> {
        let denied = |held: &Held| {
            let mut denied = held.denied();
            denied.sort_unstable();
            denied
        };
        let same = |known: &Known| known.held.is(&held) && denied(&known.held) == denied(&held);
        if let Some(known) = self.known.iter().position(same) {
            return Ok(known);
        }
        let text = self.texts.iter().position(|text| text == held.signed()).ok_or("found an unknown text")?;
        held.keep(&self.folder.join("kept"))?;
        let since = Instant::now();
        let control = control(&self.folder.join("gateway.json"))?;
        self.longest[1] = self.longest[1].max(since.elapsed());
        self.known.push(Known { held, text, control, callers: HashMap::new() });
        Ok(self.known.len() - 1)
    }
}

/// Returns the configuration of the gateway of site 0, whose mesh is in `kept`.
fn configuration(roots: &Path) -> String {
    let roots = serde_json::Value::from(roots.to_string_lossy());
    format!(
        r#"{{"security": {{"tls": {{"server": {{"enabled": true, "min_version": "1.3",
            "cert_file": "gateway.pem", "key_file": "gateway.key", "mtls": {{"enabled": true}}}}}}}},
          "gateway": {{"mesh": {{"file": "none.json", "site": "{}", "storage_path": "kept", "ca_bundle": {roots}}},
            "tunnels": [{{"name": "feed-in", "mode": "server", "service": "feed", "listen": "127.0.0.1:0",
              "target": "127.0.0.1:1"}}]}}}}"#,
        Fleet::site(0)
    )
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let made = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file);
    made.and_then(|mut made| made.write_all(text.as_bytes())).map_err(|error| format!("{}: {error}", file.display()))
}
