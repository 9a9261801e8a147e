//! Decides which signed mesh is in force: the one that was kept, or the one that the mesh file offers.
//!
//! | kept | offered | in force | kept afterwards |
//! |---|---|---|---|
//! | nothing | proved by `ca_bundle` | the offered one | the offered one |
//! | nothing | refused | none: an error | nothing |
//! | a mesh | a higher edition, proved by the roots of the kept one | the offered one | the offered one |
//! | a mesh | the same, or a lower edition, or refused, or no file | the kept one | the kept one |
//! | a mesh | the same sequence and generation, another text | the one with the higher digest, and the denials of both | both denials |

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::config::SignedFile;
use edgetrust_core::mesh::{
    Edition, InForce, MAX_SIGNED_MESH, Mesh, NotTaken, SignedMesh, Taken, scratch_length, takes,
};
use edgetrust_core::path::{Anchor, DeniedKey, Trust};
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::Watched;
use super::mesh_file::{self, MeshFileError, decoded};
use crate::store::MeshFolder;
use crate::tls::provider;
use crate::{clock, pem};

/// The most denied keys of texts that lost against one of the same sequence. More of them come from a signer that is to
/// be replaced.
const MAX_ALSO_DENIED: usize = 4_096;

/// Whether the mesh in force is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// By a gateway that runs.
    Yes,
    /// By a command that says what a gateway would do.
    No,
}

/// The signed mesh in force.
#[derive(Debug)]
pub(super) struct MeshInForce {
    /// The octets of the mesh.
    pub(super) payload: Vec<u8>,
    pub(super) edition: Edition,
    /// The keys that other texts of the same sequence deny.
    pub(super) also_denied: Vec<DeniedKey>,
    /// What somebody should hear of it.
    pub(super) remarks: Vec<MeshRemark>,
}

/// What there is to say of the mesh in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MeshRemark {
    /// Another mesh has come into force.
    Taken(Edition),
    /// The file has a lower edition than the mesh in force.
    Older(String),
    /// The file is refused, and the mesh in force stays.
    Refused(String),
    /// Two texts are signed with one sequence: that in force, and another one.
    Conflict(Edition),
    /// The mesh in force could not be kept.
    NotKept(String),
    /// The mesh in force ends soon, or has ended: no gateway takes it any more that does not have it.
    Ends(UnixTime),
}

impl fmt::Display for MeshRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(edition) => write!(f, "another mesh is in force: {edition}"),
            Self::Older(reason) => write!(f, "the mesh file is older than the mesh in force: {reason}"),
            Self::Refused(reason) => write!(f, "the mesh file is not taken, and the mesh in force stays: {reason}"),
            Self::Conflict(edition) => write!(
                f,
                "two meshes are signed as {edition}: both hold in what they deny, until one of a higher sequence is signed"
            ),
            Self::NotKept(reason) => write!(f, "the mesh in force cannot be kept: {reason}"),
            Self::Ends(end) => write!(f, "the mesh in force can be taken until {}: sign it again", Utc(*end)),
        }
    }
}

