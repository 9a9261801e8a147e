//! A WebSocket server over mutual TLS that sends each line of standard input to every client.
//!
//! ```text
//! websocket_output LISTEN CERT KEY CLIENT_CA [ALLOWED_CN]…
//! ```
//! SIGHUP reloads all files: new clients get the new certificate and are verified by the new CAs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edgetrust::pem;
use edgetrust::tls::{
    Acceptor, ClientAuth, Credential, MinVersion, OwnedRule, OwnedRuleName, Peers, ServerSettings, TrustSettings,
    TrustStore,
};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast;
use tokio::time::timeout;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

type Error = Box<dyn std::error::Error + Send + Sync>;

fn settings(files: &[String]) -> Result<ServerSettings, Error> {
    let [cert, key, ca, allowed @ ..] = files else {
        return Err("usage: websocket_output LISTEN CERT KEY CLIENT_CA [ALLOWED_CN]…".into());
    };
    let clients = match allowed {
        [] => Peers::AnyVerified,
        names => Peers::OneOf(names.iter().cloned().map(OwnedRuleName::CommonName).map(OwnedRule::from).collect()),
    };
    let anchors = pem::read_certificates(Path::new(ca))?;
    Ok(ServerSettings {
        credential: Credential::load(Path::new(cert), Path::new(key))?,
        client_auth: ClientAuth::Required(TrustStore::new(TrustSettings { clients, ..anchors.into() })?),
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, files) = arguments.split_first().ok_or("LISTEN is missing")?;
    let acceptor = Arc::new(Acceptor::new(settings(files)?)?);
    let listener = TcpListener::bind(address).await?;
    eprintln!("listening address={}", listener.local_addr()?);

    // A client that is this many messages behind is told so and continues with the newest.
    let (fan_out, _) = broadcast::channel(1024);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, from) = accepted?;
                let (acceptor, messages) = (acceptor.clone(), fan_out.subscribe());
                tokio::spawn(async move {
                    if let Err(error) = serve(&acceptor, stream, messages).await {
                        eprintln!("{from}: {error}");
                    }
                });
            }
            line = lines.next_line() => match line? {
                // It is no error if there are no clients.
                Some(line) => drop(fan_out.send(line)),
                None => return Ok(()),
            },
            _ = hangup.recv() => match settings(files) {
                Ok(new) => acceptor.reload(new)?,
                Err(error) => eprintln!("reload refused: {error}"),
            },
        }
    }
}

async fn serve(acceptor: &Acceptor, stream: TcpStream, mut messages: broadcast::Receiver<String>) -> Result<(), Error> {
    let (tls, admission) = timeout(Duration::from_secs(10), acceptor.accept(stream)).await??;
    let mut socket = accept_async(tls).await?;
    eprintln!("open peer={}", admission.peer().ok_or("no certificate")?);
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Ok(message) => socket.send(Message::text(message)).await?,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    socket.send(Message::text(format!("missed {missed} messages"))).await?;
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(socket.close(None).await?),
            },
            heard = socket.next() => match heard {
                Some(message) => drop(message?),
                None => return Ok(()),
            },
        }
    }
}
