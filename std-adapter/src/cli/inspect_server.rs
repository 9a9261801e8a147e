//! Asks a server for its certificates and its settings of TLS, and verifies nothing.

use std::process::ExitCode;
use std::time::Duration;

use edgetrust_core::config::Endpoint;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, Name};
use pki_types::{ServerName, UnixTime};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::io::InspectReader;

use super::inspect_certificate::{Shown, print, shown};
use super::probe::first::First;
use super::probe::{alerts, patience, reasons};
use super::{Failure, Outcome};
use crate::gateway::{Address, addresses, connect};
use crate::tls::{
    AcceptError, ClientSettings, MinVersion, Negotiated, Observed, Seen, ServerTrust, TlsClient, negotiated,
    received_alert,
};

#[derive(clap::Args)]
pub(super) struct Options {
    /// Server: name to ask for; by default the host
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Server: application protocol to offer (ALPN); by default h2 and http/1.1
    #[arg(long, value_name = "PROTOCOL")]
    alpn: Vec<String>,
    /// Server: time limit of the whole
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = patience)]
    timeout: Duration,
}

impl Options {
    /// Refuses options that have no effect on files.
    pub(super) fn only_for_servers(&self) -> Result<(), Failure> {
        match (&self.server_name, self.alpn.is_empty()) {
            (Some(_), _) => Err("--server-name goes with HOST:PORT, not with a file".into()),
            (_, false) => Err("--alpn goes with HOST:PORT, not with a file".into()),
            (None, true) => Ok(()),
        }
    }
}

/// The time for closing a connection in order.
const CLOSING: Duration = Duration::from_secs(1);

/// The number of CAs that are shown; a server can name thousands.
const CAS_SHOWN: usize = 100;

/// A certificate that does not parse.
#[derive(Serialize)]
struct Unread {
    number: usize,
    error: String,
}

/// All that a server has shown. Its texts are the server's own: control characters are escaped.
#[derive(Default, Serialize)]
struct Report {
    server: String,
    /// The address that has answered.
    address: Option<String>,
    server_name: String,
    /// Nothing here is verified but the server's possession of its key.
    verified: bool,
    version: Option<&'static str>,
    cipher_suite: Option<String>,
    group: Option<String>,
    alpn_offered: Vec<String>,
    alpn: Option<String>,
    asks_for_client_certificate: bool,
    /// The CAs from which it asks for one; none are named if any may do.
    client_cas: Vec<String>,
    certificates: Vec<Shown>,
    unreadable_certificates: Vec<Unread>,
    /// The end of the certificate that expires first.
    expires: Option<String>,
    /// The reason for which the handshake was not finished.
    error: Option<String>,
}

