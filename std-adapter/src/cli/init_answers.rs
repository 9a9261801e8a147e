//! Makes the text of a first configuration from complete answers, and says what is wrong with an answer.

use std::path::Path;

use edgetrust_core::config::Endpoint;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Mode {
    /// Accept TLS for a service on this machine
    Server,
    /// Connect to a server over TLS for programs on this machine
    Client,
}

/// A certificate file and its key file.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) cert: String,
    pub(super) key: String,
}

/// The clients of a server.
#[derive(Debug)]
pub(super) enum Clients {
    /// None is asked for a certificate.
    Unasked,
    /// Those with a certificate of these CAs and one of these names.
    Named { ca: Vec<String>, cns: Vec<String>, dns: Vec<String> },
}

#[derive(Debug)]
pub(super) enum Side {
    Server { own: Pair, clients: Clients },
    Client { ca: Vec<String>, own: Option<Pair>, server_name: Option<String> },
}

/// All that a first configuration says.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) listen: String,
    pub(super) target: String,
    pub(super) side: Side,
}

impl Answers {
    /// Returns the text of the configuration. `name` makes a file's name one that is found from the folder of the
    /// configuration.
    pub(super) fn text(&self, name: impl Fn(&str) -> String) -> String {
        let names = |files: &[String]| files.iter().map(|file| name(file)).collect::<Vec<_>>();
        let object = |members: &[(&str, Value)], indent: usize| {
            let lines: Vec<_> =
                members.iter().map(|(key, value)| format!("{:indent$}  \"{key}\": {value}", "")).collect();
            format!("{{\n{}\n{:indent$}}}", lines.join(",\n"), "")
        };
        let (side, tls, tunnel) = match &self.side {
            Side::Server { own, clients } => {
                let mut tls = vec![
                    ("enabled", json!(true)),
                    ("cert_file", json!(name(&own.cert))),
                    ("key_file", json!(name(&own.key))),
                ];
                if let Clients::Named { ca, cns, dns } = clients {
                    let mut mtls = json!({ "enabled": true, "client_ca_files": names(ca) });
                    for (key, names) in [("allowed_client_cns", cns), ("allowed_client_dns", dns)] {
                        if let (false, Value::Object(mtls)) = (names.is_empty(), &mut mtls) {
                            mtls.insert(key.to_owned(), json!(names));
                        }
                    }
                    tls.push(("mtls", mtls));
                }
                ("server", tls, vec![("name", json!("in")), ("mode", json!("server"))])
            }
            Side::Client { ca, own, server_name } => {
                let mut tls = vec![("ca_files", json!(names(ca))), ("use_system_roots", json!(false))];
                if let Some(own) = own {
                    let (cert, key) = (name(&own.cert), name(&own.key));
                    tls.push(("mtls", json!({ "enabled": true, "cert_file": cert, "key_file": key })));
                }
                let mut tunnel = vec![("name", json!("out")), ("mode", json!("client"))];
                tunnel.extend(server_name.as_ref().map(|name| ("server_name", json!(name))));
                ("client", tls, tunnel)
            }
        };
        let tunnel = [tunnel, vec![("listen", json!(self.listen)), ("target", json!(self.target))]].concat();
        format!(
            "{{\n  \"security\": {{\"tls\": {{\n    \"{side}\": {}\n  }}}},\n  \"gateway\": {{\"tunnels\": [\n    {}\n  ]}}\n}}\n",
            object(&tls, 4),
            object(&tunnel, 4),
        )
    }
}

/// Checks an address to listen on.
pub(super) fn check_listen(mode: Mode, text: &str) -> Result<(), String> {
    match (mode, Endpoint::parse(text)) {
        (Mode::Server, Some(Endpoint::Tcp(_))) => Ok(()),
        (Mode::Server, _) => Err(format!("found {text:?}, expected ADDRESS:PORT, as 0.0.0.0:8443")),
        (Mode::Client, Some(Endpoint::Tcp(address))) if !address.ip().is_loopback() => Err(format!(
            "found {text:?}, which other machines reach in plaintext; expected a loopback address, as 127.0.0.1:9001, or unix:PATH"
        )),
        (Mode::Client, Some(Endpoint::Tcp(_) | Endpoint::Unix(_))) => Ok(()),
        (Mode::Client, _) => Err(format!("found {text:?}, expected ADDRESS:PORT, as 127.0.0.1:9001, or unix:PATH")),
    }
}

