//! Decides which of several gateways orders a certificate. All of it is decided by one document, which is replaced only
//! by whoever has read its last revision: whoever takes the lease makes every other view of the document stale, so that
//! a holder that slept can write nothing. No clock is compared with another one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The time for which a holder may be silent. It speaks five times as often.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// The interval at which a holder says that it is alive.
pub(crate) const BEAT: Duration = Duration::from_secs(2);

/// The part of the document that everybody sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// The number of times that the lease was taken.
    pub(crate) token: u64,
    /// The gateway that has the lease, if one does.
    pub(crate) holder: Option<String>,
    /// The number of attempts that failed since the last certificate.
    pub(crate) failures: u32,
    /// The number of the certificate that all gateways show; 0 for none.
    pub(crate) generation: u64,
    /// The SHA-256 of that certificate; `None` for none.
    pub(crate) certificate: Option<String>,
}

/// A gateway as it knows itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Own {
    pub(crate) name: String,
    /// The lease that this process took, if it still has it.
    pub(crate) token: Option<u64>,
    /// The generation that this gateway shows; 0 for none that was shared.
    pub(crate) generation: u64,
    /// The SHA-256 of the certificate of that generation.
    pub(crate) certificate: Option<String>,
    /// The number of failures when this gateway began to wait.
    pub(crate) failures: u32,
}

/// The next step of a gateway that wants a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Show the document's certificate, which is newer, or another one of the same generation: a store that went back,
    /// and on from there, counts.
    Adopt,
    /// Write the own certificate, which is newer: the store went back, as a restored backup does.
    Restore,
    /// Take the lease with this token.
    Take(u64),
    /// Order: the lease is held.
    Order,
    /// Report the failure of whoever ordered.
    Fail,
    /// Wait for a change of the document, a sign of life, or the end of the lease.
    Wait,
}

/// Returns what a gateway does that wants a certificate. `lapsed`: nothing was heard of the holder for [`LEASE`].
pub(crate) fn step(seen: &Header, own: &Own, lapsed: bool) -> Step {
    let held = own.token == Some(seen.token) && seen.holder.as_deref() == Some(&own.name);
    let other = seen.generation == own.generation && seen.certificate != own.certificate;
    if seen.generation > own.generation || other {
        Step::Adopt
    } else if seen.generation < own.generation {
        Step::Restore
    } else if held {
        Step::Order
    } else if seen.failures > own.failures {
        Step::Fail
    } else if seen.holder.is_none() || lapsed {
        Step::Take(seen.token.saturating_add(1))
    } else {
        Step::Wait
    }
}

impl Header {
    /// Returns the header with the lease taken.
    pub(crate) fn taken(&self, by: &str, token: u64) -> Self {
        Self { token, holder: Some(by.to_owned()), ..self.clone() }
    }

    /// Returns the header with a new certificate, of a generation above `least`; the lease is free again.
    pub(crate) fn published(&self, certificate: String, least: u64) -> Self {
        let generation = self.generation.max(least).saturating_add(1);
        Self { token: self.token, holder: None, failures: 0, generation, certificate: Some(certificate) }
    }

    /// Returns the header with a certificate that was published before; the lease is free again.
    pub(crate) fn restored(&self, own: &Own) -> Self {
        let (generation, certificate) = (own.generation, own.certificate.clone());
        Self { token: self.token, holder: None, failures: self.failures, generation, certificate }
    }

