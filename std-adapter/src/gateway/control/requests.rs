//! Sends the requests of one connection, and bounds what answers them.

use std::time::Duration;

use edgetrust_core::mesh::MAX_SIGNED_MESH;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONTENT_TYPE, HOST, IF_NONE_MATCH};
use hyper::{Method, Request, Response};
use tokio::time::timeout;

use super::allowance::Allowance;
use super::body;
use super::close_reason::CloseReason;
use super::dialogue::{ARRIVAL, GET_PATIENCE, PUT_PATIENCE};

/// The requests of one connection.
pub(super) struct Requests {
    sender: SendRequest<Full<Bytes>>,
    allowance: Allowance,
    host: String,
}

impl Requests {
    pub(super) fn new(sender: SendRequest<Full<Bytes>>, allowance: Allowance, host: String) -> Self {
        Self { sender, allowance, host }
    }

    /// Asks for another entity than the one with this tag, as a long poll.
    pub(super) async fn get(&mut self, path: &str, known: &str) -> Result<Response<Incoming>, CloseReason> {
        let get = Request::builder().method(Method::GET).uri(path).header(IF_NONE_MATCH, known);
        self.send(get, Bytes::new(), GET_PATIENCE).await
    }

    /// Brings an entity.
    pub(super) async fn put(&mut self, path: &str, kind: &str, body: Bytes) -> Result<Response<Incoming>, CloseReason> {
        let put = Request::builder().method(Method::PUT).uri(path).header(CONTENT_TYPE, kind);
        self.send(put, body, PUT_PATIENCE).await
    }

    /// Sends octets.
    pub(super) async fn post(&mut self, path: &str, body: Bytes) -> Result<Response<Incoming>, CloseReason> {
        let post = Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/octet-stream");
        self.send(post, body, PUT_PATIENCE).await
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
