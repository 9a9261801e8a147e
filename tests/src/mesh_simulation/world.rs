//! Runs the gateways: what happens, in the order of its times.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::time::Duration;

use edgetrust::program::mesh::{Caller, CloseReason, Dialogue, GET_PATIENCE, Instant, Retry, StatusCode, Terms};
use edgetrust_core::config::GatewayLimits;
use edgetrust_core::x509::KeyHash;

use super::connection::{Connection, Request};
use super::editions::{Editions, HeldNumber, TextNumber};
use super::gateway::Gateway;
use super::network::{LOADING, Network, Outage, down, is_down, up};
use super::{MINUTE, Millis};
use crate::random::Random;

/// A connection.
pub(super) type Number = usize;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Up(usize),
    Down(usize),
    Dial {
        site: usize,
        dialer: usize,
        generation: u32,
    },
    Connected {
        site: usize,
        dialer: usize,
        generation: u32,
    },
    Failed {
        site: usize,
        dialer: usize,
        generation: u32,
        silent: bool,
    },
    Send(Number, Request),
    Arrives(Number, u32),
    OfferBegins(Number, u32),
    OfferArrives(Number, u32, TextNumber),
    HoldEnds(Number, u32),
    Answered {
        number: Number,
        request: u32,
        code: u16,
        text: Option<TextNumber>,
        /// The mesh of the listener, whose entity tag gateways hear.
        there: Option<HeldNumber>,
        closing: bool,
    },
    Silent(Number, u32),
    /// The dialler learns that the listener has closed, or the other way.
    ClosedThere(Number),
    ClosedHere(Number),
    Judged {
        site: usize,
        life: u32,
        text: TextNumber,
        number: Number,
        brought: bool,
    },
    Loaded {
        site: usize,
        life: u32,
    },
}

/// All gateways, and what is to happen.
pub struct World {
    pub now: Millis,
    pub gateways: Vec<Gateway>,
    pub editions: Editions,
    pub events: u64,
    pub(super) network: Network,
    random: Random,
    /// The connections by their numbers, which are never used again.
    pub(super) connections: HashMap<Number, Connection>,
    next: Number,
    queue: BinaryHeap<Reverse<(Millis, u64, Event)>>,
    order: u64,
    outages: bool,
    /// The time 0. It lies ahead, so that nothing depends on how long the run takes.
    pub(super) zero: Instant,
    patience: Duration,
    /// The keys that are denied by the news.
    news: Vec<KeyHash>,
    has_news: HashMap<HeldNumber, bool>,
}

pub(super) fn millis(time: Duration) -> Millis {
    time.as_millis() as Millis
}

impl World {
    /// Makes gateways that begin within the first minute.
    pub fn new(editions: Editions, links: &[Vec<usize>], network: Network, random: Random) -> Self {
        let mut world = Self {
            now: 0,
            gateways: links.iter().map(|to| Gateway::new(0, to)).collect(),
            editions,
            events: 0,
            network,
            random,
            connections: HashMap::new(),
            next: 0,
            queue: BinaryHeap::new(),
            order: 0,
            outages: false,
            zero: Instant::now() + Duration::from_secs(365 * 86_400),
            patience: Duration::from_millis(GatewayLimits::default().handshake_timeout_ms),
            news: Vec::new(),
            has_news: HashMap::new(),
        };
        for site in 0..links.len() {
            let at = world.random.below(MINUTE);
            world.at(at, Event::Up(site));
        }
        world
    }

    pub(super) fn at(&mut self, time: Millis, event: Event) {
        self.order += 1;
        self.queue.push(Reverse((time.max(self.now), self.order, event)));
    }

    fn instant(&self) -> Instant {
        self.zero + Duration::from_millis(self.now)
    }

    pub(super) fn since_zero(&self, instant: Instant) -> Millis {
        millis(instant.saturating_duration_since(self.zero))
    }

    pub(super) fn latency(&self, number: Number) -> Millis {
        let connection = &self.connections[&number];
        self.network.latency(connection.from, connection.to)
    }