    /// Returns the header after an attempt that failed; the lease is free again.
    pub(crate) fn failed(&self) -> Self {
        Self { holder: None, failures: self.failures.saturating_add(1), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashSet, VecDeque};

    #[test]
    fn each_step_has_its_reason() {
        let certificate = |number: u64| Some(number.to_string());
        let free = Header { token: 3, holder: None, failures: 1, generation: 5, certificate: certificate(5) };
        let held = Header { holder: Some("b".to_owned()), ..free.clone() };
        let own = |token, generation| {
            let (name, certificate) = ("a".to_owned(), certificate(generation));
            Own { name, token, generation, certificate, failures: 1 }
        };
        for (seen, own, lapsed, expected) in [
            (&free, own(None, 5), false, Step::Take(4)),
            (&free, own(None, 4), false, Step::Adopt),
            (&free, Own { certificate: certificate(6), ..own(None, 5) }, false, Step::Adopt),
            (&free, own(None, 6), false, Step::Restore),
            (&held, own(None, 5), false, Step::Wait),
            (&held, own(None, 5), true, Step::Take(4)),
            // A lease that was lost is not held, whatever its holder remembers.
            (&held, own(Some(3), 5), false, Step::Wait),
            (&held.taken("a", 4), own(Some(3), 5), false, Step::Wait),
            (&held.taken("a", 4), own(Some(4), 5), false, Step::Order),
            (&held.taken("a", 4), own(Some(4), 4), false, Step::Adopt),
            (&held.failed(), own(None, 5), false, Step::Fail),
            (&held.published("6".to_owned(), 5), own(None, 5), true, Step::Adopt),
            (&Header::default(), own(None, 5), false, Step::Restore),
        ] {
            assert_eq!(step(seen, &own, lapsed), expected, "{seen:?} {own:?} {lapsed}");
        }
    }

    /// A gateway of the model.
    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct Replica {
        own: Own,
        /// The revision that it saw last, maybe long ago, with what stood there.
        seen: (u64, Header),
        /// A certificate that it got from the CA and has not published.
        obtained: Option<String>,
        wants: bool,
    }

    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
    struct World {
        /// The document and its revision.
        document: (u64, Header),
        replicas: Vec<Replica>,
        /// The number of certificates that the CA has issued.
        issued: u32,
        /// The certificate of each generation.
        published: BTreeMap<u64, String>,
        crashes: u8,
        wishes: u8,
        takes: u8,
    }

    /// The bounds of one interleaving, for each kind of event: without them there would be no end.
    #[derive(Clone, Copy)]
    struct Most {
        crashes: u8,
        issued: u32,
        wishes: u8,
        takes: u8,
    }

    impl World {
        fn new(count: usize) -> Self {
            let replica = |number: usize| Replica {
                own: Own { name: number.to_string(), token: None, generation: 0, certificate: None, failures: 0 },
                seen: (0, Header::default()),
                obtained: None,
                wants: false,
            };
            Self {
                document: (0, Header::default()),
                replicas: (0..count).map(replica).collect(),
                issued: 0,
                published: BTreeMap::new(),
                crashes: 0,
                wishes: 0,
                takes: 0,
            }
        }

        /// Writes as the store does: only over the revision that the writer saw.
        fn write(&mut self, by: usize, header: Header) -> bool {
            let (revision, before) = &self.document;
            let seen = &mut self.replicas[by].seen;
            if seen.0 != *revision {
                return false;
            }
            assert!(header.generation >= before.generation, "the store goes back");
            if let Some(certificate) = &header.certificate {
                let first = self.published.entry(header.generation).or_insert(certificate.clone());
                assert_eq!(first, certificate, "two certificates of one generation");
            }
            self.document = (revision + 1, header);
            *seen = self.document.clone();
            true
        }

        /// Returns all states that one event leads to. A lease may seem lapsed at any time, since a holder may sleep.
        fn next(&self, most: Most) -> Vec<Self> {
            let mut all = Vec::new();
            for (at, replica) in self.replicas.iter().enumerate() {
                let mut with = |change: &dyn Fn(&mut Self)| {
                    let mut world = self.clone();
                    change(&mut world);
                    if world != *self {
                        all.push(world);
                    }
                };
                // It hears of the document.
                with(&|world| world.replicas[at].seen = world.document.clone());
                // It crashes: what it shows is kept, what it knows is not.
                if self.crashes < most.crashes {
                    with(&|world| {
                        world.crashes += 1;
                        let replica = &mut world.replicas[at];
                        (replica.own.token, replica.obtained, replica.wants) = (None, None, false);
                        replica.seen = (0, Header::default());
                    });
                }
                if !replica.wants {
                    if self.wishes < most.wishes {
                        with(&|world| {
                            world.wishes += 1;
                            let replica = &mut world.replicas[at];
                            (replica.wants, replica.own.failures) = (true, replica.seen.1.failures);
                        });
                    }
                    continue;
                }
                let header = &replica.seen.1;
                for lapsed in [false, true] {
                    match step(header, &replica.own, lapsed) {
                        Step::Adopt => with(&|world| {
                            let replica = &mut world.replicas[at];
                            assert!(header.generation > replica.own.generation, "it goes back");
                            replica.own.generation = header.generation;
                            replica.own.certificate = header.certificate.clone();
                            (replica.obtained, replica.own.token, replica.wants) = (None, None, false);
                        }),
                        // A view from before the own write: the store refuses what follows from it.
                        Step::Restore => with(&|world| _ = world.write(at, header.restored(&replica.own))),
                        Step::Take(token) if self.takes < most.takes => with(&|world| {
                            world.takes += 1;
                            if world.write(at, header.taken(&replica.own.name, token)) {
                                world.replicas[at].own.token = Some(token);
                            }
                        }),
                        Step::Take(_) => {}
                        Step::Order => match &replica.obtained {
                            None if self.issued < most.issued => {
                                with(&|world| {
                                    world.issued += 1;
                                    world.replicas[at].obtained = Some(world.issued.to_string());
                                });
                                with(&|world| {
                                    world.write(at, header.failed());
                                    (world.replicas[at].own.token, world.replicas[at].wants) = (None, false);
                                });
                            }
                            None => {}
                            Some(obtained) => with(&|world| {
                                let published = header.published(obtained.clone(), replica.own.generation);
                                let done = world.write(at, published.clone());
                                let replica = &mut world.replicas[at];
                                (replica.obtained, replica.own.token) = (None, None);
                                if done {
                                    replica.own.generation = published.generation;
                                    replica.own.certificate = published.certificate;
                                    replica.wants = false;
                                }
                            }),
                        },
                        Step::Fail => with(&|world| world.replicas[at].wants = false),
                        Step::Wait => {}
                    }
                }
            }
            all
        }

        /// Checks that each gateway shows what was published under the generation that it shows.
        fn check(&self) {
            for replica in self.replicas.iter().filter(|replica| replica.own.generation > 0) {
                assert_eq!(self.published.get(&replica.own.generation), replica.own.certificate.as_ref(), "{self:#?}");
            }
        }
    }

    /// Runs all interleavings of gateways that hear late, sleep, crash, fail, and take the lease from each other. Returns
    /// the number of states.
    fn explore(count: usize, most: Most) -> usize {
        let mut known = HashSet::from([World::new(count)]);
        let mut queue = VecDeque::from_iter(known.clone());
        let mut published = 0;
        while let Some(world) = queue.pop_front() {
            world.check();
            published = published.max(world.published.len());
            for next in world.next(most) {
                if known.insert(next.clone()) {
                    queue.push_back(next);
                }
            }
        }
        assert_eq!(published, usize::try_from(most.issued).unwrap(), "each certificate can be published");
        known.len()
    }

    #[test]
    fn no_interleaving_publishes_two_certificates_as_one_or_goes_back() {
        let two = explore(2, Most { crashes: 2, issued: 3, wishes: 3, takes: 4 });
        let three = explore(3, Most { crashes: 1, issued: 2, wishes: 3, takes: 3 });
        // All of them, and no more than a test has time for.
        assert_eq!((two, three), (49_373, 144_119));
    }
}
