//! Parses one step of a scenario.

use std::time::Duration;

use regex::Regex;
use serde::Deserialize;

use super::server::Server;
use crate::image::{FlashFault, MadeFor};
use crate::servers::Est;
use crate::wire::{Dhcp, Dns, Fault, Ntp};

/// The time limit of a step that states none.
const PATIENCE: Duration = Duration::from_secs(60);

/// A service of the network that the device asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// The address service.
    Dhcp,
    /// The name service.
    Dns,
    /// The time service.
    Ntp,
}

/// The change to a service that the gateway needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// The service stops answering.
    Stop,
    /// The service is back, with its former state.
    Start,
}

/// The voucher of a device that is made anew: its flash holds nothing else but the mesh's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Voucher {
    /// The gateway makes one.
    Invited,
    /// The gateway makes one, and the device has another password.
    Mistyped,
    /// The device has the voucher that the one before had.
    Again,
}

/// Power cuts, repeated at operations of the flash that a seed chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// The number of cuts.
    pub times: u32,
    /// The last operation at which the power may end; a cut beyond the end of a renewal has no effect, and is counted.
    pub up_to: u32,
    /// The seed of the choice.
    pub seed: u64,
}

/// Operations of the flash that fail, one in each renewal.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// The first operation that fails.
    #[serde(default = "first")]
    pub from: u32,
    /// The distance between the operations that fail, counted from a renewal's first: 1 for each of them.
    pub every: u32,
    /// The last operation that may fail; one beyond the end of a renewal has no effect, and is counted.
    pub up_to: u32,
}

/// Texts that the service sends in one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// The number of texts.
    pub texts: usize,
    /// The octets of each, from 126 on.
    pub octets: u16,
}

impl Chat {
    /// Returns the frames of the texts (RFC 6455 section 5.2).
    pub(super) fn frames(self) -> Vec<u8> {
        let [high, low] = self.octets.to_be_bytes();
        [&[0x81, 126, high, low][..], &vec![b'.'; usize::from(self.octets)]].concat().repeat(self.texts)
    }
}

fn first() -> u32 {
    1
}

/// A step as the file has it: one action and its time limit.
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
    chat: Option<Chat>,
    octets: Option<String>,
    answer: Option<String>,
    est: Option<Est>,
    server: Option<Server>,
    rotate_server: Option<bool>,
    ca: Option<Presence>,
    service: Option<Presence>,
    restart: Option<bool>,
    image: Option<MadeFor>,
    voucher: Option<Voucher>,
    cut: Option<u32>,
    cuts: Option<Cuts>,
    flash: Option<FlashFault>,
    faults: Option<Faults>,
    reset: Option<bool>,
    cable: Option<Fault>,
    deaf: Option<bool>,
    mute: Option<usize>,
    dhcp: Option<Dhcp>,
    dns: Option<Dns>,
    ntp: Option<Ntp>,
    exit: Option<i32>,
}

/// An action, or a condition to wait for.
#[derive(Clone, Debug)]
pub enum Action {
    /// The device logs this, after the line that the last wait found.
    Wait(Regex),
    /// The device does not log this within the time limit.
    Absent(Regex),
    /// The server logs this, at any time since the scenario began.
    ServerSays(Regex),
    /// This number of further messages arrive at the service by WebSocket.
    Telemetry(usize),
    /// A message that matches arrives, after the service last sent something.
    Message(Regex),
    /// This number of further POSTs arrive.
    Posts(usize),
    /// The device connects this number of further times.
    Tries(usize),
    /// The device asks this service once more.
    Asks(Service),
    /// The service sends this to the device.
    Command(String),
    /// The service sends these texts to the device in one write.
    Chat(Chat),
    /// The service sends these octets to the device in place of frames.
    Octets(Vec<u8>),
    /// POSTs are answered with this text; with an empty text, as the service does.
    Answer(String),
    /// The service answers renewing devices in this way.
    Est(Est),
    /// Another server answers from now on; connections to the one before are reset.
    Server(Server),
    /// The server gets another certificate, for the same name.
    RotateServer,
    /// The CA of the gateway stops or starts.
    Ca(Presence),
    /// The service behind the gateway stops or starts.
    Service(Presence),
    /// The device loses its power and is started again.
    Restart,
    /// The device loses its power and is started again with an image for this firmware; its slots stay.
    Image(MadeFor),
    /// The device loses its power, and is made anew with this voucher; it has no power then.
    Voucher(Voucher),
    /// The device's power ends at this operation of its flash; then the device is started again.
    Cut(u32),
    /// The device's power ends amid renewals, repeatedly; started again, the device must reach the gateway with a
    /// whole credential each time.
    Cuts(Cuts),
    /// These operations of the device's flash fail.
    Flash(FlashFault),
    /// Operations of the flash fail, one in each of many renewals.
    Faults(Faults),
    /// Connections are reset.
    Reset,
    /// The cable gets this fault.
    Cable(Fault),
    /// Servers stop reading from the device, or resume.
    Deaf(bool),
    /// On each open connection the device receives this number of further octets, then none.
    Mute(usize),
    /// The address service gets this mode.
    Dhcp(Dhcp),
    /// The name service gets this mode.
    Dns(Dns),
    /// The time service gets this mode.
    Ntp(Ntp),
    /// The firmware ends with this status.
    Exit(i32),
}

/// A step, ready to run.
#[derive(Clone, Debug)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// The time limit.
    pub within: Duration,
}

impl Step {
    /// Returns the server that the step starts, if any.
    pub(super) fn server(&self) -> Option<&Server> {
        match &self.action {
            Action::Server(server) => Some(server),
            _ => None,
        }
    }
}

/// Parses pairs of hexadecimal digits; blanks are ignored.
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
        // A flag that is false stands for no action.
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
            text.chat.map(Action::Chat),
            text.answer.map(Action::Answer),
            text.est.map(Action::Est),
            text.octets.map(|digits| octets(&digits)).transpose()?.map(Action::Octets),
            text.server.map(Action::Server),
            told(text.rotate_server, Action::RotateServer),
            text.ca.map(Action::Ca),
            text.service.map(Action::Service),
            told(text.restart, Action::Restart),
            text.image.map(Action::Image),
            text.voucher.map(Action::Voucher),
            text.cut.map(Action::Cut),
            text.cuts.map(Action::Cuts),
            text.flash.map(Action::Flash),
            text.faults.map(Action::Faults),
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
        let nothing = text.cuts.is_some_and(|cuts| cuts.times == 0 || cuts.up_to == 0)
            || text.faults.is_some_and(|faults| faults.every == 0 || faults.from == 0 || faults.up_to < faults.from);
        if nothing || [text.telemetry, text.posts, text.tries].contains(&Some(0)) {
            return Err("found 0, expected 1 at least: what waits for nothing cannot fail".into());
        }
        if let Some(Chat { octets: 0..126, .. }) = text.chat {
            // A shorter length has one octet (RFC 6455 section 5.2).
            return Err("chat.octets: expected 126 or more".into());
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
