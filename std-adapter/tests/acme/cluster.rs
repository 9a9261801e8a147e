//! Gateways that share a credential while parts of their site fail: what a client meets at each of them, a connection
//! to NATS that can be cut, and the raw messages of the bucket.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_nats::jetstream::{Context, stream::Stream};
use edgetrust::pem;
use edgetrust::tls::{ClientSettings, Connector, MinVersion, ServerTrust, TrustStore, server_name};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::ca::{StepCa, free_port};
use super::gateway::{Running, Site};
use super::jetstream::JetStream;
use super::namespaces::wait_until;
use super::peers::Program;

/// A client that makes one handshake after the other while its gate is open, and remembers those that failed.
pub struct Visitor {
    gate: Arc<Mutex<Option<SocketAddr>>>,
    over: Arc<AtomicBool>,
    visits: Arc<AtomicU64>,
    failed: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// The time limit of one handshake: a gateway that is slower serves nobody.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// Returns the resident memory of a program, in octets.
pub fn memory(program: &Program) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{}/statm", program.id())).unwrap();
    4096 * pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
}

/// Makes a handshake at an address, and has four octets come back.
pub async fn visit(connector: &Connector, address: SocketAddr, name: &str) -> Result<(), String> {
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let name = server_name(name).map_err(std::io::Error::other)?;
        let (mut tls, _) = connector.connect(name, stream).await.map_err(std::io::Error::other)?;
        tls.write_all(b"ping").await?;
        let mut answer = [0; 4];
        tls.read_exact(&mut answer).await?;
        tls.shutdown().await
    };
    match tokio::time::timeout(HANDSHAKE, exchange).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Returns a client that trusts the certificates of a CA.
pub fn connector(ca: &StepCa) -> Connector {
    let roots = pem::read_certificates(&ca.root_file()).unwrap();
    let settings = ClientSettings {
        trust: ServerTrust::Verified(TrustStore::new(roots).unwrap()),
        credential: None,
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    };
    Connector::new(settings).unwrap()
}

impl Visitor {
    fn new(ca: &StepCa, name: &str) -> Self {
        let connector = connector(ca);
        let gate = Arc::<Mutex<Option<SocketAddr>>>::default();
        let (over, visits, failed) = (Arc::default(), Arc::default(), Arc::default());
        let mut visitor = Self { gate, over, visits, failed, thread: None };
        let (gate, over) = (visitor.gate.clone(), visitor.over.clone());
        let (visits, failed) = (visitor.visits.clone(), visitor.failed.clone());
        let name = name.to_owned();
        visitor.thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            while !over.load(Ordering::Relaxed) {
                // Whoever closes the gate waits for the handshake that is under way.
                if let Some(address) = *gate.lock().unwrap() {
                    match runtime.block_on(visit(&connector, address, &name)) {
                        Ok(()) => drop(visits.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failed.lock().unwrap().push(error),
                    }
                }
                std::thread::sleep(Duration::from_millis(25));
            }
        }));
        visitor
    }

    fn open(&self, address: SocketAddr) {
        *self.gate.lock().unwrap() = Some(address);
    }

    fn close(&self) {
        *self.gate.lock().unwrap() = None;
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed.
            let _ = thread.join();
        }
    }
}

/// A gateway with its visitor.
pub struct Gateway {
    pub site: Site,
    running: Option<Running>,
    visitor: Visitor,
    asked: u32,
}

impl Gateway {
    /// Starts a gateway, and its visits as soon as it has a certificate.
    pub fn start(ca: &StepCa, site: Site) -> Self {
        let name = site.acme["domains"][0].as_str().unwrap().to_owned();
        let mut gateway = Self { site, running: None, visitor: Visitor::new(ca, &name), asked: 0 };
        gateway.run();
        gateway
    }

