//! The octets of a request to continue sessions, and of its answer.
//!
//! A request is a sequence of records of 64 octets, one for each session: its identifier and the dialler's proof. The
//! answer has a record of 40 octets for each, in the same order: the listener's proof, and the last second, since 1970,
//! at which the listener takes the dialler's certificates for valid. A record of zeros says that the session is not
//! continued.

use std::time::Duration;

use pki_types::UnixTime;

use super::proof::{Proof, SessionId};

/// The octets of a session in a request, and in an answer.
const REQUESTED: usize = 64;
const ANSWERED: usize = 40;
/// The most sessions of one request.
pub(super) const MAX_SESSIONS: usize = 256;
/// The most octets of one request.
pub(in crate::gateway) const MAX_CONTINUE_REQUEST: usize = MAX_SESSIONS * REQUESTED;

/// The sessions that a dialler continues.
#[derive(PartialEq, Eq)]
pub(in crate::gateway) struct ContinueRequest(pub(super) Vec<(SessionId, Proof)>);

impl ContinueRequest {
    /// Returns the request of these octets; none if they are no sequence of 1 to 256 records.
    pub(in crate::gateway) fn parse(octets: &[u8]) -> Option<Self> {
        let (records, rest) = octets.as_chunks::<REQUESTED>();
        if records.is_empty() || records.len() > MAX_SESSIONS || !rest.is_empty() {
            return None;
        }
        let record = |record: &[u8; REQUESTED]| {
            let (id, proof) = record.split_first_chunk()?;
            Some((SessionId(*id), Proof(proof.try_into().ok()?)))
        };
        records.iter().map(record).collect::<Option<_>>().map(Self)
    }

    pub(in crate::gateway) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(id, proof)| [id.0, proof.0]).flatten().collect()
    }

    pub(in crate::gateway) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The outcome for each session of a request; none for one that is not continued.
#[derive(PartialEq, Eq)]
pub(in crate::gateway) struct ContinueAnswer(pub(super) Vec<Option<(Proof, UnixTime)>>);

impl ContinueAnswer {
    /// Returns the answer of these octets; none if they are no record for each of `sessions`.
    pub(in crate::gateway) fn parse(octets: &[u8], sessions: usize) -> Option<Self> {
        let (records, rest) = octets.as_chunks::<ANSWERED>();
        if records.len() != sessions || !rest.is_empty() {
            return None;
        }
        let record = |record: &[u8; ANSWERED]| {
            let (proof, until) = record.split_first_chunk::<32>()?;
            let seconds = u64::from_be_bytes(until.try_into().ok()?);
            Some((seconds > 0).then(|| (Proof(*proof), UnixTime::since_unix_epoch(Duration::from_secs(seconds)))))
        };
        records.iter().map(record).collect::<Option<_>>().map(Self)
    }

    pub(in crate::gateway) fn encode(&self) -> Vec<u8> {
        let record = |outcome: &Option<(Proof, UnixTime)>| {
            let (proof, seconds) = outcome.map_or(([0; 32], 0), |(proof, until)| (proof.0, until.as_secs()));
            proof.into_iter().chain(seconds.to_be_bytes())
        };
        self.0.iter().flat_map(record).collect()
    }

    /// Returns the number of sessions that are continued.
    pub(in crate::gateway) fn continued(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_1_to_256_records() {
        for records in [1, 2, MAX_SESSIONS] {
            let octets: Vec<u8> = (0..records * REQUESTED).map(|octet| octet as u8).collect();
            let request = ContinueRequest::parse(&octets).unwrap();
            assert_eq!((request.len(), request.encode() == octets), (records, true));
        }
        for octets in [0, 1, REQUESTED - 1, REQUESTED + 1, MAX_CONTINUE_REQUEST + 1, MAX_CONTINUE_REQUEST + REQUESTED] {
            assert!(ContinueRequest::parse(&vec![7; octets]).is_none(), "{octets}");
        }
    }

    #[test]
    fn an_answer_has_a_record_for_each_session() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let answer =
            ContinueAnswer(vec![Some((Proof([1; 32]), at(1_800_000_000))), None, Some((Proof([2; 32]), at(u64::MAX)))]);
        let octets = answer.encode();
        assert!(ContinueAnswer::parse(&octets, 3).unwrap() == answer);
        assert_eq!(answer.continued(), 2);
        assert!(ContinueAnswer::parse(&octets, 2).is_none() && ContinueAnswer::parse(&octets, 4).is_none());
        assert!(ContinueAnswer::parse(octets.get(1..).unwrap(), 3).is_none());
        // A proof without a time is no session that goes on.
        assert_eq!(
            ContinueAnswer::parse(&[1; 32].into_iter().chain([0; 8]).collect::<Vec<u8>>(), 1).unwrap().continued(),
            0
        );
    }
}
