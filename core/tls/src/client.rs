//! The client's handshake (RFC 8446 section 2, appendix A.1).

use edgetrust_core::identity::{AuthorizedPeer, ServerName, ServerPolicy};
use edgetrust_core::possession::{Signer, schemes};
use rand_core::CryptoRngCore;

use crate::agreement::Agreement;
use crate::alert::Alert;
use crate::codec::Reader;
use crate::connection::{Connection, Opened, Role};
use crate::credential::Credential;
use crate::error::{Error, Fault};
use crate::handshake::{Flow, Keys, NO_LIMIT};
use crate::key_schedule::{Early, Handshake};
use crate::limits::MIN_RECORD_SIZE;
use crate::message::certificate::{Entries, read_verify};
use crate::message::client_hello::Sent;
use crate::message::encrypted_extensions::EncryptedExtensions;
use crate::message::server_hello::{Answer, ServerHello};
use crate::message::{certificate_request, kind, split};
use crate::peer::{Demand, Peer, Shown, judge};
use crate::protection::{CipherSuite, TrafficKey};
use crate::record::{Output, content};
#[cfg(feature = "resumption")]
use crate::session::ClientSession;
use crate::state::State;

/// What a client brings to each step of a handshake. It must be the same at all of them.
pub struct ClientContext<'a, C, R> {
    /// The requirements on the server. A DNS name is sent as server_name too (RFC 6066 section 3).
    pub demand: Demand<'a, ServerPolicy<'a>>,
    /// The own certificate for a server that asks for one.
    pub credential: Option<&'a mut C>,
    /// The source of the ephemeral key and of the random.
    pub rng: &'a mut R,
    /// Sees the proof that the server is authorized, before the server has shown that it has the key.
    pub admitted: &'a mut dyn FnMut(&AuthorizedPeer<'_>),
    /// The cipher suites to offer, the best first: [`CipherSuite::ALL`].
    pub suites: &'a [CipherSuite],
    /// The protocols to offer (RFC 7301), or none.
    pub protocols: &'a [&'a [u8]],
    /// A session to resume. It is not offered if it came from another generation of the demand, or is too old.
    #[cfg(feature = "resumption")]
    pub session: Option<&'a ClientSession<[u8]>>,
}

/// The state of a handshake.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the larger one on")]
pub enum Progress {
    /// Send the output, and bring the next record.
    Pending,
    /// Send the output. The peer is authorized and has its key.
    Connected(Connection),
}

/// A client's handshake.
#[derive(Debug)]
pub struct ClientHandshake<'r> {
    flow: Flow<'r>,
    state: State,
    random: [u8; 32],
    agreement: Option<Agreement>,
    suite: Option<CipherSuite>,
    schedule: Option<Handshake>,
    shown: Option<Shown>,
    peer: Option<Peer>,
    protocol: Option<u8>,
    /// Whether the server asked for a certificate.
    is_asked: bool,
    /// Whether a session was offered.
    has_offered: bool,
}

