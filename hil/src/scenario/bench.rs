//! Builds the surroundings of a scenario: a network, keys and certificates, servers, and the device with its flash.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::file::{Believes, Device, Scenario};
use super::server::{Flaw, Server, Shown};
use super::step::{Presence, Voucher};
use crate::hostile::{self, Expected, Mode};
use crate::image::{Flash, MadeFor, Rig};
use crate::log::Log;
use crate::pki::{Credential, Pki, Wish};
use crate::qemu::{Board, Machine, Network, Qemu};
use crate::servers::{Answers, Est, Gateway, Openssl, Service, StepCa};
use crate::wire::{GUEST, HOST, Settings, Wire};

/// The gateway's name.
const GATEWAY: &str = "gateway.mesh.test";
/// The device's name.
const DEVICE: &str = "sensor-7.mesh.test";
/// The gateway's port, as the device sees it.
pub(super) const PORT: u16 = 8443;
/// The port at which devices renew.
const EST_PORT: u16 = 8444;
/// The port at which devices get their first certificate.
const FIRST_PORT: u16 = 8445;

/// The time after which an unanswered command is sent again.
const AGAIN: Duration = Duration::from_secs(2);

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The server that answers at present.
enum Peer {
    Gateway(Gateway),
    Openssl(Openssl),
    Hostile(hostile::Server, &'static Mode),
    None,
}

/// The surroundings of one scenario.
pub(super) struct Bench {
    folder: PathBuf,
    pub(super) log: Arc<Log>,
    pub(super) wire: Wire,
    pub(super) service: Service,
    pki: Arc<Pki>,
    peer: Peer,
    ca: Option<StepCa>,
    /// The number of the device's first log line since this server answers.
    since: usize,
    /// The log of the servers that have been replaced.
    said: String,
    device: Device,
    device_name: String,
    device_config: String,
    /// The voucher of a device without a certificate.
    voucher: String,
    pub(super) flash: Flash,
    rig: Rig,
    machine: Machine,
    pub(super) qemu: Option<Qemu>,
}

fn flawed(wish: Wish, flaw: Flaw) -> Wish {
    match flaw {
        Flaw::None | Flaw::SisterSite | Flaw::Stranger => wish,
        Flaw::Expired => wish.valid(-2 * HOUR, -HOUR),
        Flaw::NotYetValid => wish.valid(DAY, 2 * DAY),
        Flaw::WrongName => Wish { names: vec!["another.mesh.test".into()], common_name: GATEWAY.into(), ..wish },
    }
}

impl Bench {
    /// Starts everything and powers the device.
    pub(super) fn new(
        scenario: &Scenario,
        board: &'static Board,
        firmware: &Path,
        folder: PathBuf,
    ) -> io::Result<Self> {
        let (pki, service, log) = (Arc::new(Pki::new()), Service::start()?, Arc::new(Log::new()));
        let settings = Settings {
            names: [GATEWAY.to_owned()].into(),
            modes: scenario.wire,
            capture: Some(folder.join("frames.pcap")),
            ..Settings::default()
        };
        let wire = Wire::start(settings)?;
        let device_name = scenario.device.name.clone().unwrap_or_else(|| DEVICE.to_owned());
        let flash_file = folder.join("flash.bin");
        let device = scenario.device.clone();
        let voucher = format!("{device_name}:made-by-nobody");
        let (flash, device_config) = provision(&device, (&device_name, &voucher), &pki, &folder, &flash_file)?;
        let rig = rig(&device);
        wire.set_clock_rate(rig.clock_rate);
        if scenario.needs_rig() {
            flash.set_rig(rig)?;
        }
        let (arguments, by_instructions) = (Vec::new(), device.counted);
        let machine = Machine { board, firmware: firmware.to_owned(), flash: flash_file, arguments, by_instructions };
        let (peer, ca, said, qemu) = (Peer::None, None, String::new(), None);
        let mut bench = Self {
            folder,
            log,
            wire,
            service,
            pki,
            peer,
            since: 0,
            ca,
            said,
            device,
            device_name,
            device_config,
            voucher,
            flash,
            rig,
            machine,
            qemu,
        };
        bench.serve(&scenario.server)?;
        bench.power()?;
        Ok(bench)
    }

    /// Powers the device.
    pub(super) fn power(&mut self) -> io::Result<()> {
        self.qemu = Some(self.machine.start(Network::Wire(&self.wire), &self.log)?);
        Ok(())
    }

