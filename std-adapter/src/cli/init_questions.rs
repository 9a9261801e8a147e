//! Asks for the answers that the flags of `edgetrust init` have left open.

use std::io::{self, BufRead, Write};

use clap::ValueEnum as _;
use edgetrust_core::identity::is_dns_rule;

use super::init_answers::{Mode, check_file, check_listen, check_target};

/// The answers so far; an empty list is one that is open.
#[derive(clap::Args, Default)]
pub(super) struct Open {
    /// Side of the first tunnel
    #[arg(long, value_enum)]
    pub(super) mode: Option<Mode>,
    /// Address on which to accept connections: TLS in mode server, plaintext in mode client
    #[arg(long, value_name = "ADDR:PORT|unix:PATH")]
    pub(super) listen: Option<String>,
    /// The service on this machine in mode server, the server in mode client
    #[arg(long, value_name = "HOST:PORT|unix:PATH")]
    pub(super) target: Option<String>,
    /// Own certificate chain, PEM, leaf first; in mode client only with --key, to show it to the server
    #[arg(long, value_name = "FILE")]
    pub(super) cert: Option<String>,
    /// Private key of the certificate, PEM
    #[arg(long, value_name = "FILE")]
    pub(super) key: Option<String>,
    /// CA certificates that verify the other side
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Vec<String>,
    /// Mode server: admit clients with this common name
    #[arg(long, value_name = "NAME")]
    pub(super) allow_cn: Vec<String>,
    /// Mode server: admit clients with this DNS name
    #[arg(long, value_name = "NAME")]
    pub(super) allow_dns: Vec<String>,
    /// Mode server: ask no client for a certificate, so that everybody is admitted
    #[arg(long, conflicts_with_all = ["ca", "allow_cn", "allow_dns"])]
    pub(super) no_client_auth: bool,
    /// Mode client: name that the server's certificate must have; by default the target's host
    #[arg(long, value_name = "NAME")]
    pub(super) server_name: Option<String>,
}

/// A terminal: lines come in, and questions go out.
pub(super) struct Dialogue<I, O> {
    pub(super) input: I,
    pub(super) output: O,
}

/// The word for leaving something out, where leaving it out opens more: an empty line is no answer.
const NONE: &str = "none";

impl<I: BufRead, O: Write> Dialogue<I, O> {
    /// Asks the questions that are open. Those that are not answered stay open.
    pub(super) fn fill(&mut self, open: &mut Open) -> io::Result<()> {
        if open.mode.is_none() {
            let question = "1/3 Accept TLS for a service on this machine (server), or connect to a server (client)? ";
            let parsed = |text: &str| Mode::from_str(text, true).map_err(|_| "expected server or client".to_owned());
            let answer = self.ask(question, None, |text| parsed(text).map(drop))?;
            open.mode = answer.and_then(|text| parsed(&text).ok());
        }
        let Some(mode) = open.mode else { return Ok(()) };
        if open.target.is_none() {
            let question = match mode {
                Mode::Server => "2/3 The service that it is for, as 127.0.0.1:8081 or unix:/run/service.sock: ",
                Mode::Client => "2/3 The server to connect to, as gateway.b.example:8443: ",
            };
            open.target = self.ask(question, None, |text| check_target(mode, text))?;
        }
        if open.listen.is_none() {
            let (question, default) = match mode {
                Mode::Server => ("    Address on which TLS is accepted", "0.0.0.0:8443"),
                Mode::Client => ("    Address on which programs of this machine are accepted", "127.0.0.1:9001"),
            };
            let question = format!("{question} [{default}]: ");
            open.listen = self.ask(&question, Some(default), |text| check_listen(mode, text))?;
        }
        match mode {
            Mode::Server => self.certificates_of_server(open),
            Mode::Client => self.certificates_of_client(open),
        }
    }

    fn certificates_of_server(&mut self, open: &mut Open) -> io::Result<()> {
        self.own(open, "3/3 Its certificate chain, PEM file, leaf first: ")?;
        if open.ca.is_empty() && !open.no_client_auth {
            let question = "    CA of the clients, PEM file (none: no client is asked for a certificate): ";
            let answer = self.ask(question, None, file_or_none)?;
            open.no_client_auth =
                answer.as_deref() == Some(NONE) && open.allow_cn.is_empty() && open.allow_dns.is_empty();
            open.ca.extend(answer.filter(|text| text != NONE));
        }
        if !open.no_client_auth && open.allow_cn.is_empty() && open.allow_dns.is_empty() {
            let question = "    Common names of the clients that are let in, with blanks between: ";
            let answer = self.ask(question, None, |_| Ok(()))?;
            open.allow_cn.extend(answer.unwrap_or_default().split_whitespace().map(str::to_owned));
        }
        Ok(())
    }

