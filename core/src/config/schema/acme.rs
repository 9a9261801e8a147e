//! Lists the keys of `acme`.

use super::field::{FILE, Field, Kind, Object, described, not_empty, note, push, seconds};
use crate::config::acme::{ChallengeType, KeyType, RenewVia};
use crate::config::duration;
use crate::identity::without_root;

pub(super) static ACME: Object = members!(
    false,
    Enabled,
    Some(|raw, key| note(&mut raw.acme().other, key)),
    [
        flag!("enabled", "certificates come from an ACME directory", |raw, value| raw.acme().enabled = Some(value)),
        text!("directory_url", "the ACME directory, https://", HttpsUrl, |raw, text| {
            raw.acme().directory_url = Some(text).filter(|url| url.len() > 8 && url.starts_with("https://"));
            raw.acme().directory_url.ok_or("a URL that begins with https://")?
        }),
        text!("email", "the account's contact", Any, |raw, text| raw.acme().keys.email = Some(text)),
        names!(
            "domains",
            "names of the certificate; the first is also its common name",
            NotEmpty,
            crate::config::MAX_DOMAINS,
            |raw| &mut raw.acme().domains,
            Texts,
            "a DNS name or an IP address",
            "at most 16 domains"
        ),
        choice!(
            "challenge_type",
            "\"http-01\" (default), \"tls-alpn-01\" or \"dns-01\"",
            [
                "http-01" => ChallengeType::Http01,
                "tls-alpn-01" => ChallengeType::TlsAlpn01,
                "dns-01" => ChallengeType::Dns01
            ],
            "\"http-01\", \"tls-alpn-01\" or \"dns-01\"",
            |raw, chosen| raw.acme().keys.challenge_type = chosen
        ),
        text!(
            "renew_before",
            "how long before its end a certificate is renewed, default \"8h\"",
            PositiveDuration,
            |raw, text| {
                raw.acme().renew_before_s = Some(seconds(text).ok().filter(|s| *s > 0).ok_or(duration::EXPECTED)?)
            }
        ),
        text!("storage_path", "where account, keys and certificates are kept", NotEmpty, |raw, text| raw
            .acme()
            .storage_path =
            not_empty(text, "a folder")?),
        #[cfg(feature = "gateway")]
        field!(
            "storage",
            "the store that several gateways share: account, orders and certificates are kept there too, sealed",
            Any,
            0,
            Kind::Object(&super::storage::STORAGE, |raw| {
                let index = super::storage::enter(raw)?;
                raw.acme().storage = Some(index);
                Ok(())
            })
        ),
        text!("ca_bundle", "roots of the directory's own server, PEM; default: the system's", Any, |raw, text| raw
            .acme()
            .ca_bundle =
            Some(text).filter(|text| !text.is_empty())),
        text!(
            "issuer_bundle",
            "roots that issued certificates must lead to, PEM; default: `ca_bundle`",
            NotEmpty,
            |raw, text| raw.acme().issuer_bundle = not_empty(text, FILE)?
        ),
        #[cfg(feature = "gateway")]
        text!(
            "proxy",
            "the proxy that leads to the directory, as \"http://proxy.example:3128\" or \"socks5://proxy.example:1080\"; or \"environment\"",
            NotEmpty,
            |raw, text| raw.acme().proxy = not_empty(text, "a proxy")?
        ),
        #[cfg(feature = "gateway")]
        text!("proxy_credentials_file", "file with user:password for the proxy", NotEmpty, |raw, text| raw
            .acme()
            .proxy_credentials_file =
            not_empty(text, FILE)?),
        text!("http_listen", "where http-01 is answered", NotEmpty, |raw, text| raw.acme().http_listen =
            not_empty(text, "ADDRESS:PORT")?),
        object!("eab", "external account binding", EAB),
        choice!(
            "key_type",
            "\"p256\" (default), \"p384\" or \"rsa2048\"",
            ["p256" => KeyType::P256, "p384" => KeyType::P384, "rsa2048" => KeyType::Rsa2048],
            "\"p256\", \"p384\" or \"rsa2048\"",
            |raw, chosen| raw.acme().keys.key_type = chosen
        ),
        text!(
            "key",
            "URI of a key in a token (RFC 7512), which signs the orders and stays; by default each certificate has a new key",
            NotEmpty,
            |raw, text| raw.acme().keys.key = not_empty(text, "a URI")?
        ),
        choice!(
            "renew_via",
            "\"acme\" (default), or \"step-ca\" to renew with the certificate itself",
            ["acme" => RenewVia::Acme, "step-ca" => RenewVia::StepCa],
            "\"acme\" or \"step-ca\"",
            |raw, chosen| raw.acme().keys.renew_via = chosen
        ),
        text!("profile", "the profile to ask for", NotEmpty, |raw, text| raw.acme().keys.profile =
            not_empty(text, "a name")?),
        text!("hook", "a command after each renewal", NotEmpty, |raw, text| raw.acme().keys.hook =
            not_empty(text, "a command")?),
        text!("dns_hook", "a command that answers dns-01", NotEmpty, |raw, text| raw.acme().keys.dns_hook =
            not_empty(text, "a command")?),
    ]
);

static EAB: Object = members!(
    false,
    Nothing,
    None,
    [
        text!("kid", "the external account's identifier", NotEmpty, |raw, text| raw.acme().eab_kid =
            not_empty(text, "a text")?),
        text!("hmac_key_file", "file with its MAC key, base64url", NotEmpty, |raw, text| raw
            .acme()
            .eab_hmac_key_file =
            not_empty(text, FILE)?),
    ]
);
