//! Answers http-01 (RFC 8555 section 8.3), listening only while a validation is expected.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::accept::{Accepting, Few};
use crate::activation;

const PATH: &str = "/.well-known/acme-challenge/";

/// The time limit for a request and its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of simultaneous connections: validators come from a few places at once; further clients wait.
const CONNECTIONS: usize = 64;

type Tokens = Mutex<HashMap<String, String>>;

/// The responders by address; credentials that are obtained at the same time share one.
#[derive(Clone, Debug, Default)]
pub struct Responders(Arc<Mutex<HashMap<SocketAddr, Weak<Responder>>>>);

/// A responder that listens although no validation is expected, until this value is dropped.
#[derive(Debug)]
pub struct KeptOpen {
    _responder: Arc<Responder>,
}

#[derive(Debug)]
struct Responder {
    tokens: Arc<Tokens>,
    _accepting: Accepting,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The answer to a token, until it is dropped.
#[derive(Debug)]
pub(crate) struct Answer {
    responder: Arc<Responder>,
    token: String,
}

impl Drop for Answer {
    fn drop(&mut self) {
        lock(&self.responder.tokens).remove(&self.token);
    }
}

impl Responders {
    /// Answers a token with its key authorization. `shares`: other gateways on this machine may answer at this address,
    /// and give the same answers.
    pub(super) fn answer(
        &self,
        address: SocketAddr,
        shares: bool,
        token: &str,
        key_authorization: &str,
    ) -> io::Result<Answer> {
        let responder = self.at(address, shares)?;
        lock(&responder.tokens).insert(token.to_owned(), key_authorization.to_owned());
        Ok(Answer { responder, token: token.to_owned() })
    }

    /// Listens at an address whose socket was passed to this process, where others connect at any time; returns none
    /// elsewhere.
    ///
    /// # Errors
    /// Fails if the socket cannot be used.
    pub fn keep_open(&self, address: SocketAddr) -> io::Result<Option<KeptOpen>> {
        if !activation::passed().has(address) {
            return Ok(None);
        }
        self.at(address, false).map(|responder| Some(KeptOpen { _responder: responder }))
    }

    fn at(&self, address: SocketAddr, shares: bool) -> io::Result<Arc<Responder>> {
        let mut all = lock(&self.0);
        all.retain(|_, responder| responder.strong_count() > 0);
        if let Some(responder) = all.get(&address).and_then(Weak::upgrade) {
            return Ok(responder);
        }
        let responder = Arc::new(Responder::listen(address, shares)?);
        all.insert(address, Arc::downgrade(&responder));
        Ok(responder)
    }
}

impl Responder {
    fn listen(address: SocketAddr, shares: bool) -> io::Result<Self> {
        let listener = match activation::passed().tcp(address)? {
            Some(passed) => passed,
            None => Self::bind(address, shares)?,
        };
        let tokens = Arc::<Tokens>::default();
        let answered = tokens.clone();
        let serve = move |stream, remote| serve(stream, remote, answered.clone());
        let failed = |error: &io::Error| warn!("http-01: accept: {error}");
        let accepting = Accepting::begin(Few::new(listener, CONNECTIONS, serve, failed));
        Ok(Self { tokens, _accepting: accepting })
    }

    fn bind(address: SocketAddr, shares: bool) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // The previous responder may have ended a moment ago.
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(shares)?;
        socket.bind(address)?;
        socket.listen(128)
    }
}

async fn serve(stream: TcpStream, remote: SocketAddr, tokens: Arc<Tokens>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let answer = answer(&tokens, request.method(), request.uri().path());
        debug!(%remote, path = request.uri().path(), status = answer.status().as_u16(), "http-01");
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
    // A client that has gone away needs no answer.
    let _ = timeout(PATIENCE, http.serve_connection(TokioIo::new(stream), answer)).await;
}

fn answer(tokens: &Tokens, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let found = path.strip_prefix(PATH).and_then(|token| lock(tokens).get(token).cloned());
    let (status, body) = match (method, found) {
        (&Method::GET | &Method::HEAD, Some(key_authorization)) => (StatusCode::OK, key_authorization),
        (&Method::GET | &Method::HEAD, None) => (StatusCode::NOT_FOUND, "no validation is expected here\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "GET\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    // RFC 8555 section 8.3
    let kind = hyper::header::HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn get(address: SocketAddr, token: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {PATH}{token} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn tokens_are_answered_while_they_are_expected() {
        // A loopback address of this test alone: on a shared one, another test could take the port after `bind`.
        let port = TcpListener::bind("127.80.0.1:0").await.unwrap().local_addr().unwrap();
        let responders = Responders::default();
        let one = responders.answer(port, false, "one", "one.thumb").unwrap();
        let two = responders.clone().answer(port, false, "two", "two.thumb").unwrap();
        assert!(get(port, "one").await.ends_with("\r\n\r\none.thumb"));
        drop(one);
        assert!(get(port, "one").await.starts_with("HTTP/1.1 404"));
        assert!(get(port, "two").await.ends_with("\r\n\r\ntwo.thumb"));
        drop(two);
        // The task ends when it is next polled.
        while TcpStream::connect(port).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}
