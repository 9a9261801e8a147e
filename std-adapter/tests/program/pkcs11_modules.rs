//! Tests many handshakes with a key in SoftHSM, and a module that hangs and crashes.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pages::{get, pages};
use super::peers::{OpensslClient, PATIENCE, Program};
use super::pkcs11::{Tokens, config, exchange, p256, rsa};
use super::pki::arg;
use super::softhsm::module;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs softhsm2: tests/run"]
async fn many_handshakes_at_once_are_signed() {
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let program = tokens.serve(&cert, &tokens.uri("inside"), &[]);
    let (address, connector) = (program.address, tokens.connector());
    let all: Vec<_> = (0..64)
        .map(|_| {
            let connector = connector.clone();
            tokio::spawn(async move { exchange(&connector, address).await })
        })
        .collect();
    for one in all {
        tokio::time::timeout(PATIENCE, one).await.unwrap().unwrap().unwrap();
    }
}

/// Compiles a module that does what SoftHSM does, but for signatures: while a file `hang` lies beside it, they never
/// end, and while a file `crash` does, they end the process. A file `logins` has a character for each login.
fn faulty_module(tokens: &Tokens) -> String {
    let (source, compiled) = (tokens.pki.path("faulty.c"), tokens.pki.path("faulty.so"));
    let text = r#"
        #include <dlfcn.h>
        #include <fcntl.h>
        #include <stdlib.h>
        #include <unistd.h>
        struct list { unsigned char version[2]; void *function[68]; };
        typedef unsigned long (*sign)(unsigned long, void *, unsigned long, void *, unsigned long *);
        static struct list ours, *theirs;
        /* C_Sign is the 44th of CK_FUNCTION_LIST */
        static unsigned long faulty(unsigned long session, void *data, unsigned long length, void *to, unsigned long *room) {
            if (access(FOLDER "/crash", F_OK) == 0) abort();
            while (access(FOLDER "/hang", F_OK) == 0) pause();
            return ((sign)theirs->function[43])(session, data, length, to, room);
        }
        typedef unsigned long (*login)(unsigned long, unsigned long, void *, unsigned long);
        /* C_Login is the 19th */
        static unsigned long counted(unsigned long session, unsigned long user, void *pin, unsigned long length) {
            int file = open(FOLDER "/logins", O_WRONLY | O_CREAT | O_APPEND, 0600);
            if (write(file, "+", 1) != 1) abort();
            close(file);
            return ((login)theirs->function[18])(session, user, pin, length);
        }
        unsigned long C_GetFunctionList(struct list **list) {
            unsigned long (*get)(struct list **) = dlsym(dlopen(SOFTHSM, RTLD_NOW), "C_GetFunctionList");
            unsigned long result = get(&theirs);
            ours = *theirs;
            ours.function[43] = faulty;
            ours.function[18] = counted;
            *list = &ours;
            return result;
        }
    "#;
    fs::write(&source, text).unwrap();
    let folder = source.parent().unwrap().display();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"]).arg(&compiled).arg(&source).arg("-ldl");
    cc.arg(format!("-DFOLDER=\"{folder}\"")).arg(format!("-DSOFTHSM=\"{}\"", module()));
    assert!(cc.status().unwrap().success());
    arg(&compiled)
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn a_module_that_crashes_takes_nothing_with_it() {
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let program = tokens.serve(&cert, &tokens.uri_by(&faulty_module(&tokens), "inside"), &["--watch-interval", "0s"]);
    let mut open = OpensslClient::start(program.address, &[]);
    assert_eq!(open.ask("before").as_deref(), Some("before"));
    fs::write(tokens.pki.path("crash"), "").unwrap();
    assert!(!tokens.echoes(program.address, &[]));
    program.wait_for("has ended (signal: 6 (SIGABRT)");
    assert_eq!(open.ask("after").as_deref(), Some("after"));
    fs::remove_file(tokens.pki.path("crash")).unwrap();
    program.wait_until("the module is loaded anew", |program| tokens.echoes(program.address, &[]));
}

#[test]
#[ignore = "needs softhsm2: tests/run"]
fn a_wrong_pin_is_tried_once() {
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let program = tokens.serve(&cert, &tokens.uri_by(&faulty_module(&tokens), "inside"), &["--watch-interval", "0s"]);
    let logins = || fs::read(tokens.pki.path("logins")).unwrap().len();
    fs::write(tokens.pki.path("crash"), "").unwrap();
    assert!(!tokens.echoes(program.address, &[]));
    let (before, right) = (logins(), fs::read(tokens.pin()).unwrap());
    fs::write(tokens.pin(), "1111\n").unwrap();
    fs::remove_file(tokens.pki.path("crash")).unwrap();
    program.wait_until("a login", |program| !tokens.echoes(program.address, &[]) && logins() > before);
    for _ in 0..4 {
        assert!(!tokens.echoes(program.address, &[]));
    }
    assert_eq!(logins(), before + 1, "tries of the wrong PIN");
    fs::write(tokens.pin(), right).unwrap();
    program.wait_until("the right PIN is tried", |program| tokens.echoes(program.address, &[]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs softhsm2: tests/run"]
async fn a_module_that_hangs_stops_nobody_else() {
    const WAITING: usize = 100;
    let tokens = Tokens::new();
    let cert = tokens.issue("inside", &p256());
    let file = config(&tokens, &cert, &tokens.uri_by(&faulty_module(&tokens), "inside"));
    let arguments = ["run", "--config", &file, "--watch-interval", "0s", "--workers", "2"].map(str::to_owned);
    let mut program = Program::start_in(&arguments, &tokens.environment());
    program.wait_for_tunnel();
    program.wait_for_tunnel();
    let pages = pages(&program);
    let (token, other) = (program.tunnel("token"), program.tunnel("file"));
    assert!(tokens.echoes(token, &[]));
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    let tunnels = status["tunnels"].as_array().unwrap();
    let place = |name: &str| &tunnels.iter().find(|tunnel| tunnel["name"] == name).unwrap()["certificate_token"];
    assert_eq!((place("token"), place("file")), (&json!(r#"token "edge", object "inside""#), &Value::Null));
    let hang = tokens.pki.path("hang");
    let connector = tokens.connector();
    let mut seen = false;
    // On a slow machine the first round may end after the time limit of a signature.
    for _ in 0..10 {
        fs::write(&hang, "").unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let connector = connector.clone();
                tokio::spawn(async move { exchange(&connector, token).await })
            })
            .collect();
        program.wait_until("handshakes wait for the token", |program| program.threads() > 10);
        let begun = Instant::now();
        assert!(tokens.echoes(other, &[]), "the other tunnel");
        assert_eq!(get(&pages, "/healthz", &[]).0, "200");
        let (took, threads) = (begun.elapsed(), program.threads());
        // Sixteen wait in threads; all others wait without one.
        assert!(threads < WAITING / 2, "{threads} threads");
        seen = waiting.iter().all(|one| !one.is_finished());
        for one in waiting {
            let ended = tokio::time::timeout(PATIENCE, one).await.unwrap().unwrap();
            assert!(ended.is_err());
        }
        if seen {
            assert!(took < Duration::from_secs(5), "{took:?}");
            break;
        }
    }
    assert!(seen, "the others were served while all of the token's waited");
    fs::remove_file(&hang).unwrap();
    program.wait_until("the module is loaded anew", |_| tokens.echoes(token, &[]));
}

/// Prints how many handshakes a second there are with a key in SoftHSM, and with one in a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs softhsm2: tests/run"]
async fn measure_handshakes() {
    let tokens = Tokens::new();
    for (name, key) in [("P-256", p256()), ("RSA", rsa())] {
        let cert = tokens.issue(name, &key);
        let file = tokens.pki.path("measured.key");
        fs::write(&file, key.serialize_pem()).unwrap();
        for key in [arg(&file), tokens.uri(name)] {
            let program = tokens.serve(&cert, &key, &[]);
            let (address, begun) = (program.address, Instant::now());
            let all: Vec<_> = (0..8)
                .map(|_| {
                    // Without sessions to resume.
                    let connectors: Vec<_> = (0..100).map(|_| tokens.connector()).collect();
                    tokio::spawn(async move {
                        for connector in connectors {
                            exchange(&connector, address).await.unwrap();
                        }
                    })
                })
                .collect();
            for one in all {
                one.await.unwrap();
            }
            println!("{name}, {key}: {:.0} a second", 800.0 / begun.elapsed().as_secs_f64());
        }
    }
}
