//! Asks a SOCKS proxy, version 5, for a connection (RFC 1928), with a user and a password (RFC 1929).

use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::credentials::Credentials;
use super::destination::Destination;
use super::fault::ProxyFault;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a connection to a destination, and reads the answers, not an octet more.
///
/// # Errors
/// Returns why the proxy leads to no destination.
pub(super) async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    to: &Destination<'_>,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyFault> {
    let methods: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(methods).await?;
    match (read(stream).await?, credentials) {
        ([VERSION, NO_AUTHENTICATION], _) => {}
        ([VERSION, USER_AND_PASSWORD], Some(known)) => authenticate(stream, known).await?,
        ([VERSION, 0xff], None) => {
            return Err(ProxyFault::Unauthorized("that it takes nobody without a user".to_owned()));
        }
        ([VERSION, 0xff], Some(_)) => {
            return Err(ProxyFault::Refused("that it takes neither a user with a password nor nobody".to_owned()));
        }
        ([VERSION, method], _) => {
            return Err(ProxyFault::Strange(format!("it chose the method {method}, which was not offered")));
        }
        ([other, _], _) => return Err(strange_version(other)),
    }
    stream.write_all(&request(to)?).await?;
    let [version, reply, _, kind] = read(stream).await?;
    match (version, reply) {
        (VERSION, 0) => {}
        (VERSION, reply) => return Err(ProxyFault::Refused(format!("{reply}: {}, expected 0", meaning(reply)))),
        (other, _) => return Err(strange_version(other)),
    }
    // The address that the proxy connects from is of no use here.
    match kind {
        IPV4 => drop(read::<6>(stream).await?),
        IPV6 => drop(read::<18>(stream).await?),
        DOMAIN_NAME => {
            let [length] = read(stream).await?;
            let mut name = vec![0; usize::from(length).saturating_add(2)];
            stream.read_exact(&mut name).await?;
        }
        other => return Err(ProxyFault::Strange(format!("found an address of type {other}, expected 1, 3 or 4"))),
    }
    Ok(())
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], ProxyFault> {
    let mut octets = [0; N];
    stream.read_exact(&mut octets).await?;
    Ok(octets)
}

fn strange_version(found: u8) -> ProxyFault {
    ProxyFault::Strange(format!("found {found} as the version of SOCKS, expected 5"))
}

/// Sends a user and a password (RFC 1929 section 2).
async fn authenticate(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    known: &Credentials,
) -> Result<(), ProxyFault> {
    let mut message = vec![1];
    for text in [&known.user, &known.password] {
        message.push(u8::try_from(text.len()).map_err(|_| ProxyFault::LongName(text.len()))?);
        message.extend_from_slice(text);
    }
    stream.write_all(&message).await?;
    match read(stream).await? {
        [_, 0] => Ok(()),
        [_, status] => Err(ProxyFault::Unauthorized(format!("{status} to the user and the password"))),
    }
}

