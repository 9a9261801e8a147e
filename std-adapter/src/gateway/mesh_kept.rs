//! A signed mesh with its proof: judged when it is offered, and again when it is read from where it was kept.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use edgetrust_core::mesh::{Edition, InForce, Mesh, NotTaken, SignedMesh, Taken, scratch_length, takes};
use edgetrust_core::path::{Anchor, DeniedKey, Trust};
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::mesh_file::{decoded, is_unsigned};
use super::served_mesh::{MAX_RIVALS, ServedMesh, SignedText};
use crate::store::MeshFolder;
use crate::tls::{Described, provider};

/// The most denied keys of texts that lost against one of the same sequence. More of them come from a signer that is to
/// be replaced.
const MAX_ALSO_DENIED: usize = 4_096;

/// The content of the folder's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The signed mesh, as it was offered.
    signed: String,
    /// The time when it came into force, in seconds since 1970.
    taken: u64,
    /// The roots that proved it then, in base64.
    roots: Vec<String>,
    /// True if another text of the same sequence was offered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    disputed: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_denied: Vec<AlsoDenied>,
    /// The other texts, which are written and read here alone: [`Kept::rivals`] are these with their editions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rivals: Vec<Proof>,
}

/// A signed text of the same sequence, with what proved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    signed: String,
    taken: u64,
    roots: Vec<String>,
}

impl Proof {
    /// Proves the text again, as of the time when it was taken, by these denied keys too.
    fn prove(&self, denied: &[DeniedKey]) -> Result<Proved, String> {
        let roots = self.roots.iter().map(|root| BASE64_STANDARD.decode(root).map(CertificateDer::from));
        let roots: Vec<_> = roots.collect::<Result<_, _>>().map_err(|error| format!("roots: {error}"))?;
        let taken = UnixTime::since_unix_epoch(Duration::from_secs(self.taken));
        prove(self.signed.as_bytes(), None, &roots, denied, taken)
    }
}

/// Another text of the same sequence.
#[derive(Clone, Debug)]
struct Rival {
    text: SignedText,
    proof: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlsoDenied {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl AlsoDenied {
    fn key(&self) -> Option<DeniedKey> {
        let until = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        Some(DeniedKey { key: KeyHash::parse(&self.key)?, until: self.until.map(until) })
    }
}

impl From<DeniedKey> for AlsoDenied {
    fn from(denied: DeniedKey) -> Self {
        Self { key: denied.key.to_string(), until: denied.until.map(|until| until.as_secs()) }
    }
}

/// A signed mesh that came into force.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    record: Record,
    /// The octets of the mesh.
    payload: Vec<u8>,
    edition: Edition,
    /// Other texts of the same sequence, those of the highest digests first.
    rivals: Vec<Rival>,
}

/// The result of an offer that is no forgery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offered {
    /// It is kept, and comes into force with the next reload.
    Taken(Edition),
    /// It was in force already.
    InForce,
    /// It was in force once, or never will be.
    Older(String),
    /// Another text is signed with its sequence. True if the next reload brings something new by it.
    Conflict(bool),
}

impl Offered {
    /// Returns whether the next reload brings something new.
    pub fn is_news(&self) -> bool {
        matches!(self, Self::Taken(_) | Self::Conflict(true))
    }
}

/// A mesh whose signature holds.
struct Proved {
    payload: Vec<u8>,
    edition: Edition,
    /// The comparison with the mesh in force, or the reason why that one is higher.
    taken: Result<Taken, String>,
}

/// Proves a mesh by the roots that are held and by all keys that are denied, and compares it with the mesh in force.
fn prove(
    text: &[u8],
    in_force: Option<&Kept>,
    roots: &[CertificateDer<'_>],
    denied: &[DeniedKey],
    now: UnixTime,
) -> Result<Proved, String> {
    let anchors = anchors(roots)?;
    let algorithms = provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: denied, algorithms };
    let mut scratch = vec![0; scratch_length(text.len())];
    let signed = SignedMesh::verify(text, &mut scratch, &trust, now).map_err(|error| match is_unsigned(text) {
        true => "found a mesh that is not signed, expected the signed one: mesh.signed.json".to_owned(),
        false => error.to_string(),
    })?;
    let offer = signed.offer().map_err(|error| error.to_string())?;
    let before = in_force.map(Kept::mesh).transpose()?;
    let before =
        in_force.zip(before.as_ref()).map(|(in_force, mesh)| InForce { name: mesh.name(), edition: in_force.edition });
    let taken = match takes(before.as_ref(), &offer, &trust, now) {
        Ok(taken) => Ok(taken),
        Err(error @ NotTaken::Older { .. }) => Err(error.to_string()),
        Err(error) => return Err(error.to_string()),
    };
    Ok(Proved { payload: signed.payload().to_vec(), edition: offer.edition(), taken })
}

