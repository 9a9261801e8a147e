//! Units for systemd, a file for Docker Compose, and what to do with all of it.

use super::names::{CA_PORT, Names};
use crate::units::{GatewayUnit, StepCaUnit};

/// Returns the unit of the site's CA.
pub(super) fn step_ca() -> String {
    let folder = "/etc/step-ca";
    let database = "/etc/step-ca/db";
    StepCaUnit { program: "/usr/bin/step-ca", folder, config: "ca.json", database, low_ports: CA_PORT < 1024 }.service()
}

/// Returns the unit of the site's gateway, which answers http-01 at port 80.
pub(super) fn edgetrust() -> String {
    let (program, config) = ("/usr/bin/edgetrust".to_owned(), "/etc/edgetrust/gateway.json".to_owned());
    GatewayUnit { program, config, low_ports: true, drain: 30, ..GatewayUnit::default() }.service()
}

/// CA and gateway as containers. Both use the machine's own network, so that services stay on its loopback.
pub(super) const COMPOSE: &str = r#"# CA_PASSWORD_FILE names the password file of this site's CA, in another folder than this one.
# EDGETRUST_IMAGE is an image with the edgetrust program, such as that of packaging/oci/Dockerfile, built by you.
# A container sees the files that were here when it started: restart edgetrust after each change of mesh.signed.json.
services:
  step-ca:
    image: smallstep/step-ca:0.30.2
    entrypoint: ["/usr/local/bin/step-ca", "--password-file", "/run/secrets/ca-password", "ca.json"]
    user: "0"
    working_dir: /etc/step-ca
    network_mode: host
    restart: unless-stopped
    secrets: [ca-password]
    volumes:
      - ./ca.json:/etc/step-ca/ca.json:ro
      - ./ca.pem:/etc/step-ca/ca.pem:ro
      - ./ca.key:/etc/step-ca/ca.key:ro
      - ./root.pem:/etc/step-ca/root.pem:ro
      - ca-db:/etc/step-ca/db
  edgetrust:
    image: ${EDGETRUST_IMAGE:-edgetrust}
    command: ["edgetrust", "run", "--config", "/etc/edgetrust/gateway.json"]
    # On the machine's network, port 80 is for root alone.
    user: "0"
    network_mode: host
    restart: unless-stopped
    volumes:
      - ./gateway.json:/etc/edgetrust/gateway.json:ro
      - ./mesh.signed.json:/etc/edgetrust/mesh.signed.json:ro
      - ./root.pem:/etc/edgetrust/root.pem:ro
      - edgetrust-state:/var/lib/edgetrust
secrets:
  ca-password:
    file: ${CA_PASSWORD_FILE:?the password file of this site's CA}
volumes:
  ca-db:
  edgetrust-state:
"#;

/// Returns what to do with the files.
pub(super) fn readme(names: &Names<'_>, ports: &[(String, u16)]) -> String {
    let (site, ca, gateway) = (names.site, names.ca(), names.gateway);
    let services: String = ports
        .iter()
        .map(|(service, port)| format!("  {port:<6}to the gateway, from the gateways of other sites: {service}\n"))
        .collect();
    let firewall: String = ports.iter().map(|(_, port)| format!("  tcp dport {port} accept\n")).collect();
    format!(
        "Site {site}
=====

This folder holds all that the site needs. ca.key is encrypted. Its password is passwords/site-{site} of the folder in
which the mesh was made, or after a renewal the one that the command has named: carry it by another way than this
folder, and delete it there.

Files
  step-ca's machine    ca.json, ca.pem, ca.key, root.pem     to /etc/step-ca/, owned by the user step-ca
                       the password                          to /etc/credstore/step-ca-password, owned by root, mode 600
                       step-ca.service                       to /etc/systemd/system/
  the gateway          gateway.json, root.pem                to /etc/edgetrust/
                       mesh.signed.json                      to /etc/edgetrust/, and again after each change of the mesh
                       edgetrust.service                     to /etc/systemd/system/
step-ca needs a folder /etc/step-ca/db that it can write to. compose.yaml runs both as containers instead, on one machine.
A gateway takes another mesh.signed.json by itself; as a container it has to be restarted for it.
Commands that change the mesh write this file anew.

DNS names
  {ca}: the machine of step-ca, for the gateway
  {gateway}: the gateway, for step-ca; and for the other sites, unless the mesh has its address

Ports
  {CA_PORT}  to step-ca, from the gateway of this site alone
  80    to the gateway, from step-ca alone: it validates names there
{services}
Firewall of the gateway, as rules of nftables; add where they may come from
  tcp dport 80 accept
{firewall}
Clocks
  Certificates are valid for a day. Both machines need NTP: a clock that is off by minutes refuses every peer.

Services
  gateway.json sends what comes in to ports of 127.0.0.1 from 8081 on (target), and takes what goes out at ports of
  127.0.0.1 from 9001 on (listen). Change both to what your services use.
"
    )
}
