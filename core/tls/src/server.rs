//! The server's handshake (RFC 8446 section 2, appendix A.2). Each client must show a certificate, or resume a session
//! for which it showed one.

use edgetrust_core::identity::{AuthorizedPeer, PeerPolicy};
use edgetrust_core::possession::{Signer, schemes};
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};

use crate::agreement::Agreement;
use crate::alert::Alert;
use crate::client::Progress;
use crate::codec::Reader;
use crate::connection::{Connection, Opened, Role};
use crate::credential::Credential;
use crate::error::{Error, Fault};
use crate::handshake::{Flow, Keys, NO_LIMIT};
use crate::key_schedule::{Early, Hash, Main};
use crate::limits::MIN_RECORD_SIZE;
use crate::message::certificate::{Entries, read_verify};
use crate::message::client_hello::ClientHello;
use crate::message::encrypted_extensions::EncryptedExtensions;
use crate::message::{certificate_request, kind, server_hello, split};
use crate::peer::{Demand, Peer, Shown, judge};
use crate::protection::{CipherSuite, TrafficKey};
use crate::record::Output;
use crate::secret::Secret;
#[cfg(feature = "resumption")]
use crate::session::{self, ServerSession};
use crate::state::State;

/// What a server brings to each step of a handshake. It must be the same at all of them.
pub struct ServerContext<'a, C, R> {
    /// The requirements on clients.
    pub demand: Demand<'a, PeerPolicy<'a>>,
    /// The own certificate.
    pub credential: &'a mut C,
    /// The source of ephemeral keys, randoms and the names of tickets.
    pub rng: &'a mut R,
    /// Sees the proof that the client is authorized, before the client has shown that it has the key.
    pub admitted: &'a mut dyn FnMut(&AuthorizedPeer<'_>),
    /// The cipher suites, the preferred one first: [`CipherSuite::ALL`].
    pub suites: &'a [CipherSuite],
    /// The protocols, the preferred one first (RFC 7301), or none.
    pub protocols: &'a [&'a [u8]],
    /// The names that clients may ask for (RFC 6066 section 3); `None` for any. A client may ask for none.
    pub names: Option<&'a [&'a str]>,
    /// The place for sessions, each for one client and for one resumption. All of them must be for this demand.
    #[cfg(feature = "resumption")]
    pub sessions: Option<&'a mut [Option<ServerSession>]>,
}

/// A server's handshake.
#[derive(Debug)]
pub struct ServerHandshake<'r> {
    flow: Flow<'r>,
    state: State,
    suite: Option<CipherSuite>,
    /// The hash of what must stay the same after a HelloRetryRequest.
    fixed: Option<Hash>,
    main: Option<Main>,
    /// The secret of the client's application data, which follows its Finished.
    client: Option<Secret>,
    #[cfg(feature = "exporter")]
    exporter: Option<Secret>,
    /// Whether the client can use a ticket.
    #[cfg(feature = "resumption")]
    resumes: bool,
    shown: Option<Shown>,
    peer: Option<Peer>,
    protocol: Option<u8>,
}

/// A session that a client may resume: its number among those of the server, its key, its peer.
type Resumed = Option<(u16, Secret, Peer)>;

// The steps are out of line, so that the stack of one is released before the next.
impl<'r> ServerHandshake<'r> {
    /// Waits for a ClientHello. `room` is for messages of the client that come in parts: its chain must fit.
    /// `record_size_limit` is what [`crate::record_buffer`] was asked with (RFC 8449).
    pub fn new(room: &'r mut [u8], record_size_limit: u16) -> Self {
        let limit = record_size_limit.clamp(MIN_RECORD_SIZE, NO_LIMIT);
        Self {
            flow: Flow::new(room, limit),
            state: State::WaitClientHello,
            suite: None,
            fixed: None,
            main: None,
            client: None,
            #[cfg(feature = "exporter")]
            exporter: None,
            #[cfg(feature = "resumption")]
            resumes: false,
            shown: None,
            peer: None,
            protocol: None,
        }
    }