// The steps are out of line, so that the stack of one is released before the next.
impl<'r> ClientHandshake<'r> {
    /// Writes the ClientHello. `room` is for messages of the server that come in parts: its chain must fit.
    /// `record_size_limit` is what [`crate::record_buffer`] was asked with (RFC 8449).
    ///
    /// # Errors
    /// [`Error::OutputFull`].
    pub fn start<C: Credential, R: CryptoRngCore>(
        room: &'r mut [u8],
        record_size_limit: u16,
        context: &mut ClientContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Self, Error> {
        let limit = record_size_limit.clamp(MIN_RECORD_SIZE, NO_LIMIT);
        let mut random = [0; 32];
        context.rng.fill_bytes(&mut random);
        let mut client = Self {
            flow: Flow::new(room, limit),
            state: State::Start,
            random,
            agreement: Some(Agreement::new(context.rng)),
            suite: None,
            schedule: None,
            shown: None,
            peer: None,
            protocol: None,
            is_asked: false,
            has_offered: false,
        };
        client.hello(context, None, out)?;
        client.state = State::WaitServerHello;
        Ok(client)
    }

    /// Takes a record of the server, header and all, which is decrypted in place.
    ///
    /// # Errors
    /// The reason that the handshake failed. The output has the alert for the server: send it, and close.
    pub fn receive<C: Credential, R: CryptoRngCore>(
        &mut self,
        record: &mut [u8],
        context: &mut ClientContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Progress, Error> {
        if matches!(self.state, State::Connected | State::Failed) {
            return Err(Error::Ended);
        }
        let room = self.flow.take_room();
        let outcome = self.record(record, &mut *room, context, out);
        self.flow.put_back(room);
        outcome.inspect_err(|error| {
            self.state = State::Failed;
            if let Some(alert) = error.alert() {
                // Without a place for the alert the connection just ends.
                let _ = out.alert(alert, self.flow.write.as_mut());
            }
        })
    }

    /// Writes an alert for a reason of the caller, and ends the handshake: the alert of an error of
    /// [`crate::Records::filled`], or one for a peer that takes too long.
    pub fn abort(&mut self, alert: Alert, out: &mut Output<'_>) {
        if !matches!(self.state, State::Connected | State::Failed) {
            // Without a place for the alert the connection just ends.
            let _ = out.alert(alert, self.flow.write.as_mut());
        }
        self.state = State::Failed;
    }

    fn record<C: Credential, R: CryptoRngCore>(
        &mut self,
        record: &mut [u8],
        room: &mut [u8],
        context: &mut ClientContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Progress, Error> {
        let mut octets = self.flow.open(record, true)?;
        loop {
            let (message, taken) = self.flow.next_message(octets, &mut *room)?;
            octets = octets.get(taken..).unwrap_or_default();
            let Some(message) = message else { return Ok(Progress::Pending) };
            let (kind, body) = split(message)?;
            self.state.expects(kind)?;
            let keys = match kind {
                kind::SERVER_HELLO => self.server_hello(message, body, context, out)?,
                kind::ENCRYPTED_EXTENSIONS => self.encrypted_extensions(message, body, context)?,
                kind::CERTIFICATE_REQUEST => self.certificate_request(message, body)?,
                kind::CERTIFICATE => self.certificate(message, body, context)?,
                kind::CERTIFICATE_VERIFY => self.certificate_verify(message, body, context)?,
                _ => {
                    self.flow.check_finished(body)?;
                    if !octets.is_empty() {
                        return Err(Error::Peer(Fault::KeyChange));
                    }
                    return self.finished(message, context, out).map(Progress::Connected);
                }
            };
            if keys == Keys::Changed && !octets.is_empty() {
                return Err(Error::Peer(Fault::KeyChange));
            }
        }
    }

    /// Writes a ClientHello, the first or the second with a cookie.
    #[inline(never)]
    fn hello<C, R>(
        &mut self,
        context: &ClientContext<'_, C, R>,
        cookie: Option<&[u8]>,
        out: &mut Output<'_>,
    ) -> Result<(), Error> {
        let agreement = self.agreement.as_ref().ok_or(Error::Ended)?;
        #[cfg(feature = "resumption")]
        let session = context.session.filter(|session| session.is_fit(&context.demand));
        let sent = Sent {
            random: &self.random,
            suites: context.suites,
            share: &agreement.share(),
            schemes: schemes(context.demand.trust.algorithms),
            server_name: server_name(context),
            protocols: context.protocols,
            record_size_limit: self.flow.own_limit,
            cookie,
            #[cfg(feature = "resumption")]
            ticket: session.and_then(|session| session.offer(&context.demand)),
        };
        let transcript = &mut self.flow.transcript;
        out.add(
            content::HANDSHAKE,
            None,
            NO_LIMIT,
            |w| sent.write(w),
            |message| {
                #[cfg(feature = "resumption")]
                if let Some(session) = session {
                    session.bind(message, transcript);
                }
                transcript.add(message);
            },
        )?;
        #[cfg(feature = "resumption")]
        {
            self.has_offered = session.is_some();
        }
        Ok(())
    }

    #[inline(never)]
    fn server_hello<C, R>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &ClientContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Keys, Error> {
        let hello = ServerHello::read(body, context.suites, self.has_offered)?;
        // RFC 8446 section 4.1.4: the suite of a HelloRetryRequest stays.
        if self.suite.is_some_and(|suite| suite != hello.suite) {
            return Err(Error::Peer(Fault::Illegal("cipher_suite")));
        }
        self.suite = Some(hello.suite);
        let (share, is_resumed) = match hello.answer {
            // RFC 8446 section 4.1.4: a second one is unexpected.
            Answer::Retry { .. } if self.state == State::WaitServerHelloAgain => {
                return Err(Error::Peer(Fault::UnexpectedMessage(kind::SERVER_HELLO)));
            }
            Answer::Retry { cookie } => {
                self.flow.transcript.retry();
                self.flow.transcript.add(message);
                self.hello(context, Some(cookie), out)?;
                self.state.go(kind::SERVER_HELLO, State::WaitServerHelloAgain);
                return Ok(Keys::Same);
            }
            Answer::Hello { share, is_resumed } => (share, is_resumed),
        };
        let shared = self.agreement.take().ok_or(Error::Ended)?.agree(share)?;
        let early = self.early(is_resumed, context)?;
        self.flow.transcript.add(message);
        let schedule = early.handshake(&shared);
        let secrets = schedule.traffic(&self.flow.transcript.hash());
        self.flow.read_with(hello.suite, secrets.server);
        self.flow.write_with(hello.suite, secrets.client);
        self.schedule = Some(schedule);
        self.state.go(kind::SERVER_HELLO, State::WaitEncryptedExtensions);
        Ok(Keys::Changed)
    }

    /// Begins the key schedule, with the session if the server took it.
    fn early<C, R>(&mut self, is_resumed: bool, context: &ClientContext<'_, C, R>) -> Result<Early, Error> {
        if !is_resumed {
            return Ok(Early::new(None));
        }
        #[cfg(feature = "resumption")]
        {
            let session = context.session.filter(|session| session.is_fit(&context.demand)).ok_or(Error::Ended)?;
            self.peer = Some(session.peer);
            Ok(Early::new(Some(&session.key)))
        }
        #[cfg(not(feature = "resumption"))]
        {
            // Nothing was offered, which is checked where the ServerHello is read.
            let _ = context;
            Err(Error::Ended)
        }
    }

    fn encrypted_extensions<C, R>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &ClientContext<'_, C, R>,
    ) -> Result<Keys, Error> {
        let found = EncryptedExtensions::read(body, context.protocols, server_name(context).is_some())?;
        self.protocol = found.protocol;
        if let Some(limit) = found.record_size_limit {
            self.flow.limit(limit);
        }
        self.flow.transcript.add(message);
        // Only a resumed session has its peer already.
        let next = if self.peer.is_some() { State::WaitServerFinished } else { State::WaitCertificateOrRequest };
        self.state.go(kind::ENCRYPTED_EXTENSIONS, next);
        Ok(Keys::Same)
    }

    fn certificate_request(&mut self, message: &[u8], body: Reader<'_>) -> Result<Keys, Error> {
        certificate_request::read(body)?;
        self.is_asked = true;
        self.flow.transcript.add(message);
        self.state.go(kind::CERTIFICATE_REQUEST, State::WaitServerCertificate);
        Ok(Keys::Same)
    }

    #[inline(never)]
    fn certificate<C, R>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &mut ClientContext<'_, C, R>,
    ) -> Result<Keys, Error> {
        let shown = judge(Entries::read(body)?, &context.demand, context.admitted)?;
        self.shown = Some(shown.ok_or(Error::Peer(Fault::NoServerCertificate))?);
        self.flow.transcript.add(message);
        self.state.go(kind::CERTIFICATE, State::WaitServerCertificateVerify);
        Ok(Keys::Same)
    }

    #[inline(never)]
    fn certificate_verify<C, R>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &ClientContext<'_, C, R>,
    ) -> Result<Keys, Error> {
        let (scheme, signature) = read_verify(body)?;
        let shown = self.shown.take().ok_or(Error::Ended)?;
        let hash = self.flow.transcript.hash();
        self.peer = Some(shown.prove(&context.demand, Signer::Server, &hash, scheme, signature)?);
        self.flow.transcript.add(message);
        self.state.go(kind::CERTIFICATE_VERIFY, State::WaitServerFinished);
        Ok(Keys::Same)
    }

