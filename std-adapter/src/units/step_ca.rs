//! The unit of a step-ca.

use super::{RESTRICTED, capabilities};

/// The parts in which the units of CAs differ.
#[derive(Debug)]
pub(crate) struct StepCaUnit<'a> {
    pub(crate) program: &'a str,
    /// The folder of the configuration, in which relative names start.
    pub(crate) folder: &'a str,
    /// The name of the configuration in its folder.
    pub(crate) config: &'a str,
    /// The folder of the database.
    pub(crate) database: &'a str,
    /// It listens on a port below 1024.
    pub(crate) low_ports: bool,
}

impl StepCaUnit<'_> {
    /// Returns `step-ca.service`. The password lies apart from the key, and only root and the unit can read it.
    pub(crate) fn service(&self) -> String {
        let Self { program, folder, config, database, low_ports } = self;
        let capabilities = capabilities(*low_ports);
        format!(
            "[Unit]
Description=CA of this site
After=network-online.target
Wants=network-online.target

[Service]
User=step-ca
Group=step-ca
WorkingDirectory={folder}
LoadCredential=password:/etc/credstore/step-ca-password
ExecStart={program} --password-file ${{CREDENTIALS_DIRECTORY}}/password {config}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
ReadWritePaths={database}
{capabilities}{RESTRICTED}
[Install]
WantedBy=multi-user.target
"
        )
    }
}
