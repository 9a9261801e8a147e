//! `ca.json`: the configuration of a site's CA, for step-ca 0.30.

use super::names::{CA_PORT, Names};

/// Returns the file. Relative paths start at the folder in which step-ca runs.
///
/// * `dnsNames` has one name: with `localhost` or an address, which the CA's name constraints exclude, step-ca does not
///   start.
/// * `forceCN` gives each certificate a common name, its first DNS name.
/// * `disableRenewal`: else a stolen key could renew its certificate without an order, for ever.
pub(super) fn ca_json(names: &Names<'_>) -> String {
    let (ca, domain) = (names.ca(), names.domain);
    format!(
        r#"{{
  "root": "root.pem",
  "crt": "ca.pem",
  "key": "ca.key",
  "address": ":{CA_PORT}",
  "dnsNames": ["{ca}"],
  "logger": {{"format": "text"}},
  "db": {{"type": "badgerv2", "dataSource": "db"}},
  "authority": {{
    "policy": {{"x509": {{"allow": {{"dns": ["{domain}", "*.{domain}"]}}}}}},
    "provisioners": [
      {{
        "type": "ACME",
        "name": "acme",
        "forceCN": true,
        "claims": {{
          "minTLSCertDuration": "5m",
          "maxTLSCertDuration": "24h",
          "defaultTLSCertDuration": "24h",
          "disableRenewal": true
        }}
      }}
    ]
  }}
}}
"#
    )
}
