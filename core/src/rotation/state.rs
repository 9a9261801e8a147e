//! What there is: states, events, actions.

use pki_types::UnixTime;

use crate::store::Slot;

/// A certificate by its slot and its own words on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Where it is kept.
    pub slot: Slot,
    /// RFC 5280 section 4.1.2.5
    pub not_before: UnixTime,
    /// RFC 5280 section 4.1.2.5
    pub not_after: UnixTime,
    /// When it was received: CAs date certificates back, and what was over by then is no part of its life here.
    pub received: UnixTime,
}

impl Credential {
    /// From when on it lives here: from `not_before`, or from when it was received, if that is later.
    pub fn start(&self) -> UnixTime {
        self.not_before.max(self.received).min(self.not_after.max(self.not_before))
    }

    /// How long it lives here, in seconds.
    pub fn lifetime_s(&self) -> u64 {
        self.not_after.as_secs().saturating_sub(self.start().as_secs())
    }

    /// How long it is still valid, in seconds.
    pub fn remaining_s(&self, now: UnixTime) -> u64 {
        self.not_after.as_secs().saturating_sub(now.as_secs())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Credential {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (from, to) = (crate::time::Utc(self.not_before), crate::time::Utc(self.not_after));
        defmt::write!(f, "slot {}, {} to {}", self.slot, from, to);
    }
}

/// What peers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Serving {
    /// There is nothing to show.
    Nothing,
    /// What was issued: the one on trial, else the confirmed one.
    Issued,
    /// What was issued and has expired, since there is nothing better.
    Expired,
    /// The manual certificate.
    Fallback,
}

/// Where a renewal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was restored yet.
    Unprovisioned,
    /// No time was ever known: nothing can be judged, nothing is due.
    AwaitingTime {
        /// One that was never confirmed.
        trial: Option<Credential>,
    },
    /// The confirmed certificate is fresh.
    Waiting {
        /// When it is renewed, by policy.
        renew_at: UnixTime,
        /// When it is renewed, by the CA's suggestion (RFC 9773 section 4.2); the earlier of both counts.
        suggested: Option<UnixTime>,
    },
    /// The issuer is at work.
    Issuing {
        /// How many attempts failed before this one.
        attempt: u8,
        /// When it has taken too long.
        give_up_at: UnixTime,
    },
    /// An attempt failed.
    BackingOff {
        /// How many attempts failed.
        attempt: u8,
        /// When the next one begins.
        retry_at: UnixTime,
    },
    /// A new certificate is being written.
    Persisting {
        /// How many writes failed; where the driver does not keep what was issued, how many attempts.
        attempt: u8,
        /// The new one.
        staged: Credential,
        /// When it is written again.
        retry_at: UnixTime,
    },
    /// A new certificate is in use and may still be taken back.
    OnTrial {
        /// The new one.
        trial: Credential,
        /// Handshakes that failed with it.
        failures: u8,
        /// When the trial is over.
        until: UnixTime,
    },
}

/// All that is remembered between events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The confirmed certificate.
    pub active: Option<Credential>,
    /// What peers are shown.
    pub serving: Serving,
    /// Where a renewal stands.
    pub phase: Phase,
    /// The manual certificate was asked for and cannot be used.
    pub fallback_refused: bool,
    /// The time of the last event.
    pub seen: Option<UnixTime>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed, or became known.
    Tick,
    /// The first event: what the store holds.
    Restored {
        /// The confirmed certificate.
        active: Option<Credential>,
        /// A newer one that was never confirmed.
        trial: Option<Credential>,
    },
    /// When the CA would like to see a renewal (RFC 9773 section 4.2).
    RenewalWindow {
        /// Its start.
        start: UnixTime,
        /// Its end.
        end: UnixTime,
    },
    /// A certificate was issued; the driver holds it, parsed, verified and with its key.
    Issued {
        /// RFC 5280 section 4.1.2.5
        not_before: UnixTime,
        /// RFC 5280 section 4.1.2.5
        not_after: UnixTime,
    },
    /// None was issued.
    IssueFailed(Failure),
    /// The new certificate and its key are written and read back.
    Persisted,
    /// They are not.
    PersistFailed,
    /// A peer accepted the certificate of this slot.
    HandshakeOk {
        /// The slot.
        slot: Slot,
    },
    /// A peer refused it, and said so (RFC 8446 section 6.2).
    HandshakeFailed {
        /// The slot.
        slot: Slot,
    },
    /// An operator wants a new certificate.
    RotateNow,
    /// The manual certificate can be used, again perhaps.
    FallbackReady,
    /// It cannot be used.
    FallbackRefused,
}

/// Why no certificate was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// When the CA wants to be asked again, in seconds from now (RFC 8555 section 6.6).
    pub retry_after_s: Option<u32>,
}

/// Kinds of failure, each with a wait of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FailureKind {
    /// The network, a server's error: soon better.
    Transient,
    /// Too much was asked for (RFC 8555 section 6.7, `rateLimited`).
    RateLimited,
    /// The CA will not, whoever asks and however often: somebody must change something.
    Refused,
}

/// What the driver is to do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Get a certificate; answer with [`Event::Issued`] or [`Event::IssueFailed`].
    Issue {
        /// How many attempts failed before.
        attempt: u8,
    },
    /// It has taken too long: stop.
    AbortIssue,
    /// Write the certificate that was issued; answer with [`Event::Persisted`] or [`Event::PersistFailed`].
    Persist {
        /// Where; never the slot of the confirmed certificate.
        slot: Slot,
    },
    /// Show this one to peers.
    Activate {
        /// Its slot.
        slot: Slot,
    },
    /// Show the manual certificate; answer with [`Event::FallbackReady`] or [`Event::FallbackRefused`].
    ActivateFallback,
    /// Mark it as confirmed.
    Confirm {
        /// Its slot.
        slot: Slot,
    },
    /// Forget it.
    Discard {
        /// Its slot; never that of the confirmed certificate.
        slot: Slot,
    },
    /// Tell somebody.
    Alarm(Alarm),
}

/// What somebody should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Alarm {
    /// No time is known.
    ClockUnknown,
    /// The clock went back.
    ClockWentBack,
    /// A certificate was issued that is not valid by this clock: not yet, and it is taken; or no more, and it is not.
    ClockDisagrees,
    /// The CA refused: somebody must change something.
    IssuerRefused,
    /// The issuer did not answer in time.
    IssuerTimeout,
    /// The new certificate could not be written.
    StorageFailed,
    /// Peers refused the new certificate, the one before is back.
    Reverted,
    /// The certificate has expired, and there is no fallback.
    Expired,
    /// The manual certificate is in use.
    OnFallback,
    /// The manual certificate is wanted and cannot be used.
    FallbackRefused,
}

/// At most this many come of one event.
pub type Actions = heapless::Vec<Action, 8>;
