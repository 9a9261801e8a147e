//! Runs the sites, the traffic and the faults.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use super::gateway::Gateway;
use super::ledger::{Counts, Excuse, Ledger, Ticket};
use super::plan::{Fault, Planned, plan};
use super::proxy::{Line, Proxy};
use super::sites::{MOST_CONNECTIONS, Sites};
use super::traffic::{crowd, service, sessions};
use super::{LINKS, SITES, target, touches};
use crate::chains::key_hash;
use crate::random::Random;

/// The short sessions at a time on a link, beside one that lasts.
const SHORT_SESSIONS: u64 = 3;
/// The time for all to come back at the start and at the end.
const COMES_BACK: Duration = Duration::from_secs(90);
/// The most memory of a gateway in KiB, and the most descriptors: some for itself, and four for each connection.
const MOST_MEMORY: u64 = 64 * 1024;
const MOST_DESCRIPTORS: u64 = 64 + 4 * MOST_CONNECTIONS as u64;
/// The most descriptors that a gateway without sessions may have more than before the first one.
const MORE_DESCRIPTORS: u64 = 8;

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    pub length: Duration,
}

/// The summary of a run without a violation.
#[derive(Debug)]
pub struct Summary {
    pub counts: Counts,
    pub faults: Vec<Planned>,
    /// For each site the most memory in KiB, the most descriptors, and the starts of its gateway.
    pub gateways: Vec<([u64; 2], u32)>,
    /// The edition of all at the end.
    pub edition: String,
}

/// A run that goes on.
struct Run {
    sites: Sites,
    gateways: Arc<Mutex<Vec<Gateway>>>,
    lines: Vec<Proxy>,
    ledger: Arc<Ledger>,
    /// For each site the keys of its gateway since it was denied last: sessions may be open under all of them.
    keys: [Vec<String>; SITES.len()],
    /// The start of the traffic, from which on faults are timed.
    begun: Option<Instant>,
}

/// The way back from a fault.
enum Undo {
    Nothing,
    Start(usize, Vec<Ticket>),
    Up(usize, Vec<Ticket>),
    Link(usize, Change),
    Allow(usize, Change),
    Leave(Vec<std::net::TcpStream>, Vec<Ticket>),
}

/// A change of the mesh that is to be taken back.
struct Change {
    /// The site where it is said.
    at: usize,
    /// The time within which it is in force everywhere.
    bound: Duration,
    excuses: Vec<Ticket>,
    bans: Vec<Ticket>,
}

/// Runs three sites in a folder.
///
/// # Errors
/// Returns all that should not have happened, with the time, or what could not be started.
pub fn run(options: &Options, folder: &Path) -> Result<Summary, String> {
    let ledger = Arc::new(Ledger::default());
    let services = (0..SITES.len()).map(|site| service(site, &ledger)).collect::<Result<Vec<_>, _>>();
    let sites = Sites::make(folder, &services.map_err(|error| error.to_string())?)?;
    sites.make_stranger()?;
    let line = |site| Proxy::start(sites.line(site), sites.gateway(site)).map_err(|error| error.to_string());
    let lines = (0..LINKS).map(line).collect::<Result<Vec<_>, _>>()?;
    let gateways = (0..SITES.len()).map(|site| Gateway::new(&sites.of(site), sites.pages[site])).collect();
    let mut run =
        Run { sites, gateways: Arc::new(Mutex::new(gateways)), lines, ledger, keys: Default::default(), begun: None };
    (0..SITES.len()).try_for_each(|site| run.note_key(site))?;
    let faults = plan(options.seed, options.length);
    let ended = run.all(options, &faults);
    run.ledger.finish();
    let at = run
        .begun
        .map_or_else(|| "before the traffic".to_owned(), |begun| format!("at {:.1} s", begun.elapsed().as_secs_f64()));
    ended.map_err(|error| format!("{at}: {error}"))
}

