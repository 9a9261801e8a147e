//! Implements `edgetrust check --effective`: each tunnel's settings, and the places where they are written. File names
//! are shown, the files' contents are not.

use edgetrust_core::config::{
    Acme, AllowedClients, ClientTls, ClientTrust, Config, CredentialSource, Endpoint, Files, MinVersion, Origin,
    Origins, ProxyProtocol, Server, ServerTls, Tunnel, TunnelKind,
};
use edgetrust_core::identity::RuleName;
use serde::Serialize;
use serde_json::{Value, json};

/// The settings of one tunnel, or of the EST server.
#[derive(Debug, Serialize)]
pub(super) struct Effective {
    /// The name of the tunnel.
    name: String,
    /// The tunnel's place in the file.
    at: String,
    settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Setting {
    setting: String,
    value: Value,
    source: String,
}

/// Returns the settings of all tunnels of a configuration, then of its EST server.
pub(super) fn effective(config: &Config<'_>) -> Vec<Effective> {
    let (tunnels, allowed) = (config.gateway.tunnels.iter().enumerate(), &config.gateway.allowed_clients);
    let mut all: Vec<_> = tunnels.map(|(index, tunnel)| of_tunnel(index, tunnel, allowed)).collect();
    if let Some(est) = &config.gateway.est {
        let mut settings = Settings::new("gateway.est", "security.tls.server", &est.origins);
        settings.own("listen", json!(est.listen.to_string()));
        if let Some(first) = est.first_enrollment {
            settings.own("first_enrollment.listen", json!(first.to_string()));
        }
        settings.add("tls.enabled", true.into(), est.origins.enabled);
        settings.mutual_tls(&est.tls, &est.clients, allowed);
        all.push(settings.named("gateway.est"));
    }
    all
}

/// Prints the settings as a table.
pub(super) fn print(all: &[Effective]) {
    for Effective { name, at, settings } in all {
        outln!("{} ({at})", name.escape_debug());
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let names = width(&mut settings.iter().map(|setting| setting.setting.len()));
        let values: Vec<String> = settings.iter().map(|setting| shown(&setting.value)).collect();
        let wide = width(&mut values.iter().map(|value| value.chars().count())).min(40);
        for (Setting { setting, source, .. }, value) in settings.iter().zip(&values) {
            outln!("  {setting:<names$}  {value:<wide$}  {source}");
        }
    }
}

fn shown(value: &Value) -> String {
    if value.is_null() { "-".to_owned() } else { value.to_string() }
}

fn of_tunnel(index: usize, tunnel: &Tunnel<'_>, allowed: &AllowedClients<'_>) -> Effective {
    let at = format!("gateway.tunnels[{index}]");
    let shared = match &tunnel.kind {
        TunnelKind::Server { .. } => "security.tls.server",
        TunnelKind::Client { .. } => "security.tls.client",
    };
    let mut settings = Settings::new(&at, shared, &tunnel.origins);
    let mode = if matches!(tunnel.kind, TunnelKind::Server { .. }) { "server" } else { "client" };
    settings.own("mode", mode.into());
    settings.own("listen", json!(tunnel.listen.to_string()));
    let others = tunnel.other_targets.iter().map(|other| other.endpoint.to_string());
    let targets: Vec<_> = tunnel.target.iter().map(ToString::to_string).chain(others).collect();
    match targets.as_slice() {
        [] | [_] => settings.own("target", json!(targets.first())),
        targets => settings.own("targets", json!(targets)),
    }
    if targets.len() != 1 {
        settings.own("health_interval", json!(format!("{}ms", tunnel.health_interval_ms)));
    }
    if let Some(service) = tunnel.service {
        settings.own("service", json!(service.name));
        settings.own("to", json!(service.to));
    }
    settings.flag("allow_remote_plaintext", tunnel.allow_remote_plaintext);
    match &tunnel.kind {
        TunnelKind::Server { tls, sni, proxy_protocol, accept_proxy, max_fragment_size } => {
            settings.list("sni", sni);
            let networks: Vec<_> = accept_proxy.iter().map(ToString::to_string).collect();
            settings.own("accept_proxy", json!(networks));
            settings.flag("proxy_protocol", *proxy_protocol != ProxyProtocol::Off);
            settings.flag("proxy_protocol_certificate", *proxy_protocol == ProxyProtocol::WithCertificate);
            if *tls != Server::Plain {
                let source = if tunnel.origins.max_fragment_size == Origin::Default { "default" } else { &at };
                settings.push("max_fragment_size", json!(max_fragment_size), source.to_owned());
            }
            settings.server(tls, allowed);
        }
        TunnelKind::Client { tls, server_name, proxy } => {
            settings.own("proxy", json!(proxy.map(|proxy| proxy.to_string())));
            let from_target = matches!(tunnel.target, Some(Endpoint::Host(host, _)) if Some(host) == *server_name)
                || matches!(tunnel.target, Some(Endpoint::Tcp(address)) if Some(&*address.ip().to_string()) == *server_name);
            let source = if from_target { format!("{at}.target") } else { at.clone() };
            settings.push("server_name", json!(server_name), source);
            settings.client(tls);
        }
    }
    settings.named(tunnel.name)
}

/// The settings of one tunnel while they are collected.
struct Settings<'o> {
    at: String,
    shared: &'static str,
    origins: &'o Origins,
    all: Vec<Setting>,
}

