//! A mesh of sites: a root, a CA for each site, the file that says what the mesh is, and its signature.
//!
//! Everything lies in one folder, and `mesh.json` there is the only record: a change is made when that file is
//! replaced, and all other files follow from it ([`Folder::settle`]).

mod acknowledgement;
mod ceremony;
mod certificate;
mod change;
mod changing;
mod check;
mod der;
mod edit;
#[cfg(feature = "rehearsal")]
mod fleet;
mod folder;
mod init;
#[cfg(test)]
mod interruptions;
mod key;
pub(crate) mod key_change;
mod layout;
mod lifetime;
mod links;
mod mesh;
mod name;
mod place;
mod progress;
pub(crate) mod renewal;
mod requested;
pub(crate) mod rollover;
mod root_key;
mod signature;
mod site;
mod stage;
mod step;
mod succession;
mod tree;

pub(crate) use acknowledgement::{Acknowledgement, Inquiry, Member, Sighting, inquiry};
pub(crate) use ceremony::{Installed, Requested, install, request};
pub(crate) use change::Change;
pub(crate) use check::{Link, Report, Unverifiable, check};
pub(crate) use edit::{
    Applied, Denial, Edit, add, allow, deny, link, new_signer, remove, sign, sign_if_possible, unlink,
};
#[cfg(feature = "rehearsal")]
pub use fleet::{Checked, Fleet, Leaf, Listed, RehearsalError};
pub(crate) use folder::{Folder, Passwords, Signed};
pub(crate) use init::{Init, Made, NewSite, init};
pub(crate) use key::Password;
pub(crate) use links::Pair;
pub(crate) use progress::{Progress, progress};
pub(crate) use requested::RequestedKey;
pub(crate) use root_key::RootKey;
pub(crate) use stage::{Stage, Whose};
pub(crate) use step::{Doubt, Step};
pub(crate) use tree::{Authority, Tree, private_keys_left, tree};
