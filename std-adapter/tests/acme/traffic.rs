//! Numbered traffic between three sites, by what runs there: a WebSocket feed from a over b to c through the library's
//! examples, messages of NATS both ways between a and c, and HTTPS posts from a to b.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ca::Root;
use super::namespaces::{Machine, Pipe, Running, wait_until};
use super::peers::shell;
use super::sites::{Mesh, Nats, Site, configure_tunnel};

/// The services of the traffic. A WebSocket goes from the site that receives to the one that sends.
pub const SERVICES: &str = "--service feed=8443 --service nats=7443 --service post=9443 \
    --site a=a.example --site b=b.example --site c=c.example \
    --link b:a:feed --link c:b:feed --link a:b:nats --link b:c:nats --link a:b:post";

/// The address at which the component of a site that sends the feed listens.
const OUTPUT: &str = "127.0.0.1:8090";

/// Has the tunnels of a site lead to the components of the traffic.
pub fn lead_to_components(folder: &Path) {
    let config = std::fs::read_to_string(folder.join("gateway.json")).unwrap();
    if config.contains("\"feed-in\"") {
        configure_tunnel(folder, "feed-in", "target", OUTPUT);
    }
    for tunnel in ["post-in", "spare-in"] {
        if config.contains(tunnel) {
            // The test itself listens here, whatever network it is in.
            let socket = folder.parent().unwrap().join("post.sock");
            configure_tunnel(folder, tunnel, "target", &format!("unix:{}", socket.display()));
        }
    }
}

/// Returns the file of an example.
pub fn example(name: &str) -> String {
    let file = PathBuf::from(env!("CARGO_BIN_EXE_edgetrust")).with_file_name("examples").join(name);
    assert!(file.exists(), "{} is missing: cargo build --workspace --examples", file.display());
    file.display().to_string()
}

/// The messages of one way: those sent, and those that have come.
#[derive(Default)]
struct Flow {
    sent: AtomicUsize,
    came: Mutex<Vec<String>>,
}

impl Flow {
    /// Counts one more message, and returns its number.
    fn next(&self) -> usize {
        self.sent.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn take(&self, texts: impl IntoIterator<Item = String>) {
        self.came.lock().unwrap().extend(texts);
    }

    fn is_whole(&self) -> bool {
        let last = self.came.lock().unwrap().last().map(String::to_owned);
        last == Some(self.sent.load(Ordering::Relaxed).to_string())
    }
}

/// The ways that messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Feed,
    NatsToC,
    NatsToA,
    Post,
}

pub const WAYS: [Way; 4] = [Way::Feed, Way::NatsToC, Way::NatsToA, Way::Post];

type Flows = Arc<[Flow; 4]>;

