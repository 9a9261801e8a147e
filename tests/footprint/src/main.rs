//! An image of core's entry points alone. Its panic handler needs a symbol that does not exist, so the image links
//! only if no entry point can panic. The part `mesh`, which is for servers, is measured and not proved: sorting and reading
//! IP addresses are left to Rust's own library, which has panics for what does not come up.

#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

#[cfg(not(feature = "mesh"))]
unsafe extern "C" {
    fn a_panic_can_be_reached() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    #[cfg(feature = "mesh")]
    loop {
        black_box(input());
    }
    #[cfg(not(feature = "mesh"))]
    // SAFETY: it is never linked, so it is never called.
    unsafe {
        a_panic_can_be_reached()
    }
}

#[cfg(feature = "tls")]
mod tls;

static mut INPUT: [u8; 16 * 1024] = [0; 16 * 1024];

/// Returns octets that the compiler cannot predict.
fn input() -> &'static mut [u8] {
    let (start, length) = (black_box(&raw mut INPUT), black_box(0_usize));
    // SAFETY: the image is linked and never run.
    unsafe { core::slice::from_raw_parts_mut(start.cast(), length) }
}

#[cfg(any(feature = "mesh", feature = "verify", feature = "request", feature = "tls"))]
use stub::Stub;

#[cfg(any(feature = "mesh", feature = "verify", feature = "request", feature = "tls"))]
mod stub {
    use core::hint::black_box;
    use edgetrust_core::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

    /// A stub in place of a signature algorithm, since cryptographic libraries are not examined here.
    #[derive(Debug)]
    pub struct Stub;

    impl SignatureVerificationAlgorithm for Stub {
        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_P256
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            alg_id::ECDSA_SHA256
        }

        fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            black_box((key, message, signature));
            if black_box(true) { Ok(()) } else { Err(InvalidSignature) }
        }
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    #[cfg(feature = "config")]
    config();
    #[cfg(feature = "device")]
    device();
    #[cfg(feature = "mesh")]
    mesh();
    #[cfg(feature = "verify")]
    verify::verify();
    #[cfg(feature = "request")]
    request();
    #[cfg(feature = "rotation")]
    rotation();
    #[cfg(feature = "store")]
    store::store();
    #[cfg(feature = "tls")]
    tls::tls();
    loop {
        black_box(input());
    }
}

#[cfg(feature = "config")]
fn config() {
    black_box(edgetrust_core::config::Config::parse(input()).is_ok());
}

/// What a device asks of texts that its gateway and its service send.
#[cfg(feature = "device")]
fn device() {
    black_box(edgetrust_core::message::is_plain(input(), black_box(1)));
    black_box(edgetrust_core::time::http_date(input()));
}

/// A signed mesh, from its octets to what follows for a tunnel.
#[cfg(feature = "mesh")]
fn mesh() {
    use core::time::Duration;
    use edgetrust_core::mesh::{InForce, SignedMesh, takes};
    use edgetrust_core::path::{Anchor, Trust};
    use edgetrust_core::pki_types::UnixTime;
    use edgetrust_core::x509::Certificate;

    let Ok(root) = Certificate::from_der(input()) else { return };
    let anchors = [Anchor::ca(root)];
    let algorithms = black_box(&[&Stub as &dyn edgetrust_core::pki_types::SignatureVerificationAlgorithm]);
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(black_box(0)));
    let Ok(signed) = SignedMesh::verify(input(), input(), &trust, now) else { return };
    let Ok(offer) = signed.offer() else { return };
    let (mesh, name) = (offer.mesh(), core::str::from_utf8(input()).unwrap_or_default());
    let in_force = InForce { name, edition: offer.edition() };
    black_box(takes(black_box(Some(&in_force)), &offer, &trust, now).is_ok());
    if let Ok(clients) = mesh.clients(name, name) {
        black_box(clients.map(|client| client.issuer_keys().count()).count());
    }
    if let Ok(mut servers) = mesh.servers(name, name, name) {
        black_box(servers.next());
    }
    black_box(mesh.denied_keys().filter(|denied| denied.until().is_some()).count());
}

#[cfg(feature = "request")]
fn request() {
    use edgetrust_core::request::{CertificationRequest, NewRequest, certs_only, write_certs_only};
    use edgetrust_core::x509::Certificate;

    let Ok(current) = Certificate::from_der(input()) else { return };
    let signature = black_box(heapless::Vec::new());
    black_box(NewRequest::like(&current, input()).write(input(), |_| black_box(Some(signature))).is_ok());
    if let Ok(request) = CertificationRequest::from_der(input()) {
        black_box((request.verify(black_box(&[&Stub])).is_ok(), request.may_replace(&current).is_ok()));
    }
    if let Ok(certificates) = certs_only(input()) {
        black_box(certificates.count());
    }
    black_box(write_certs_only(&[input()], input()).is_ok());
}

