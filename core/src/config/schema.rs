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
mod tls;

use super::raw::SideKind;
use denied_keys::DENIED_KEYS;
use field::described;
pub(super) use field::{Field, Kind, Object, Objects, Refused};

pub(super) static TOP: Object = Object {
    open: true,
    on_key: None,
    fields: &[
        object!("security", "of this section tls is read, the rest left alone", SECURITY, |_raw| ()),
        #[cfg(feature = "gateway")]
        object!("gateway", "tunnels and what they may cost", gateway::GATEWAY, |_raw| ()),
        #[cfg(feature = "device")]
        object!("device", "a microcontroller that speaks to a gateway", device::DEVICE, |raw| raw.enter_device()),
    ],
};

static SECURITY: Object = Object { open: true, on_key: None, fields: &[object!("tls", "ADR-001", TLS, |_raw| ())] };

static TLS: Object = Object {
    open: false,
    on_key: None,
    fields: &[
        object!("server", "what this location accepts", tls::SERVER, |raw| raw.enter(SideKind::Server)),
        object!("client", "what this location originates", tls::CLIENT, |raw| raw.enter(SideKind::Client)),
        Field {
            key: "denied_keys",
            doc: described("keys that are good for nothing, of leafs, pins and CAs alike"),
            kind: Kind::Objects(&DENIED_KEYS),
        },
    ],
};
