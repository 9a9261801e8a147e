//! Provides the service behind a location's gateway: plaintext, with WebSocket and HTTP POST.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tungstenite::{Error, Message, WebSocket, accept};

/// The interval at which a connection checks for something to send.
const TICK: Duration = Duration::from_millis(10);
/// The start of a GET of EST, which is not a WebSocket (RFC 7030 section 3.2.2).
const EST: &[u8] = b"GET /.well-known/est/";
/// The maximum size of a POST body in octets.
const MAX_BODY: usize = 1024 * 1024;

/// A received HTTP POST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Post {
    /// The path of the request.
    pub path: String,
    /// The header lines, names in lower case.
    pub headers: Vec<String>,
    /// The body of the request.
    pub body: Vec<u8>,
}

/// A function that answers a POST or a GET of EST with these octets in place of the service; `None` leaves the answer
/// to the service.
pub type Answers = Arc<dyn Fn(&Post) -> Option<Vec<u8>> + Send + Sync>;

/// An order to send something over a WebSocket.
#[derive(Clone, Debug)]
enum Order {
    Text(String),
    /// Octets sent unchanged: frames that no WebSocket library would make.
    Octets(Vec<u8>),
}

#[derive(Default)]
struct Seen {
    messages: Vec<String>,
    posts: Vec<Post>,
    orders: Vec<Order>,
}

struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
    stop: AtomicBool,
    down: AtomicBool,
    status: AtomicU16,
    answers: Mutex<Option<Answers>>,
    open: AtomicUsize,
}