    /// Lets everything happen up to a time.
    pub fn run_until(&mut self, end: Millis) {
        while let Some(Reverse((time, _, event))) = self.queue.peek().copied().filter(|Reverse((time, ..))| *time < end)
        {
            self.queue.pop();
            self.now = time;
            self.events += 1;
            self.happen(event);
        }
        self.now = end;
    }

    /// Begins outages, so that a tenth of the sites are down at any time, or ends them.
    pub fn set_outages(&mut self, outages: bool) {
        self.outages = outages;
        for site in 0..self.gateways.len() {
            if !outages {
                continue;
            }
            let (is_down, up) = (is_down(&mut self.random), up(&mut self.random));
            let at = self.now + if is_down { 0 } else { up };
            self.at(at, Event::Down(site));
        }
    }

    /// Gives news: keys that others are to deny. From now on it is counted how long gateways do not know them.
    pub fn expect(&mut self, keys: Vec<KeyHash>) {
        (self.news, self.has_news) = (keys, HashMap::new());
        let now = self.now;
        self.gateways.iter_mut().for_each(|gateway| {
            let up = gateway.is_up();
            gateway.waits.begin(now, up);
        });
    }

    /// Puts a signed file at a gateway, as its administrator does.
    pub fn install(&mut self, site: usize, text: TextNumber) {
        let (_, held) = self.editions.judge(self.gateways[site].held, text);
        self.gateways[site].held = held;
        self.load(site);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Up(site) => self.start(site),
            Event::Down(site) => self.stop(site),
            Event::Dial { site, dialer, generation } => self.dial(site, dialer, generation),
            Event::Connected { site, dialer, generation } => self.connected(site, dialer, generation),
            Event::Failed { site, dialer, generation, silent } => {
                let reason = if silent { CloseReason::Silent(self.patience) } else { gone() };
                self.ended(site, dialer, generation, &reason);
            }
            Event::Send(number, request) => self.send(number, request),
            Event::Arrives(number, request) => self.arrives(number, request),
            Event::OfferBegins(number, request) => self.offer_begins(number, request),
            Event::OfferArrives(number, request, text) => self.offer_arrives(number, request, text),
            Event::HoldEnds(number, request) => {
                if self.connections.get(&number).is_some_and(|it| it.holds && it.request == request) {
                    self.respond(number, StatusCode::NOT_MODIFIED, None, false);
                }
            }
            Event::Answered { number, request, code, text, there, closing } => {
                self.answered((number, request), code, text, there, closing);
            }
            Event::Silent(number, request) => {
                let connection = self.connections.get(&number).filter(|it| it.client_open && it.pending);
                if connection.is_some_and(|it| it.request == request) {
                    self.close(number, &CloseReason::Silent(GET_PATIENCE));
                }
            }
            Event::ClosedThere(number) => self.closed_there(number),
            Event::ClosedHere(number) => self.drop_incoming(number),
            Event::Judged { site, life, text, number, brought } => self.judged((site, life), text, number, brought),
            Event::Loaded { site, life } => self.loaded(site, life),
        }
    }

    fn start(&mut self, site: usize) {
        let gateway = &mut self.gateways[site];
        gateway.down = None;
        gateway.life += 1;
        (gateway.in_force, gateway.loading, gateway.again) = (gateway.held, false, false);
        if gateway.waits.heard.is_none() {
            gateway.waits.since = Some(self.now);
        }
        self.look(site);
        self.dial_all(site);
        if self.outages {
            let at = self.now + up(&mut self.random);
            self.at(at, Event::Down(site));
        }
    }

    fn stop(&mut self, site: usize) {
        if !self.outages || !self.gateways[site].is_up() {
            return;
        }
        let outage = Outage::draw(&mut self.random);
        let gateway = &mut self.gateways[site];
        gateway.down = Some(outage);
        gateway.life += 1;
        gateway.waits.stop(self.now);
        gateway.callers = Default::default();
        for number in std::mem::take(&mut gateway.incoming) {
            self.close_there(number, outage == Outage::Program);
        }
        self.hang_up(site, outage == Outage::Program);
        let at = self.now + down(&mut self.random);
        self.at(at, Event::Up(site));
    }

    /// Ends all that a gateway has dialled.
    fn hang_up(&mut self, site: usize, heard: bool) {
        for dialer in 0..self.gateways[site].dialers.len() {
            let dialer = &mut self.gateways[site].dialers[dialer];
            dialer.generation += 1;
            if let Some(number) = dialer.connection.take() {
                self.leave(number, heard);
            }
        }
    }

    /// Dials anew, as after each load.
    fn dial_all(&mut self, site: usize) {
        self.hang_up(site, true);
        for dialer in 0..self.gateways[site].dialers.len() {
            let it = &mut self.gateways[site].dialers[dialer];
            it.retry = Retry::default();
            let (generation, wait) = (it.generation, millis(Retry::first_wait(dialer as u32)));
            self.at(self.now + wait, Event::Dial { site, dialer, generation });
        }
    }

    /// Returns where a dialler leads, if it has not begun anew.
    fn current(&self, site: usize, dialer: usize, generation: u32) -> Option<usize> {
        let it = &self.gateways[site].dialers[dialer];
        (self.gateways[site].is_up() && it.generation == generation).then_some(it.to)
    }

    fn dial(&mut self, site: usize, dialer: usize, generation: u32) {
        let Some(to) = self.current(site, dialer, generation) else { return };
        let way = self.network.latency(site, to);
        match self.gateways[to].down {
            // TCP and TLS take a round trip each.
            None => self.at(self.now + 4 * way, Event::Connected { site, dialer, generation }),
            Some(Outage::Program) => {
                self.at(self.now + 2 * way, Event::Failed { site, dialer, generation, silent: false })
            }
            Some(Outage::Line) => {
                let end = self.now + millis(self.patience);
                self.at(end, Event::Failed { site, dialer, generation, silent: true });
            }
        }
    }

    fn connected(&mut self, site: usize, dialer: usize, generation: u32) {
        let Some(to) = self.current(site, dialer, generation) else { return };
        let way = self.network.latency(site, to);
        // The same rules are for a server and a client of the channel: the gateways of the mesh.
        let server = self.editions.caller(self.gateways[site].in_force, to);
        let caller = self.editions.caller(self.gateways[to].in_force, site).filter(|_| self.gateways[to].is_up());
        let (Some(Caller::Gateway(_)), Some(caller)) = (server, caller) else {
            return self.at(self.now + 2 * way, Event::Failed { site, dialer, generation, silent: false });
        };
        let number = self.next;
        self.next += 1;
        let connection = Connection {
            from: site,
            dialer,
            to,
            dialogue: Dialogue::new(self.instant()),
            client_open: true,
            closing: false,
            request: 0,
            last: Request::Get,
            asked: self.now,
            pending: false,
            own: self.editions.control(self.gateways[site].in_force).served().tag(),
            in_force: self.gateways[site].in_force,
            there: None,
            permit: Some(self.gateways[to].callers.permit(&caller)),
            opened: self.now,
            terms: Terms::of(&caller),
            answers: 0,
            holds: false,
            offer: None,
        };
        self.connections.insert(number, connection);
        self.gateways[to].incoming.insert(number);
        self.gateways[site].dialers[dialer].connection = Some(number);
        let others: Vec<Number> = self.gateways[to].incoming.iter().copied().collect();
        for other in others {
            if self.connections[&other].from == site && self.connections[&other].is_displaced() {
                self.gateways[to].incoming.remove(&other);
                self.close_there(other, true);
            }
        }
        self.at(self.now, Event::Send(number, Request::Get));
    }

    /// Ends an attempt, or a connection, of a dialler, which dials again later.
    fn ended(&mut self, site: usize, dialer: usize, generation: u32, reason: &CloseReason) {
        if self.current(site, dialer, generation).is_none() {
            return;
        }
        let now = self.instant();
        let it = &mut self.gateways[site].dialers[dialer];
        let number = it.connection.take();
        let dialogue = number.and_then(|number| self.connections.get(&number)).map(|it| &it.dialogue);
        let wait = it.retry.ended(reason, dialogue, now).wait;
        if let Some(number) = number {
            self.leave(number, true);
        }
        self.at(self.now + millis(wait), Event::Dial { site, dialer, generation });
    }

    pub(super) fn close(&mut self, number: Number, reason: &CloseReason) {
        let connection = &self.connections[&number];
        let (site, dialer) = (connection.from, connection.dialer);
        self.ended(site, dialer, self.gateways[site].dialers[dialer].generation, reason);
    }

    /// Closes the dialler's side. A listener that does not hear of it keeps its own.
    fn leave(&mut self, number: Number, heard: bool) {
        let way = self.latency(number);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.client_open = false;
        if connection.permit.is_none() {
            self.connections.remove(&number);
        } else if heard {
            self.at(self.now + way, Event::ClosedHere(number));
        }
    }

    /// Closes the listener's side.
    pub(super) fn close_there(&mut self, number: Number, heard: bool) {
        let way = self.latency(number);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        connection.close();
        if !connection.client_open {
            self.connections.remove(&number);
        } else if heard {
            self.at(self.now + way, Event::ClosedThere(number));
        }
    }

    fn drop_incoming(&mut self, number: Number) {
        let Some(connection) = self.connections.get(&number) else { return };
        let to = connection.to;
        self.gateways[to].incoming.remove(&number);
        self.close_there(number, false);
    }

    fn closed_there(&mut self, number: Number) {
        let Some(connection) = self.connections.get_mut(&number).filter(|it| it.client_open) else { return };
        connection.closing = true;
        if connection.pending {
            self.close(number, &gone());
        }
    }

    /// Loads what is kept, or once more after the load that goes on.
    pub(super) fn load(&mut self, site: usize) {
        let gateway = &mut self.gateways[site];
        if std::mem::replace(&mut gateway.loading, true) {
            gateway.again = true;
            return;
        }
        let life = gateway.life;
        self.at(self.now + LOADING, Event::Loaded { site, life });
    }

    fn loaded(&mut self, site: usize, life: u32) {
        let gateway = &mut self.gateways[site];
        if gateway.life != life {
            return;
        }
        let before = std::mem::replace(&mut gateway.in_force, gateway.held);
        gateway.loading = false;
        let [before, in_force] = [before, gateway.in_force].map(|held| self.editions.control(held).served().tag());
        let other = before != in_force;
        let incoming: Vec<Number> = gateway.incoming.iter().copied().collect();
        for number in incoming {
            match self.editions.caller(self.gateways[site].in_force, self.connections[&number].from) {
                None => {
                    self.gateways[site].incoming.remove(&number);
                    self.close_there(number, true);
                }
                Some(Caller::Gateway(_)) if other && self.connections[&number].holds => {
                    self.answer_at_once(number, site);
                }
                Some(Caller::Stranger(_)) if other && self.connections[&number].holds => {
                    self.respond(number, StatusCode::FORBIDDEN, None, false);
                }
                Some(_) => {}
            }
        }
        self.dial_all(site);
        self.look(site);
        if std::mem::take(&mut self.gateways[site].again) {
            self.load(site);
        }
    }

    /// Looks whether a gateway has the news in force.
    fn look(&mut self, site: usize) {
        let (held, keys, editions) = (self.gateways[site].in_force, &self.news, &self.editions);
        let knows = || {
            let denied = editions.held(held).denied();
            keys.iter().all(|key| denied.contains(key))
        };
        if *self.has_news.entry(held).or_insert_with(knows) {
            self.gateways[site].waits.hear(self.now);
        }
    }

    /// Returns the connections of a site whose other end does not deny it, and those whose other end does.
    pub fn connections_of(&mut self, site: usize) -> [usize; 2] {
        let mut found = [0; 2];
        let pairs: Vec<_> = self
            .connections
            .values()
            .filter(|it| it.client_open && it.permit.is_some())
            .map(|it| (it.from, it.to))
            .collect();
        for (from, to) in pairs.into_iter().filter(|(from, to)| *from == site || *to == site) {
            let other = if from == site { to } else { from };
            let refused = self.editions.caller(self.gateways[other].in_force, site).is_none();
            found[usize::from(refused)] += 1;
        }
        found
    }
}

/// Returns the end of a connection to a gateway that is not there, or that refuses.
pub(super) fn gone() -> CloseReason {
    CloseReason::Target(io::ErrorKind::ConnectionRefused.into())
}
