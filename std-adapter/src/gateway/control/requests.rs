//! Sends the requests of one connection, and bounds what answers them.

use std::time::Duration;

use edgetrust_core::mesh::MAX_SIGNED_MESH;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST, IF_NONE_MATCH};
use hyper::{Method, Request, Response};
use tokio::time::{Instant, sleep_until, timeout};

use super::allowance::Allowance;
use super::body;
use super::close_reason::CloseReason;
use super::server::HOLD;

/// The time for an answer, beyond what the other side holds it back, and for its body.
const ARRIVAL: Duration = Duration::from_secs(15);
/// The least time between two requests for a mesh, or with one.
const BETWEEN: Duration = Duration::from_secs(1);

/// The requests of one connection.
pub(super) struct Requests {
    sender: SendRequest<Full<Bytes>>,
    allowance: Allowance,
    host: String,
    /// The time before which no other request for a mesh is sent.
    next: Instant,
}

impl Requests {
    pub(super) fn new(sender: SendRequest<Full<Bytes>>, allowance: Allowance, host: String) -> Self {
        Self { sender, allowance, host, next: Instant::now() }
    }

    /// Waits until another request for a mesh may be sent.
    pub(super) async fn turn(&self) {
        sleep_until(self.next).await;
    }

    /// Asks for another entity than the one with this tag, as a long poll.
    pub(super) async fn get(&mut self, path: &str, known: &str) -> Result<Response<Incoming>, CloseReason> {
        let get = Request::builder().method(Method::GET).uri(path).header(IF_NONE_MATCH, known);
        self.spaced().await;
        self.send(get, Bytes::new(), HOLD.saturating_add(ARRIVAL)).await
    }

    /// Brings an entity.
    pub(super) async fn put(&mut self, path: &str, kind: &str, body: Bytes) -> Result<Response<Incoming>, CloseReason> {
        let put = Request::builder().method(Method::PUT).uri(path).header(CONTENT_TYPE, kind);
        self.spaced().await;
        self.send(put, body, ARRIVAL.saturating_add(ARRIVAL)).await
    }

    /// Sends octets at once, and not after the time between two requests for a mesh.
    pub(super) async fn post(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>, CloseReason> {
        let post = Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/octet-stream");
        self.send(post, body, ARRIVAL.saturating_add(ARRIVAL)).await
    }

    /// Keeps the distance to the request before.
    async fn spaced(&mut self) {
        self.turn().await;
        let now = Instant::now();
        self.next = now.checked_add(BETWEEN).unwrap_or(now);
    }

    async fn send(
        &mut self,
        request: hyper::http::request::Builder,
        body: Bytes,
        patience: Duration,
    ) -> Result<Response<Incoming>, CloseReason> {
        let request = request.header(HOST, &self.host).body(Full::new(body)).map_err(CloseReason::Request)?;
        self.allowance.renew();
        let asked = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        timeout(patience, asked).await.map_err(|_| CloseReason::Silent(patience))?.map_err(CloseReason::Http)
    }
}

/// Reads the body of an answer.
pub(super) async fn whole(response: Response<Incoming>) -> Result<Vec<u8>, CloseReason> {
    let read = body::read(response.into_body(), MAX_SIGNED_MESH);
    timeout(ARRIVAL, read).await.map_err(|_| CloseReason::Silent(ARRIVAL))?.map_err(CloseReason::Body)
}