/// What the folder keeps.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The signed mesh, as it was offered.
    signed: String,
    /// When it came into force, in seconds since 1970.
    taken: u64,
    /// The roots that proved it then, in base64.
    roots: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    also_denied: Vec<AlsoDenied>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlsoDenied {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl AlsoDenied {
    fn key(&self) -> Option<DeniedKey> {
        let until = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        Some(DeniedKey { key: KeyHash::parse(&self.key)?, until: self.until.map(until) })
    }
}

impl From<DeniedKey> for AlsoDenied {
    fn from(denied: DeniedKey) -> Self {
        Self { key: denied.key.to_string(), until: denied.until.map(|until| until.as_secs()) }
    }
}

/// A mesh whose signature holds.
struct Proved {
    payload: Vec<u8>,
    edition: Edition,
}

/// A record with its mesh.
struct Kept {
    record: Record,
    proved: Proved,
}

/// Returns the mesh in force, after a look at the file, which is noted in `watched` first. `denied` are the keys that the
/// configuration denies.
///
/// # Errors
/// Fails if no mesh is in force and the file is refused, or the folder of the mesh in force cannot be used.
pub(super) fn in_force(
    file: &Path,
    settings: &SignedFile<'_>,
    denied: &[DeniedKey],
    watched: &mut Watched,
    keep: Keep,
) -> Result<MeshInForce, MeshFileError> {
    watched.note(file);
    let storage = Path::new(settings.storage_path);
    let folder = match keep {
        Keep::Yes => MeshFolder::hold(storage).map_err(MeshFileError::Storage)?,
        Keep::No => MeshFolder::view(storage),
    };
    let kept = folder.read().map_err(MeshFileError::Storage)?;
    let kept = kept.map(|octets| Kept::parse(&octets));
    let kept = kept.transpose().map_err(|reason| {
        let again = "remove this file, and the mesh file counts again as for a new gateway";
        MeshFileError::Refused(folder.file(), format!("{reason}; {again}"))
    })?;
    let now = clock::now();
    let roots = match &kept {
        Some(kept) => roots_of(&kept.proved.payload).map_err(|reason| MeshFileError::Refused(folder.file(), reason))?,
        None => {
            let bundle = Path::new(settings.ca_bundle);
            watched.note(bundle);
            pem::read_certificates(bundle).map_err(MeshFileError::Roots)?
        }
    };
    let mut denied = denied.to_vec();
    denied.extend(kept.iter().flat_map(Kept::denied));
    let offered = mesh_file::read(file, MAX_SIGNED_MESH);
    let judged = offered.and_then(|text| {
        let refused = |reason| MeshFileError::Refused(file.to_owned(), reason);
        let judged = judge(&text, kept.as_ref().map(|kept| &kept.proved), &roots, &denied, now).map_err(refused)?;
        let text = String::from_utf8(text).map_err(|error| refused(error.to_string()))?;
        Ok((text, judged))
    });
    let mut remarks = Vec::new();
    let (next, changed) = match (judged, kept) {
        (Err(error), None) => return Err(error),
        (Err(error), Some(kept)) => {
            remarks.push(MeshRemark::Refused(error.to_string()));
            (kept, false)
        }
        (Ok((_, Judged::Older(reason))), None) => return Err(MeshFileError::Refused(file.to_owned(), reason)),
        (Ok((_, Judged::Older(reason))), Some(kept)) => {
            remarks.push(MeshRemark::Older(reason));
            (kept, false)
        }
        (Ok((_, Judged::Proved(_, Taken::InForce))), Some(kept)) => (kept, false),
        (Ok((text, Judged::Proved(proved, taken))), kept) => {
            let edition = proved.edition;
            let offered = Kept { record: Record::new(text, now, &roots), proved };
            match (taken, kept) {
                (Taken::Conflict { offer_wins }, Some(kept)) => {
                    remarks.push(MeshRemark::Conflict(edition));
                    let before = (kept.proved.edition, kept.record.also_denied.len());
                    let (mut winner, loser) = if offer_wins { (offered, kept) } else { (kept, offered) };
                    winner.also_deny(&loser);
                    let changed = before != (winner.proved.edition, winner.record.also_denied.len());
                    (winner, changed)
                }
                (Taken::Newer | Taken::InForce | Taken::Conflict { .. }, _) => {
                    remarks.push(MeshRemark::Taken(edition));
                    (offered, true)
                }
            }
        }
    };
    if changed && let Err(reason) = next.record.write(&folder) {
        remarks.push(MeshRemark::NotKept(reason));
    }
    remarks.extend(next.ends(now).map(MeshRemark::Ends));
    let also_denied = next.also_denied().collect();
    Ok(MeshInForce { edition: next.proved.edition, payload: next.proved.payload, also_denied, remarks })
}

/// The judgment on an offer that is no forgery.
enum Judged {
    Proved(Proved, Taken),
    /// It was in force once, or never will be.
    Older(String),
}

/// Judges an offer by the mesh in force, by the roots that are held and by all keys that are denied.
fn judge(
    text: &[u8],
    in_force: Option<&Proved>,
    roots: &[CertificateDer<'_>],
    denied: &[DeniedKey],
    now: UnixTime,
) -> Result<Judged, String> {
    let anchors = anchors(roots)?;
    let algorithms = provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: denied, algorithms };
    let mut scratch = vec![0; scratch_length(text.len())];
    let signed = SignedMesh::verify(text, &mut scratch, &trust, now).map_err(|error| match Mesh::parse(text) {
        Ok(_) => "found a mesh that is not signed, expected the signed one: mesh.signed.json".to_owned(),
        Err(_) => error.to_string(),
    })?;
    let offer = signed.offer().map_err(|error| error.to_string())?;
    let mesh =
        in_force.map(|in_force| Mesh::parse(&in_force.payload).map_err(|error| error.to_string())).transpose()?;
    let before =
        in_force.zip(mesh.as_ref()).map(|(in_force, mesh)| InForce { name: mesh.name(), edition: in_force.edition });
    let taken = match takes(before.as_ref(), &offer, &trust, now) {
        Ok(taken) => taken,
        Err(error @ NotTaken::Older { .. }) => return Ok(Judged::Older(error.to_string())),
        Err(error) => return Err(error.to_string()),
    };
    let edition = offer.edition();
    Ok(Judged::Proved(Proved { payload: signed.payload().to_vec(), edition }, taken))
}

impl Record {
    fn new(signed: String, now: UnixTime, roots: &[CertificateDer<'_>]) -> Self {
        let roots = roots.iter().map(|root| BASE64_STANDARD.encode(root)).collect();
        Self { signed, taken: now.as_secs(), roots, also_denied: Vec::new() }
    }

    fn write(&self, folder: &MeshFolder) -> Result<(), String> {
        let octets = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        folder.write(&octets).map_err(|error| error.to_string())
    }
}

impl Kept {
    /// Reads a record, and proves its mesh again as of the time when it came into force: its signer may have expired, or
    /// been denied, since.
    fn parse(octets: &[u8]) -> Result<Self, String> {
        let record: Record = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
        let encoded = record.roots.iter();
        let roots = encoded.map(|root| BASE64_STANDARD.decode(root).map(CertificateDer::from));
        let roots: Vec<_> = roots.collect::<Result<_, _>>().map_err(|error| format!("roots: {error}"))?;
        let taken = UnixTime::since_unix_epoch(std::time::Duration::from_secs(record.taken));
        match judge(record.signed.as_bytes(), None, &roots, &[], taken)? {
            Judged::Proved(proved, _) => Ok(Self { record, proved }),
            Judged::Older(reason) => Err(reason),
        }
    }

    fn also_denied(&self) -> impl Iterator<Item = DeniedKey> {
        self.record.also_denied.iter().filter_map(AlsoDenied::key)
    }

    /// Returns all keys that are denied while this mesh is in force.
    fn denied(&self) -> Vec<DeniedKey> {
        // It parsed when it was proved.
        let mesh = Mesh::parse(&self.proved.payload).ok();
        let own = mesh.iter().flat_map(Mesh::denied_keys).map(DeniedKey::from);
        own.chain(self.also_denied()).collect()
    }

    /// Denies what another text of the same sequence denies.
    fn also_deny(&mut self, other: &Self) {
        for denied in other.denied().into_iter().map(AlsoDenied::from) {
            let (known, most) = (self.record.also_denied.contains(&denied), MAX_ALSO_DENIED);
            if !known && self.record.also_denied.len() < most {
                self.record.also_denied.push(denied);
            }
        }
    }

    /// Returns the end of the mesh once a third of its time is left.
    fn ends(&self, now: UnixTime) -> Option<UnixTime> {
        let end = Mesh::parse(&self.proved.payload).ok()?.not_after()?;
        let left = end.as_secs().saturating_sub(now.as_secs());
        (left < end.as_secs().saturating_sub(self.record.taken) / 3).then_some(end)
    }
}

fn roots_of(payload: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    Ok(Mesh::parse(payload).map_err(|error| error.to_string())?.roots().map(decoded).collect())
}

fn anchors<'r>(roots: &'r [CertificateDer<'_>]) -> Result<Vec<Anchor<'r>>, String> {
    let anchor = |root: &'r CertificateDer<'_>| Certificate::from_der(root).map(Anchor::ca);
    roots.iter().map(anchor).collect::<Result<_, _>>().map_err(|error| format!("a root: {error}"))
}
