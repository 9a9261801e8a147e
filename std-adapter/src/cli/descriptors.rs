//! Lowers limits to the available file descriptors, with a warning. Every connection takes two, every handshake one;
//! without enough, strangers could hold all of them, and nothing could be accepted or reloaded any more.

use edgetrust_core::config::Gateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::gateway::{Address, Plan};

/// The descriptors beside connections: files, listeners, pages, look-ups, the log.
const RESERVED: usize = 64;

/// The descriptors of the EST server's connections.
const EST: usize = 512;

/// Raises the soft limit to the hard one, and returns the number of descriptors that this process may have.
pub(crate) fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    number(current)
}

/// Returns the number of descriptors that a process started from here may have.
pub(crate) fn available() -> usize {
    number(getrlimit(Resource::Nofile).maximum)
}

/// Returns the limit as a number; without one, the kernel's own holds, which no gateway reaches.
fn number(limit: Option<u64>) -> usize {
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
}

/// The configured limits: the connections of all tunnels, and the concurrent handshakes of each listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) connections: usize,
    pub(crate) handshakes: Vec<usize>,
    pub(crate) est: bool,
}

impl Wanted {
    /// Returns the number of descriptors that these limits take.
    pub(crate) fn descriptors(&self) -> usize {
        let handshakes = self.handshakes.iter().fold(0_usize, |sum, one| sum.saturating_add(*one));
        self.connections.saturating_mul(2).saturating_add(handshakes).saturating_add(self.beside())
    }

    fn beside(&self) -> usize {
        RESERVED.saturating_add(self.handshakes.len()).saturating_add(if self.est { EST } else { 0 })
    }

    /// Returns the limits that fit: handshakes get a quarter of the descriptors at most, connections the rest.
    fn fitted(&self, available: usize) -> Self {
        let room = available.saturating_sub(self.beside());
        let each = (room / 4).checked_div(self.handshakes.len()).unwrap_or(0).max(1);
        let handshakes: Vec<usize> = self.handshakes.iter().map(|one| (*one).min(each)).collect();
        let taken = handshakes.iter().fold(0_usize, |sum, one| sum.saturating_add(*one));
        let connections = self.connections.min(room.saturating_sub(taken) / 2).max(1);
        Self { connections, handshakes, est: self.est }
    }
}

/// Returns the handshakes of each address; tunnels that share an address share its handshakes, by the largest limit.
fn by_address<A: PartialEq>(tunnels: impl Iterator<Item = (A, usize)>) -> Vec<usize> {
    let mut addresses: Vec<(A, usize)> = Vec::new();
    for (address, handshakes) in tunnels {
        match addresses.iter_mut().find(|(known, _)| *known == address) {
            Some((_, most)) => *most = (*most).max(handshakes),
            None => addresses.push((address, handshakes)),
        }
    }
    addresses.into_iter().map(|(_, handshakes)| handshakes).collect()
}

fn wanted(plan: &Plan, est: bool) -> Wanted {
    let handshakes = by_address(plan.tunnels.iter().map(|tunnel| (&tunnel.listen, tunnel.limits.handshakes)));
    Wanted { connections: plan.limits.connections, handshakes, est }
}

/// Returns a finding for `check` if a process started from here would lack the descriptors that a configuration needs.
pub(crate) fn short_for(gateway: &Gateway<'_>) -> Option<String> {
    let count = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
    let handshakes = gateway.tunnels.iter().map(|tunnel| {
        let limit = tunnel.limits.handshakes.unwrap_or(gateway.limits.handshakes);
        (Address::from(tunnel.listen), count(limit))
    });
    let connections = count(gateway.limits.connections);
    let wanted = Wanted { connections, handshakes: by_address(handshakes), est: gateway.est.is_some() };
    let (needed, available) = (wanted.descriptors(), available());
    (needed > available).then(|| {
        format!(
            "limits.connections: found {connections}, which with handshakes takes {needed} descriptors; a process that is \
             started from here may have {available}, and serves {} connections at a time (raise LimitNOFILE of systemd, or ulimit -Hn)",
            wanted.fitted(available).connections
        )
    })
}

/// Lowers the limits of a plan to what `available` descriptors allow, and returns the warning.
pub(crate) fn fit(plan: &mut Plan, est: bool, available: usize) -> Option<String> {
    let wanted = wanted(plan, est);
    let needed = wanted.descriptors();
    if needed <= available {
        return None;
    }
    let fitted = wanted.fitted(available);
    let most = fitted.handshakes.iter().copied().max().unwrap_or(1);
    plan.limits.connections = fitted.connections;
    for tunnel in &mut plan.tunnels {
        tunnel.limits.handshakes = tunnel.limits.handshakes.min(most);
    }
    Some(format!(
        "limits.connections: found {}, which with handshakes takes {needed} descriptors; this process may have {available}: \
         {} connections at a time, {most} handshakes at an address (raise LimitNOFILE of systemd, or ulimit -Hn)",
        wanted.connections, fitted.connections
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_left_alone_and_the_rest_takes_no_more_than_there_is() {
        for (connections, handshakes, available) in [
            (10_000, vec![1024, 1024], 65_536),
            (10_000, vec![1024, 1024], 1024),
            (10, vec![8], 256),
            (usize::MAX, vec![usize::MAX; 32], 4096),
            (100, vec![], 300),
        ] {
            let wanted = Wanted { connections, handshakes, est: false };
            let fitted = wanted.fitted(available);
            assert!(fitted.descriptors() <= available, "{fitted:?} of {available}");
            if wanted.descriptors() <= available {
                assert_eq!(fitted, wanted);
            }
        }
    }

    #[test]
    fn a_process_without_room_still_serves_one() {
        let fitted = Wanted { connections: 10, handshakes: vec![5], est: true }.fitted(3);
        assert_eq!((fitted.connections, fitted.handshakes), (1, vec![1]));
    }
}