/// The members of a signed text: once it is proved it has these and no others.
#[derive(Serialize, Deserialize)]
struct Members {
    payload: String,
    protected: String,
    signature: String,
}

/// The header of a signed text.
#[derive(Deserialize)]
struct Protected {
    /// Certificates in DER, in base64, the signer's first (RFC 7515 section 4.1.6).
    x5c: Vec<String>,
}

/// Returns a text that is proved as `edgetrust federation` writes it. Spaces between its members are not signed, so that
/// whoever passes it on may add as many as fit.
fn canonical(text: &[u8]) -> Result<String, String> {
    let members: Members = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let text = serde_json::to_string_pretty(&members).map_err(|error| error.to_string())?;
    Ok(format!("{text}\n"))
}

impl Record {
    fn proof(&self) -> Proof {
        Proof { signed: self.signed.clone(), taken: self.taken, roots: self.roots.clone() }
    }

    fn new(text: &[u8], now: UnixTime, roots: &[CertificateDer<'_>]) -> Result<Self, String> {
        let signed = canonical(text)?;
        let roots = roots.iter().map(|root| BASE64_STANDARD.encode(root)).collect();
        Ok(Self { signed, taken: now.as_secs(), roots, disputed: false, also_denied: Vec::new(), rivals: Vec::new() })
    }
}

impl Kept {
    /// Takes the first mesh, which these roots prove.
    ///
    /// # Errors
    /// Returns why it is not taken.
    pub(crate) fn first(
        text: Vec<u8>,
        roots: &[CertificateDer<'_>],
        denied: &[DeniedKey],
        now: UnixTime,
    ) -> Result<Self, String> {
        let Proved { payload, edition, taken } = prove(&text, None, roots, denied, now)?;
        taken?;
        Ok(Self { record: Record::new(&text, now, roots)?, payload, edition, rivals: Vec::new() })
    }

    /// Returns the certificate of the signer.
    pub(super) fn signer(&self) -> Option<Described> {
        let Members { protected, .. } = serde_json::from_str(&self.record.signed).ok()?;
        let Protected { x5c } = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(protected).ok()?).ok()?;
        Described::of(&BASE64_STANDARD.decode(x5c.first()?).ok()?.into())
    }

    /// Offers another mesh, which the roots of this one have to prove. This value becomes what is in force afterwards.
    /// `denied` are the keys that the configuration denies.
    ///
    /// # Errors
    /// Returns why the offer is refused; nothing changes then.
    pub(crate) fn offer(&mut self, text: Vec<u8>, denied: &[DeniedKey], now: UnixTime) -> Result<Offered, String> {
        let roots: Vec<_> = self.mesh()?.roots().map(decoded).collect();
        let denied: Vec<DeniedKey> = self.denied().into_iter().chain(denied.iter().copied()).collect();
        let Proved { payload, edition, taken } = prove(&text, Some(self), &roots, &denied, now)?;
        let offered = || {
            let record = Record::new(&text, now, &roots)?;
            Ok::<_, String>(Self { record, payload, edition, rivals: Vec::new() })
        };
        match taken {
            Err(older) => Ok(Offered::Older(older)),
            Ok(Taken::InForce) => Ok(Offered::InForce),
            Ok(Taken::Newer) => {
                *self = offered()?;
                Ok(Offered::Taken(edition))
            }
            Ok(Taken::Conflict { .. }) if self.rivals.iter().any(|rival| rival.text.edition == edition) => {
                Ok(Offered::Conflict(false))
            }
            Ok(Taken::Conflict { offer_wins }) => {
                let offered = offered()?;
                Ok(Offered::Conflict(self.join(offered, offer_wins)))
            }
        }
    }

    /// Reads what [`Kept::write`] has written, and proves it again as of the time when it came into force: its signer may
    /// have expired, or been denied, since.
    ///
    /// # Errors
    /// Returns what is wrong with it.
    pub(super) fn read(octets: &[u8]) -> Result<Self, String> {
        let mut record: Record = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
        let Proved { payload, edition, .. } = record.proof().prove(&[])?;
        let proofs = std::mem::take(&mut record.rivals);
        let mut kept = Self { record, payload, edition, rivals: Vec::new() };
        for proof in proofs {
            // What they deny is kept apart: one that is not proved any more is only no longer shown.
            let Ok(Proved { edition, .. }) = proof.prove(&[]) else { continue };
            kept.add_rival(Rival { text: SignedText { text: Arc::from(proof.signed.as_str()), edition }, proof });
        }
        Ok(kept)
    }

    /// Writes the mesh with its proof.
    ///
    /// # Errors
    /// Returns why it cannot be kept.
    pub(crate) fn write(&self, folder: &MeshFolder) -> Result<(), String> {
        let rivals = self.rivals.iter().map(|rival| rival.proof.clone()).collect();
        let record = Record { rivals, ..self.record.clone() };
        let octets = serde_json::to_vec(&record).map_err(|error| error.to_string())?;
        folder.write(&octets).map_err(|error| error.to_string())
    }

