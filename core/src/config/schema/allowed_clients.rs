//! Lists the keys of `allowed_clients`.

use super::field::{Field, Kind, NAMES_FULL, Object, Objects, Refused, described, push_issuer};
use crate::config::address::rule_address;
use crate::config::raw::{Raw, RawClient};
use crate::identity::{RuleName, is_dns_rule, without_root};

pub(super) static ALLOWED_CLIENTS: Objects = Objects {
    object: &ALLOWED_CLIENT,
    begin: Some(|raw| raw.side().mtls.allowed_clients.written = true),
    enter: |raw| {
        let offset = raw.offset;
        let rules = &mut raw.side().mtls.allowed_clients;
        let from = rules.issuers.items.len();
        rules.items.push(RawClient { offset, from, ..RawClient::default() }).map_err(|_| NAMES_FULL)
    },
    text: None,
    element: "an object with cn, dns, uri or ip",
};

const ISSUERS_FULL: Refused = "at most 32 issuers in all rules of one list";
const NAME: Refused = "a name";
const DNS: Refused = "a DNS name";
const IP: Refused = "an IP address, as certificates have it";

static ALLOWED_CLIENT: Object = Object {
    open: false,
    on_key: None,
    fields: &[
        text!("cn", "its common name", |raw, text| set(raw, Some(RuleName::CommonName(text)), NAME)?),
        text!("dns", "or a DNS name", |raw, text| {
            let name = Some(without_root(text)).filter(|name| is_dns_rule(name));
            set(raw, name.map(RuleName::Dns), DNS)?
        }),
        text!("uri", "or a URI, as a SPIFFE ID", |raw, text| set(raw, Some(RuleName::Uri(text)), NAME)?),
        text!("ip", "or an IP address", |raw, text| set(raw, rule_address(text).map(RuleName::Ip), IP)?),
        Field {
            key: "issuers",
            doc: described(
                "CAs that its certificate must come from: files, or sha256: and the hash of the CA's key; default: any CA below client_ca_files",
            ),
            kind: Kind::Texts(|raw, text| {
                let rules = &mut raw.side().mtls.allowed_clients;
                push_issuer(&mut rules.issuers, text, ISSUERS_FULL)?;
                let until = rules.issuers.items.len();
                if let Some(client) = rules.items.last_mut() {
                    client.until = Some(until);
                }
                Ok(())
            }),
        },
    ],
};

/// Sets the name of the rule that is being read.
fn set<'a>(raw: &mut Raw<'a>, name: Option<RuleName<'a>>, expected: Refused) -> Result<(), Refused> {
    let name = name.filter(|name| !matches!(name, RuleName::CommonName("") | RuleName::Uri(""))).ok_or(expected)?;
    let client = raw.side().mtls.allowed_clients.items.last_mut();
    debug_assert!(client.is_some(), "the object was entered");
    match client {
        Some(client) if client.name.is_some() => Err("one of cn, dns, uri and ip"),
        client => {
            client.into_iter().for_each(|client| client.name = Some(name));
            Ok(())
        }
    }
}