#[cfg(feature = "rotation")]
fn rotation() {
    use core::time::Duration;
    use edgetrust_core::pki_types::UnixTime;
    use edgetrust_core::rotation::{Event, Policy, State};
    use edgetrust_core::time::TrustedTime;

    let policy = black_box(Policy::default());
    let now = TrustedTime::Known(UnixTime::since_unix_epoch(Duration::from_secs(black_box(0))));
    let (state, actions) = black_box(State::new()).step(&policy, now, black_box(Event::Tick));
    black_box((state.next_deadline(&policy), actions.len()));
}

#[cfg(feature = "store")]
mod store {
    use super::input;
    use core::hint::black_box;
    use core::time::Duration;

    use edgetrust_core::pki_types::UnixTime;
    use edgetrust_core::store::{NewRecord, Slot, SlotMedium, Store};

    /// A stub in place of flash, whose driver belongs to the board.
    struct Stub;

    impl SlotMedium for Stub {
        type Error = ();

        const WRITE_SIZE: u32 = 8;

        fn capacity(&self) -> u32 {
            black_box(8192)
        }

        fn read(&mut self, _: Slot, offset: u32, out: &mut [u8]) -> Result<(), ()> {
            black_box((offset, out));
            black_box(Ok(()))
        }

        fn erase(&mut self, _: Slot) -> Result<(), ()> {
            black_box(Ok(()))
        }

        fn program(&mut self, _: Slot, offset: u32, octets: &[u8]) -> Result<(), ()> {
            black_box((offset, octets));
            black_box(Ok(()))
        }

        fn barrier(&mut self) -> Result<(), ()> {
            black_box(Ok(()))
        }
    }

    pub fn store() {
        let Ok(mut store) = Store::new(Stub) else { return };
        let time = UnixTime::since_unix_epoch(Duration::from_secs(black_box(0)));
        let record = NewRecord { key: input(), chain: input(), not_before: time, not_after: time, time_seen: time };
        let slot = if black_box(true) { Slot::A } else { Slot::B };
        black_box(store.write(slot, &record).is_ok());
        black_box(store.confirm(slot).is_ok());
        black_box(store.discard(slot).is_ok());
        black_box(store.note_time(slot, time).is_ok());
        black_box(store.survey().selected());
        black_box(store.read(slot, input(), input()).is_ok());
    }
}

#[cfg(feature = "verify")]
mod verify {
    use super::{Stub, input};
    use core::hint::black_box;
    use core::net::IpAddr;
    use core::time::Duration;

    use edgetrust_core::identity::{PeerPolicy, Rule, RuleName, ServerName};
    use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
    use edgetrust_core::pki_types::UnixTime;
    use edgetrust_core::x509::Certificate;

    fn text() -> &'static str {
        core::str::from_utf8(input()).unwrap_or("")
    }

    pub fn verify() {
        let (Ok(leaf), Ok(anchor), Ok(sent)) =
            (Certificate::from_der(input()), Certificate::from_der(input()), Certificate::from_der(input()))
        else {
            return;
        };
        let trust = Trust {
            anchors: &[Anchor::new(anchor), Anchor::ca(sent), Anchor::pin(leaf)],
            known_intermediates: &[sent],
            denied_keys: &[],
            algorithms: &[&Stub],
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(black_box(0)));
        let purpose = if black_box(true) { Purpose::ClientAuth } else { Purpose::ServerAuth };
        let mut budget = Budget::new(black_box(Limits::DEVICE));
        let Ok(path) = trust.verify(&leaf, black_box(&[sent, anchor]), purpose, now, &mut budget) else { return };
        let address: IpAddr = black_box(IpAddr::from([0; 4]));
        let rules = [RuleName::CommonName(text()), RuleName::Dns(text()), RuleName::Uri(text()), RuleName::Ip(address)]
            .map(Rule::from);
        black_box(PeerPolicy::OneOf(black_box(&rules)).authorize(path.clone()).is_ok());
        let name = if black_box(true) { ServerName::Dns(text()) } else { ServerName::Ip(address) };
        black_box(name.authorize(path).is_ok());
    }
}