    /// Parses the mesh.
    fn mesh(&self) -> Result<Mesh<'_>, String> {
        Mesh::parse(&self.payload).map_err(|error| error.to_string())
    }

    /// Returns the octets of the mesh.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Returns the signed text, as it was offered.
    pub(crate) fn signed(&self) -> &str {
        &self.record.signed
    }

    fn signed_text(&self) -> SignedText {
        SignedText { text: Arc::from(self.signed()), edition: self.edition }
    }

    /// Returns what other gateways see.
    pub(super) fn served(&self) -> ServedMesh {
        let rivals = self.rivals.iter().map(|rival| rival.text.clone()).collect();
        ServedMesh { in_force: self.signed_text(), rivals }
    }

    /// Joins another text of the same sequence; returns whether anything is new by it.
    fn join(&mut self, mut other: Self, other_wins: bool) -> bool {
        let said = |kept: &Self| {
            let rivals: Vec<_> = kept.rivals.iter().map(|rival| rival.text.edition).collect();
            (kept.edition, kept.record.disputed, kept.record.also_denied.len(), rivals)
        };
        let before = said(self);
        // A text does not count whose signer another one denies. Neither the order nor the digests decide that.
        let is_denied = self.record.proof().prove(&other.denied()).is_err();
        if other_wins || is_denied {
            std::mem::swap(self, &mut other);
        }
        self.record.disputed = true;
        let rivals = std::mem::take(&mut other.rivals);
        if is_denied {
            self.also_deny(other.also_denied());
        } else {
            self.also_deny(other.denied().into_iter());
            self.add_rival(Rival { text: other.signed_text(), proof: other.record.proof() });
        }
        rivals.into_iter().for_each(|rival| self.add_rival(rival));
        let denied = self.denied();
        self.rivals.retain(|rival| rival.proof.prove(&denied).is_ok());
        before != said(self)
    }

    /// Adds another text of the same sequence; of too many, all gateways keep the same ones.
    fn add_rival(&mut self, rival: Rival) {
        let of = |edition: Edition| (edition.generation, edition.sequence);
        let edition = rival.text.edition;
        let is_rival = of(edition) == of(self.edition) && edition != self.edition;
        if is_rival && self.rivals.iter().all(|known| known.text.edition != edition) {
            self.rivals.push(rival);
            self.rivals.sort_unstable_by_key(|rival| std::cmp::Reverse(rival.text.edition));
            self.rivals.truncate(MAX_RIVALS);
        }
    }

    pub(crate) fn edition(&self) -> Edition {
        self.edition
    }

    /// Returns whether another text of the same sequence was offered.
    pub(super) fn is_disputed(&self) -> bool {
        self.record.disputed
    }

    /// Returns whether both are one text with the same denials.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let same_rivals =
            || self.rivals.iter().map(|it| it.text.edition).eq(other.rivals.iter().map(|it| it.text.edition));
        self.edition == other.edition && self.record.also_denied == other.record.also_denied && same_rivals()
    }

    /// Returns the keys that other texts of the same sequence deny.
    pub(super) fn also_denied(&self) -> impl Iterator<Item = DeniedKey> {
        self.record.also_denied.iter().filter_map(AlsoDenied::key)
    }

    /// Returns all keys that are denied while this mesh is in force.
    pub(crate) fn denied(&self) -> Vec<DeniedKey> {
        // It parsed when it was proved.
        let mesh = self.mesh().ok();
        let own = mesh.iter().flat_map(Mesh::denied_keys).map(DeniedKey::from);
        own.chain(self.also_denied()).collect()
    }

    /// Denies what another text of the same sequence denies.
    fn also_deny(&mut self, denied: impl Iterator<Item = DeniedKey>) {
        let mut known: HashSet<AlsoDenied> = self.record.also_denied.iter().cloned().collect();
        for denied in denied.map(AlsoDenied::from) {
            if self.record.also_denied.len() < MAX_ALSO_DENIED && known.insert(denied.clone()) {
                self.record.also_denied.push(denied);
            }
        }
    }

    /// Returns the time at which it came into force first.
    pub(super) fn taken(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.record.taken))
    }

    /// Returns the end of the mesh once a third of its time is left.
    pub(super) fn ends(&self, now: UnixTime) -> Option<UnixTime> {
        let end = self.mesh().ok()?.not_after()?;
        let left = end.as_secs().saturating_sub(now.as_secs());
        (left < end.as_secs().saturating_sub(self.record.taken) / 3).then_some(end)
    }
}

fn anchors<'r>(roots: &'r [CertificateDer<'_>]) -> Result<Vec<Anchor<'r>>, String> {
    let anchor = |root: &'r CertificateDer<'_>| Certificate::from_der(root).map(Anchor::ca);
    roots.iter().map(anchor).collect::<Result<_, _>>().map_err(|error| format!("a root: {error}"))
}
