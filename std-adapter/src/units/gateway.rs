//! The units of a gateway.

use std::fmt::Write as _;

use super::{RESTRICTED, capabilities};

/// The folder that `StateDirectory` makes.
pub(crate) const STATE: &str = "/var/lib/edgetrust";

/// The folder that `LogsDirectory` makes.
pub(crate) const LOGS: &str = "/var/log/edgetrust";

/// The folder in which systemd shows the service what `LoadCredential` loads (`systemd.exec(5)`).
const CREDENTIALS: &str = "/run/credentials/edgetrust.service/";

/// The drop-in for systemd 253 and later, where a reload is over when the program says so.
pub(crate) const NOTIFY_RELOAD: &str = "[Service]\nType=notify-reload\nExecReload=\n";

/// The seconds that the program gets beyond `limits.drain_timeout`.
const BEYOND_DRAIN: u64 = 15;

/// The parts in which the units of gateways differ.
#[derive(Debug, Default)]
pub(crate) struct GatewayUnit {
    pub(crate) program: String,
    pub(crate) config: String,
    /// Keys by the name under which the service sees them, with their files.
    pub(crate) keys: Vec<(String, String)>,
    /// Folders beside the state folder that the service writes to.
    pub(crate) writable: Vec<String>,
    /// The audit log is below the folder of logs.
    pub(crate) logs: bool,
    /// Addresses as `ListenStream` has them; without any there is no socket unit.
    pub(crate) sockets: Vec<String>,
    /// `[::]` leaves IPv4 connections to a socket of their own.
    pub(crate) only_v6: bool,
    /// The service itself listens on a port below 1024.
    pub(crate) low_ports: bool,
    /// The seconds for which sessions go on after a stop.
    pub(crate) drain: u64,
}

/// Returns the name of a key that the service sees by `LoadCredential`.
pub(crate) fn key_in_unit(path: &str) -> Option<&str> {
    path.strip_prefix(CREDENTIALS).filter(|name| !name.is_empty() && !name.contains('/'))
}

/// Writes a value as systemd reads it (`systemd.unit(5)`, "Specifiers").
fn escaped(value: &str) -> String {
    value.replace('%', "%%")
}

/// Writes one argument of a command line (`systemd.service(5)`, "Command lines").
fn argument(value: &str) -> String {
    let value = escaped(value).replace('$', "$$");
    if value.contains(|octet: char| octet.is_whitespace() || matches!(octet, '"' | '\'' | '\\' | ';')) {
        format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        value
    }
}

impl GatewayUnit {
    /// Returns `edgetrust.service`.
    pub(crate) fn service(&self) -> String {
        let (program, config) = (argument(&self.program), argument(&self.config));
        let mut unit = String::from(
            "[Unit]\nDescription=EdgeTrust gateway\nAfter=network-online.target\nWants=network-online.target\n",
        );
        // Whoever mends a configuration need not know that systemd has given up.
        unit.push_str("StartLimitIntervalSec=0\n");
        if !self.sockets.is_empty() {
            unit.push_str("Requires=edgetrust.socket\nAfter=edgetrust.socket\n");
        }
        unit.push_str("\n[Service]\nType=notify\n");
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a text cannot fail.
            let _ = writeln!(unit, "{line}");
        };
        // For its findings. One certificate that has expired must not keep the other tunnels from starting.
        line(format_args!("ExecStartPre=-{program} check --config {config}"));
        line(format_args!("ExecStart={program} run --config {config}"));
        line(format_args!("ExecReload=/bin/kill -HUP $MAINPID"));
        line(format_args!("Restart=on-failure\nRestartSec=5s\nWatchdogSec=60s"));
        line(format_args!("TimeoutStopSec={}s", self.drain.saturating_add(BEYOND_DRAIN)));
        line(format_args!("User=edgetrust\nDynamicUser=yes\nStateDirectory=edgetrust\nStateDirectoryMode=0700"));
        if self.logs {
            line(format_args!("LogsDirectory=edgetrust\nLogsDirectoryMode=0750"));
        }
        for (name, file) in &self.keys {
            line(format_args!("LoadCredential={}:{}", escaped(name), escaped(file)));
        }
        for folder in &self.writable {
            line(format_args!("ReadWritePaths={}", argument(folder)));
        }
        line(format_args!("LimitNOFILE=65536"));
        unit.push_str(capabilities(self.low_ports));
        unit.push_str(RESTRICTED);
        unit.push_str("\n[Install]\nWantedBy=multi-user.target\n");
        unit
    }

    /// Returns `edgetrust.socket`; none where no socket is passed.
    pub(crate) fn socket(&self) -> Option<String> {
        if self.sockets.is_empty() {
            return None;
        }
        let mut unit = String::from("[Unit]\nDescription=Addresses of the EdgeTrust gateway\n\n[Socket]\n");
        for address in &self.sockets {
            // Writing to a text cannot fail.
            let _ = writeln!(unit, "ListenStream={}", escaped(address));
        }
        if self.only_v6 {
            unit.push_str("BindIPv6Only=ipv6-only\n");
        } else {
            unit.push_str("BindIPv6Only=both\n");
        }
        if self.sockets.iter().any(|address| address.starts_with('/')) {
            unit.push_str("SocketMode=0660\n");
        }
        unit.push_str("FileDescriptorName=edgetrust\nBacklog=1024\n\n[Install]\nWantedBy=sockets.target\n");
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let unit =
            GatewayUnit { program: "/opt/a b/edgetrust".into(), config: "/etc/50%$x.json".into(), ..<_>::default() };
        let text = unit.service();
        assert!(text.contains("ExecStart=\"/opt/a b/edgetrust\" run --config /etc/50%%$$x.json\n"), "{text}");
        assert_eq!(unit.socket(), None);
    }

    #[test]
    fn keys_that_the_service_sees() {
        assert_eq!(key_in_unit("/run/credentials/edgetrust.service/a.key"), Some("a.key"));
        for other in
            ["/etc/edgetrust/a.key", "/run/credentials/edgetrust.service/", "/run/credentials/edgetrust.service/a/b"]
        {
            assert_eq!(key_in_unit(other), None, "{other}");
        }
    }
}