/// A running service; stopped when dropped.
pub struct Service {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts a service on loopback.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            down: AtomicBool::new(false),
            status: AtomicU16::new(200),
            answers: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if theirs.stopped() {
                        return;
                    }
                    if let Ok(stream) = stream {
                        let shared = &theirs;
                        // The end of a connection is the peer's affair.
                        scope.spawn(move || drop(shared.serve(stream)));
                    }
                }
            });
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Returns the address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the received text messages in their order.
    pub fn messages(&self) -> Vec<String> {
        self.shared.seen().messages.clone()
    }

    /// Returns the received POSTs in their order.
    pub fn posts(&self) -> Vec<Post> {
        self.shared.seen().posts.clone()
    }

    /// Returns the number of open WebSockets.
    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Sets the status that answers POSTs from now on.
    pub fn set_status(&self, status: u16) {
        self.shared.status.store(status, Ordering::Relaxed);
    }

    /// Sets whether new connections end at once, as with a proxy that has no backend.
    pub fn set_down(&self, down: bool) {
        self.shared.down.store(down, Ordering::Relaxed);
    }

    /// Sets the function that answers POSTs from now on.
    pub fn set_answers(&self, answers: Option<Answers>) {
        *self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    }

    /// Sends a text over each open WebSocket; returns false if there is none.
    pub fn send(&self, text: &str) -> bool {
        self.order(Order::Text(text.to_owned()))
    }

    /// Sends octets unchanged over each open WebSocket; returns false if there is none.
    pub fn send_octets(&self, octets: &[u8]) -> bool {
        self.order(Order::Octets(octets.to_vec()))
    }

    fn order(&self, order: Order) -> bool {
        // WebSockets that open later start behind this order.
        let mut seen = self.shared.seen();
        let open = self.open() > 0;
        if open {
            seen.orders.push(order);
        }
        open
    }

    /// Waits for this number of messages, and returns them; `None` if the time is up first.
    pub fn wait_for_messages(&self, count: usize, deadline: Instant) -> Option<Vec<String>> {
        let mut seen = self.shared.seen();
        while seen.messages.len() < count {
            let left = deadline.checked_duration_since(Instant::now())?;
            seen = self.shared.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Some(seen.messages.clone())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The thread waits for the next connection; if this fails, its listener is gone and so is the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        if self.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        stream.set_nodelay(true)?;
        loop {
            // A WebSocket starts with GET.
            let mut first = [0; EST.len()];
            let mut count = 0;
            let mut peek = |stream: &TcpStream| {
                count = stream.peek(&mut first)?;
                // A partial start decides nothing yet.
                let part = count > 0 && count < EST.len() && EST.starts_with(&first[..count]);
                if part { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
            };
            if !self.wait(&stream, &mut peek)? {
                return Ok(());
            }
            if first[0] == b'G' && first != *EST {
                // This position is taken before the client knows that the WebSocket is open: all later orders reach
                // the client.
                let begin = {
                    let seen = self.seen();
                    self.open.fetch_add(1, Ordering::Relaxed);
                    seen.orders.len()
                };
                let ended = Self::accepted(&stream).and_then(|socket| self.websocket(socket, begin));
                self.open.fetch_sub(1, Ordering::Relaxed);
                return ended;
            }
            stream.set_read_timeout(Some(super::PATIENCE))?;
            if !self.post(&stream)? {
                return Ok(());
            }
        }
    }

    fn accepted(stream: &TcpStream) -> io::Result<WebSocket<TcpStream>> {
        stream.set_read_timeout(Some(super::PATIENCE))?;
        let socket = accept(stream.try_clone()?).map_err(|error| io::Error::other(error.to_string()))?;
        stream.set_read_timeout(Some(TICK))?;
        Ok(socket)
    }

    /// Waits until `read` succeeds; returns false at the end of the connection or of the service.
    fn wait(&self, stream: &TcpStream, mut read: impl FnMut(&TcpStream) -> io::Result<usize>) -> io::Result<bool> {
        stream.set_read_timeout(Some(TICK))?;
        loop {
            match read(stream) {
                Ok(count) => return Ok(count > 0),
                Err(error) if is_nothing(&error) && !self.stopped() => {}
                Err(error) if is_nothing(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn websocket(&self, mut socket: WebSocket<TcpStream>, mut sent: usize) -> io::Result<()> {
        loop {
            match socket.read() {
                Ok(Message::Text(text)) => {
                    self.seen().messages.push(text.to_string());
                    self.changed.notify_all();
                }
                Ok(_) => {}
                Err(Error::Io(error)) if is_nothing(&error) => {}
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
            if self.stopped() {
                return Ok(());
            }
            let orders = self.seen().orders.get(sent..).unwrap_or_default().to_vec();
            sent += orders.len();
            for order in orders {
                match order {
                    Order::Text(text) => {
                        socket.send(Message::text(text)).map_err(|error| io::Error::other(error.to_string()))?;
                    }
                    Order::Octets(octets) => socket.get_mut().write_all(&octets)?,
                }
            }
        }
    }

    /// Answers one request; returns false if the connection ends with it.
    fn post(&self, stream: &TcpStream) -> io::Result<bool> {
        // Single octets are read, since the octets after the request may be of another protocol.
        let mut reader = BufReader::with_capacity(1, stream);
        let (mut request, mut headers) = (String::new(), Vec::new());
        reader.read_line(&mut request)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push(format!("{}: {}", name.to_ascii_lowercase(), value.trim()));
        }
        let header = |name: &str| {
            let prefix = format!("{name}: ");
            headers.iter().find_map(|line| line.strip_prefix(&prefix)).map(str::to_ascii_lowercase)
        };
        let length =
            header("content-length").and_then(|length| length.parse().ok()).filter(|length| *length <= MAX_BODY);
        let stays = header("connection").as_deref() != Some("close");
        let (status, stays) = match (request.split(' ').nth(1), length) {
            (Some(path), _) if request.as_bytes().starts_with(EST) => {
                let get = Post { path: path.to_owned(), headers, body: Vec::new() };
                let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = answers.and_then(|answers| answers(&get)) {
                    (&*stream).write_all(&answer)?;
                    return Ok(!String::from_utf8_lossy(&answer).contains("Connection: close\r\n"));
                }
                (404, stays)
            }
            (Some(path), Some(length)) if request.starts_with("POST ") => {
                let mut body = vec![0; length];
                reader.read_exact(&mut body)?;
                let post = Post { path: path.to_owned(), headers, body };
                self.seen().posts.push(post.clone());
                self.changed.notify_all();
                let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(answer) = answers.and_then(|answers| answers(&post)) {
                    (&*stream).write_all(&answer)?;
                    return Ok(false);
                }
                (self.status.load(Ordering::Relaxed), stays)
            }
            _ => (400, false),
        };
        let mut stream = stream;
        let more = if stays { "keep-alive" } else { "close" };
        write!(stream, "HTTP/1.1 {status} .\r\nContent-Length: 0\r\nConnection: {more}\r\n\r\n")?;
        Ok(stays)
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
