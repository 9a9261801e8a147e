//! Units for systemd: of a gateway and of a step-ca, for `edgetrust unit` and for the folders of sites.

mod gateway;
mod step_ca;

pub(crate) use gateway::{GatewayUnit, LOGS, NOTIFY_RELOAD, STATE, key_in_unit};
pub(crate) use step_ca::StepCaUnit;

/// The restrictions of both services (`systemd.exec(5)`): `systemd-analyze security` judges them in the tests.
/// Without `@resources` no limit is raised, so that a unit sets its own.
const RESTRICTED: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProcSubset=pid
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
";

/// Returns the lines by which a service may listen on ports below 1024, or may not.
fn capabilities(low_ports: bool) -> &'static str {
    if low_ports {
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
    } else {
        "CapabilityBoundingSet=\nPrivateUsers=yes\n"
    }
}
