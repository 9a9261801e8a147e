//! Tests steps that are stopped at each of their writes, one after the other, and run again.

use std::collections::BTreeSet;
use std::path::Path;

use edgetrust_core::x509::{Certificate, KeyHash};

use super::certificate::{first_certificate, key_hash};
use super::edit::sign_if_possible;
use super::folder::{self, Folder, Passwords, Signed};
use super::key::{self, Password};
use super::layout::{ROOT, ROOT_PASSWORD, later_password, site_password};
use super::links::Pair;
use super::place::interruption;
use super::stage::{Stage, Whose};
use super::{Init, NewSite, init, key_change, renewal, rollover};
use crate::clock;

const B: Whose<'_> = Whose::Site("b");

/// Runs a step, as its command does.
fn step(path: &Path, whose: Whose<'_>, name: &str) -> Result<(), String> {
    let passwords = Passwords { root: None, signer: None, ask: &|_| Ok(None) };
    let (folder, now) = (open(path)?, clock::now());
    let said = key_change::Said { longest: Some(0), start_too: name == "abort --start" };
    let step = match (name, whose) {
        ("start", Whose::Site(site)) => renewal::start(&folder, site, None, &passwords, now)?,
        ("start", Whose::Root) => rollover::start(&folder, (None, None), &passwords, now)?,
        ("commit", _) => key_change::commit(&folder, whose, (&passwords, None), now)?,
        ("finish", _) => key_change::finish(&folder, whose, said, now)?,
        _ => key_change::abort(&folder, whose, said, &passwords, now)?,
    };
    if !step.edit.changes.is_empty() {
        return step.edit.apply(&folder, &passwords, now).map(drop);
    }
    // As the commands do where nothing is left to change.
    folder.settle()?;
    if folder.signed(now)? == Signed::Outdated {
        sign_if_possible(&folder, &passwords, now)?;
    }
    Ok(())
}

/// Returns all that two runs of one step have in common.
fn state(path: &Path) -> String {
    let (mesh, _) = folder::mesh(path).unwrap();
    let signed = folder::signed(path, clock::now()).unwrap();
    assert!(matches!(signed, Signed::By(_)), "{signed:?}");
    let stages: Vec<String> = [Whose::Root, B]
        .iter()
        .map(|whose| match Stage::of(path, &mesh, *whose).unwrap() {
            Stage::Settled => "settled".to_owned(),
            Stage::Started { left, .. } => format!("started, left {}", left.is_some()),
            Stage::Committed { since, .. } => format!("committed, since {}", since.is_some()),
            Stage::Unrecorded { fault, .. } => fault,
        })
        .collect();
    opens(path, Whose::Root, mesh.root_certificates().first().map(|root| key_hash(root).unwrap()));
    opens(path, B, B.keys(&mesh).unwrap().first().copied());
    // Generations of signers that nobody has seen may be skipped, and keys differ.
    let names = names(path, path);
    let names: BTreeSet<String> = names.iter().filter(|name| !name.contains("signer")).cloned().collect();
    format!("{} {stages:?} {names:?}", mesh.sequence)
}

/// Returns the names of all files, with an H for the hash of a key.
fn names(top: &Path, folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(names(top, &path));
        }
        let name = path.strip_prefix(top).unwrap().display().to_string();
        assert!(!name.ends_with(".new"), "{name}");
        let is_hash = |part: &&str| part.len() == 16 && part.bytes().all(|octet| octet.is_ascii_hexdigit());
        let parts: Vec<&str> = name.split_inclusive(['.', '/']).collect();
        let parts = parts.iter().map(|part| match part.trim_end_matches(['.', '/']) {
            bare if is_hash(&bare) => part.replace(bare, "H"),
            _ => (*part).to_owned(),
        });
        all.push(parts.collect());
    }
    all
}

/// Checks that the key in its place is that of the certificate beside it and of the mesh, and opens.
fn opens(path: &Path, whose: Whose<'_>, wanted: Option<KeyHash>) {
    let ([certificate, key], first) = match whose {
        Whose::Root => (ROOT.map(|name| path.join(name)), ROOT_PASSWORD.to_owned()),
        Whose::Site(site) => {
            (["ca.pem", "ca.key"].map(|name| path.join("sites").join(site).join(name)), site_password(site))
        }
    };
    let der = first_certificate(&certificate).unwrap();
    let hash = key_hash(&der).unwrap();
    assert_eq!(Some(hash), wanted, "{whose}");
    let passwords = path.join("passwords");
    let later = passwords.join(later_password(&first, &hash));
    let kept = if later.exists() { later } else { passwords.join(first) };
    let opened = key::open(&key, &Password::read(&kept).unwrap()).unwrap();
    key::belongs(&opened, &Certificate::from_der(&der).unwrap()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(from, to).unwrap();
        }
    }
}

