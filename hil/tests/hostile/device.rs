//! The device's own TLS over a socket of this machine.

use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use edgetrust_core::crypto::{ECDSA_P256_SHA256, EcdsaSignature, P256Key};
use edgetrust_core::embedded_tls::{Buffers, ClientCredential, Demand, Shared, connect};
use edgetrust_core::identity::ServerName;
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_hil::pki::Credential;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use rand_core::OsRng;

/// The outcome of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The handshake failed.
    Refused(String),
    /// The connection failed after the handshake.
    Broken(String),
    /// The data received before close_notify.
    Ended(Vec<u8>),
    Panicked,
}

/// A socket that blocks where a device would wait.
struct Socket {
    stream: TcpStream,
    until: Instant,
}

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut);
        }
        self.stream.set_read_timeout(Some(left)).unwrap();
        self.stream.read(out).map_err(kind)
    }
}

impl Write for Socket {
    async fn write(&mut self, octets: &[u8]) -> Result<usize, ErrorKind> {
        self.stream.write(octets).map_err(kind)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

fn kind(error: std::io::Error) -> ErrorKind {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        std::io::ErrorKind::ConnectionReset => ErrorKind::ConnectionReset,
        std::io::ErrorKind::BrokenPipe => ErrorKind::BrokenPipe,
        _ => ErrorKind::Other,
    }
}

struct Shown<'a> {
    certificate: &'a [u8],
    key: P256Key,
}

impl ClientCredential for Shown<'_> {
    fn certificate(&self) -> &[u8] {
        self.certificate
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.key.sign(message)
    }
}

/// Polls a future that waits nowhere but in the blocking socket.
fn now_or_never<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("something else than the socket waits"),
    }
}

/// A device's server and credential.
#[derive(Clone, Copy)]
pub struct Device<'a> {
    pub server: SocketAddr,
    pub name: &'a str,
    pub root: &'a [u8],
    pub credential: &'a Credential,
    pub time: Duration,
}

/// Connects, sends a request, and reads to the end or until `enough` returns true.
pub fn ask(device: Device<'_>, request: &[u8], enough: fn(&[u8]) -> bool) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(|| now_or_never(exchange(device, request, enough))));
    match outcome {
        Ok(Ok(octets)) => Outcome::Ended(octets),
        Ok(Err(outcome)) => outcome,
        Err(_) => Outcome::Panicked,
    }
}

async fn exchange(
    Device { server, name, root, credential, time }: Device<'_>,
    request: &[u8],
    enough: fn(&[u8]) -> bool,
) -> Result<Vec<u8>, Outcome> {
    let anchors = [Anchor::new(Certificate::from_der(root).unwrap())];
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = TrustedTime::Known(UnixTime::since_unix_epoch(since));
    let demand = Demand { trust, server: ServerName::Dns(name).into(), now, limits: Limits::DEVICE };
    let key = P256Key::from_pkcs8(credential.key.serialized_der()).unwrap();
    let mut shown = Shown { certificate: &credential.chain[0], key };
    let stream = TcpStream::connect(server).unwrap();
    let socket = Socket { stream, until: Instant::now() + time };
    let (mut receive, mut send, mut shared) = ([0; 16_640], [0; 4096], Shared::new());
    let buffers = Buffers { receive: &mut receive, send: &mut send, shared: &mut shared };
    let opened = connect(socket, &demand, Some(&mut shown), &mut OsRng, buffers).await;
    let mut connection = opened.map_err(|error| Outcome::Refused(format!("{error:?}")))?;
    let broken = |error| Outcome::Broken(format!("{error:?}"));
    connection.write_all(request).await.map_err(broken)?;
    connection.flush().await.map_err(broken)?;
    let mut all = Vec::new();
    let mut part = [0; 512];
    loop {
        match connection.read(&mut part).await.map_err(broken)? {
            0 => return Ok(all),
            count => all.extend_from_slice(&part[..count]),
        }
        if enough(&all) {
            return Ok(all);
        }
    }
}
