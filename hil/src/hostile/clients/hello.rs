//! Builds ClientHellos (RFC 8446 section 4.1.2), right ones and others.

use sha2::{Digest, Sha256};

use super::super::keys::{Secret, binder};
use super::super::messages::{AES_128_GCM, SECP256R1, message, vector};

pub(super) const SUPPORTED_GROUPS: u16 = 10;
pub(super) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(super) const PRE_SHARED_KEY: u16 = 41;
pub(super) const SUPPORTED_VERSIONS: u16 = 43;
pub(super) const PSK_KEY_EXCHANGE_MODES: u16 = 45;
pub(super) const KEY_SHARE: u16 = 51;

/// The parts of a ClientHello.
#[derive(Clone)]
pub(super) struct Hello {
    pub(super) version: [u8; 2],
    pub(super) random: [u8; 32],
    pub(super) session: Vec<u8>,
    pub(super) suites: Vec<u8>,
    pub(super) compression: Vec<u8>,
    /// The extensions, in their order.
    pub(super) extensions: Vec<(u16, Vec<u8>)>,
    /// Octets behind the extensions.
    pub(super) trailing: Vec<u8>,
}

impl Hello {
    pub(super) fn new(random: [u8; 32], point: &[u8]) -> Self {
        Self {
            version: [3, 3],
            random,
            session: Vec::new(),
            suites: AES_128_GCM.to_be_bytes().to_vec(),
            compression: vec![0],
            extensions: vec![
                (SUPPORTED_VERSIONS, vector(1, &[3, 4])),
                (SUPPORTED_GROUPS, vector(2, &SECP256R1.to_be_bytes())),
                (SIGNATURE_ALGORITHMS, vector(2, &[4, 3])),
                (KEY_SHARE, vector(2, &share(SECP256R1, point))),
            ],
            trailing: Vec::new(),
        }
    }

    /// Gives an extension other data, or adds it as the last one.
    pub(super) fn set(&mut self, kind: u16, data: Vec<u8>) {
        match self.extensions.iter_mut().find(|(found, _)| *found == kind) {
            Some((_, old)) => *old = data,
            None => self.extensions.push((kind, data)),
        }
    }

    pub(super) fn remove(&mut self, kind: u16) {
        self.extensions.retain(|(found, _)| *found != kind);
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let extensions: Vec<u8> = self
            .extensions
            .iter()
            .flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &vector(2, data)].concat())
            .collect();
        // Without any, the list is left out: so did clients of old versions.
        let extensions = if extensions.is_empty() { Vec::new() } else { vector(2, &extensions) };
        let parts = [
            &self.version[..],
            &self.random,
            &vector(1, &self.session),
            &vector(2, &self.suites),
            &vector(1, &self.compression),
            &extensions,
            &self.trailing,
        ];
        message(1, &parts.concat())
    }

    /// Adds pre_shared_key with these identities, and writes the binder of the key at each place in `binders`, over the
    /// messages so far (RFC 8446 section 4.2.11.2). Other places have a wrong binder.
    pub(super) fn offer(&self, identities: &[&[u8]], binders: &[Option<&Secret>], transcript: &Sha256) -> Vec<u8> {
        let names: Vec<u8> = identities.iter().flat_map(|name| [&vector(2, name)[..], &[0; 4]].concat()).collect();
        let places: Vec<u8> = binders.iter().flat_map(|_| vector(1, &[0x5a; 32])).collect();
        let mut hello = self.clone();
        hello.set(PRE_SHARED_KEY, [vector(2, &names), vector(2, &places)].concat());
        let mut octets = hello.encode();
        let covered = octets.len() - 2 - places.len();
        let hash: [u8; 32] = transcript.clone().chain_update(&octets[..covered]).finalize().into();
        for (number, key) in binders.iter().enumerate() {
            if let Some(key) = key {
                let place = covered + 2 + number * 33 + 1;
                octets[place..place + 32].copy_from_slice(&binder(key, &hash));
            }
        }
        octets
    }
}

/// Encodes an entry of key_share.
pub(super) fn share(group: u16, key: &[u8]) -> Vec<u8> {
    [&group.to_be_bytes()[..], &vector(2, key)].concat()
}
