//! Decides what is said next on a connection to another gateway, and when. It has no socket and no clock of its own.

use std::collections::VecDeque;
use std::time::Duration;

use edgetrust_core::mesh::{Digest, Edition};
use hyper::StatusCode;
use tokio::time::Instant;

use super::answers::HOLD;
use super::close_reason::{CloseReason, shown};
use crate::gateway::mesh_kept::Offered;
use crate::gateway::served_mesh::{MAX_RIVALS, ServedMesh, ServedTag, SignedText};

/// The time for an answer, beyond what the other side holds it back, and for its body.
pub const ARRIVAL: Duration = Duration::from_secs(15);
/// The time for an answer to a request for the mesh.
pub const GET_PATIENCE: Duration = HOLD.saturating_add(ARRIVAL);
/// The time for an answer to an offer.
pub const PUT_PATIENCE: Duration = ARRIVAL.saturating_add(ARRIVAL);
/// The wait where nothing can be agreed on for now.
pub const PAUSE: Duration = Duration::from_secs(10);
/// The least time between two requests.
const BETWEEN: Duration = Duration::from_secs(1);
/// Whoever waits for less than this was not waiting for another mesh.
const AT_ONCE: Duration = Duration::from_secs(HOLD.as_secs() / 2);

/// The progress of one connection.
#[derive(Debug)]
pub struct Dialogue {
    since: Instant,
    /// The time before which no other request is sent.
    next: Instant,
    /// True if the other side has waited for another mesh.
    waited: bool,
    /// True if the other side has shown a mesh that is known here.
    was_known: bool,
    /// The texts that were brought last, and the answers.
    brought: VecDeque<(Edition, StatusCode)>,
    /// Rivals that are refused here, as expired ones are, and those that are refused there: nothing more is said of them.
    refused_here: Vec<Digest>,
    refused_there: Vec<Digest>,
    /// The other side's reason to refuse the mesh in force here.
    refuses: Option<String>,
}

/// The answer to a request for the mesh, or what to do after it.
#[derive(Debug)]
pub enum Got {
    /// A mesh follows, which is to be judged.
    Mesh,
    /// There is nothing to judge.
    Nothing(Step),
}

/// The next thing to do on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the mesh.
    Ask,
    /// Ask for the mesh after [`PAUSE`].
    Pause,
    /// Bring what the other side does not know: the answer of this code asks for it.
    Bring(StatusCode),
}

