//! Defines the states, events and actions of the rotation.

use pki_types::UnixTime;

use crate::store::Slot;

/// A certificate by its slot and its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCertificate {
    /// The slot that holds the certificate.
    pub slot: Slot,
    /// The start of validity (RFC 5280 section 4.1.2.5).
    pub not_before: UnixTime,
    /// The end of validity (RFC 5280 section 4.1.2.5).
    pub not_after: UnixTime,
    /// The time of receipt: CAs date certificates back, and the time before receipt is no part of the lifetime here.
    pub received: UnixTime,
}

impl SlotCertificate {
    /// The time at which the lifetime here begins: the later of `not_before` and `received`.
    pub fn start(&self) -> UnixTime {
        self.not_before.max(self.received).min(self.not_after.max(self.not_before))
    }

    /// The lifetime here, in seconds.
    pub fn lifetime_s(&self) -> u64 {
        self.not_after.as_secs().saturating_sub(self.start().as_secs())
    }

    /// The time for which the certificate is still valid, in seconds.
    pub fn remaining_s(&self, now: UnixTime) -> u64 {
        self.not_after.as_secs().saturating_sub(now.as_secs())
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SlotCertificate {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (from, to) = (crate::time::Utc(self.not_before), crate::time::Utc(self.not_after));
        defmt::write!(f, "slot {}, {} to {}", self.slot, from, to);
    }
}

/// The certificate shown to peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Serving {
    /// No certificate.
    Nothing,
    /// The issued certificate: the one on trial, else the confirmed one.
    Issued,
    /// An issued certificate that has expired, since there is nothing better.
    Expired,
    /// The manual certificate.
    Fallback,
}

/// The phase of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was restored yet.
    Unprovisioned,
    /// No time was ever known: no certificate can be judged, nothing is due.
    AwaitingTime {
        /// A certificate that was never confirmed.
        trial: Option<SlotCertificate>,
    },
    /// The confirmed certificate is fresh.
    Waiting {
        /// The renewal time by policy.
        renew_at: UnixTime,
        /// The renewal time by the CA's suggestion (RFC 9773 section 4.2); the earlier of both counts.
        suggested: Option<UnixTime>,
    },
    /// The issuer is at work.
    Issuing {
        /// The number of attempts that failed before this one.
        attempt: u8,
        /// The time at which the issuer has taken too long.
        give_up_at: UnixTime,
    },
    /// An attempt failed.
    BackingOff {
        /// The number of attempts that failed.
        attempt: u8,
        /// The time of the next attempt.
        retry_at: UnixTime,
    },
    /// A new certificate is being written.
    Persisting {
        /// The number of writes that failed or, where the driver does not keep an issued certificate, of attempts.
        attempt: u8,
        /// The new certificate.
        staged: SlotCertificate,
        /// The time of the next write.
        retry_at: UnixTime,
    },
    /// A new certificate is in use and may still be reverted.
    OnTrial {
        /// The new certificate.
        trial: SlotCertificate,
        /// The number of failed handshakes with the new certificate.
        failures: u8,
        /// The end of the trial.
        until: UnixTime,
    },
}

/// The whole state of the rotation between events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The confirmed certificate.
    pub active: Option<SlotCertificate>,
    /// The certificate shown to peers.
    pub serving: Serving,
    /// The phase of the renewal.
    pub phase: Phase,
    /// The manual certificate was requested and cannot be used.
    pub fallback_refused: bool,
    /// The time of the last event.
    pub seen: Option<UnixTime>,
}

/// An event for the state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed, or became known.
    Tick,
    /// The first event: the contents of the store.
    Restored {
        /// The confirmed certificate.
        active: Option<SlotCertificate>,
        /// A newer certificate that was never confirmed.
        trial: Option<SlotCertificate>,
    },
    /// The CA suggests a window for the renewal (RFC 9773 section 4.2).
    RenewalWindow {
        /// The start of the window.
        start: UnixTime,
        /// The end of the window.
        end: UnixTime,
    },
    /// A certificate was issued; the driver holds the certificate, parsed and verified, with its key.
    Issued {
        /// The start of validity (RFC 5280 section 4.1.2.5).
        not_before: UnixTime,
        /// The end of validity (RFC 5280 section 4.1.2.5).
        not_after: UnixTime,
    },
    /// No certificate was issued.
    IssueFailed(Failure),
    /// The new certificate and its key are written and read back.
    Persisted,
    /// The write of the new certificate and its key failed.
    PersistFailed,
    /// A peer accepted the certificate of this slot.
    HandshakeOk {
        /// The certificate's slot.
        slot: Slot,
    },
    /// A peer refused the certificate of this slot with an alert (RFC 8446 section 6.2).
    HandshakeFailed {
        /// The certificate's slot.
        slot: Slot,
    },
    /// An operator wants a new certificate.
    RotateNow,
    /// The manual certificate can be used, or can be used again.
    FallbackReady,
    /// The manual certificate cannot be used.
    FallbackRefused,
}

/// An issuer's reason for issuing no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The time after which the CA wants to be asked again, in seconds from now (RFC 8555 section 6.6).
    pub retry_after_s: Option<u32>,
}

/// Kinds of failure, each with a wait of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FailureKind {
    /// The network or a server failed, probably not for long.
    Transient,
    /// Too many certificates were requested (RFC 8555 section 6.7, `rateLimited`).
    RateLimited,
    /// The CA refuses, whoever asks and however often: somebody must change something.
    Refused,
}

/// An action for the driver; actions are performed in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Get a certificate; answer with [`Event::Issued`] or [`Event::IssueFailed`].
    Issue {
        /// The number of attempts that failed before.
        attempt: u8,
    },
    /// Stop the issuer, which has taken too long.
    AbortIssue,
    /// Write the issued certificate; answer with [`Event::Persisted`] or [`Event::PersistFailed`].
    Persist {
        /// The slot to write; never that of the confirmed certificate.
        slot: Slot,
    },
    /// Show the certificate of this slot to peers.
    Activate {
        /// The certificate's slot.
        slot: Slot,
    },
    /// Show the manual certificate; answer with [`Event::FallbackReady`] or [`Event::FallbackRefused`].
    ActivateFallback,
    /// Mark the certificate of this slot as confirmed.
    Confirm {
        /// The certificate's slot.
        slot: Slot,
    },
    /// Delete the certificate of this slot.
    Discard {
        /// The certificate's slot; never that of the confirmed certificate.
        slot: Slot,
    },
    /// Raise an alarm.
    Alarm(Alarm),
}

/// A condition to tell an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Alarm {
    /// No time is known.
    ClockUnknown,
    /// The clock went back.
    ClockWentBack,
    /// An issued certificate is not valid by this clock: one that is not valid yet is taken, an expired one is not.
    ClockDisagrees,
    /// The CA refused: somebody must change something.
    IssuerRefused,
    /// The issuer did not answer in time.
    IssuerTimeout,
    /// The new certificate could not be written.
    StorageFailed,
    /// Peers refused the new certificate, and the one before is back.
    Reverted,
    /// The certificate has expired, and there is no fallback.
    Expired,
    /// The manual certificate is in use.
    OnFallback,
    /// The manual certificate is wanted and cannot be used.
    FallbackRefused,
}

/// The actions that follow from one event.
pub type Actions = heapless::Vec<Action, 8>;
