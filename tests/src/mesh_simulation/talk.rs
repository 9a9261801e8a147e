//! The messages on gateways' connections: requests, answers, verdicts.

use std::time::Duration;

use edgetrust::program::mesh::{
    Caller, GET_PATIENCE, Got, HOLD, OfRequest, PAUSE, PUT_PATIENCE, ServedTag, SignedText, StatusCode, Step, of_offer,
    of_request,
};

use super::Millis;
use super::connection::Request;
use super::editions::{HeldNumber, TextNumber};
use super::network::{HEAD, JUDGING};
use super::world::{Event, Number, World, gone, millis};

impl World {
    /// Sends a request of the dialler.
    pub(super) fn send(&mut self, number: Number, request: Request) {
        let Some(connection) = self.connections.get_mut(&number).filter(|it| it.client_open) else { return };
        if connection.closing {
            return self.close(number, &gone());
        }
        let now = self.zero + Duration::from_millis(self.now);
        connection.dialogue.sent(now);
        connection.request += 1;
        (connection.last, connection.asked, connection.pending) = (request, self.now, true);
        let (from, asked) = (connection.from, connection.request);
        connection.in_force = self.gateways[from].in_force;
        if request == Request::Get {
            connection.own = connection.dialogue.tag(self.editions.control(connection.in_force).served());
        }
        let way = self.latency(number);
        match request {
            Request::Get => {
                self.spend(from, 0);
                self.at(self.now + way, Event::Arrives(number, asked));
                self.at(self.now + millis(GET_PATIENCE), Event::Silent(number, asked));
            }
            Request::Put => {
                let text = self.editions.number(&self.to_bring(number).text);
                let sent = self.spend(from, self.editions.octets(text));
                self.at(self.now + way, Event::OfferBegins(number, asked));
                self.at(sent + way, Event::OfferArrives(number, asked, text));
                self.at(self.now + millis(PUT_PATIENCE), Event::Silent(number, asked));
            }
        }
    }

    /// Counts a message with a body; returns when it is sent. Bodies go one after the other.
    fn spend(&mut self, site: usize, body: u64) -> Millis {
        let now = self.now;
        let gateway = &mut self.gateways[site];
        gateway.sent.messages += 1;
        gateway.sent.octets += HEAD + body;
        if body == 0 {
            return now;
        }
        gateway.line = gateway.line.max(now) + self.network.sending(body);
        gateway.line
    }

    /// Returns who asks, if the listener's side is open and this is the last request.
    fn asks(&mut self, number: Number, request: u32) -> Option<(usize, Option<Caller>)> {
        let connection = self.connections.get(&number).filter(|it| it.permit.is_some() && it.request == request)?;
        let (from, to) = (connection.from, connection.to);
        Some((to, self.editions.caller(self.gateways[to].in_force, from)))
    }