    fn certificates_of_client(&mut self, open: &mut Open) -> io::Result<()> {
        if open.ca.is_empty() {
            let answer = self.ask("3/3 CA of the server, PEM file: ", None, check_file)?;
            open.ca.extend(answer);
        }
        if open.cert.is_none() && open.key.is_none() {
            let question = "    Certificate chain to show to the server, PEM file (none: it shows none): ";
            open.cert = self.ask(question, None, file_or_none)?.filter(|text| text != NONE);
            if open.cert.is_none() {
                return Ok(());
            }
        }
        self.own(open, "    Certificate chain to show to the server, PEM file: ")
    }

    fn own(&mut self, open: &mut Open, question: &str) -> io::Result<()> {
        if open.cert.is_none() {
            open.cert = self.ask(question, None, check_file)?;
        }
        if open.key.is_none() {
            open.key = self.ask("    Its private key, PEM file: ", None, check_file)?;
        }
        Ok(())
    }

    /// Asks until an answer holds; `None` at the end of the input.
    fn ask(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: impl Fn(&str) -> Result<(), String>,
    ) -> io::Result<Option<String>> {
        loop {
            write!(self.output, "{question}")?;
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                writeln!(self.output)?;
                return Ok(None);
            }
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                ("", None) => {
                    writeln!(self.output, "    an answer is needed; Ctrl-D ends the questions, and writes nothing")?;
                    continue;
                }
                (answer, _) => answer,
            };
            match check(answer) {
                Ok(()) => return Ok(Some(answer.to_owned())),
                Err(why) => writeln!(self.output, "    {why}")?,
            }
        }
    }
}

fn file_or_none(text: &str) -> Result<(), String> {
    if text == NONE { Ok(()) } else { check_file(text) }
}

impl Open {
    /// Returns what is wrong with the answers that are there.
    pub(super) fn faults(&self) -> Result<(), String> {
        let of = |flag: &'static str| move |why: String| format!("{flag}: {why}");
        if let Some(mode) = self.mode {
            self.listen.as_ref().map_or(Ok(()), |text| check_listen(mode, text)).map_err(of("--listen"))?;
            self.target.as_ref().map_or(Ok(()), |text| check_target(mode, text)).map_err(of("--target"))?;
            let others: &[_] = match mode {
                Mode::Server => &[("--server-name", self.server_name.is_some(), "client")],
                Mode::Client => &[
                    ("--allow-cn", !self.allow_cn.is_empty(), "server"),
                    ("--allow-dns", !self.allow_dns.is_empty(), "server"),
                    ("--no-client-auth", self.no_client_auth, "server"),
                ],
            };
            if let Some((flag, _, mode)) = others.iter().find(|(_, given, _)| *given) {
                return Err(format!("{flag} goes with --mode {mode}"));
            }
        }
        for (flag, file) in [("--cert", &self.cert), ("--key", &self.key)] {
            file.as_ref().map_or(Ok(()), |file| check_file(file)).map_err(of(flag))?;
        }
        self.ca.iter().try_for_each(|file| check_file(file)).map_err(of("--ca"))?;
        match self.allow_dns.iter().find(|name| !is_dns_rule(name)) {
            Some(name) => Err(format!("--allow-dns: found {name:?}, expected a DNS name")),
            None => Ok(()),
        }
    }

    /// Returns the flags whose answers are missing.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let named = !self.allow_cn.is_empty() || !self.allow_dns.is_empty();
        let anybody = self.no_client_auth;
        let (server, client) = (self.mode == Some(Mode::Server), self.mode == Some(Mode::Client));
        let pair = server || self.cert.is_some() || self.key.is_some();
        let wanted = [
            (self.mode.is_none(), "--mode server or --mode client"),
            (self.listen.is_none(), "--listen"),
            (self.target.is_none(), "--target"),
            (pair && self.cert.is_none(), "--cert"),
            (pair && self.key.is_none(), "--key"),
            (client && self.ca.is_empty(), "--ca"),
            (server && self.ca.is_empty() && named, "--ca"),
            (server && !self.ca.is_empty() && !named, "--allow-cn or --allow-dns"),
            (
                server && self.ca.is_empty() && !named && !anybody,
                "--ca with --allow-cn or --allow-dns (or --no-client-auth, which admits everybody)",
            ),
        ];
        wanted.into_iter().filter(|(missing, _)| *missing).map(|(_, flag)| flag).collect()
    }
}