    /// Runs the program again. One that has a certificate must be able to show it at once.
    pub fn run(&mut self) {
        self.running = Some(self.site.run());
        if self.generation() > 0 {
            self.visit();
        }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn wait_for_certificate(&self) {
        self.running().wait_for_certificate();
        self.visit();
    }

    /// Opens the gate of visitors.
    pub fn visit(&self) {
        self.visitor.open(self.running().program.tunnel("in"));
    }

    /// Closes the gate of visitors.
    pub fn close(&self) {
        self.visitor.close();
    }

    /// Ends the program with SIGKILL.
    pub fn kill(&mut self) {
        self.visitor.close();
        self.running = None;
    }

    pub fn signal(&self, signal: &str) {
        self.running().program.signal(signal);
    }

    /// Asks for a renewal.
    pub fn ask(&mut self) {
        self.asked += 1;
        std::fs::write(self.site.storage().join("renew.request"), self.asked.to_string()).unwrap();
    }

    /// Returns the generation that the gateway keeps; 0 for none.
    pub fn generation(&self) -> u64 {
        let Ok(text) = std::fs::read(self.site.storage().join("shared.json")) else { return 0 };
        let all: Vec<Value> = serde_json::from_slice(&text).unwrap();
        all.iter().map(|one| one["generation"].as_u64().unwrap()).max().unwrap_or(0)
    }

    /// Returns the resident memory of the program, in octets.
    pub fn memory(&self) -> u64 {
        memory(&self.running().program)
    }

    pub fn orders(&self) -> u64 {
        self.running().metric("edgetrust_acme_order_duration_seconds_count")
    }

    pub fn issued(&self) -> u64 {
        self.running().credential()["issued"].as_u64().unwrap()
    }

    /// Checks that no visit has failed, and that there were some since the last check.
    pub fn is_well(&self) {
        let from = self.visitor.visits.load(Ordering::Relaxed);
        let failed = || self.visitor.failed.lock().unwrap().clone();
        wait_until("two more visits", || {
            self.visitor.visits.load(Ordering::Relaxed) >= from + 2 || !failed().is_empty()
        });
        assert_eq!(failed(), Vec::<String>::new(), "after {from} visits that passed");
    }
}

/// Waits until all gateways show one certificate of this generation, and returns it.
pub fn come_to(gateways: &[&Gateway], generation: u64) -> String {
    let seen = || gateways.iter().map(|gateway| gateway.generation()).collect::<Vec<_>>();
    wait_until(&format!("generation {generation}"), || seen().iter().all(|seen| *seen == generation));
    let mut shown = Vec::new();
    wait_until("one certificate", || {
        shown = gateways.iter().map(|gateway| gateway.running().served()).collect();
        shown.iter().all(|one| *one == shown[0])
    });
    gateways.iter().for_each(|gateway| gateway.is_well());
    shown.swap_remove(0)
}

/// A TCP relay whose connections can be cut so that neither end hears of it.
pub struct Relay {
    pub address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Relay {
    /// Starts a relay at the address of the server, with a port of its own.
    pub fn to(server: SocketAddr) -> Self {
        let address = free_port(match server.ip() {
            std::net::IpAddr::V4(ip) => ip,
            std::net::IpAddr::V6(_) => unreachable!(),
        });
        let cut = Arc::new(AtomicBool::new(false));
        let (listener, shared) = (TcpListener::bind(address).unwrap(), cut.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let cut = shared.clone();
                std::thread::spawn(move || {
                    hold(&cut);
                    let Ok(upstream) = TcpStream::connect(server) else { return };
                    let back = (upstream.try_clone().unwrap(), client.try_clone().unwrap(), cut.clone());
                    std::thread::spawn(move || carry(back.0, back.1, &back.2));
                    carry(client, upstream, &cut);
                });
            }
        });
        Self { address, cut }
    }

    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

/// Waits while a connection is cut.
fn hold(cut: &AtomicBool) {
    while cut.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut octets = [0; 4096];
    loop {
        hold(cut);
        match from.read(&mut octets) {
            Ok(read) if read > 0 => {
                hold(cut);
                if to.write_all(&octets[..read]).is_err() {
                    return;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            _ => {
                // The other end may be gone already.
                let _ = to.shutdown(std::net::Shutdown::Both);
                return;
            }
        }
    }
}

/// The bucket as an operator of NATS sees it.
pub struct Bucket {
    runtime: Runtime,
    context: Context,
    _folder: TempDir,
}

impl Bucket {
    pub fn of(nats: &JetStream) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = nats.storage(folder.path(), "");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let servers: Vec<_> = storage["nats"]["servers"].as_array().unwrap().clone();
        let servers: Vec<String> = servers.iter().map(|server| server.as_str().unwrap().to_owned()).collect();
        let file = |name: &str| folder.path().join(name);
        let options = async_nats::ConnectOptions::new()
            .require_tls(true)
            .add_root_certificates(nats.folder.path().join("root.crt"))
            .add_client_certificate(file("nats.crt"), file("nats.key"))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ignore_discovered_servers();
        let client = runtime.block_on(options.connect(servers)).unwrap();
        let context = runtime.block_on(async { async_nats::jetstream::new(client) });
        Self { runtime, context, _folder: folder }
    }

    async fn stream(&self) -> Stream {
        let until = Instant::now() + super::peers::PATIENCE;
        loop {
            match self.context.get_stream("KV_edgetrust").await {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the messages of the stream by their subjects, without the prefix of the bucket.
    pub fn messages(&self) -> BTreeMap<String, Vec<u8>> {
        self.runtime.block_on(async {
            let stream = self.stream().await;
            let state = stream.cached_info().state.clone();
            let mut all = BTreeMap::new();
            for number in state.first_sequence..=state.last_sequence {
                // Most were replaced.
                if let Ok(message) = stream.get_raw_message(number).await {
                    let key = message.subject.as_str().strip_prefix("$KV.edgetrust.").unwrap().to_owned();
                    all.insert(key, message.payload.to_vec());
                }
            }
            all
        })
    }

    /// Returns the key of the document of the credential whose first name this is.
    pub fn document_key(&self, name: &str) -> String {
        let first = format!("{}-", name.replace('.', "_"));
        let mut keys = self.messages().into_keys();
        keys.find(|key| key.starts_with(&first) && key.ends_with(".document")).unwrap()
    }

    pub fn get(&self, key: &str) -> Vec<u8> {
        self.runtime.block_on(async {
            let stream = self.stream().await;
            stream.get_last_raw_message_by_subject(&format!("$KV.edgetrust.{key}")).await.unwrap().payload.to_vec()
        })
    }

    pub fn put(&self, key: &str, octets: Vec<u8>) {
        self.put_all([(key.to_owned(), octets)]);
    }

    pub fn put_all(&self, all: impl IntoIterator<Item = (String, Vec<u8>)>) {
        self.runtime.block_on(async {
            for (key, octets) in all {
                let sent = self.context.publish(format!("$KV.edgetrust.{key}"), octets.into()).await.unwrap();
                sent.await.unwrap();
            }
        });
    }

    /// Deletes a key, as `nats kv del` does.
    pub fn delete(&self, key: &str) {
        let headers = async_nats::HeaderMap::from_iter([(
            "KV-Operation".parse::<async_nats::HeaderName>().unwrap(),
            async_nats::HeaderValue::from("DEL"),
        )]);
        self.runtime.block_on(async {
            let subject = format!("$KV.edgetrust.{key}");
            self.context.publish_with_headers(subject, headers, "".into()).await.unwrap().await.unwrap();
        });
    }

    /// Deletes the bucket, as `nats kv rm` does.
    pub fn delete_all(&self) {
        self.runtime.block_on(async { self.context.delete_stream("KV_edgetrust").await.unwrap() });
    }

    /// Returns the server that leads the stream.
    pub fn leader(&self) -> String {
        self.runtime.block_on(async {
            let until = Instant::now() + super::peers::PATIENCE;
            loop {
                let leader = self.stream().await.cached_info().cluster.clone().and_then(|cluster| cluster.leader);
                if let Some(leader) = leader {
                    return leader;
                }
                assert!(Instant::now() < until, "no leader");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }
}
