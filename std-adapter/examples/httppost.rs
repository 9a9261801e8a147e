//! Posts standard input over HTTPS, with a client certificate if one is given, and prints status and response.
//!
//! ```text
//! httppost ADDRESS SERVER_NAME PATH CA [CERT KEY]
//! ```

use std::path::Path;

use edgetrust::pem;
use edgetrust::tls::{ClientSettings, Connector, Credential, MinVersion, ServerTrust, TrustStore, server_name};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, name, path, ca, credential @ ..] = arguments.as_slice() else {
        return Err("usage: httppost ADDRESS SERVER_NAME PATH CA [CERT KEY]".into());
    };
    let credential = match credential {
        [cert, key] => Some(Credential::load(Path::new(cert), Path::new(key))?),
        _ => None,
    };
    let trust = TrustStore::new(pem::read_certificates(Path::new(ca))?)?;
    let connector = Connector::new(ClientSettings {
        trust: ServerTrust::Verified(trust),
        credential,
        min_version: MinVersion::Tls12,
        alpn: vec![b"http/1.1".to_vec()],
    })?;
    let mut body = Vec::new();
    tokio::io::stdin().read_to_end(&mut body).await?;

    let (tls, _) = connector.connect(server_name(name)?, TcpStream::connect(address).await?).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(path.as_str())
        .header(HOST, name)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let answer = sender.send_request(request).await?;
    println!("{}", answer.status());
    print!("{}", String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()));
    drop(sender);
    connection.await??;
    Ok(())
}