/// Returns the request for a connection (RFC 1928 section 4): a name is looked up by the proxy.
fn request(to: &Destination<'_>) -> Result<Vec<u8>, ProxyFault> {
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match to {
        Destination::Ip(address) => {
            match address.ip() {
                IpAddr::V4(ip) => {
                    request.push(IPV4);
                    request.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    request.push(IPV6);
                    request.extend_from_slice(&ip.octets());
                }
            }
            address.port()
        }
        Destination::Name(name, port) => {
            request.push(DOMAIN_NAME);
            request.push(u8::try_from(name.len()).map_err(|_| ProxyFault::LongName(name.len()))?);
            request.extend_from_slice(name.as_bytes());
            *port
        }
    };
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// Returns the meaning of a reply (RFC 1928 section 6).
fn meaning(reply: u8) -> &'static str {
    match reply {
        1 => "a failure of the proxy",
        2 => "not allowed by its rules",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the destination refused the connection",
        6 => "the time to live expired",
        7 => "it does not know CONNECT",
        8 => "it does not know this type of address",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    const NAME: Destination<'_> = Destination::Name("b.example", 8443);
    const REQUEST: &[u8] = b"\x05\x01\0\x03\x09b.example\x20\xfb";

    /// Returns what was asked, the verdict on these answers, and what is left to be read after them.
    async fn asked(
        answers: &[u8],
        to: Destination<'_>,
        known: Option<&Credentials>,
    ) -> (Vec<u8>, Result<(), String>, Vec<u8>) {
        let (mut near, mut far) = duplex(64 * 1024);
        far.write_all(answers).await.unwrap();
        let (mut said, mut tells) = tokio::io::split(far);
        tells.shutdown().await.unwrap();
        let verdict = ask(&mut near, &to, known).await.map_err(|fault| fault.to_string());
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        drop(near);
        let mut asked = Vec::new();
        said.read_to_end(&mut asked).await.unwrap();
        (asked, verdict, rest)
    }

    #[tokio::test]
    async fn a_name_is_left_to_the_proxy_and_an_address_is_sent_as_it_is() {
        let answer = b"\x05\0\x05\0\0\x01\x7f\0\0\x01\x12\x34rest";
        let (said, verdict, rest) = asked(answer, NAME, None).await;
        assert_eq!((said, verdict), ([b"\x05\x01\0", REQUEST].concat(), Ok(())));
        assert_eq!(rest, b"rest");
        let (said, verdict, _) =
            asked(b"\x05\0\x05\0\0\x03\x01x\0\0", Destination::Ip("[::1]:1".parse().unwrap()), None).await;
        assert_eq!((&said[3..], verdict), (&[&b"\x05\x01\0\x04"[..], &[0; 15], &[1, 0, 1]].concat()[..], Ok(())));
        let (said, verdict, _) = asked(
            &[&b"\x05\0\x05\0\0\x04"[..], &[0; 18]].concat(),
            Destination::Ip("192.0.2.1:1".parse().unwrap()),
            None,
        )
        .await;
        assert_eq!((&said[3..], verdict), (&b"\x05\x01\0\x01\xc0\0\x02\x01\0\x01"[..], Ok(())));
    }

    #[tokio::test]
    async fn a_user_is_sent_where_it_is_asked_for() {
        let known = Credentials::parse(b"user:pass").unwrap();
        let answer = b"\x05\x02\x01\0\x05\0\0\x01\0\0\0\0\0\0";
        let (said, verdict, _) = asked(answer, NAME, Some(&known)).await;
        assert_eq!((said, verdict), ([b"\x05\x02\0\x02\x01\x04user\x04pass", REQUEST].concat(), Ok(())));
        let (said, verdict, _) = asked(b"\x05\0\x05\0\0\x01\0\0\0\0\0\0", NAME, Some(&known)).await;
        assert_eq!((said, verdict), ([b"\x05\x02\0\x02", REQUEST].concat(), Ok(())));
        let (_, verdict, _) = asked(b"\x05\x02\x01\x01", NAME, Some(&known)).await;
        let said = verdict.unwrap_err();
        assert!(said.contains("it answered 1 to the user and the password") && !said.contains("pass\""), "{said}");
    }

    #[tokio::test]
    async fn every_other_answer_is_told() {
        let long = "a".repeat(256);
        for (answer, expected) in [
            (&b""[..], "ended the connection"),
            (b"\x05", "ended the connection"),
            (b"\x05\xff", "takes nobody without a user"),
            (b"\x05\x02", "chose the method 2, which was not offered"),
            (b"\x04\0", "found 4 as the version"),
            (b"HTTP/1.1 400\r\n", "found 72 as the version"),
            (b"\x05\0", "ended the connection"),
            (b"\x05\0\x05\x05\0\x01\0\0\0\0\0\0", "it answered 5: the destination refused"),
            (b"\x05\0\x05\x02\0\x01", "it answered 2: not allowed by its rules"),
            (b"\x05\0\x05\0\0\x07", "an address of type 7"),
            (b"\x05\0\x05\0\0\x03\xffabc", "ended the connection"),
            (b"\x05\0\x04\0\0\x01", "found 4 as the version"),
        ] {
            let said = asked(answer, NAME, None).await.1.unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let (_, verdict, _) = asked(b"\x05\0", Destination::Name(&long, 1), None).await;
        assert!(verdict.unwrap_err().contains("256 octets, expected 255"));
    }
}