    /// Tells the device to renew, since its certificate is of a day; again after a while, in case the command went to an
    /// earlier connection, until the device has logged it after the line `from`.
    pub(super) fn ask_to_renew(&self, from: usize, asked: &mut Option<Instant>) {
        let due = asked.is_none_or(|asked| asked.elapsed() > AGAIN);
        let taken = || self.log.lines(from).iter().any(|line| line.text.contains("command: Rotate"));
        if due && !taken() && self.service.send("rotate") {
            *asked = Some(Instant::now());
        }
    }

    /// Makes the device anew, with a voucher.
    pub(super) fn renew_voucher(&mut self, wanted: Voucher) -> io::Result<()> {
        let Peer::Gateway(gateway) = &self.peer else {
            return Err(io::Error::other("voucher: only a gateway makes one"));
        };
        if wanted != Voucher::Again {
            self.voucher = gateway.invite(&self.device_name)?;
        }
        let mut voucher = self.voucher.clone();
        if wanted == Voucher::Mistyped {
            let last = voucher.pop().unwrap_or_default();
            voucher.push(if last == '7' { '8' } else { '7' });
        }
        let (name, file) = ((self.device_name.as_str(), voucher.as_str()), self.folder.join("flash.bin"));
        (self.flash, self.device_config) = provision(&self.device, name, &self.pki, &self.folder, &file)?;
        Ok(())
    }

    /// Cuts the device's power.
    pub(super) fn unplug(&mut self) {
        if let Some(qemu) = self.qemu.take() {
            qemu.stop();
        }
    }

    /// Writes the device's image anew, while its power is cut.
    pub(super) fn write_image(&self, made_for: MadeFor) -> Result<(), String> {
        self.flash.write_partition(&self.device_config, &self.folder, made_for)
    }

    /// Sets the operation of the flash at which the device's power ends, each time that the device is started; 0:
    /// never.
    pub(super) fn set_cut(&mut self, cut_at: u32) -> io::Result<()> {
        self.flash.set_rig(Rig { cut_at, ..self.rig })
    }

    /// Replaces the current server by this one; [`Bench::judge`] must be called first.
    pub(super) fn serve(&mut self, server: &Server) -> io::Result<()> {
        self.wire.set_forward(PORT, None);
        self.wire.reset(Some(PORT));
        self.since = self.log.len();
        self.peer = match server {
            Server::None => Peer::None,
            Server::Hostile { mode, .. } => {
                let mode = hostile::mode(mode).ok_or_else(|| io::Error::other(format!("no mode {mode:?}")))?;
                Peer::Hostile(hostile::Server::start(mode, &self.pki, GATEWAY)?, mode)
            }
            Server::Gateway(shown) => {
                write(&self.folder, "gateway", &self.credential(shown))?;
                let config = self.gateway_config(shown)?;
                Peer::Gateway(Gateway::start(&self.folder, &config)?)
            }
            Server::Openssl(shown) => {
                write(&self.folder, "gateway", &self.credential(shown))?;
                let [chain, key, roots] = ["gateway.pem", "gateway.key", "root.pem"].map(|name| self.folder.join(name));
                Peer::Openssl(Openssl::start(&chain, &key, &roots, self.service.address())?)
            }
        };
        let (address, est) = match &self.peer {
            Peer::None => (None, None),
            Peer::Hostile(server, _) => (Some(server.address()), None),
            Peer::Openssl(server) => (Some(server.address()), None),
            Peer::Gateway(gateway) => {
                let est = self.ca.as_ref().map(|_| gateway.est()).transpose()?;
                (Some(gateway.address("in")?), est)
            }
        };
        let first = match &self.peer {
            Peer::Gateway(gateway) if est.is_some() && self.device.voucher => Some(gateway.first_enrollment()?),
            _ => None,
        };
        self.wire.set_forward(FIRST_PORT, first);
        self.wire.set_forward(EST_PORT, est);
        self.wire.set_forward(PORT, address);
        Ok(())
    }

    /// Returns the certificate and key of a real server.
    fn credential(&self, shown: &Shown) -> Credential {
        let wish = flawed(Wish::server(GATEWAY), shown.certificate);
        match shown.certificate {
            Flaw::Stranger => self.pki.stranger.issue(&wish),
            Flaw::SisterSite => self.pki.sister.issue_chain(&wish),
            _ => self.pki.issue(&wish),
        }
    }