/// Opens a folder. A process that another test starts has its lock for a moment, until it is another program.
fn open(path: &Path) -> Result<Folder, String> {
    loop {
        match Folder::open(path) {
            Err(error) if error.contains("another command uses it") => std::thread::yield_now(),
            opened => return opened,
        }
    }
}

/// Makes a mesh of two sites.
fn mesh(folder: &Path) {
    let site =
        |name: &str| NewSite { name: name.to_owned(), domain: format!("{name}.example"), address: None, spiffe: false };
    let (sites, links) = (["a", "b"].map(site).into(), vec![Pair::new("a", "b", "feed")]);
    let name = "Example".to_owned();
    init(
        folder,
        Init { name, root_only: false, sites, services: Vec::new(), links, root_key: None, password: None },
        clock::now(),
    )
    .unwrap();
}

/// Stops each of these steps at each of its writes, and runs it again, or another command before it.
fn stopped_everywhere(whose: Whose<'_>, steps: &[&str]) {
    let parent = tempfile::tempdir().unwrap();
    let [mesh, tried] = ["mesh", "tried"].map(|name| parent.path().join(name));
    self::mesh(&mesh);
    for (number, name) in steps.iter().enumerate() {
        let done = parent.path().join(number.to_string());
        copy(&mesh, &done);
        step(&done, whose, name).unwrap();
        let expected = state(&done);
        let mut writes = 0;
        loop {
            copy(&mesh, &tried);
            interruption::after(Some(writes));
            let stopped = step(&tried, whose, name);
            interruption::after(None);
            // Each second time another command comes in between, which only finishes what was begun.
            if writes % 2 == 1 {
                open(&tried).unwrap().settle().unwrap();
            }
            step(&tried, whose, name).unwrap_or_else(|error| panic!("{name}, {writes}: {error}"));
            assert_eq!(state(&tried), expected, "{name}, stopped at write {writes}: {stopped:?}");
            if stopped.is_ok() {
                step(&tried, whose, name).unwrap();
                assert_eq!(state(&tried), expected, "{name}, a third time");
            }
            std::fs::remove_dir_all(&tried).unwrap();
            if stopped.is_ok() {
                break;
            }
            writes += 1;
        }
        assert!(writes > 5, "{name} has {writes} writes");
        std::fs::remove_dir_all(&mesh).unwrap();
        std::fs::rename(&done, &mesh).unwrap();
    }
}

#[test]
fn a_renewal_can_be_stopped_at_each_write() {
    stopped_everywhere(B, &["start", "commit", "abort", "abort --start"]);
    stopped_everywhere(B, &["start", "commit", "finish"]);
}

#[test]
fn a_rollover_can_be_stopped_at_each_write() {
    stopped_everywhere(Whose::Root, &["start", "commit", "abort", "abort --start"]);
    stopped_everywhere(Whose::Root, &["start", "commit", "finish"]);
}

/// Whatever of it was done, a step that was stopped can be given up.
#[test]
fn a_stopped_commit_is_given_up() {
    for whose in [B, Whose::Root] {
        let parent = tempfile::tempdir().unwrap();
        let [mesh, tried] = ["mesh", "tried"].map(|name| parent.path().join(name));
        self::mesh(&mesh);
        let keys = |path: &Path| whose.keys(&folder::mesh(path).unwrap().0).unwrap();
        let before = keys(&mesh);
        step(&mesh, whose, "start").unwrap();
        for writes in 0.. {
            copy(&mesh, &tried);
            interruption::after(Some(writes));
            let stopped = step(&tried, whose, "commit");
            interruption::after(None);
            for name in ["abort", "abort --start"] {
                step(&tried, whose, name).unwrap_or_else(|error| panic!("{whose}, {name}, {writes}: {error}"));
                state(&tried);
            }
            assert_eq!(keys(&tried), before, "{whose}, {writes}");
            std::fs::remove_dir_all(&tried).unwrap();
            if stopped.is_ok() {
                break;
            }
        }
    }
}
