//! Lists the keys of `device`.

use super::field::{Field, Kind, Object, described, not_empty, seconds};
use crate::config::duration;
use crate::identity::without_root;

const REMOTE: &str = "HOST:PORT";
const HOST: &str = "a DNS name or an IP address";

/// The shortest time between two messages: a device can send at this rate without falling behind.
const MIN_INTERVAL_MS: u32 = 100;

pub(super) static DEVICE: Object = members!(
    false,
    All(&["gateway"]),
    None,
    [
        text!("gateway", "HOST:PORT of the location's server tunnel", Remote, |raw, text| raw.device.gateway =
            not_empty(text, REMOTE)?),
        text!(
            "server_name",
            "the name that the gateway's certificate must be for; default: the host of `gateway`",
            Host,
            |raw, text| raw.device.server_name = not_empty(without_root(text), HOST)?
        ),
        text!("websocket", "path of the WebSocket that telemetry goes to", RequestPath, |raw, text| raw
            .device
            .websocket =
            path(text)?),
        text!("report", "path of an HTTP POST after each connect", RequestPath, |raw, text| raw.device.report =
            path(text)?),
        text!("interval", "time between two messages of telemetry, default \"10s\"", PositiveDuration, |raw, text| {
            let interval = duration::milliseconds(text).ok_or(duration::EXPECTED)?;
            raw.device.interval_ms = Some(
                u32::try_from(interval)
                    .ok()
                    .filter(|interval| *interval >= MIN_INTERVAL_MS)
                    .ok_or("a duration from \"100ms\" to \"1193h\"")?,
            )
        }),
        text!("enroll", "HOST:PORT of the gateway's EST server; absent: the credential stays", Remote, |raw, text| {
            raw.device.enroll = not_empty(text, REMOTE)?
        }),
        text!(
            "enroll_name",
            "the name that the EST server's certificate must be for; default: the host of `enroll`",
            Host,
            |raw, text| raw.device.enroll_name = not_empty(without_root(text), HOST)?
        ),
        text!(
            "voucher",
            "in place of a first certificate: the file with the line that `edgetrust devices invite` printed",
            NotEmpty,
            |raw, text| raw.device.voucher = not_empty(text, "a file name")?
        ),
        text!(
            "first_enroll",
            "HOST:PORT where the gateway takes the voucher: its gateway.est.first_enrollment",
            Remote,
            |raw, text| raw.device.first_enroll = not_empty(text, REMOTE)?
        ),
        text!(
            "renew_before",
            "how long before its end the credential is renewed, default \"8h\"",
            PositiveDuration,
            |raw, text| {
                raw.device.renew_before_s = Some(seconds(text).ok().filter(|s| *s > 0).ok_or(duration::EXPECTED)?)
            }
        ),
        text!("ntp", "the host that tells the time; default: the host of `gateway`", Host, |raw, text| raw
            .device
            .ntp =
            not_empty(without_root(text), HOST)?),
    ]
);

/// Checks for an absolute path as in a request line (RFC 9112 section 3.2.1).
fn path(text: &str) -> Result<Option<&str>, super::field::Refused> {
    let visible = text.bytes().all(|octet| octet.is_ascii_graphic());
    if text.starts_with('/') && visible { Ok(Some(text)) } else { Err("a path that begins with /, in visible ASCII") }
}