impl<'o> Settings<'o> {
    fn new(at: &str, shared: &'static str, origins: &'o Origins) -> Self {
        Self { at: at.to_owned(), shared, origins, all: Vec::new() }
    }

    fn named(self, name: &str) -> Effective {
        Effective { name: name.to_owned(), at: self.at, settings: self.all }
    }

    fn push(&mut self, setting: &str, value: Value, source: String) {
        self.all.push(Setting { setting: setting.to_owned(), value, source });
    }

    /// Adds a key of the tunnel that is not inherited.
    fn own(&mut self, setting: &str, value: Value) {
        self.push(setting, value, self.at.clone());
    }

    fn flag(&mut self, setting: &str, value: bool) {
        let source = if value { self.at.clone() } else { "default".to_owned() };
        self.push(setting, value.into(), source);
    }

    fn list(&mut self, setting: &str, values: &[&str]) {
        let source = if values.is_empty() { "default".to_owned() } else { self.at.clone() };
        self.push(setting, json!(values), source);
    }

    /// Adds a key of `tls`, with the place from which the tunnel has the value.
    fn add(&mut self, setting: &str, value: Value, origin: Origin) {
        let inside = if setting.starts_with("tls.mtls.") { ".mtls" } else { "" };
        let source = match origin {
            Origin::Default => "default".to_owned(),
            Origin::Tunnel => format!("{}.tls{inside}", self.at),
            Origin::Shared => format!("{}{inside}", self.shared),
        };
        self.push(setting, value, source);
    }

    fn server(&mut self, tls: &Server<'_>, allowed: &AllowedClients<'_>) {
        self.add("tls.enabled", (*tls != Server::Plain).into(), self.origins.enabled);
        match tls {
            Server::Plain => {}
            Server::Tls(tls) => {
                self.server_tls(tls);
                self.add("tls.mtls.enabled", false.into(), self.origins.mutual);
            }
            Server::MutualTls(tls, clients) => self.mutual_tls(tls, clients, allowed),
        }
    }

    fn server_tls(&mut self, tls: &ServerTls<'_>) {
        self.add("tls.min_version", version(tls.min_version), self.origins.min_version);
        self.credential(&tls.credential, "tls");
    }

    fn mutual_tls(&mut self, tls: &ServerTls<'_>, clients: &ClientTrust<'_>, allowed: &AllowedClients<'_>) {
        self.server_tls(tls);
        let origins = self.origins;
        self.add("tls.mtls.enabled", true.into(), origins.mutual);
        for (key, files) in [
            ("tls.mtls.client_ca_files", &clients.ca_files),
            ("tls.mtls.pinned_certificates", &clients.pinned_certificates),
        ] {
            self.add(key, json!(files.as_slice()), origins.client_ca_files);
        }
        self.add("tls.mtls.require_client_cert", clients.required.into(), origins.require_client_cert);
        for (key, names) in [
            ("tls.mtls.allowed_client_cns", &clients.allowed_cns),
            ("tls.mtls.allowed_client_dns", &clients.allowed_dns),
            ("tls.mtls.allowed_client_uris", &clients.allowed_uris),
        ] {
            // A missing list differs from an empty one.
            let value = if clients.any_verified { Value::Null } else { json!(names.as_slice()) };
            self.add(key, value, origins.allow_rules);
        }
        let addresses = if clients.any_verified { Value::Null } else { json!(clients.allowed_ips.as_slice()) };
        self.add("tls.mtls.allowed_client_ips", addresses, origins.allow_rules);
        let bound: Vec<_> =
            allowed.of(clients.allowed_clients).map(|(name, issuers)| client_rule(&name, issuers)).collect();
        let bound = if clients.any_verified { Value::Null } else { Value::Array(bound) };
        self.add("tls.mtls.allowed_clients", bound, origins.allow_rules);
    }

