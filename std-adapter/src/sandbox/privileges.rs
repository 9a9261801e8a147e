//! Gives up capabilities, and the ways to new ones.

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// Gives up all capabilities but the one for low ports, if it is to be kept and is there. Returns what is left.
///
/// That one stays because addresses are also bound later: by a reload, and by each http-01 challenge.
pub(super) fn drop_but(keep_low_ports: bool) -> io::Result<String> {
    let held = capabilities(None)?.permitted;
    let wanted = if keep_low_ports { CapabilitySet::NET_BIND_SERVICE } else { CapabilitySet::empty() };
    let kept = held & wanted;
    if held.contains(CapabilitySet::SETPCAP) {
        for capability in CapabilitySet::all().difference(kept).iter() {
            // An older kernel does not know the newest ones.
            let _ = remove_capability_from_bounding_set(capability);
        }
    }
    match clear_ambient_capability_set() {
        // Before Linux 4.3 there was no such set.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(error) => return Err(error.into()),
    }
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })?;
    set_no_new_privs(true)?;
    Ok(if kept.is_empty() { "none" } else { "CAP_NET_BIND_SERVICE" }.to_owned())
}
