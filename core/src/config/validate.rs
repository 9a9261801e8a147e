//! Validates the whole configuration: what all locations share, then each section.

use super::error::ConfigError;
use super::inherit::{ClientSide, ServerSide};
use super::model::{ClientTls, Config, Server};
use super::raw::Raw;
use super::validate_place::{CLIENT, ConfigPlace, SERVER, TRUE};
use super::validate_sides::{client, denied_keys, server, switches};

/// Validates all that is read.
#[inline(never)]
pub(super) fn config<'a>(raw: &Raw<'a>) -> Result<Config<'a>, ConfigError<'a>> {
    let server = shared_server(raw)?;
    #[cfg(feature = "device")]
    let device = super::validate_device::device(raw)?;
    #[cfg_attr(not(feature = "device"), expect(unused_mut, reason = "only a device has no system's roots"))]
    let mut client = shared_client(raw)?;
    #[cfg(feature = "device")]
    if device.is_some() {
        client.system_roots = false;
    }
    #[cfg_attr(not(feature = "gateway"), expect(unused_mut, reason = "only a gateway has more"))]
    let mut config = Config {
        server,
        client,
        denied_keys: denied_keys(&raw.denied_keys)?,
        #[cfg(feature = "gateway")]
        gateway: super::model::Gateway::default(),
        #[cfg(feature = "device")]
        device,
    };
    #[cfg(feature = "gateway")]
    {
        super::validate_gateway::gateway(raw, &mut config.gateway)?;
        config.gateway.est = super::validate_est::est(raw, &config.gateway.tunnels)?;
        config.gateway.admin = super::validate_admin::admin(raw, &config.gateway.tunnels)?;
    }
    Ok(config)
}

/// Validates `security.tls.server`.
fn shared_server<'a>(raw: &Raw<'a>) -> Result<Server<'a>, ConfigError<'a>> {
    let (at, side) = (ConfigPlace::new(SERVER, raw.server.offset), &raw.server);
    if side.enabled != Some(true) && side.mtls.is_enabled() {
        // A configuration that asks for mutual TLS must not get plaintext.
        return at.inside("mtls").fail("enabled", TRUE, "false, or security.tls.server.enabled true");
    }
    switches(&at, side, side.mtls.enabled)?;
    if !raw.has_servers_of_its_own() {
        at.switched(side.offset, side.enabled, side.other)?;
    }
    server(&at, &ServerSide::shared(raw))
}

/// Validates `security.tls.client`.
fn shared_client<'a>(raw: &Raw<'a>) -> Result<ClientTls<'a>, ConfigError<'a>> {
    let side = &raw.client;
    let at = ConfigPlace::new(CLIENT, side.offset);
    switches(&at, side, side.mtls.enabled)?;
    client(&at, &ClientSide::shared(raw))
}