    /// Answers the server's Finished, which was checked.
    #[inline(never)]
    fn finished<C: Credential, R>(
        &mut self,
        message: &[u8],
        context: &mut ClientContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Connection, Error> {
        let (Some(schedule), Some(suite), Some(peer)) = (self.schedule.take(), self.suite, self.peer) else {
            return Err(Error::Ended);
        };
        self.flow.transcript.add(message);
        let main = schedule.main();
        let hash = self.flow.transcript.hash();
        let secrets = main.traffic(&hash);
        if self.is_asked {
            self.flow.authenticate(out, Signer::Client, context.credential.as_deref_mut())?;
        }
        self.flow.finish(out)?;
        // The keys of the handshake are of no use any more.
        (self.flow.read, self.flow.write) = (None, None);
        self.state.go(kind::FINISHED, State::Connected);
        Ok(Connection::new(Opened {
            role: Role::Client,
            read: TrafficKey::new(suite, secrets.server),
            write: TrafficKey::new(suite, secrets.client),
            peer,
            protocol: self.protocol,
            own_limit: self.flow.own_limit,
            peer_limit: self.flow.peer_limit,
            #[cfg(feature = "exporter")]
            exporter: main.exporter(&hash),
            #[cfg(feature = "resumption")]
            resumption: main.resumption(&self.flow.transcript.hash()),
        }))
    }
}

/// Returns the name that is sent; an address is none (RFC 6066 section 3).
fn server_name<'a, C, R>(context: &ClientContext<'a, C, R>) -> Option<&'a str> {
    match context.demand.policy.name {
        ServerName::Dns(name) => Some(name),
        ServerName::Ip(_) => None,
    }
}