    fn client(&mut self, tls: &ClientTls<'_>) {
        let origins = self.origins;
        self.add("tls.min_version", version(tls.min_version), origins.min_version);
        self.add("tls.ca_files", json!(tls.ca_files.as_slice()), origins.trust);
        self.add("tls.pinned_certificates", json!(tls.pinned_certificates.as_slice()), origins.trust);
        self.add("tls.server_issuers", json!(tls.server_issuers.as_slice()), origins.trust);
        self.add("tls.use_system_roots", tls.system_roots.into(), origins.system_roots);
        self.add("tls.insecure_skip_verify", tls.insecure_skip_verify.into(), origins.insecure_skip_verify);
        match &tls.credential {
            None => self.add("tls.mtls.enabled", false.into(), origins.mutual),
            Some(credential) => {
                self.add("tls.mtls.enabled", true.into(), origins.mutual);
                self.credential(credential, "tls.mtls");
            }
        }
    }

    fn credential(&mut self, source: &CredentialSource<'_>, object: &str) {
        match source {
            CredentialSource::Files(files) => self.files(files, object),
            CredentialSource::Acme(acme) => self.acme(acme),
            CredentialSource::AcmeWithFallback(acme, files) => {
                self.acme(acme);
                self.files(files, object);
            }
        }
    }

    fn files(&mut self, files: &Files<'_>, object: &str) {
        self.add(&format!("{object}.cert_file"), json!(files.cert_file), self.origins.credential);
        self.add(&format!("{object}.key_file"), json!(files.key_file), self.origins.credential);
    }

    /// Adds the keys of `acme`; a client's `acme` may be written in its `mtls` too.
    fn acme(&mut self, acme: &Acme<'_>) {
        for (key, value) in [
            ("directory_url", json!(acme.directory_url)),
            ("domains", json!(acme.domains.as_slice())),
            ("storage_path", json!(acme.storage_path)),
            ("ca_bundle", json!(acme.ca_bundle)),
            ("issuer_bundle", json!(acme.issuer_bundle)),
        ] {
            self.add(&format!("tls.acme.{key}"), value, self.origins.credential);
        }
    }
}

/// Returns a rule as the file has it.
fn client_rule(name: &RuleName<'_>, issuers: Option<&[&str]>) -> Value {
    let mut rule = match name {
        RuleName::CommonName(name) => json!({"cn": name}),
        RuleName::Dns(name) => json!({"dns": name}),
        RuleName::Uri(uri) => json!({"uri": uri}),
        RuleName::Ip(address) => json!({"ip": address.to_string()}),
    };
    if let (Some(issuers), Some(rule)) = (issuers, rule.as_object_mut()) {
        rule.insert("issuers".to_owned(), json!(issuers));
    }
    rule
}

fn version(version: MinVersion) -> Value {
    match version {
        MinVersion::Tls12 => "1.2".into(),
        MinVersion::Tls13 => "1.3".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_nobody_wrote_is_a_default() {
        for (written, value, source) in
            [("", 16_384, "default"), (r#""max_fragment_size": 4096, "#, 4096, "gateway.tunnels[0]")]
        {
            let tunnel = r#""name": "in", "mode": "server", "listen": "127.0.0.1:1", "target": "127.0.0.1:2""#;
            let tls =
                r#""security": {"tls": {"server": {"enabled": true, "cert_file": "a.pem", "key_file": "a.key"}}}"#;
            let mut text = format!(r#"{{{tls}, "gateway": {{"tunnels": [{{{written}{tunnel}}}]}}}}"#).into_bytes();
            let config = Config::parse(&mut text).unwrap();
            let all = effective(&config);
            let found: Vec<_> = all[0].settings.iter().filter(|one| one.setting == "max_fragment_size").collect();
            assert_eq!(found.len(), 1);
            assert_eq!((&found[0].value, &*found[0].source), (&json!(value), source));
        }
    }
}