    /// Replaces the server's certificate and key, for the same name; both are in use when this returns.
    pub(super) fn rotate_server(&self) -> io::Result<()> {
        let Peer::Gateway(gateway) = &self.peer else {
            return Err(io::Error::other("only the gateway's certificate can be replaced while it runs"));
        };
        let next = self.credential(&Shown::default());
        gateway.replace(&[("gateway.key", &next.key_pem()), ("gateway.pem", &next.chain_pem())])
    }

    fn gateway_config(&mut self, shown: &Shown) -> io::Result<Value> {
        let mut mtls = json!({"enabled": true, "client_ca_files": ["root.pem"]});
        match (&shown.clients, &shown.common_names) {
            (Some(clients), _) => mtls["allowed_client_dns"] = json!(clients),
            (None, Some(names)) => mtls["allowed_client_cns"] = json!(names),
            (None, None) => mtls["allowed_client_dns"] = json!([self.device_name]),
        }
        let target = self.service.address().to_string();
        let mut config = json!({
            "security": {"tls": {"server": {
                "enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key", "mtls": mtls,
            }}},
            "gateway": {"tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": target}]},
        });
        if let Some(size) = shown.max_fragment_size {
            config["gateway"]["tunnels"][0]["max_fragment_size"] = json!(size);
        }
        if let Some(lifetime) = &shown.est {
            if self.ca.is_none() {
                if !StepCa::is_there() {
                    return Err(io::Error::new(io::ErrorKind::Unsupported, "step-ca is not here: tests/run builds it"));
                }
                self.ca = Some(StepCa::start(&self.pki, lifetime)?);
            }
            let acme = self.ca.as_ref().map(|ca| ca.acme(&self.folder.join("acme")));
            config["gateway"]["est"] = json!({"listen": "127.0.0.1:0", "acme": acme});
            if self.device.voucher {
                config["gateway"]["est"]["first_enrollment"] = json!({"listen": "127.0.0.1:0"});
            }
            // A device sends no intermediates.
            if !shown.forgets_issuer {
                config["gateway"]["known_intermediates"] = json!([self.ca.as_ref().map(StepCa::intermediate)]);
            }
        } else {
            self.ca = None;
        }
        Ok(config)
    }

    /// Stops or restarts the CA.
    pub(super) fn set_ca(&mut self, wanted: Presence) -> io::Result<()> {
        let ca = self.ca.as_mut().ok_or_else(|| io::Error::other("ca: this server has no est, so there is no CA"))?;
        match wanted {
            Presence::Stop => ca.stop(),
            Presence::Start => ca.restart()?,
        }
        Ok(())
    }

    /// Sets the text that answers POSTs; with an empty text, the service answers as usual.
    pub(super) fn set_answer(&mut self, text: &str) {
        let octets = text.as_bytes().to_vec();
        let answers: Answers = Arc::new(move |_| Some(octets.clone()));
        self.service.set_answers(Some(answers).filter(|_| !text.is_empty()));
    }

    /// Makes the service answer renewing devices in this way.
    pub(super) fn set_est(&mut self, est: Est) {
        let (pki, log) = (Arc::clone(&self.pki), Arc::clone(&self.log));
        let answers: Answers = Arc::new(move |post| {
            let request = post.path.starts_with("/.well-known/est/").then_some(&post.body)?;
            // A malformed request gets no answer, and the device logs the failure.
            est.answer(&pki, &post.path, request).map_err(|problem| log.note(format!("est: {problem}"))).ok()
        });
        self.service.set_answers(Some(answers));
    }

    /// Returns the log of all servers so far.
    pub(super) fn server_said(&self) -> String {
        let now = match &self.peer {
            Peer::Gateway(gateway) => gateway.log(),
            Peer::Openssl(openssl) => openssl.log(),
            Peer::Hostile(server, mode) => format!("{}: {:?}", mode.name, server.seen()),
            Peer::None => String::new(),
        };
        format!("{}{now}", self.said)
    }

    /// Checks the device's behaviour as the current server recorded it.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        let said = self.server_said();
        let Peer::Hostile(server, mode) = &self.peer else {
            self.said = said;
            return Ok(());
        };
        let seen = server.seen();
        self.said = format!("{said}\n");
        match mode.expected {
            Expected::Refused(_) | Expected::GivenUp => {
                if seen.connections == 0 {
                    return Err(format!("{}: nobody connected", mode.name));
                }
                if seen.gave_away() {
                    let (shown, octets) = (seen.certificates, seen.application_data.len());
                    return Err(format!(
                        "{}: the device gave away its certificate {shown} times and {octets} octets of data",
                        mode.name
                    ));
                }
                self.check_reason(mode)?;
            }
            Expected::Served | Expected::Broken(_) | Expected::Ended | Expected::Silent | Expected::Panics => {
                if seen.finished == 0 {
                    return Err(format!("{}: no handshake was completed", mode.name));
                }
            }
        }
        Ok(())
    }

    /// Checks that a refusing device logs the reason that the table of modes expects.
    fn check_reason(&self, mode: &Mode) -> Result<(), String> {
        let Expected::Refused(reason) = mode.expected else { return Ok(()) };
        let lines = self.log.lines(self.since);
        let reasons: Vec<&str> = lines.iter().filter_map(|line| line.text.strip_prefix("refused: ")).collect();
        // Small devices have a buffer that is shorter than some of these records.
        if reasons.iter().any(|said| said.contains(reason) || said.contains("Overflow")) {
            return Ok(());
        }
        Err(format!("{}: refused for {reasons:?}, expected {reason:?}", mode.name))
    }

    /// Writes the logs into the scenario's folder.
    pub(super) fn write_logs(&self) {
        let lines: Vec<String> = self.log.lines(0).iter().map(ToString::to_string).collect();
        // The logs are for people; the verdict stands without them.
        let _ = fs::write(self.folder.join("device.log"), lines.join("\n") + "\n");
        let _ = fs::write(self.folder.join("server.log"), self.server_said());
        let _ = fs::write(self.folder.join("network.log"), format!("{:#?}\n", self.wire.seen()));
    }
}

