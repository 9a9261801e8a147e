//! Tests the process that starts helpers of PKCS #11 modules for a gateway in its sandbox.

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use super::peers::PATIENCE;
use super::pkcs11::{Tokens, p256};
use super::softhsm::module;

/// A relay, as a gateway starts it.
struct Relay {
    child: Child,
    socket: Socket,
}

impl Relay {
    fn start(tokens: &Tokens, uris: &[&str]) -> Self {
        let (socket, theirs) = Socket::pair(Domain::UNIX, Type::SEQPACKET, None).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
        command.arg("pkcs11-relay").arg(module()).args(uris).envs(tokens.environment());
        let child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().unwrap();
        // Without its end of the pair here, the end of the relay is seen.
        drop(command);
        Self { child, socket }
    }

    fn ask(&mut self, number: u64, uri: &str) -> Value {
        let request = json!({"number": number, "uri": uri, "work": "Find"});
        self.socket.write_all(request.to_string().as_bytes()).unwrap();
        let mut packet = vec![0; 65536];
        let length = self.socket.read(&mut packet).unwrap();
        let answer: Value = serde_json::from_slice(&packet[..length]).unwrap();
        assert_eq!(answer["number"], json!(number), "{answer}");
        answer["answer"].clone()
    }
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn a_relay_knows_the_keys_of_the_start_alone() {
    let tokens = Tokens::new();
    tokens.issue("known", &p256());
    tokens.issue("other", &p256());
    let (known, other) = (tokens.uri("known"), tokens.uri("other"));
    let mut relay = Relay::start(&tokens, &[&known]);
    assert_eq!(relay.ask(1, &known)["Found"][0], "P256");
    // Another key, and the known one with another file in the place of its PIN's.
    let another_pin = format!("{}x", known);
    for uri in [other, another_pin, "no uri".to_owned()] {
        let answer = relay.ask(2, &uri);
        assert!(answer["Refused"].as_str().unwrap().contains("found no such key"), "{uri}: {answer}");
    }
    assert_eq!(relay.ask(3, &known)["Found"][0], "P256");
    drop(relay.socket);
    assert!(relay.child.wait().unwrap().success());
}