impl Dialogue {
    /// Begins when the other side has agreed to speak.
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            next: now,
            waited: false,
            was_known: false,
            brought: VecDeque::new(),
            refused_here: Vec::new(),
            refused_there: Vec::new(),
            refuses: None,
        }
    }

    /// Returns the time when the other side has agreed to speak.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Returns whether the other side has waited for another mesh.
    pub fn has_waited(&self) -> bool {
        self.waited
    }

    /// Returns the time before which no other request is sent.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that a request is sent.
    pub fn sent(&mut self, now: Instant) {
        self.next = now.checked_add(BETWEEN).unwrap_or(now);
    }

    /// Returns the entity tag of what is known here, for a request.
    pub fn tag(&self, served: &ServedMesh) -> ServedTag {
        let mut tag = served.tag();
        tag.rivals.retain(|rival| !self.refused_there.contains(rival));
        tag.rivals.extend(&self.refused_here);
        tag
    }

    /// Takes the answer to a request for the mesh, which took this time.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn answered(&mut self, code: StatusCode, took: Duration) -> Result<Got, CloseReason> {
        match code {
            StatusCode::NOT_MODIFIED if took < AT_ONCE => Err(CloseReason::AtOnce),
            StatusCode::NOT_MODIFIED => {
                self.waited = true;
                Ok(Got::Nothing(Step::Ask))
            }
            StatusCode::OK => Ok(Got::Mesh),
            // The other side does not know this gateway yet, or a rival that is known here.
            StatusCode::FORBIDDEN | StatusCode::CONFLICT => Ok(Got::Nothing(Step::Bring(code))),
            other => Err(CloseReason::Answer(other)),
        }
    }

    /// Takes the verdict on the text that the other side has shown, in an answer with the tag `there` to a request with the
    /// tag `own`.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn judged(
        &mut self,
        verdict: Result<Offered, String>,
        own: &ServedTag,
        there: Option<&ServedTag>,
    ) -> Result<Step, CloseReason> {
        match verdict {
            // It comes into force with a reload, which dials anew.
            Ok(Offered::Taken(_) | Offered::Conflict(true)) => Ok(Step::Pause),
            Ok(Offered::InForce) if self.was_known => Err(CloseReason::Known),
            Ok(Offered::InForce) => {
                self.was_known = true;
                Ok(Step::Pause)
            }
            Ok(Offered::Older(_) | Offered::Conflict(false)) => Ok(Step::Bring(StatusCode::OK)),
            Err(reason) => match rival_shown(own, there).filter(|_| self.refused_here.len() < MAX_RIVALS) {
                Some(rival) => {
                    self.refused_here.push(rival);
                    Ok(Step::Ask)
                }
                // What the other side has in force may be refused here for what the newer mesh says: it does not know that yet.
                None if there.is_some_and(|there| there.is_beside(own) || there.edition < own.edition) => {
                    Ok(Step::Bring(StatusCode::OK))
                }
                None => Err(CloseReason::Refused(shown(&reason))),
            },
        }
    }

    /// Returns the text to bring to a gateway that has sent the tag `there`: the mesh in force if it knows all.
    pub fn to_bring<'s>(&self, served: &'s ServedMesh, there: Option<&ServedTag>) -> &'s SignedText {
        let wanted = |text: &&SignedText| !self.refused_there.contains(&text.edition.digest);
        let there = there.filter(|there| there.is_beside(&served.tag()));
        there.and_then(|there| served.unknown_to(there).find(wanted)).unwrap_or(&served.in_force)
    }

    /// Checks that the text was not brought on this connection yet, after an answer that asks for it.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn may_bring(&self, edition: Edition, asked: StatusCode) -> Result<(), CloseReason> {
        match self.brought.iter().find(|(brought, _)| *brought == edition) {
            Some((_, answer)) => Err(match &self.refuses {
                Some(reason) if *answer == StatusCode::UNPROCESSABLE_ENTITY => CloseReason::Refuses(reason.clone()),
                _ => CloseReason::InVain(*answer, asked),
            }),
            None => Ok(()),
        }
    }

    /// Takes the answer to an offer of the mesh in force, or of a rival of it; `reason` is the answer's body where the text is
    /// refused.
    ///
    /// # Errors
    /// Returns why the connection ends.
    pub fn brought(
        &mut self,
        (edition, is_rival): (Edition, bool),
        code: StatusCode,
        reason: &[u8],
    ) -> Result<(), CloseReason> {
        match code {
            // With CONFLICT it has another one by now, and is asked for that.
            StatusCode::NO_CONTENT | StatusCode::CONFLICT => {}
            StatusCode::TOO_MANY_REQUESTS => return Err(CloseReason::Busy),
            StatusCode::UNPROCESSABLE_ENTITY if is_rival => self.refused_there.push(edition.digest),
            // The other side may have what this one does not know yet, and refuses it for that: it is asked once more.
            StatusCode::UNPROCESSABLE_ENTITY => self.refuses = Some(shown(&String::from_utf8_lossy(reason))),
            other => return Err(CloseReason::Answer(other)),
        }
        if self.brought.len() > MAX_RIVALS {
            self.brought.pop_front();
        }
        self.brought.push_back((edition, code));
        Ok(())
    }
}

