//! Any octets as a configuration: an error has a place in the text and can be shown.

#![no_main]

use edgetrust_core::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let mut text = octets.to_vec();
    if let Err(error) = Config::parse(&mut text) {
        assert!(usize::try_from(error.offset).is_ok_and(|offset| offset <= octets.len()), "{error}");
        assert!(!error.to_string().is_empty());
    }
});