    /// Takes a record of the client, header and all, which is decrypted in place.
    ///
    /// # Errors
    /// The reason that the handshake failed. The output has the alert for the client: send it, and close.
    pub fn receive<C: Credential, R: CryptoRngCore>(
        &mut self,
        record: &mut [u8],
        context: &mut ServerContext<'_, C, R>,
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
        context: &mut ServerContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Progress, Error> {
        let mut octets = self.flow.open(record, self.state != State::WaitClientHello)?;
        loop {
            let (message, taken) = self.flow.next_message(octets, &mut *room)?;
            octets = octets.get(taken..).unwrap_or_default();
            let Some(message) = message else { return Ok(Progress::Pending) };
            let (kind, body) = split(message)?;
            self.state.expects(kind)?;
            let keys = match kind {
                kind::CLIENT_HELLO => self.client_hello(message, body, context, out)?,
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

    #[inline(never)]
    fn client_hello<C: Credential, R: CryptoRngCore>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &mut ServerContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Keys, Error> {
        let hello = ClientHello::read(body)?;
        let is_again = self.state == State::WaitClientHelloAgain;
        let fixed: Hash = Sha256::digest(hello.fixed).into();
        // RFC 8446 section 4.1.2: the second ClientHello brings the share that was asked for and no early data, and is the
        // same otherwise.
        if is_again && (self.fixed != Some(fixed) || !hello.is_only_share || hello.has_early_data) {
            return Err(Error::Peer(Fault::Illegal("ClientHello")));
        }
        let took_name = is_known(hello.server_name, context.names)?;
        let suite = hello.suite(context.suites)?;
        let protocol = hello.protocol(context.protocols)?;
        let Some(share) = hello.share else {
            if is_again {
                return Err(Error::Peer(Fault::Illegal("key_share")));
            }
            self.flow.transcript.add(message);
            self.flow.transcript.retry();
            self.flow.send(out, |w| server_hello::write_retry(w, hello.session_id, suite))?;
            if !hello.session_id.is_empty() {
                out.change_cipher_spec()?;
            }
            (self.suite, self.fixed) = (Some(suite), Some(fixed));
            self.state.go(kind::CLIENT_HELLO, State::WaitClientHelloAgain);
            return Ok(Keys::Same);
        };
        let resumed = self.resumed(message, &hello, context)?;
        if resumed.is_none() {
            hello.scheme()?;
        }
        self.flow.transcript.add(message);

        let agreement = Agreement::new(context.rng);
        let own_share = agreement.share();
        let shared = agreement.agree(share)?;
        let mut random = [0; 32];
        context.rng.fill_bytes(&mut random);
        let index = resumed.as_ref().map(|(index, ..)| *index);
        self.flow.send(out, |w| server_hello::write(w, &random, hello.session_id, suite, &own_share, index))?;
        // RFC 8446 appendix D.4: once, after the first message.
        if !hello.session_id.is_empty() && !is_again {
            out.change_cipher_spec()?;
        }
        let schedule = Early::new(resumed.as_ref().map(|(_, key, _)| key)).handshake(&shared);
        let secrets = schedule.traffic(&self.flow.transcript.hash());
        self.flow.write_with(suite, secrets.server);
        self.flow.read_with(suite, secrets.client);
        if let Some(limit) = hello.record_size_limit {
            self.flow.limit(limit);
        }
        let answer =
            EncryptedExtensions { protocol, record_size_limit: hello.record_size_limit.map(|_| self.flow.own_limit) };
        self.flow.send(out, |w| answer.write(w, context.protocols, took_name))?;
        if resumed.is_none() {
            self.flow.send(out, |w| certificate_request::write(w, schemes(context.demand.trust.algorithms)))?;
            self.flow.authenticate(out, Signer::Server, Some(&mut *context.credential))?;
        }
        self.flow.finish(out)?;

        let hash = self.flow.transcript.hash();
        let main = schedule.main();
        let secrets = main.traffic(&hash);
        self.flow.write_with(suite, secrets.server);
        self.client = Some(secrets.client);
        #[cfg(feature = "exporter")]
        {
            self.exporter = Some(main.exporter(&hash));
        }
        #[cfg(feature = "resumption")]
        {
            self.resumes = hello.resumes;
        }
        (self.main, self.suite, self.protocol) = (Some(main), Some(suite), protocol);
        self.peer = resumed.map(|(_, _, peer)| peer);
        let next = if self.peer.is_some() { State::WaitClientFinished } else { State::WaitClientCertificate };
        self.state.go(kind::CLIENT_HELLO, next);
        Ok(Keys::Changed)
    }

    /// Looks for a session that the client offers, and takes it away if the client has its key.
    #[cfg(feature = "resumption")]
    fn resumed<C, R>(
        &self,
        message: &[u8],
        hello: &ClientHello<'_>,
        context: &mut ServerContext<'_, C, R>,
    ) -> Result<Resumed, Error> {
        let (Some(offered), Some(sessions)) = (&hello.offered, context.sessions.as_deref_mut()) else {
            return Ok(None);
        };
        let demand = &context.demand;
        let found = offered.find(|identity| session::position(sessions, identity, demand))?;
        let Some((index, binder, position)) = found else { return Ok(None) };
        let slot = sessions.get_mut(position).ok_or(Error::Ended)?;
        let covered = message.get(..message.len().saturating_sub(offered.uncovered)).unwrap_or_default();
        let expected = slot.as_ref().ok_or(Error::Ended)?.binder(&self.flow.transcript.hash_with(covered));
        let is_bound = <&Hash>::try_from(binder).is_ok_and(|binder| crate::key_schedule::is_equal(binder, &expected));
        if !is_bound {
            return Err(Error::Peer(Fault::Binder));
        }
        // Each session is resumed once: what a ticket protects does not depend on an older secret alone.
        let session = slot.take().ok_or(Error::Ended)?;
        Ok(Some((index, session.key, session.peer)))
    }

    #[cfg(not(feature = "resumption"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "the same call with and without sessions")]
    fn resumed<C, R>(
        &self,
        _message: &[u8],
        _hello: &ClientHello<'_>,
        _context: &mut ServerContext<'_, C, R>,
    ) -> Result<Resumed, Error> {
        Ok(None)
    }

    #[inline(never)]
    fn certificate<C, R>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &mut ServerContext<'_, C, R>,
    ) -> Result<Keys, Error> {
        let shown = judge(Entries::read(body)?, &context.demand, context.admitted)?;
        // RFC 8446 section 4.4.2.4
        self.shown = Some(shown.ok_or(Error::Peer(Fault::NoClientCertificate))?);
        self.flow.transcript.add(message);
        self.state.go(kind::CERTIFICATE, State::WaitClientCertificateVerify);
        Ok(Keys::Same)
    }

    #[inline(never)]
    fn certificate_verify<C, R>(
        &mut self,
        message: &[u8],
        body: Reader<'_>,
        context: &ServerContext<'_, C, R>,
    ) -> Result<Keys, Error> {
        let (scheme, signature) = read_verify(body)?;
        let shown = self.shown.take().ok_or(Error::Ended)?;
        let hash = self.flow.transcript.hash();
        self.peer = Some(shown.prove(&context.demand, Signer::Client, &hash, scheme, signature)?);
        self.flow.transcript.add(message);
        self.state.go(kind::CERTIFICATE_VERIFY, State::WaitClientFinished);
        Ok(Keys::Same)
    }

    /// Opens the connection after the client's Finished, which was checked.
    #[inline(never)]
    fn finished<C, R: CryptoRngCore>(
        &mut self,
        message: &[u8],
        context: &mut ServerContext<'_, C, R>,
        out: &mut Output<'_>,
    ) -> Result<Connection, Error> {
        let (Some(main), Some(suite), Some(peer)) = (self.main.take(), self.suite, self.peer) else {
            return Err(Error::Ended);
        };
        let (Some(client), Some(write)) = (self.client.take(), self.flow.write.take()) else {
            return Err(Error::Ended);
        };
        // The key of the handshake is of no use any more.
        self.flow.read = None;
        self.flow.transcript.add(message);
        self.state.go(kind::FINISHED, State::Connected);
        #[cfg(not(feature = "resumption"))]
        drop(main);
        #[cfg_attr(not(feature = "resumption"), expect(unused_mut, reason = "a ticket writes"))]
        let mut connection = Connection::new(Opened {
            role: Role::Server,
            read: TrafficKey::new(suite, client),
            write,
            peer,
            protocol: self.protocol,
            own_limit: self.flow.own_limit,
            peer_limit: self.flow.peer_limit,
            #[cfg(feature = "exporter")]
            exporter: self.exporter.take().ok_or(Error::Ended)?,
            #[cfg(feature = "resumption")]
            resumption: main.resumption(&self.flow.transcript.hash()),
        });
        #[cfg(feature = "resumption")]
        // RFC 8446 section 4.2.9: no tickets that do not fit the client's modes.
        if let Some(sessions) = context.sessions.as_deref_mut().filter(|_| self.resumes) {
            connection.issue(sessions, &context.demand, context.rng, out)?;
        }
        #[cfg(not(feature = "resumption"))]
        // Only a ticket needs them.
        let _ = (context, out);
        Ok(connection)
    }
}

/// Checks the name that a client asks for, and returns whether it asked for one that counts.
fn is_known(asked: Option<&str>, names: Option<&[&str]>) -> Result<bool, Error> {
    match (asked, names) {
        (Some(asked), Some(names)) if names.iter().any(|name| name.eq_ignore_ascii_case(asked)) => Ok(true),
        (Some(_), Some(_)) => Err(Error::Peer(Fault::ServerName)),
        (Some(_) | None, _) => Ok(false),
    }
}