impl Run {
    fn gateways(&self) -> MutexGuard<'_, Vec<Gateway>> {
        self.gateways.lock().expect("no panic")
    }

    fn all(&mut self, options: &Options, faults: &[Planned]) -> Result<Summary, String> {
        self.gateways().iter_mut().try_for_each(Gateway::start)?;
        self.wait("all gateways on one edition at the start", |run| run.edition().is_some())?;
        let at_rest = self.descriptors()?;
        // Whoever has a link is heard: so a knock that is not heard was refused.
        self.wait("a knock of a site with a link", |run| run.sites.knocks(0, 1, "proof 0"))?;
        let mut random = Random(options.seed ^ 0x50a4);
        for link in 0..LINKS {
            for number in 0..=SHORT_SESSIONS {
                let address = self.sites.tunnels[link];
                sessions(link, address, number == 0, Random(random.draw()), &self.ledger);
            }
        }
        self.go(options, faults)?;
        self.wait("all gateways on one edition after quiet", |run| run.edition().is_some())?;
        let edition = self.edition().unwrap_or_default();
        let before = self.ledger.counts().messages;
        self.wait("traffic after quiet", |run| run.ledger.counts().messages > before + 100)?;
        self.quiet()?;
        self.wait("no more descriptors than at the start", |run| {
            let now = run.descriptors().unwrap_or_default();
            now.iter().zip(&at_rest).all(|(now, before)| *now <= before + MORE_DESCRIPTORS)
        })?;
        let gateways = self.gateways().iter().map(|gateway| (gateway.most, gateway.starts)).collect();
        Ok(Summary { counts: self.ledger.counts(), faults: faults.to_vec(), gateways, edition })
    }

    /// Ends the traffic: then nothing of it may be left.
    fn quiet(&mut self) -> Result<(), String> {
        self.ledger.finish();
        self.wait("all sessions over", |run| {
            let open = |gateway: &Gateway| {
                let status = gateway.status()?;
                let tunnels = status["tunnels"].as_array()?.iter().map(|tunnel| tunnel["open"].as_u64());
                tunnels.sum::<Option<u64>>()
            };
            run.gateways().iter().all(|gateway| open(gateway) == Some(0))
        })
    }

    fn descriptors(&self) -> Result<Vec<u64>, String> {
        let of = |gateway: &mut Gateway| Ok(gateway.look()?.map_or(u64::MAX, |[_, descriptors]| descriptors));
        self.gateways().iter_mut().map(of).collect()
    }

    /// Waits for something, and looks at everything else meanwhile.
    fn wait(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) -> Result<(), String> {
        let until = Instant::now() + COMES_BACK;
        while !holds(self) {
            self.look()?;
            if Instant::now() > until {
                return Err(format!("expected {what} within {COMES_BACK:?}"));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Returns the edition that all have in force.
    fn edition(&self) -> Option<String> {
        let of = |gateway: &Gateway| {
            let status = gateway.status()?;
            let mesh = &status["mesh"];
            let digest = mesh["digest"].as_str()?;
            Some(format!("generation {}, sequence {}, {digest}", mesh["signer_generation"], mesh["sequence"]))
        };
        let all: Option<Vec<String>> = self.gateways().iter().map(of).collect();
        let all = all?;
        let first = all.first()?.clone();
        all.iter().all(|other| *other == first).then_some(first)
    }

    /// Looks at what must hold at all times.
    fn look(&self) -> Result<(), String> {
        let violations = self.ledger.violations();
        if !violations.is_empty() {
            return Err(violations.join("\n"));
        }
        for (gateway, site) in self.gateways().iter_mut().zip(SITES) {
            let Some([memory, descriptors]) = gateway.look()? else { continue };
            if memory > MOST_MEMORY || descriptors > MOST_DESCRIPTORS {
                return Err(format!(
                    "the gateway of {site} has {memory} KiB and {descriptors} descriptors, expected at most {MOST_MEMORY} \
                     and {MOST_DESCRIPTORS}"
                ));
            }
        }
        Ok(())
    }

    /// Makes all faults at their times, and undoes each at its end.
    fn go(&mut self, options: &Options, faults: &[Planned]) -> Result<(), String> {
        let begun = *self.begun.insert(Instant::now());
        let (mut next, mut undo) = (faults.iter().peekable(), Vec::<(Duration, Undo)>::new());
        let (mut knock, mut minute) = (Duration::ZERO, Duration::from_secs(60));
        while begun.elapsed() < options.length {
            let now = begun.elapsed();
            self.look()?;
            if let Some(place) = undo.iter().position(|(at, _)| *at <= now) {
                let (_, undo) = undo.swap_remove(place);
                self.undo(undo)?;
            } else if let Some(planned) = next.next_if(|planned| planned.at <= now) {
                undo.push((now + planned.lasts, self.begin(planned)?));
            } else if now > knock {
                knock = now + Duration::from_secs(3);
                self.knock();
            } else {
                thread::sleep(Duration::from_millis(20));
            }
            if now > minute {
                let Counts { sessions, messages, cut, .. } = self.ledger.counts();
                println!("{:6.0} s  {sessions} sessions, {messages} messages, {cut} cut by faults", now.as_secs_f64());
                minute += Duration::from_secs(60);
            }
        }
        undo.into_iter().try_for_each(|(_, undo)| self.undo(undo))
    }

    /// Lets those knock who have no link: the gateway that is reached, at the one that reaches it, and a stranger.
    fn knock(&self) {
        let (sites, ledger) = (self.sites.clone(), self.ledger.clone());
        thread::spawn(move || {
            for (at, site) in SITES.iter().enumerate() {
                let others = [sites.knocks(target(at), at, "intruder"), sites.stranger_knocks(at, "intruder")];
                if others.contains(&true) {
                    ledger.violation(format!("somebody without a link is heard at {site}"));
                }
                ledger.count(|counts| counts.intruders += 2);
            }
        });
    }

    /// Notes the key of a site's gateway, as its certificate has it now.
    fn note_key(&mut self, site: usize) -> Result<(), String> {
        let shown = edgetrust::pem::read_certificates(&self.sites.of(site).join("gateway.pem"));
        let shown = shown.map_err(|error| error.to_string())?;
        let key =
            key_hash(shown.first().ok_or("found no certificate")?).map_err(|error| error.to_string())?.to_string();
        if !self.keys[site].contains(&key) {
            self.keys[site].push(key);
        }
        Ok(())
    }

    fn excuse(&self, links: impl Iterator<Item = usize>, excuse: Excuse) -> Vec<Ticket> {
        links.map(|link| self.ledger.excuse(link, excuse)).collect()
    }

    fn begin(&mut self, planned: &Planned) -> Result<Undo, String> {
        let of = |site: usize| (0..LINKS).filter(move |link| touches(*link, site));
        Ok(match planned.fault {
            Fault::Kill { site } => {
                let tickets = self.excuse(of(site), Excuse::Cut);
                self.gateways()[site].kill();
                Undo::Start(site, tickets)
            }
            Fault::Cut { link, word } => {
                let tickets = self.excuse(std::iter::once(link), Excuse::Cut);
                self.lines[target(link)].set(if word { Line::Cut } else { Line::Stalled });
                Undo::Up(link, tickets)
            }
            Fault::Stall { link } => {
                self.lines[target(link)].set(Line::Stalled);
                Undo::Up(link, Vec::new())
            }
            Fault::Unlink { link, at } => {
                let tickets = self.excuse(std::iter::once(link), Excuse::Cut);
                let (from, to) = (SITES[link], SITES[target(link)]);
                self.sites.federation(&["unlink", "m", from, to, "--service", "feed", "--yes"])?;
                self.sites.deliver(at)?;
                let bans = vec![self.ledger.ban(link, planned.bound)];
                Undo::Link(link, Change { at, bound: planned.bound, excuses: tickets, bans })
            }
            Fault::Deny { site, at } => {
                let tickets = self.excuse(of(site), Excuse::Cut);
                for key in &self.keys[site] {
                    self.sites.federation(&["deny", "m", "--key", key, "--reason", "soak", "--yes"])?;
                }
                self.sites.deliver(at)?;
                let bans = of(site).map(|link| self.ledger.ban(link, planned.bound)).collect();
                Undo::Allow(site, Change { at, bound: planned.bound, excuses: tickets, bans })
            }
            Fault::Renew { site, new_key } => {
                self.sites.renew(site, new_key)?;
                self.note_key(site)?;
                Undo::Nothing
            }
            Fault::Crowd { link } => {
                let tickets = self.excuse(0..LINKS, Excuse::NotOpened);
                Undo::Leave(crowd(link, self.sites.tunnels[link], 2 * MOST_CONNECTIONS), tickets)
            }
        })
    }

    fn undo(&mut self, undo: Undo) -> Result<(), String> {
        let over = |tickets: Vec<Ticket>, after| tickets.into_iter().for_each(|it| self.ledger.end(it, after));
        match undo {
            Undo::Nothing => {}
            Undo::Start(site, tickets) => {
                self.gateways()[site].start()?;
                over(tickets, Duration::from_secs(5));
            }
            Undo::Up(link, tickets) => {
                let line = &self.lines[target(link)];
                // What was cut without a word does not come back as if nothing had been.
                if !tickets.is_empty() {
                    line.reset();
                }
                line.set(Line::Up);
                over(tickets, Duration::ZERO);
            }
            Undo::Link(link, Change { at, bound, excuses, bans }) => {
                over(bans, Duration::ZERO);
                self.sites.federation(&["link", "m", SITES[link], SITES[target(link)], "--service", "feed"])?;
                self.sites.deliver(at)?;
                over(excuses, bound);
            }
            Undo::Allow(site, Change { at, bound, excuses, bans }) => {
                over(bans, Duration::ZERO);
                for key in &self.keys[site] {
                    self.sites.federation(&["allow", "m", "--key", key])?;
                }
                // No session is left under the keys before.
                self.keys[site].drain(..self.keys[site].len() - 1);
                self.sites.deliver(at)?;
                over(excuses, bound);
            }
            Undo::Leave(connections, tickets) => {
                drop(connections);
                over(tickets, Duration::ZERO);
            }
        }
        Ok(())
    }
}
