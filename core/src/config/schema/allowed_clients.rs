//! Lists the keys of `allowed_clients`.

use super::field::{Field, Kind, Object, Objects, Refused, described, push_issuer};
use crate::config::address::rule_address;
use crate::config::allowed_clients::{MAX_ISSUERS, Span};
use crate::config::raw::{Raw, RawClient, RawClients};
use crate::identity::{RuleName, is_dns_rule, without_root};

pub(super) static ALLOWED_CLIENTS: Objects = Objects {
    object: &ALLOWED_CLIENT,
    begin: Some(|raw| {
        let from = count(&raw.gateway.allowed_clients.items);
        raw.side().mtls.allowed_clients = Some(Span { from, until: from });
    }),
    enter: |raw| {
        let offset = raw.offset;
        let RawClients { items, issuers } = &mut raw.gateway.allowed_clients;
        items
            .push(RawClient { offset, from: count(&issuers.items), ..RawClient::default() })
            .map_err(|_| RULES_FULL)?;
        let until = count(items);
        raw.side().mtls.allowed_clients.iter_mut().for_each(|span| span.until = until);
        Ok(())
    },
    text: None,
    element: "an object with cn, dns, uri or ip",
};

const RULES_FULL: Refused = "at most 128 allowed_clients in one file";
const ISSUERS_FULL: Refused = "at most 128 issuers of allowed_clients in one file";
const NAME: Refused = "a name";
const DNS: Refused = "a DNS name";
const IP: Refused = "an IP address, as certificates have it";

static ALLOWED_CLIENT: Object = members!(
    false,
    One(&["cn", "dns", "uri", "ip"]),
    None,
    [
        text!("cn", "its common name", NotEmpty, |raw, text| set(raw, Some(RuleName::CommonName(text)), NAME)?),
        text!("dns", "or a DNS name", NotEmpty, |raw, text| {
            let name = Some(without_root(text)).filter(|name| is_dns_rule(name));
            set(raw, name.map(RuleName::Dns), DNS)?
        }),
        text!("uri", "or a URI, as a SPIFFE ID", NotEmpty, |raw, text| set(raw, Some(RuleName::Uri(text)), NAME)?),
        text!("ip", "or an IP address", NotEmpty, |raw, text| set(raw, rule_address(text).map(RuleName::Ip), IP)?),
        field!(
            "issuers",
            "CAs that its certificate must come from: files, or sha256: and the hash of the CA's key; default: any CA below client_ca_files",
            Issuer,
            MAX_ISSUERS,
            Kind::Narrowing(|raw, text| {
                let RawClients { items, issuers } = &mut raw.gateway.allowed_clients;
                push_issuer(issuers, text, ISSUERS_FULL)?;
                let until = count(&issuers.items);
                items
                    .last_mut()
                    .into_iter()
                    .for_each(|client| client.issuers = Some(Span { from: client.from, until }));
                Ok(())
            })
        ),
    ]
);

/// Returns the number of elements so far, of which there are at most 128.
fn count<T>(list: &[T]) -> u16 {
    u16::try_from(list.len()).unwrap_or(u16::MAX)
}

/// Sets the name of the rule that is being read.
fn set<'a>(raw: &mut Raw<'a>, name: Option<RuleName<'a>>, expected: Refused) -> Result<(), Refused> {
    let name = name.filter(|name| !matches!(name, RuleName::CommonName("") | RuleName::Uri(""))).ok_or(expected)?;
    let client = raw.gateway.allowed_clients.items.last_mut();
    debug_assert!(client.is_some(), "the object was entered");
    match client {
        Some(client) if client.name.is_some() => Err("one of cn, dns, uri and ip"),
        client => {
            client.into_iter().for_each(|client| client.name = Some(name));
            Ok(())
        }
    }
}
