//! Chromium without a window, driven by the Chrome DevTools Protocol over one WebSocket. It ends when its handle is dropped.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::peers::PATIENCE;

/// Nothing leaves this machine, and nothing of the user's profile comes in.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-lcd-text",
    "--remote-debugging-port=0",
    "--lang=en",
];

/// A browser with one page.
pub struct Chromium {
    child: Child,
    _profile: TempDir,
    runtime: Runtime,
    socket: WebSocketStream<TcpStream>,
    /// The session of the page's target.
    session: Option<String>,
    calls: u64,
    /// The complaints of the page: errors and warnings of its console, exceptions, violations of its policy.
    complaints: Vec<String>,
}

impl Chromium {
    /// Starts a browser of this width, with an empty page.
    pub fn start(width: u32) -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("chromium")
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("chromium is not here: tests/run installs it");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned)).unwrap();
        // Whoever does not read on stops the browser.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let host = address.split('/').nth(2).unwrap().to_owned();
        let socket = runtime.block_on(async {
            let stream = TcpStream::connect(host).await.unwrap();
            tokio_tungstenite::client_async(&address, stream).await.unwrap().0
        });
        let mut browser =
            Self { child, _profile: profile, runtime, socket, session: None, calls: 0, complaints: Vec::new() };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}));
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Runtime", "Log", "Page", "Audits"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.resize(width);
        browser
    }

    /// Calls a method, and keeps what comes meanwhile.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut request = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = json!(session);
        }
        let answer = self.runtime.block_on(async {
            self.socket.send(Message::text(request.to_string())).await.unwrap();
            let until = tokio::time::Instant::now() + PATIENCE;
            loop {
                let next = tokio::time::timeout_at(until, self.socket.next()).await;
                let message = next.unwrap_or_else(|_| panic!("{method}: no answer")).unwrap().unwrap();
                let Ok(text) = message.to_text() else { continue };
                let Ok(value) = serde_json::from_str::<Value>(text) else { continue };
                if value["id"] == self.calls {
                    break value;
                }
                self.complaints.extend(complaint(&value));
            }
        });
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// Opens a page, and waits until it shows a report.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
        self.wait_for("document.readyState === 'complete' && document.getElementById('gateway') !== null");
    }

    /// Returns the value of an expression.
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {:#}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Returns the text of the first element of a selector, or an empty one.
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({selector:?})?.textContent ?? ''"));
        text.as_str().unwrap().to_owned()
    }

    /// Returns the texts of all elements of a selector.
    pub fn texts(&mut self, selector: &str) -> Vec<String> {
        let texts = self.eval(&format!("[...document.querySelectorAll({selector:?})].map(one => one.textContent)"));
        serde_json::from_value(texts).unwrap()
    }

    /// Waits until an expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        while self.eval(expression) != json!(true) {
            if Instant::now() >= until {
                let text = self.eval("document.body?.innerText.slice(0, 3000)");
                panic!("{expression} does not become true: {text:#} {:?}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the first element of a selector has a text.
    pub fn wait_for_text(&mut self, selector: &str, text: &str) {
        self.wait_for(&format!("(document.querySelector({selector:?})?.textContent ?? '').includes({text:?})"));
    }

    /// Gives the page another width; it is as high as a screen.
    pub fn resize(&mut self, width: u32) {
        let screen = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// Says what the user prefers: `light` or `dark`.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", &features);
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Returns a picture of the top of the page, as PNG.
    pub fn picture(&mut self, (width, height): (u32, u32)) -> Vec<u8> {
        let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
        let picture = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let answer = self.call("Page.captureScreenshot", &picture);
        base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    /// Returns what the page has complained of since the last call.
    pub fn complaints(&mut self) -> Vec<String> {
        // Whatever happened before has been sent when this is answered.
        self.eval("new Promise(done => setTimeout(done))");
        std::mem::take(&mut self.complaints)
    }
}

fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    let entry = &parameters["entry"];
    let said = match event["method"].as_str()? {
        "Runtime.exceptionThrown" => &parameters["exceptionDetails"],
        "Runtime.consoleAPICalled" if matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert")) => {
            &parameters["args"]
        }
        "Log.entryAdded" if matches!(entry["level"].as_str(), Some("error" | "warning")) => entry,
        "Audits.issueAdded" if parameters["issue"]["code"] == "ContentSecurityPolicyIssue" => &parameters["issue"],
        _ => return None,
    };
    Some(said.to_string())
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let close = Message::text(json!({"id": 0, "method": "Browser.close"}).to_string());
        let ended = self.runtime.block_on(async { self.socket.send(close).await });
        let until = Instant::now() + Duration::from_secs(5);
        while ended.is_ok() && Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
