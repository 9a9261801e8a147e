//! Lists the keys, in one place: the value each takes, its meaning, and its destination.

#[macro_use]
mod field;

mod acme;
#[cfg(feature = "gateway")]
mod allowed_clients;
mod denied_keys;
#[cfg(feature = "device")]
mod device;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "gateway")]
mod storage;
mod tls;

use super::raw::SideKind;
use denied_keys::DENIED_KEYS;
use field::described;
pub(super) use field::{Field, Kind, Object, Objects, Refused};

/// The key that would be ignored in an object that is open, and deny nothing: there it is refused.
pub const MISPLACED: &str = "denied_keys";

pub(super) static TOP: Object = members!(
    true,
    Nothing,
    None,
    [
        object!("security", "of this section tls is read, the rest left alone", SECURITY),
        #[cfg(feature = "gateway")]
        object!("gateway", "tunnels and what they may cost", gateway::GATEWAY),
        #[cfg(feature = "device")]
        object!("device", "a microcontroller that speaks to a gateway", device::DEVICE, |raw| raw.enter_device()),
    ]
);

static SECURITY: Object = members!(true, Nothing, None, [object!("tls", "ADR-001", TLS)]);

static TLS: Object = members!(
    false,
    Nothing,
    None,
    [
        object!("server", "what this location accepts", tls::SERVER, |raw| raw.enter(SideKind::Server)),
        object!("client", "what this location originates", tls::CLIENT, |raw| raw.enter(SideKind::Client)),
        field!(
            "denied_keys",
            "keys that are good for nothing, of leafs, pins and CAs alike",
            KeyHash,
            super::MAX_DENIED_KEYS,
            Kind::Objects(&DENIED_KEYS)
        ),
    ]
);
