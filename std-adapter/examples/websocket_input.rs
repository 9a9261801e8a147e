//! A WebSocket client over mutual TLS that prints each message as a line until the server closes the connection.
//!
//! ```text
//! websocket_input ADDRESS SERVER_NAME CA CERT KEY
//! ```

use std::path::Path;

use edgetrust::pem;
use edgetrust::tls::{ClientSettings, Connector, Credential, MinVersion, ServerTrust, TrustStore, server_name};
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, ca, cert, key] = arguments.as_slice() else {
        return Err("usage: websocket_input ADDRESS SERVER_NAME CA CERT KEY".into());
    };
    let trust = TrustStore::new(pem::read_certificates(Path::new(ca))?)?;
    let connector = Connector::new(ClientSettings {
        trust: ServerTrust::Verified(trust),
        credential: Some(Credential::load(Path::new(cert), Path::new(key))?),
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    })?;
    let (tls, _) = connector.connect(server_name(name)?, TcpStream::connect(address).await?).await?;
    let (mut socket, _) = client_async(format!("wss://{name}/"), tls).await?;
    eprintln!("open");
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            println!("{text}");
        }
    }
    Ok(())
}