/// A WebSocket client at a site, started anew whenever it ends.
struct Input {
    over: Arc<AtomicBool>,
    child: Arc<Mutex<Option<Child>>>,
    opened: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Input {
    fn start(site: &Site, from: &str, files: &Path, mut sink: impl FnMut(String) + Send + 'static) -> Self {
        let (over, child, opened) = <(Arc<AtomicBool>, Arc<Mutex<Option<Child>>>, Arc<AtomicUsize>)>::default();
        let address = format!("127.0.0.1:{}", site.port(&format!("feed-to-{from}")));
        let (machine, files) = (site.machine.clone(), files.to_owned());
        let (stop, current, count) = (over.clone(), child.clone(), opened.clone());
        let thread = std::thread::spawn(move || {
            loop {
                let mut holder = current.lock().unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let mut command = machine.command(&files, &example("websocket_input"));
                command.args([&address, "output.example", "root.pem", "input.pem", "input.key"]);
                command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
                let mut child = command.spawn().unwrap();
                let (out, log) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
                *holder = Some(child);
                drop(holder);
                let opened = count.clone();
                let log = std::thread::spawn(move || {
                    for line in BufReader::new(log).lines().map_while(Result::ok) {
                        opened.fetch_add(usize::from(line == "open"), Ordering::Relaxed);
                    }
                });
                BufReader::new(out).lines().map_while(Result::ok).for_each(&mut sink);
                log.join().unwrap();
                if let Some(mut child) = current.lock().unwrap().take() {
                    let _ = child.wait();
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Self { over, child, opened, thread: Some(thread) }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.over.store(true, Ordering::Relaxed);
        if let Some(child) = child.as_mut() {
            let _ = child.kill();
        }
        drop(child);
        // Its panic has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Runs a WebSocket server at a site, and returns where it takes the lines that it sends.
fn output(site: &Site, files: &Path) -> (Running, impl Write + Send + 'static) {
    let mut command = site.machine.command(files, &example("websocket_output"));
    command.args([OUTPUT, "output.pem", "output.key", "root.pem", "input.example"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut output = Running::start_piped(command);
    output.wait_for("listening address=");
    let stdin = output.stdin();
    (output, stdin)
}

/// Traffic that goes on until it is finished.
pub struct Traffic {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    flows: Flows,
    posts_refused: Arc<Mutex<Vec<String>>>,
    inputs: [Input; 2],
    _outputs: [Running; 2],
}

impl Traffic {
    /// Starts traffic, and waits until messages arrive on every way.
    pub fn start(mesh: &Mesh, a: &Site, b: &Site, c: &Site) -> Self {
        let files = components(mesh);
        let (over, flows) = (Arc::<AtomicBool>::default(), Flows::default());
        let (from_a, source) = output(a, &files);
        let (from_b, mut relay) = output(b, &files);
        let at_b = Input::start(b, "a", &files, move |line| writeln!(relay, "{line}").unwrap());
        wait_until("b receives the feed of a", || at_b.opened.load(Ordering::Relaxed) > 0);
        let arrive = flows.clone();
        let at_c = Input::start(c, "b", &files, move |line| arrive[Way::Feed as usize].take([line]));
        wait_until("c receives the feed of b", || at_c.opened.load(Ordering::Relaxed) > 0);

        let (mut nats_a, mut nats_c) = (a.nats(), c.nats());
        nats_a.subscribe("from.c");
        nats_c.subscribe("from.a");
        nats_a.publish("from.a", &mut nats_c);
        nats_c.publish("from.c", &mut nats_a);

        serve_posts(&a.folder.parent().unwrap().join("post.sock"), &flows);
        let posts_refused = Arc::<Mutex<Vec<String>>>::default();
        let numbers = {
            let (over, flows) = (over.clone(), flows.clone());
            std::thread::spawn(move || send_numbers(&over, &flows, source, nats_a, nats_c))
        };
        let posts = {
            let (over, flows, refused) = (over.clone(), flows.clone(), posts_refused.clone());
            let (machine, root) = (a.machine.clone(), a.folder.join("root.pem"));
            std::thread::spawn(move || send_posts(&over, &flows, &machine, &root, &refused))
        };
        let threads = vec![numbers, posts];
        let traffic = Self { over, threads, flows, posts_refused, inputs: [at_b, at_c], _outputs: [from_a, from_b] };
        traffic.goes_on(&WAYS);
        traffic
    }

    /// Waits until more messages have come on these ways.
    pub fn goes_on(&self, ways: &[Way]) {
        for way in ways {
            let flow = &self.flows[*way as usize];
            // The next one to be sent has come, and one more after it.
            let from = flow.sent.load(Ordering::Relaxed) + 1;
            wait_until(&format!("{way:?} goes on after {from}"), || {
                flow.came.lock().unwrap().last().is_some_and(|last| last.parse::<usize>().unwrap() > from)
            });
        }
    }

    /// Waits until so many more messages have been sent by the feed.
    pub fn sends(&self, more: usize) {
        let sent = &self.flows[Way::Feed as usize].sent;
        let from = sent.load(Ordering::Relaxed);
        wait_until("more is sent", || sent.load(Ordering::Relaxed) >= from + more);
    }

    /// Checks that nothing that was sent before the last message is missing on these ways, that nothing was doubled, and that
    /// nothing was opened anew.
    pub fn is_whole(&self, ways: &[Way]) {
        for way in ways {
            let came = self.flows[*way as usize].came.lock().unwrap();
            let all: Vec<String> = (1..=came.len()).map(|number| number.to_string()).collect();
            assert_eq!(*came, all, "{way:?}");
        }
        if ways.contains(&Way::Feed) {
            assert_eq!(self.inputs.each_ref().map(|input| input.opened.load(Ordering::Relaxed)), [1, 1]);
        }
        if ways.contains(&Way::Post) {
            assert_eq!(*self.posts_refused.lock().unwrap(), Vec::<String>::new());
        }
    }

    /// Ends the traffic, and checks that on these ways all has come and is whole. On others nothing was doubled.
    pub fn finish(mut self, whole: &[Way]) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().expect("traffic"));
        for way in whole {
            wait_until(&format!("the last message of {way:?}"), || self.flows[*way as usize].is_whole());
        }
        self.is_whole(whole);
        for way in WAYS {
            let came = self.flows[way as usize].came.lock().unwrap();
            let numbers: Vec<usize> = came.iter().map(|text| text.parse().unwrap()).collect();
            assert!(numbers.is_sorted_by(|one, next| one < next), "{way:?}: {numbers:?}");
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Makes certificates for the components, which have a root of their own.
fn components(mesh: &Mesh) -> PathBuf {
    let files = mesh.folder.path().join("components");
    std::fs::create_dir(&files).unwrap();
    let root = Root::new();
    let (output, input) = (root.server(&["output.example"]), root.device("input.example", &[]));
    for (name, text) in [
        ("root.pem", root.pem),
        ("output.pem", output.0),
        ("output.key", output.1),
        ("input.pem", input.0),
        ("input.key", input.1),
    ] {
        std::fs::write(files.join(name), text).unwrap();
    }
    shell(&files, "chmod 600 output.key input.key");
    files
}

/// Sends numbers by the feed and by NATS until all is over.
fn send_numbers(over: &AtomicBool, flows: &Flows, mut source: impl Write, mut at_a: Nats, mut at_c: Nats) {
    let [feed, to_c, to_a, _] = &**flows;
    let mut rest = 0;
    // What is under way when all is over arrives a little later.
    while !over.load(Ordering::Relaxed) || (rest < 500 && !(feed.is_whole() && to_c.is_whole() && to_a.is_whole())) {
        if over.load(Ordering::Relaxed) {
            rest += 1;
        } else {
            writeln!(source, "{}", feed.next()).unwrap();
            at_a.begin("from.a", &to_c.next().to_string());
            at_c.begin("from.c", &to_a.next().to_string());
        }
        to_a.take(at_a.settle());
        to_c.take(at_c.settle());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Posts numbers by a component of site a that has the certificate of its gateway, until all is over.
fn send_posts(over: &AtomicBool, flows: &Flows, machine: &Machine, root: &Path, refused: &Mutex<Vec<String>>) {
    // Certificate and key are of one generation in the folder that the link leads to.
    let script = "cd \"$(readlink -f /var/lib/edgetrust/acme-client/live)\" && exec timeout 10 \"$@\"";
    let flow = &flows[Way::Post as usize];
    while !over.load(Ordering::Relaxed) {
        let number = flow.sent.load(Ordering::Relaxed) + 1;
        let mut command = machine.command(Path::new("/"), "sh");
        command.args(["-c", script, "sh", &example("httppost"), "gateway.b.example:9443", "gateway.b.example", "/"]);
        command.arg(root).args(["cert.pem", "key.pem"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut post = command.stderr(Stdio::piped()).spawn().unwrap();
        // A post that fails may not read it.
        let _ = write!(post.stdin.take().unwrap(), "{number}");
        let output = post.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        // Where the folder was removed meanwhile, for a newer one, nothing was sent.
        if !said.contains("No such file") && !said.contains("can't cd") {
            flow.sent.store(number, Ordering::Relaxed);
            if output.stdout != b"200 OK\n" {
                refused.lock().unwrap().push(format!("{number}: {output:?}"));
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Takes posts at a socket.
fn serve_posts(socket: &Path, flows: &Flows) {
    let (listener, flows) = (UnixListener::bind(socket).unwrap(), flows.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let flows = flows.clone();
            // A connection that was cut is no post.
            std::thread::spawn(move || {
                let mut reader = BufReader::new(&stream);
                while let Some(text) = take_post(&mut reader)? {
                    flows[Way::Post as usize].take((!text.is_empty()).then_some(text));
                    write!(&stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
                }
                std::io::Result::Ok(())
            });
        }
    });
}

/// Reads what one request posts; nothing at the end of the connection.
fn take_post(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if let Some(octets) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = octets.trim().parse().unwrap_or_default();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

/// A connection to the service of posts that stays open, through a tunnel.
pub struct OpenPost(Pipe);

impl OpenPost {
    /// Connects at a local port, without a word.
    pub fn open(machine: &Machine, port: u16) -> Self {
        Self(Pipe::open(machine, port))
    }

    /// Returns whether the service still answers; if not, the connection is over.
    pub fn answers(&mut self) -> bool {
        if !self.0.try_send("GET / HTTP/1.1\r\n\r\n") {
            return false;
        }
        let said = [(); 3].map(|()| self.0.line());
        assert!(said[0].is_empty() || said[0].starts_with("HTTP/1.1 200 OK"), "{said:?}");
        !said[2].is_empty()
    }
}