pub(super) fn run(server: &str, options: Options, json: bool) -> Outcome {
    let target: Address = server.parse()?;
    let name = match (&options.server_name, Endpoint::parse(server)) {
        (Some(name), _) => name.clone(),
        (None, Some(Endpoint::Host(host, _))) => host.to_owned(),
        (None, Some(Endpoint::Tcp(address))) => address.ip().to_string(),
        (None, _) => return Err(format!("{server}: expected HOST:PORT").into()),
    };
    let expected = |_| format!("--server-name: found {name:?}, expected a DNS name or an IP address");
    let asked = ServerName::try_from(name.clone()).map_err(expected)?;
    let alpn = if options.alpn.is_empty() { vec!["h2".to_owned(), "http/1.1".to_owned()] } else { options.alpn };
    if let Some(protocol) = alpn.iter().find(|protocol| protocol.is_empty() || protocol.len() > 255) {
        return Err(format!("--alpn: found {protocol:?}, expected 1 to 255 octets").into());
    }
    let settings = ClientSettings {
        trust: ServerTrust::DangerNobodyIsVerified,
        credential: None,
        min_version: MinVersion::Tls12,
        alpn: alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
    };
    let (client, observed) = TlsClient::observed(settings)?;
    let mut report = Report { server: server.to_owned(), server_name: name, alpn_offered: alpn, ..Report::default() };
    let first = First::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async {
        timeout(options.timeout, ask(&target, asked, &client, &first, options.timeout, &mut report)).await
    });
    // A look-up that still waits is not waited for.
    runtime.shutdown_background();
    report.error = match asked {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some(format!("not finished within {:?}{}", options.timeout, unfinished(&report, &first))),
    };
    report.learn(&observed);
    if json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    let any = !report.certificates.is_empty() || !report.unreadable_certificates.is_empty();
    Ok(if any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says how far it came within the time.
fn unfinished(report: &Report, first: &First) -> String {
    match report.address {
        None => ": no address has answered".to_owned(),
        Some(_) => format!(": {}", reasons::silent(first).0),
    }
}

/// Connects to the first address that answers, and goes through a handshake; no data is sent.
async fn ask(
    target: &Address,
    name: ServerName<'static>,
    client: &TlsClient,
    first: &First,
    patience: Duration,
    report: &mut Report,
) -> Result<(), String> {
    let found = addresses(target).await.map_err(|error| format!("look-up: {error}"))?;
    let mut failed = Vec::new();
    for address in found {
        match connect(&address, None, patience).await {
            Ok(stream) => {
                report.address = Some(address.to_string());
                return shake(stream, name, client, first, report).await;
            }
            Err(error) => failed.push(format!("{address}: {error}")),
        }
    }
    Err(failed.join("; "))
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    name: ServerName<'static>,
    client: &TlsClient,
    first: &First,
    report: &mut Report,
) -> Result<(), String> {
    let kept = first.clone();
    let stream = InspectReader::new(stream, move |octets| kept.take(octets));
    let mut told = None;
    let shaken = client.connect_telling(name, stream, &mut told).await;
    // A stream with unread octets would be reset, and our alert be lost.
    if let Some(mut stream) = told {
        let leaving = async { stream.shutdown().await.is_ok() && stream.read(&mut [0; 1024]).await.is_ok() };
        // The server may never close; then it has had its time.
        let _ = timeout(CLOSING, leaving).await;
    }
    match shaken {
        Ok((mut stream, _)) => {
            let Negotiated { version, cipher_suite, group, alpn } = negotiated(&stream);
            (report.version, report.cipher_suite, report.group) = (version, cipher_suite, group);
            report.alpn = alpn.map(|protocol| protocol.escape_ascii().to_string());
            // The server may be gone.
            let _ = timeout(CLOSING, stream.shutdown()).await;
            Ok(())
        }
        Err(AcceptError::Io(error)) => Err(match received_alert(&error) {
            Some(number) => {
                let said = alerts::meaning(number);
                let hint =
                    if number == NO_APPLICATION_PROTOCOL { " of those offered; --alpn offers another" } else { "" };
                format!("ended by the server's alert {} ({number}): {}{hint}", said.name, said.meaning)
            }
            None => reasons::broken(&error, first).0,
        }),
        Err(error) => Err(error.to_string()),
    }
}

/// RFC 7301 section 3.2.
const NO_APPLICATION_PROTOCOL: u8 = 120;

impl Report {
    /// Takes over what the handshake has shown, even one that was not finished.
    fn learn(&mut self, observed: &Observed) {
        let Seen { chain, asked, cas, .. } = observed.seen();
        self.asks_for_client_certificate = asked;
        self.client_cas = cas.iter().map(|name| ca(name)).collect();
        let mut end: Option<UnixTime> = None;
        for (number, der) in (1..).zip(&chain) {
            match Certificate::from_der(der) {
                Ok(certificate) => {
                    let until = certificate.validity().not_after;
                    end = Some(end.map_or(until, |end| end.min(until)));
                    self.certificates.push(shown(&self.server, number, der, &certificate));
                }
                Err(error) => self.unreadable_certificates.push(Unread { number, error: error.to_string() }),
            }
        }
        self.expires = end.map(|end| Utc(end).to_string());
    }

    fn print(&self) {
        let line = |what: &str, value: &str| outln!("  {what:<16}{value}");
        outln!("server {}", self.server);
        if let Some(address) = &self.address {
            line("address", address);
        }
        line("asked for", &self.server_name.escape_debug().to_string());
        if !self.certificates.is_empty() {
            line("NOT VERIFIED", "the server says this of itself; `edgetrust probe` and `verify` judge");
        }
        for (what, value) in [
            ("version", self.version),
            ("cipher suite", self.cipher_suite.as_deref()),
            ("group", self.group.as_deref()),
        ] {
            value.into_iter().for_each(|value| line(what, value));
        }
        if self.version.is_some() {
            let offered = self.alpn_offered.join(", ");
            let chosen = self.alpn.clone().unwrap_or_else(|| "none".to_owned());
            line("ALPN", &format!("{chosen}, of {offered}"));
        }
        if !self.certificates.is_empty() {
            let asks = match (self.asks_for_client_certificate, self.client_cas.len()) {
                (false, _) => "none is asked for".to_owned(),
                (true, 0) => "asked for, and no CA is named".to_owned(),
                (true, count) => format!("asked for, of {count} CAs:"),
            };
            line("client's", &asks);
            self.client_cas.iter().take(CAS_SHOWN).for_each(|ca| line("", ca));
            if let Some(more @ 1..) = self.client_cas.len().checked_sub(CAS_SHOWN) {
                line("", &format!("and {more} more, which --json shows"));
            }
        }
        self.certificates.iter().for_each(print);
        for Unread { number, error } in &self.unreadable_certificates {
            outln!("{} certificate {number} cannot be read: {error}", self.server);
        }
        if let Some(end) = &self.expires {
            outln!("the first of them expires at {end}");
        }
        if let Some(error) = &self.error {
            outln!("the handshake was not finished: {error}");
        }
    }
}

/// Returns the name of a CA; rustls passes them on unparsed.
fn ca(der: &[u8]) -> String {
    Name::from_der(der).map_or_else(|error| format!("a name that cannot be read: {error}"), |name| name.to_string())
}
