//! Lists every file, folder and command that a configuration names, in one place.

use super::acme::Acme;
use super::endpoint::Endpoint;
use super::model::{ClientTls, ClientTrust, Config, CredentialSource, Paths, Server, ServerTls, TunnelKind};
use super::nats::NatsStore;
use super::proxy::{Egress, Proxy};
use super::token_uri::is_token_uri;
use crate::x509::KeyHash;

/// The kind of a text that names something on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// A file that is read.
    File,
    /// A folder in which files are written.
    Folder,
    /// A file to whose end lines are written, and which is made.
    Log,
    /// A Unix socket to listen on, which is made.
    Listener,
    /// A Unix socket to connect to.
    Socket,
    /// The URI of a key in a token (RFC 7512).
    Token,
    /// A program with its arguments, or `signal:NAME:PIDFILE`.
    Hook,
}

/// A function that takes each text and may replace the text.
type Each<'e, 'a> = &'e mut dyn FnMut(PathKind, &mut &'a str);

impl<'a> Config<'a> {
    /// Calls `each` for every file, folder, socket and command, so that a program can resolve relative names.
    pub fn for_each_path(&mut self, each: &mut dyn FnMut(PathKind, &mut &'a str)) {
        server(&mut self.server, each);
        client(&mut self.client, each);
        files(&mut self.gateway.known_intermediates, each);
        files(&mut self.gateway.crl_files, each);
        if let Some(file) = &mut self.gateway.audit_log {
            each(PathKind::Log, file);
        }
        issuers(&mut self.gateway.allowed_clients.issuers, each);
        if let Some(mesh) = &mut self.gateway.mesh {
            each(PathKind::File, &mut mesh.file);
            if let Some(signed) = &mut mesh.signed {
                each(PathKind::Folder, &mut signed.storage_path);
                each(PathKind::File, &mut signed.ca_bundle);
            }
            store(&mut mesh.storage, each);
        }
        for tunnel in &mut self.gateway.tunnels {
            if let Endpoint::Unix(path) = &mut tunnel.listen {
                each(PathKind::Listener, path);
            }
            let others = tunnel.other_targets.iter_mut().map(|other| &mut other.endpoint);
            for target in tunnel.target.as_mut().into_iter().chain(others) {
                if let Endpoint::Unix(path) = target {
                    each(PathKind::Socket, path);
                }
            }
            match &mut tunnel.kind {
                TunnelKind::Server { tls, .. } => server(tls, each),
                TunnelKind::Client { tls, proxy, .. } => {
                    client(tls, each);
                    credentials(proxy, each);
                }
            }
        }
        if let Some(admin) = &mut self.gateway.admin {
            if let Endpoint::Unix(path) = &mut admin.listen {
                each(PathKind::Listener, path);
            }
            if let Some(tls) = &mut admin.tls {
                server_tls(tls, each);
            }
            client_trust(&mut admin.clients, each);
        }
        if let Some(est) = &mut self.gateway.est {
            server_tls(&mut est.tls, each);
            client_trust(&mut est.clients, each);
            acme(&mut est.acme, each);
        }
        #[cfg(feature = "device")]
        if let Some(device) = &mut self.device {
            files(&mut device.ca_files, each);
            issuers(&mut device.server_issuers, each);
            match &mut device.credential {
                super::FirstCredential::Files(files) => pair(files, each),
                super::FirstCredential::Voucher(voucher) => each(PathKind::File, &mut voucher.file),
            }
        }
    }
}

fn files<'a>(files: &mut Paths<'a>, each: Each<'_, 'a>) {
    for file in files {
        each(PathKind::File, file);
    }
}

fn server<'a>(server: &mut Server<'a>, each: Each<'_, 'a>) {
    match server {
        Server::Plain => {}
        Server::Tls(tls) => server_tls(tls, each),
        Server::MutualTls(tls, clients) => {
            server_tls(tls, each);
            client_trust(clients, each);
        }
    }
}

fn server_tls<'a>(tls: &mut ServerTls<'a>, each: Each<'_, 'a>) {
    source(&mut tls.credential, each);
}

fn client_trust<'a>(clients: &mut ClientTrust<'a>, each: Each<'_, 'a>) {
    files(&mut clients.ca_files, each);
    files(&mut clients.pinned_certificates, each);
}

/// Passes over hashes of keys.
fn issuers<'a>(issuers: &mut [&'a str], each: Each<'_, 'a>) {
    for file in issuers.iter_mut().filter(|issuer| KeyHash::parse(issuer).is_none()) {
        each(PathKind::File, file);
    }
}

fn client<'a>(client: &mut ClientTls<'a>, each: Each<'_, 'a>) {
    files(&mut client.ca_files, each);
    files(&mut client.pinned_certificates, each);
    issuers(&mut client.server_issuers, each);
    if let Some(credential) = &mut client.credential {
        source(credential, each);
    }
}

fn source<'a>(source: &mut CredentialSource<'a>, each: Each<'_, 'a>) {
    match source {
        CredentialSource::Files(files) => pair(files, each),
        CredentialSource::Acme(settings) => acme(settings, each),
        CredentialSource::AcmeWithFallback(settings, files) => {
            acme(settings, each);
            pair(files, each);
        }
    }
}

fn pair<'a>(files: &mut super::model::Files<'a>, each: Each<'_, 'a>) {
    each(PathKind::File, &mut files.cert_file);
    key(&mut files.key_file, each);
}

fn key<'a>(file: &mut &'a str, each: Each<'_, 'a>) {
    let kind = if is_token_uri(file) { PathKind::Token } else { PathKind::File };
    each(kind, file);
}

fn credentials<'a>(proxy: &mut Option<Egress<'a>>, each: Each<'_, 'a>) {
    if let Some(Egress::Proxy(Proxy { credentials_file: Some(file), .. })) = proxy {
        each(PathKind::File, file);
    }
}

fn store<'a>(store: &mut Option<NatsStore<'a>>, each: Each<'_, 'a>) {
    let Some(store) = store else { return };
    if let Some(file) = &mut store.key_file {
        key(file, each);
    }
    let single = store.cert_file.iter_mut().chain(&mut store.credentials_file);
    for file in single.chain(&mut store.ca_files).chain(&mut store.sealing_key_files) {
        each(PathKind::File, file);
    }
}

fn acme<'a>(acme: &mut Acme<'a>, each: Each<'_, 'a>) {
    each(PathKind::Folder, &mut acme.storage_path);
    store(&mut acme.storage, each);
    for bundle in [&mut acme.ca_bundle, &mut acme.issuer_bundle].into_iter().flatten() {
        each(PathKind::File, bundle);
    }
    credentials(&mut acme.proxy, each);
    if let Some(uri) = &mut acme.ordering.keys.key {
        key(uri, each);
    }
    if let Some(eab) = &mut acme.eab {
        each(PathKind::File, &mut eab.hmac_key_file);
    }
    for hook in [&mut acme.ordering.keys.hook, &mut acme.ordering.keys.dns_hook].into_iter().flatten() {
        each(PathKind::Hook, hook);
    }
}
