//! Parses any octets as a mesh: an error has a place in the text and a message; of an accepted one everything can be
//! read again, and both sides of every link see it alike.

#![no_main]

use edgetrust_core::mesh::{MAX_CERTIFICATE, Mesh};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mesh = match Mesh::parse(octets) {
        Ok(mesh) => mesh,
        Err(error) => {
            assert!(usize::try_from(error.offset).is_ok_and(|offset| offset <= octets.len()), "{error}");
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let mut out = [0; MAX_CERTIFICATE];
    assert!(mesh.roots().count() > 0 && mesh.roots().all(|root| root.decode(&mut out).is_some()));
    for site in mesh.sites() {
        assert_eq!(site.issuers().count(), site.issuer_keys().count());
        for gateway in site.gateways() {
            assert!(site.domains().any(|domain| gateway.host().ends_with(domain)));
        }
    }
    for service in mesh.services() {
        for to in mesh.sites() {
            let clients = mesh.clients(service.name(), to.name()).expect("both are there");
            let clients: Vec<_> = clients.map(|client| client.site().name()).collect();
            for from in mesh.sites().filter(|from| from.gateways().next().is_some() && to.gateways().next().is_some()) {
                let servers = mesh.servers(service.name(), from.name(), to.name());
                assert_eq!(servers.is_ok(), clients.contains(&from.name()), "{} {}", from.name(), to.name());
            }
        }
    }
    mesh.denied_keys().for_each(drop);
});
