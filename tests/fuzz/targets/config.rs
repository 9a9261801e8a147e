//! Parses any octets as a configuration: an error has a place in the text and a message; an accepted one states which
//! clients are admitted. The same octets as a device's configuration in octets: an error has a message, and an accepted
//! one is written as it was read.

#![no_main]

use edgetrust_core::config::{Config, Device, Server, TunnelKind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    match Device::from_octets(octets) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(device) => {
            let mut written = vec![0; octets.len()];
            assert_eq!(device.to_octets(&mut written), Some(octets.len()));
            assert_eq!(written, octets);
        }
    }
    let mut text = octets.to_vec();
    match Config::parse(&mut text) {
        Err(error) => {
            assert!(usize::try_from(error.offset).is_ok_and(|offset| offset <= octets.len()), "{error}");
            assert!(!error.to_string().is_empty());
        }
        Ok(mut config) => {
            config.for_each_path(&mut |_, path| assert!(!path.is_empty()));
            for tunnel in &config.gateway.tunnels {
                if let TunnelKind::Server { tls: Server::MutualTls(_, clients), .. } = &tunnel.kind {
                    assert!(!clients.ca_files.is_empty() || !clients.pinned_certificates.is_empty());
                    let lists = [&clients.allowed_cns, &clients.allowed_dns, &clients.allowed_uris];
                    assert!(!clients.any_verified || lists.iter().all(|list| list.is_empty()));
                }
            }
        }
    }
});
