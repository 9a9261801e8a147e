//! One step of a scenario.

use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::file::{PATIENCE, Server};
use crate::image::FlashFault;
use crate::servers::Est;
use crate::wire::{Dhcp, Dns, Fault, Ntp};

/// Which service of the network is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Addresses.
    Dhcp,
    /// Names.
    Dns,
    /// Time.
    Ntp,
}

/// What becomes of something that the gateway needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Nobody answers any more.
    Stop,
    /// It is there again, with what it knew.
    Start,
}

/// Power that ends again and again, at operations of the flash that a seed chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// How often.
    pub times: u32,
    /// The last operation at which it may end; those behind the end of a renewal end nothing, and are counted.
    pub up_to: u32,
    /// Of the choice.
    pub seed: u64,
}

/// A step as it is written: one thing, and how long it may take.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StepText {
    within: Option<f64>,
    wait: Option<String>,
    absent: Option<String>,
    server_says: Option<String>,
    telemetry: Option<usize>,
    message: Option<String>,
    posts: Option<usize>,
    tries: Option<usize>,
    asks: Option<Service>,
    command: Option<String>,
    octets: Option<String>,
    answer: Option<String>,
    est: Option<Est>,
    server: Option<Server>,
    rotate_server: Option<bool>,
    ca: Option<Presence>,
    service: Option<Presence>,
    restart: Option<bool>,
    cut: Option<u32>,
    cuts: Option<Cuts>,
    flash: Option<FlashFault>,
    reset: Option<bool>,
    cable: Option<Fault>,
    deaf: Option<bool>,
    mute: Option<usize>,
    dhcp: Option<Dhcp>,
    dns: Option<Dns>,
    ntp: Option<Ntp>,
    exit: Option<i32>,
}

/// What is done, or waited for.
#[derive(Clone, Debug)]
pub enum Action {
    /// The device logs this, after what was last waited for.
    Wait(Regex),
    /// The device does not log this in all of the time.
    Absent(Regex),
    /// The server logs this, at any time since the scenario began.
    ServerSays(Regex),
    /// So many more messages arrive at the service by WebSocket.
    Telemetry(usize),
    /// One more arrives that has this.
    Message(Regex),
    /// So many more arrive by POST.
    Posts(usize),
    /// The device connects so many times more.
    Tries(usize),
    /// The device asks this service once more.
    Asks(Service),
    /// The service sends this to the device.
    Command(String),
    /// The service sends these octets to the device, in the place of frames.
    Octets(Vec<u8>),
    /// POSTs are answered with this text; with an empty one, as the service does.
    Answer(String),
    /// Devices that renew are answered like this, by the service.
    Est(Est),
    /// Another server answers from now on; connections to the one before are reset.
    Server(Server),
    /// The server gets another certificate, for the same name.
    RotateServer,
    /// The CA that the gateway orders from.
    Ca(Presence),
    /// The service behind the gateway.
    Service(Presence),
    /// The device loses its power and gets it back.
    Restart,
    /// The device's power ends at this operation of its flash; it gets it back then.
    Cut(u32),
    /// The device renews, and its power ends amid it; it gets it back, and must come to the gateway with a whole credential: again and again.
    Cuts(Cuts),
    /// These operations of the device's flash fail.
    Flash(FlashFault),
    /// Connections are reset.
    Reset,
    /// The cable.
    Cable(Fault),
    /// Servers take nothing of the device any more, or do so again.
    Deaf(bool),
    /// Of the connections that there are, the device hears so many octets more.
    Mute(usize),
    /// Addresses.
    Dhcp(Dhcp),
    /// Names.
    Dns(Dns),
    /// Time.
    Ntp(Ntp),
    /// The firmware ends with this status.
    Exit(i32),
}

/// A step, ready.
#[derive(Clone, Debug)]
pub struct Step {
    /// What.
    pub action: Action,
    /// How long it may take.
    pub within: Duration,
}

impl Step {
    /// The server that it brings.
    pub(super) fn server(&self) -> Option<&Server> {
        match &self.action {
            Action::Server(server) => Some(server),
            _ => None,
        }
    }
}

/// Pairs of hexadecimal digits, with blanks wherever they help.
fn octets(text: &str) -> Result<Vec<u8>, String> {
    let digits: Vec<u8> = text.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    let octet = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let octets: Option<Vec<u8>> = pairs.iter().map(octet).collect();
    let octets = octets.filter(|octets| rest.is_empty() && !octets.is_empty());
    octets.ok_or_else(|| format!("octets: found {text:?}, expected pairs of hexadecimal digits"))
}

impl TryFrom<StepText> for Step {
    type Error = String;

    fn try_from(text: StepText) -> Result<Self, String> {
        let regex = |key: &str, text: String| Regex::new(&text).map_err(|error| format!("{key}: {error}"));
        // What is false is not done.
        let told = |flag: Option<bool>, action| flag.filter(|flag| *flag).map(|_| action);
        let actions = [
            text.wait.map(|text| regex("wait", text)).transpose()?.map(Action::Wait),
            text.absent.map(|text| regex("absent", text)).transpose()?.map(Action::Absent),
            text.server_says.map(|text| regex("server_says", text)).transpose()?.map(Action::ServerSays),
            text.telemetry.map(Action::Telemetry),
            text.message.map(|text| regex("message", text)).transpose()?.map(Action::Message),
            text.posts.map(Action::Posts),
            text.tries.map(Action::Tries),
            text.asks.map(Action::Asks),
            text.command.map(Action::Command),
            text.answer.map(Action::Answer),
            text.est.map(Action::Est),
            text.octets.map(|digits| octets(&digits)).transpose()?.map(Action::Octets),
            text.server.map(Action::Server),
            told(text.rotate_server, Action::RotateServer),
            text.ca.map(Action::Ca),
            text.service.map(Action::Service),
            told(text.restart, Action::Restart),
            text.cut.map(Action::Cut),
            text.cuts.map(Action::Cuts),
            text.flash.map(Action::Flash),
            told(text.reset, Action::Reset),
            text.cable.map(Action::Cable),
            text.deaf.map(Action::Deaf),
            text.mute.map(Action::Mute),
            text.dhcp.map(Action::Dhcp),
            text.dns.map(Action::Dns),
            text.ntp.map(Action::Ntp),
            text.exit.map(Action::Exit),
        ];
        let mut actions = actions.into_iter().flatten();
        let nothing = text.cuts.is_some_and(|cuts| cuts.times == 0 || cuts.up_to == 0);
        if nothing || [text.telemetry, text.posts, text.tries].contains(&Some(0)) {
            return Err("found 0, expected 1 at least: what waits for nothing cannot fail".into());
        }
        let within = match text.within {
            None => PATIENCE,
            Some(seconds) => Duration::try_from_secs_f64(seconds).map_err(|error| format!("within: {error}"))?,
        };
        match (actions.next(), actions.next()) {
            (Some(action), None) => Ok(Self { action, within }),
            (None, _) => Err("found nothing to do, expected one thing".into()),
            (Some(one), Some(other)) => Err(format!("found {one:?} and {other:?}, expected one thing")),
        }
    }
}
