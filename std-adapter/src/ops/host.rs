//! Decides whether a request is for this gateway. A page of another origin whose name leads here must read nothing: a
//! browser would send that name as `Host`.

use std::net::IpAddr;

use hyper::Request;
use hyper::Version;
use hyper::header::HOST;
use hyper::http::uri::Authority;

/// Returns the host that a request is for, if it is foreign: no IP address, not `localhost`, and not one of `hosts`.
/// A client of HTTP/1.0 need not name one (RFC 9112 section 3.2), and no browser is one.
pub(super) fn foreign<B>(request: &Request<B>, hosts: &[String]) -> Option<String> {
    // A target in absolute form counts more than the field (RFC 9112 section 3.2.2).
    let authority = match (request.uri().authority(), request.headers().get(HOST)) {
        (Some(authority), _) => authority.clone(),
        (None, None) if request.version() < Version::HTTP_11 => return None,
        (None, None) => return Some(String::new()),
        (None, Some(field)) => match Authority::try_from(field.as_bytes()) {
            Ok(authority) => authority,
            Err(_) => return Some(String::from_utf8_lossy(field.as_bytes()).into_owned()),
        },
    };
    let host = authority.host();
    let is_own = is_address(host) || is_localhost(host) || hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
    (!is_own).then(|| host.to_owned())
}

fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner.parse::<IpAddr>().is_ok()
}

/// Returns whether a name is for this machine, which no name server can change (RFC 6761 section 6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_configured_names_are_own() {
        let hosts = ["gateway.example".to_owned()];
        let cases = [
            ("127.0.0.1", true),
            ("127.0.0.1:9090", true),
            ("[::1]:9090", true),
            ("localhost", true),
            ("LOCALHOST.:9090", true),
            ("a.localhost:9090", true),
            ("gateway.example:9090", true),
            ("Gateway.Example", true),
            ("evil.example", false),
            ("evil.example:9090", false),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("xlocalhost", false),
            ("user@evil.example", false),
            ("", false),
            (" ", false),
        ];
        for (host, is_own) in cases {
            let request = Request::builder().uri("/").header(HOST, host).body(()).unwrap();
            assert_eq!(foreign(&request, &hosts).is_none(), is_own, "{host:?}");
        }
        let request = |uri: &str, version| Request::builder().uri(uri).version(version).body(()).unwrap();
        assert!(foreign(&request("/", Version::HTTP_11), &hosts).is_some(), "HTTP/1.1 names a host");
        assert!(foreign(&request("/", Version::HTTP_10), &hosts).is_none());
        assert!(foreign(&request("http://evil.example/", Version::HTTP_10), &hosts).is_some());
    }
}
