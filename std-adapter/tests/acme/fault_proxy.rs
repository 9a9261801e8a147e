//! A proxy between client and CA that loses responses, breaks connections, or responds in the CA's place.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use edgetrust::pem;
use edgetrust::tls::{
    ClientAuth, ClientSettings, Credential, MinVersion, ServerSettings, ServerTrust, TlsClient, TlsServer, TrustStore,
    server_name,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::ca::{Root, free_port, own_ip};

/// The fault that a request or its response meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before the CA has seen anything.
    Reset,
    /// The connection ends after the CA has responded, and the response is lost.
    LoseAnswer,
    /// The client receives half of the response.
    Truncate,
    /// The CA has responded, and the connection stays open without the response.
    Hang,
    /// The proxy responds in the CA's place: status, Retry-After, body.
    Answer(u16, Option<&'static str>, &'static str),
}

/// Chooses the fault of a request by its number, from 1, and its path.
type Plan = dyn FnMut(usize, &str) -> Option<Fault> + Send;

pub struct FaultProxy {
    pub address: SocketAddr,
    plan: Arc<Mutex<Box<Plan>>>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Receives each fault that was applied.
    pub done: Receiver<Fault>,
    _runtime: tokio::runtime::Runtime,
}

struct Upstream {
    address: SocketAddr,
    tls: TlsClient,
}

impl FaultProxy {
    /// Starts a proxy in front of a CA; `root` issued the CA's certificate and issues the proxy's.
    pub fn new(root: &Root, root_file: &Path, ca: SocketAddr) -> Self {
        let address = free_port(own_ip());
        let SocketAddr::V4(v4) = address else { unreachable!() };
        let own: &Ipv4Addr = v4.ip();
        let (cert, key) = root.server(&[&own.to_string()]);
        let folder = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&cert_file, cert).unwrap();
        std::fs::write(&key_file, key).unwrap();
        let server = TlsServer::new(ServerSettings {
            credential: Credential::load(&cert_file, &key_file).unwrap(),
            client_auth: ClientAuth::Off,
            min_version: MinVersion::Tls12,
            alpn: Vec::new(),
        })
        .unwrap();
        let roots = pem::read_certificates(root_file).unwrap();
        let tls = TlsClient::new(ClientSettings {
            trust: ServerTrust::Verified(TrustStore::new(roots).unwrap()),
            credential: None,
            min_version: MinVersion::Tls12,
            alpn: vec![b"http/1.1".to_vec()],
        })
        .unwrap();
        let plan: Arc<Mutex<Box<Plan>>> = Arc::new(Mutex::new(Box::new(|_, _| None)));
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (sender, done) = channel();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(address)).unwrap();
        let upstream = Arc::new(Upstream { address: ca, tls });
        runtime.spawn(accept(listener, server, upstream, plan.clone(), requests.clone(), sender));
        Self { address, plan, requests, done, _runtime: runtime }
    }

    /// Sets the plan for the next requests and restarts their numbers.
    pub fn plan(&self, plan: impl FnMut(usize, &str) -> Option<Fault> + Send + 'static) {
        self.requests.lock().unwrap().clear();
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    /// Returns the paths requested since the plan was set.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn accept(
    listener: TcpListener,
    server: TlsServer,
    upstream: Arc<Upstream>,
    plan: Arc<Mutex<Box<Plan>>>,
    requests: Arc<Mutex<Vec<String>>>,
    done: Sender<Fault>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (server, upstream, plan) = (server.clone(), upstream.clone(), plan.clone());
        let (requests, done) = (requests.clone(), done.clone());
        tokio::spawn(async move {
            let Ok((tls, _)) = server.accept(stream).await else { return };
            let cut = Arc::new(tokio::sync::Notify::new());
            let service = service_fn(|request: Request<Incoming>| {
                let path = request.uri().path().to_owned();
                let number = {
                    let mut requests = requests.lock().unwrap();
                    requests.push(path.clone());
                    requests.len()
                };
                let fault = (plan.lock().unwrap())(number, &path);
                let (upstream, done, cut) = (upstream.clone(), done.clone(), cut.clone());
                async move { Ok::<_, Infallible>(answer(request, &upstream, fault, &done, &cut).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), service);
            tokio::select! {
                _ = connection => {}
                () = cut.notified() => {}
            }
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    upstream: &Upstream,
    fault: Option<Fault>,
    done: &Sender<Fault>,
    cut: &tokio::sync::Notify,
) -> Response<Full<Bytes>> {
    let end = |fault: Fault| async move {
        let _ = done.send(fault);
        if fault != Fault::Hang {
            cut.notify_one();
        }
        std::future::pending::<Response<Full<Bytes>>>().await
    };
    match fault {
        Some(fault @ Fault::Reset) => end(fault).await,
        Some(fault @ Fault::Answer(status, retry_after, body)) => {
            let _ = done.send(fault);
            let mut answer = Response::builder().status(status);
            if let Some(retry_after) = retry_after {
                answer = answer.header("Retry-After", retry_after);
            }
            answer.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
        }
        fault => {
            let answer = forward(request, upstream).await;
            match (answer, fault) {
                // The CA is away.
                (Err(_), _) => {
                    cut.notify_one();
                    std::future::pending().await
                }
                (Ok(answer), None) => answer,
                (Ok(answer), Some(Fault::Truncate)) => {
                    let _ = done.send(Fault::Truncate);
                    let (parts, body) = answer.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let mut parts = parts;
                    parts.headers.remove("content-length");
                    Response::from_parts(parts, Full::new(body.slice(..body.len() / 2)))
                }
                (Ok(_), Some(fault)) => end(fault).await,
            }
        }
    }
}

async fn forward(request: Request<Incoming>, upstream: &Upstream) -> Result<Response<Full<Bytes>>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|error| text(&error))?.to_bytes();
    let stream = TcpStream::connect(upstream.address).await.map_err(|error| text(&error))?;
    let name = server_name(&upstream.address.ip().to_string()).map_err(|error| error.to_string())?;
    let (stream, _) = upstream.tls.connect(name, stream).await.map_err(|error| text(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| text(&error))?;
    let connection = tokio::spawn(connection);
    let answer =
        sender.send_request(Request::from_parts(parts, Full::new(body))).await.map_err(|error| text(&error))?;
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| text(&error))?.to_bytes();
    connection.abort();
    parts.headers.remove("connection");
    Ok(Response::from_parts(parts, Full::new(body)))
}