/// Returns the rival that an answer with the tag `there` shows to a request with the tag `own`; none if it shows its mesh in
/// force.
fn rival_shown(own: &ServedTag, there: Option<&ServedTag>) -> Option<Digest> {
    let there = there.filter(|there| there.is_beside(own) && own.names(&there.edition.digest))?;
    there.rivals.iter().copied().find(|rival| !own.names(rival))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::answers::{OfRequest, of_request};
    use super::*;

    fn text(digest: &[u8]) -> SignedText {
        let edition = Edition { generation: 1, sequence: 2, digest: Digest::of(digest) };
        SignedText { text: Arc::from("signed"), edition }
    }

    fn served(in_force: &[u8], rivals: &[&[u8]]) -> ServedMesh {
        ServedMesh { in_force: text(in_force), rivals: rivals.iter().map(|rival| text(rival)).collect() }
    }

    fn refused() -> Result<Offered, String> {
        Err("expired".to_owned())
    }

    /// A text that the other side refuses is brought once, and no longer named, so that nobody asks for it again.
    #[test]
    fn a_rival_that_is_refused_there_ends_nothing() {
        let (own, there) = (served(b"a", &[b"b"]), served(b"a", &[]));
        let mut dialogue = Dialogue::new(Instant::now());
        assert_eq!(of_request(&there, Some(&dialogue.tag(&own))), OfRequest::Bring);
        let step = dialogue.answered(StatusCode::CONFLICT, Duration::ZERO).unwrap();
        assert!(matches!(step, Got::Nothing(Step::Bring(StatusCode::CONFLICT))));
        let brought = dialogue.to_bring(&own, Some(&there.tag())).edition;
        assert_eq!(brought, own.rivals[0].edition);
        dialogue.may_bring(brought, StatusCode::CONFLICT).unwrap();
        dialogue.brought((brought, true), StatusCode::UNPROCESSABLE_ENTITY, b"expired").unwrap();
        assert_eq!(of_request(&there, Some(&dialogue.tag(&own))), OfRequest::Wait);
        // The mesh in force is another matter.
        dialogue.brought((own.in_force.edition, false), StatusCode::UNPROCESSABLE_ENTITY, b"expired").unwrap();
        let again = dialogue.may_bring(own.in_force.edition, StatusCode::OK);
        assert!(matches!(again, Err(CloseReason::Refuses(reason)) if reason == "expired"));
    }

    #[test]
    fn a_rival_that_is_refused_here_ends_nothing() {
        let (own, there) = (served(b"a", &[]), served(b"a", &[b"b", b"c"]));
        let mut dialogue = Dialogue::new(Instant::now());
        for rival in &there.rivals {
            let tag = dialogue.tag(&own);
            assert_eq!(of_request(&there, Some(&tag)), OfRequest::Show(rival.clone()));
            assert_eq!(dialogue.judged(refused(), &tag, Some(&there.tag())).unwrap(), Step::Ask);
        }
        let tag = dialogue.tag(&own);
        assert_eq!(of_request(&there, Some(&tag)), OfRequest::Wait);
        // Nobody can name one after the other for ever: it is brought what is in force here, once.
        let more = served(b"a", &[b"d"]);
        assert_eq!(dialogue.judged(refused(), &tag, Some(&more.tag())).unwrap(), Step::Bring(StatusCode::OK));
    }

    /// A mesh may be refused for what a newer one says of its signer: then whoever has it is brought the newer one.
    #[test]
    fn whoever_has_an_older_mesh_that_is_refused_is_brought_the_newer_one() {
        let own = served(b"a", &[]);
        let of = |sequence| ServedTag { edition: Edition { sequence, ..text(b"b").edition }, rivals: Vec::new() };
        let mut dialogue = Dialogue::new(Instant::now());
        for older in [of(1), of(2)] {
            assert_eq!(dialogue.judged(refused(), &own.tag(), Some(&older)).unwrap(), Step::Bring(StatusCode::OK));
        }
        for newer in [Some(of(3)), None] {
            let judged = dialogue.judged(refused(), &own.tag(), newer.as_ref());
            assert!(matches!(judged, Err(CloseReason::Refused(_))));
        }
    }

    /// Of more texts than are kept one is refused here: what the other side does not keep is brought once.
    #[test]
    fn nobody_asks_for_what_it_would_not_keep() {
        let mut all = [b"a", b"b", b"c", b"d"];
        all.sort_by_key(|name| std::cmp::Reverse(Digest::of(*name)));
        let [first, second, third, fourth] = all.map(|name| &name[..]);
        assert_eq!(
            of_request(&served(first, &[second, third]), Some(&served(first, &[second, fourth]).tag())),
            OfRequest::Show(text(third))
        );
        let mut tag = served(first, &[second, fourth]).tag();
        tag.rivals.push(text(third).edition.digest);
        assert_eq!(of_request(&served(first, &[second, third]), Some(&tag)), OfRequest::Wait);
        assert_eq!(of_request(&served(first, &[second, fourth]), Some(&tag)), OfRequest::Bring);
    }

    #[test]
    fn nobody_asks_for_the_same_text_for_ever() {
        let (own, there) = (served(b"a", &[b"b"]), served(b"a", &[]));
        let mut dialogue = Dialogue::new(Instant::now());
        let brought = dialogue.to_bring(&own, Some(&there.tag())).edition;
        dialogue.brought((brought, true), StatusCode::NO_CONTENT, b"").unwrap();
        let again = dialogue.may_bring(brought, StatusCode::CONFLICT);
        assert!(matches!(again, Err(CloseReason::InVain(StatusCode::NO_CONTENT, StatusCode::CONFLICT))));
        // Whoever names no tag, or one of another sequence, is brought the mesh in force.
        let other = Edition { sequence: 1, ..own.in_force.edition };
        for there in [None, Some(ServedTag { edition: other, rivals: vec![own.in_force.edition.digest] })] {
            assert_eq!(dialogue.to_bring(&own, there.as_ref()), &own.in_force);
        }
    }

    /// Two gateways with any texts of one sequence end with the same ones.
    #[test]
    fn each_side_hears_what_it_does_not_know() {
        for (own, there, expected) in [
            (served(b"a", &[]), served(b"b", &[]), OfRequest::Show(text(b"b"))),
            (served(b"a", &[b"b"]), served(b"b", &[]), OfRequest::Bring),
            (served(b"b", &[]), served(b"a", &[b"b"]), OfRequest::Show(text(b"a"))),
            (served(b"a", &[b"b"]), served(b"a", &[b"c"]), OfRequest::Show(text(b"c"))),
            (served(b"a", &[b"b", b"c"]), served(b"a", &[b"c"]), OfRequest::Bring),
            (served(b"a", &[b"b", b"c"]), served(b"a", &[b"b", b"c"]), OfRequest::Wait),
        ] {
            assert_eq!(of_request(&there, Some(&own.tag())), expected);
        }
        let brought = |own: &ServedMesh, there: &ServedMesh| {
            Dialogue::new(Instant::now()).to_bring(own, Some(&there.tag())).edition
        };
        assert_eq!(brought(&served(b"a", &[b"b"]), &served(b"b", &[])), text(b"a").edition);
        assert_eq!(brought(&served(b"a", &[b"b", b"c"]), &served(b"a", &[b"c"])), text(b"b").edition);
    }
}