/// Checks an address to connect to.
pub(super) fn check_target(mode: Mode, text: &str) -> Result<(), String> {
    match (mode, Endpoint::parse(text)) {
        (Mode::Server, Some(target)) if !target.is_local() => Err(format!(
            "found {text:?}, to which plaintext would leave this machine; expected a service here, as 127.0.0.1:8081, or unix:PATH"
        )),
        (Mode::Server, Some(_)) | (Mode::Client, Some(Endpoint::Host(..) | Endpoint::Tcp(_))) => Ok(()),
        (Mode::Server, None) => {
            Err(format!("found {text:?}, expected ADDRESS:PORT of a service here, as 127.0.0.1:8081, or unix:PATH"))
        }
        (Mode::Client, _) => Err(format!("found {text:?}, expected HOST:PORT, as gateway.b.example:8443")),
    }
}

/// Checks that a file is there; what is in it is checked with the whole.
pub(super) fn check_file(text: &str) -> Result<(), String> {
    match Path::new(text).metadata() {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(format!("{text}: expected a file")),
        Err(error) => Err(format!("{text}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgetrust_core::config::{Config, Server, TunnelKind};

    fn pair() -> Pair {
        Pair { cert: "a \"quoted\".pem".to_owned(), key: "a.key".to_owned() }
    }

    #[test]
    fn each_side_is_written_as_the_parser_reads_it() {
        let named = Clients::Named { ca: vec!["ca.pem".to_owned()], cns: vec!["b".to_owned()], dns: Vec::new() };
        let (listen, target) = ("0.0.0.0:8443".to_owned(), "unix:/run/s".to_owned());
        let mut text = Answers { listen, target, side: Side::Server { own: pair(), clients: named } }
            .text(|name| format!("/x/{name}"))
            .into_bytes();
        let config = Config::parse(&mut text).unwrap();
        let TunnelKind::Server { tls: Server::MutualTls(_, trust), .. } = &config.gateway.tunnels[0].kind else {
            panic!("{config:?}")
        };
        assert_eq!((&trust.ca_files[..], &trust.allowed_cns[..]), (&["/x/ca.pem"][..], &["b"][..]));
        assert!(trust.required && !trust.any_verified);

        let (listen, target) = ("127.0.0.1:9001".to_owned(), "192.0.2.1:8443".to_owned());
        let ca = vec!["ca.pem".to_owned()];
        let side = Side::Client { ca, own: None, server_name: Some("b.example".to_owned()) };
        let mut text = Answers { listen, target, side }.text(str::to_owned).into_bytes();
        let config = Config::parse(&mut text).unwrap();
        let TunnelKind::Client { tls, server_name, .. } = &config.gateway.tunnels[0].kind else { panic!("{config:?}") };
        assert!(!tls.system_roots && tls.credential.is_none() && *server_name == Some("b.example"));
    }

    #[test]
    fn addresses_are_refused_where_the_parser_would_refuse_them() {
        for (mode, listen, taken) in [
            (Mode::Server, "0.0.0.0:8443", true),
            (Mode::Server, "unix:x", false),
            (Mode::Server, "8443", false),
            (Mode::Client, "127.0.0.1:9001", true),
            (Mode::Client, "unix:x", true),
            (Mode::Client, "0.0.0.0:9001", false),
            (Mode::Client, "localhost:9001", false),
        ] {
            assert_eq!(check_listen(mode, listen).is_ok(), taken, "{mode:?} {listen}");
        }
        for (mode, target, taken) in [
            (Mode::Server, "127.0.0.1:8081", true),
            (Mode::Server, "10.0.0.1:8081", false),
            (Mode::Server, "8081", false),
            (Mode::Client, "b.example:8443", true),
            (Mode::Client, "unix:x", false),
            (Mode::Client, "b.example", false),
        ] {
            assert_eq!(check_target(mode, target).is_ok(), taken, "{mode:?} {target}");
        }
    }
}