    /// Answers a request for the mesh.
    pub(super) fn arrives(&mut self, number: Number, request: u32) {
        let Some((to, caller)) = self.asks(number, request) else { return };
        match caller {
            None => return self.respond(number, StatusCode::FORBIDDEN, None, true),
            Some(Caller::Stranger(_)) => return self.respond(number, StatusCode::FORBIDDEN, None, false),
            Some(Caller::Gateway(_)) => {}
        }
        if self.answer_at_once(number, to) {
            return;
        }
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.holds = true;
        }
        self.at(self.now + millis(HOLD), Event::HoldEnds(number, request));
    }

    /// Answers a request for the mesh unless the answer waits for another text; returns whether it does not.
    pub(super) fn answer_at_once(&mut self, number: Number, to: usize) -> bool {
        let served = self.editions.control(self.gateways[to].in_force).served();
        match of_request(served, Some(&self.connections[&number].own)) {
            OfRequest::Wait => return false,
            OfRequest::Show(SignedText { text, .. }) => {
                let text = self.editions.number(&text);
                self.respond(number, StatusCode::OK, Some(text), false);
            }
            OfRequest::Bring => self.respond(number, StatusCode::CONFLICT, None, false),
        }
        true
    }

    /// Returns the text that the dialler would bring.
    fn to_bring(&self, number: Number) -> &SignedText {
        let connection = &self.connections[&number];
        let there = self.tag(connection.there);
        connection.dialogue.to_bring(self.editions.control(connection.in_force).served(), there.as_ref())
    }

    /// Returns the entity tag of what a gateway had in force.
    fn tag(&self, held: Option<HeldNumber>) -> Option<ServedTag> {
        held.map(|held| self.editions.control(held).served().tag())
    }

    pub(super) fn offer_begins(&mut self, number: Number, request: u32) {
        let Some((to, caller)) = self.asks(number, request) else { return };
        if caller.is_none() {
            return self.respond(number, StatusCode::FORBIDDEN, None, true);
        }
        let now = self.zero + Duration::from_millis(self.now);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        let Some(permit) = &connection.permit else { return };
        match self.gateways[to].callers.offer_permit(permit, now) {
            Ok(permit) => connection.offer = Some(permit),
            Err(_) => self.respond(number, StatusCode::TOO_MANY_REQUESTS, None, false),
        }
    }

    pub(super) fn offer_arrives(&mut self, number: Number, request: u32, text: TextNumber) {
        let Some((to, _)) = self.asks(number, request) else { return };
        if self.connections[&number].offer.is_some() {
            self.judge(to, text, number, true);
        }
    }

    /// Judges a text; that of the mesh in force needs no verdict.
    fn judge(&mut self, site: usize, text: TextNumber, number: Number, brought: bool) {
        let gateway = &mut self.gateways[site];
        let life = gateway.life;
        let done = if text == self.editions.text(gateway.in_force) {
            self.now
        } else {
            gateway.judging = gateway.judging.max(self.now) + JUDGING;
            gateway.judging
        };
        self.at(done, Event::Judged { site, life, text, number, brought });
    }

    pub(super) fn judged(&mut self, (site, life): (usize, u32), text: TextNumber, number: Number, brought: bool) {
        if self.gateways[site].life != life {
            return;
        }
        let (verdict, held) = self.editions.judge(self.gateways[site].held, text);
        self.gateways[site].held = held;
        if verdict.as_ref().is_ok_and(|offered| offered.is_news()) {
            self.load(site);
        }
        if brought {
            if self.connections.get(&number).is_some_and(|it| it.permit.is_some()) {
                self.respond(number, of_offer(&verdict), None, false);
            }
            return;
        }
        let there = self.connections.get(&number).and_then(|it| self.tag(it.there));
        let Some(connection) = self.connections.get_mut(&number).filter(|it| it.client_open) else { return };
        match connection.dialogue.judged(verdict, &connection.own, there.as_ref()) {
            Ok(step) => self.step(number, step),
            Err(reason) => self.close(number, &reason),
        }
    }

    /// Answers the last request of a connection.
    pub(super) fn respond(&mut self, number: Number, code: StatusCode, text: Option<TextNumber>, last: bool) {
        let octets = text.map_or(0, |text| self.editions.octets(text));
        let (way, from, to) = (self.latency(number), self.connections[&number].from, self.connections[&number].to);
        let in_force = self.gateways[to].in_force;
        let there = matches!(self.editions.caller(in_force, from), Some(Caller::Gateway(_))).then_some(in_force);
        let sent = self.spend(to, octets);
        let Some(connection) = self.connections.get_mut(&number) else { return };
        (connection.holds, connection.offer) = (false, None);
        connection.answers += 1;
        let over = Duration::from_millis(self.now - connection.opened) > connection.terms.lifetime;
        let closing = last || over || connection.answers >= connection.terms.requests;
        let (request, code) = (connection.request, code.as_u16());
        self.at(sent + way, Event::Answered { number, request, code, text, there, closing });
        if closing {
            self.gateways[to].incoming.remove(&number);
            self.close_there(number, false);
        }
    }

    pub(super) fn answered(
        &mut self,
        (number, request): (Number, u32),
        code: u16,
        text: Option<TextNumber>,
        there: Option<HeldNumber>,
        closing: bool,
    ) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(&number).filter(|it| it.client_open) else { return };
        if connection.request != request || !connection.pending {
            return;
        }
        (connection.pending, connection.closing) = (false, closing);
        let took = Duration::from_millis(now - connection.asked);
        let code = StatusCode::from_u16(code).expect("a code");
        let from = connection.from;
        if connection.last == Request::Put {
            let (brought, edition) =
                (self.to_bring(number).edition, self.editions.held(self.connections[&number].in_force).edition());
            let Some(connection) = self.connections.get_mut(&number) else { return };
            return match connection.dialogue.brought((brought, brought != edition), code, b"") {
                Ok(()) => self.step(number, Step::Ask),
                Err(reason) => self.close(number, &reason),
            };
        }
        connection.there = there;
        match (connection.dialogue.answered(code, took), text) {
            (Ok(Got::Nothing(step)), _) => self.step(number, step),
            (Ok(Got::Mesh), Some(text)) => self.judge(from, text, number, false),
            (Ok(Got::Mesh), None) => {}
            (Err(reason), _) => self.close(number, &reason),
        }
    }

    fn step(&mut self, number: Number, step: Step) {
        let connection = &self.connections[&number];
        let next = self.since_zero(connection.dialogue.next()).max(self.now);
        match step {
            Step::Ask => self.at(next, Event::Send(number, Request::Get)),
            Step::Pause => self.at(next.max(self.now + millis(PAUSE)), Event::Send(number, Request::Get)),
            Step::Bring(asked) => {
                let edition = self.to_bring(number).edition;
                match connection.dialogue.may_bring(edition, asked) {
                    Ok(()) => self.at(next, Event::Send(number, Request::Put)),
                    Err(reason) => self.close(number, &reason),
                }
            }
        }
    }
}