fn write(folder: &Path, name: &str, credential: &Credential) -> io::Result<()> {
    let key = folder.join(format!("{name}.key"));
    fs::write(&key, credential.key_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    fs::write(folder.join(format!("{name}.pem")), credential.chain_pem())
}

/// Creates the device's flash in its factory state, and returns its configuration.
fn provision(
    device: &Device,
    (name, voucher): (&str, &str),
    pki: &Pki,
    folder: &Path,
    file: &Path,
) -> io::Result<(Flash, String)> {
    let wish = flawed(Wish::client(name), device.certificate);
    let credential = match device.certificate {
        Flaw::Stranger => pki.stranger.issue(&wish),
        _ => pki.device(&wish),
    };
    write(folder, "device", &credential)?;
    fs::write(folder.join("root.pem"), pki.root.pem())?;
    fs::write(folder.join("stranger.pem"), pki.stranger.pem())?;
    let ca = match device.believes {
        Believes::Root => "root.pem",
        Believes::Stranger => "stranger.pem",
    };
    let mut section = json!({
        "gateway": format!("{GATEWAY}:{PORT}"), "websocket": "/telemetry", "report": "/report", "interval": "1s",
    });
    if let Value::Object(section) = &mut section {
        for (key, value) in &device.config {
            if value == "" {
                section.remove(key);
            } else {
                section.insert(key.clone(), value.clone());
            }
        }
    }
    fs::write(folder.join("location.pem"), pki.intermediate.pem())?;
    let mut config = json!({
        "security": {"tls": {"client": {
            "ca_files": [ca],
            "mtls": {"enabled": true, "cert_file": "device.pem", "key_file": "device.key"},
        }}},
        "device": section,
    });
    if device.voucher {
        config["security"]["tls"]["client"] = json!({"ca_files": [ca]});
        config["device"]["first_enroll"] = json!(format!("{GATEWAY}:{FIRST_PORT}"));
        config["device"]["enroll"] = json!(format!("{GATEWAY}:{EST_PORT}"));
        config["device"]["voucher"] = json!("voucher");
    }
    if device.bound {
        config["security"]["tls"]["client"]["server_issuers"] = json!(["location.pem"]);
    }
    if device.denies {
        config["security"]["tls"]["denied_keys"] = json!([pki.intermediate.key_hash().to_string()]);
    }
    let (config, voucher) = (config.to_string(), device.voucher.then_some(voucher));
    let flash = Flash::create_for(file, &config, folder, voucher).map_err(io::Error::other)?;
    Ok((flash, config))
}

/// Returns what the firmware is told by the test bench, as the scenario has it.
fn rig(device: &Device) -> Rig {
    Rig {
        cut_at: device.cut_at.unwrap_or(0),
        clock_rate: device.clock_rate.unwrap_or(1),
        addresses: device.static_address.then_some((GUEST, 24, HOST)),
    }
}

/// Waits 10 ms; conditions in other processes raise no event to wait for.
pub(super) fn glance() {
    std::thread::sleep(Duration::from_millis(10));
}
