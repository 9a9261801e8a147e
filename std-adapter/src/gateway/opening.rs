//! Opens a connection until it can carry bytes: handshake, verdict, the tunnel's permit, the target.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use edgetrust_core::config::ProxyProtocol;
use edgetrust_core::identity::without_root;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::balancer::{Unheard, header};
use super::continuation::OwnCertificate;
use super::counters::RefusalReason;
use super::door::{Guest, Turned};
use super::handshakes::Begun;
use super::proxy_header::{Ends, HeaderFault};
use super::proxy_protocol::Header;
use super::session::{Dialled, Opened, Streams};
use super::shares::{Permit, Shares};
use super::socket::{Remote, Socket};
use super::state::{Common, ListenerState};
use super::targets::{Reached, Targets, Unreached};
use super::tunnel::{Route, RouteKind};
use crate::tls::{
    AcceptError, Admission, Agreed, Anyone, ClientHello, HandshakeFailure, ServerStream, ShownCertificate, is_alert,
};

/// An accepted connection that has its turn.
pub(super) struct Visitor {
    pub(super) socket: Socket,
    pub(super) remote: Remote,
    pub(super) guest: Guest,
    /// The permit, if there is no handshake to wait for.
    pub(super) permit: Option<Permit>,
    /// True if it came through a load balancer, whose header is to be read first.
    pub(super) balanced: bool,
}

/// The reason a connection never carried a byte.
pub(super) enum Refused {
    Peer(AcceptError),
    NoTunnel(Option<String>),
    Target(String, io::Error),
    Deadline,
    /// It came past the load balancer.
    NoBalancer,
    /// Its load balancer does not say who it is.
    Balancer(HeaderFault),
    Limit(Turned),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => error.fmt(f),
            Self::NoTunnel(Some(name)) => write!(f, "no tunnel here is for the server name {name:?}"),
            Self::NoTunnel(None) => f.write_str("no tunnel here is for clients without a server name"),
            Self::Target(target, error) => write!(f, "target {target}: {error}"),
            Self::Deadline => f.write_str("no handshake and no target within the deadline"),
            Self::NoBalancer => f.write_str("its address is none of the load balancers' (accept_proxy)"),
            Self::Balancer(fault) => fault.fmt(f),
            Self::Limit(turned) => turned.fmt(f),
        }
    }
}

impl Refused {
    /// Returns the certificate that a refused peer showed.
    pub(super) fn shown(&self) -> Option<&ShownCertificate> {
        match self {
            Self::Peer(error) => error.shown(),
            _ => None,
        }
    }

    /// Returns whether the peer's certificate has a path to a trust anchor, or the peer had been authorized.
    pub(super) fn is_of_verified(&self) -> bool {
        match self {
            Self::Peer(error) => error.is_of_verified(),
            Self::Target(..) => true,
            _ => false,
        }
    }

    /// Returns whether nothing was read from the peer: it came past the load balancer, or a limit turned it away.
    pub(super) fn is_of_unread(&self) -> bool {
        matches!(self, Self::NoBalancer | Self::Limit(_))
    }

    pub(super) fn kind(&self) -> RefusalReason {
        match self {
            Self::Peer(AcceptError::Refused(..)) => RefusalReason::Peer,
            Self::Peer(AcceptError::Io(_) | AcceptError::LeftSilently | AcceptError::Settings(_)) => {
                RefusalReason::Handshake
            }
            Self::NoTunnel(_) => RefusalReason::ServerName,
            Self::Target(..) => RefusalReason::Target,
            Self::Deadline => RefusalReason::Deadline,
            Self::NoBalancer | Self::Balancer(_) => RefusalReason::Proxy,
            Self::Limit(_) => RefusalReason::Limit,
        }
    }
}

impl From<Turned> for Refused {
    fn from(turned: Turned) -> Self {
        Self::Limit(turned)
    }
}

impl From<Unheard> for Refused {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Fault(fault) => Self::Balancer(fault),
            Unheard::Connection(error) => Self::Peer(error),
        }
    }
}

impl From<AcceptError> for Refused {
    fn from(error: AcceptError) -> Self {
        Self::Peer(error)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Peer(error.into())
    }
}

/// The purpose of an accepted connection.
pub(super) enum Opening {
    /// It carries octets, and counts in its tunnel's share.
    Session(Opened, Permit),
    /// A CA validated this name (RFC 8737), and nothing follows.
    Validation(String),
    /// Another gateway has asked for the control channel.
    Control(Box<ServerStream<Socket>>, Admission),
}

pub(super) type Failed = (Option<Arc<Route>>, Refused);

/// Runs the handshake and judges the peer, then takes a permit, then connects to the target: no unauthorized peer
/// reaches the target. The socket of a peer that was refused with an alert is left in `told`.
pub(super) async fn open(
    state: &ListenerState,
    socket: Socket,
    guest: &mut Guest,
    permit: Option<Permit>,
    common: &Common,
    ends: Option<Ends>,
    told: &mut Option<Socket>,
) -> Result<Opening, Failed> {
    let Common { shares, control, .. } = common;
    let by_hello = |route: &&Arc<Route>| control.is_on() && control.server(&route.name).is_some();
    let Some(route) = state.only_route().filter(|route| !by_hello(route)) else {
        return open_by_hello(state, socket, guest, common, ends, told).await;
    };
    let opened = async {
        match &route.kind {
            RouteKind::Server { tls, targets, .. } => {
                let begun = route.counters.handshakes().begin(std::time::Instant::now());
                let (stream, admission) = shake(guest, begun, tls.accept_telling(socket, told)).await?;
                forward((route, targets), stream, admission, guest, shares, ends).await
            }
            RouteKind::Plain { .. } | RouteKind::Client { .. } => {
                guest.stand_up();
                open_known(route, socket, permit, shares, ends, told).await
            }
        }
    };
    opened.await.map_err(|refused| (Some(route.clone()), refused))
}

/// Returns the addresses of a client and of where it connected: as its load balancer says, or else those of the socket.
fn addresses(socket: &Socket, ends: Option<Ends>) -> Option<(SocketAddr, SocketAddr)> {
    ends.map(|Ends { from, to }| (from, to)).or_else(|| socket.addresses())
}

/// Learns from a load balancer who connects: `remote`, to which the limits of sources apply only now.
pub(super) async fn through_balancer(
    socket: &mut Socket,
    guest: &mut Guest,
    remote: &mut Remote,
) -> Result<Option<Ends>, Refused> {
    let found = show_out(guest, async { Ok(header(socket).await?) }).await;
    let found = found.and_then(|ends| {
        if let Some(Ends { from, .. }) = ends {
            *remote = Remote(Some(from));
            guest.come_from(from, Instant::now())?;
        }
        Ok(ends)
    });
    if found.is_err() {
        // Octets that were not read make it one anyway, and to a plaintext client an orderly end would be an answer.
        socket.reset_on_close();
    }
    found
}

/// Runs a handshake, and gives up if a newer connection takes its seat.
async fn show_out<T>(guest: &Guest, handshake: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    tokio::select! {
        biased;
        turned = guest.shown_out() => Err(turned.into()),
        done = handshake => done,
    }
}

/// Runs a server's handshake to its end, and counts it.
async fn shake(
    guest: &Guest,
    begun: Begun<'_>,
    handshake: impl Future<Output = Result<(ServerStream<Socket>, Admission), AcceptError>>,
) -> Result<(ServerStream<Socket>, Admission), Refused> {
    let done = show_out(guest, async { Ok(handshake.await?) }).await;
    match &done {
        Ok((stream, _)) => begun.accept(Agreed::of(stream.get_ref().1)),
        Err(refused) => fail(begun, refused),
    }
    done
}

/// Counts a handshake that failed, or that a newer connection has shown out.
fn fail(begun: Begun<'_>, refused: &Refused) {
    match refused {
        Refused::Peer(error) => begun.fail_by(error),
        _ => begun.fail(HandshakeFailure::Limit),
    }
}

/// A client whose target is not reached yet. If the wait ends by an error, the deadline or the program's end, the
/// client sees a reset: plaintext has no alert, and an orderly end would look like an empty answer (for TLS: RFC 8446
/// section 6.1).
struct Waiting<'a> {
    client: &'a Socket,
    over: bool,
}

impl<'a> Waiting<'a> {
    fn new(client: &'a Socket) -> Self {
        Self { client, over: false }
    }

    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.client.reset_on_close();
        }
    }
}

/// Opens the connection of a client that is not judged: a client of this machine, or of a plaintext tunnel.
async fn open_known(
    route: &Arc<Route>,
    socket: Socket,
    permit: Option<Permit>,
    shares: &Arc<Shares>,
    ends: Option<Ends>,
    told: &mut Option<Socket>,
) -> Result<Opening, Refused> {
    let waiting = Waiting::new(&socket);
    let permit = match permit {
        Some(permit) => permit,
        None => shares.take(&route.name).await?,
    };
    let route = route.clone();
    match &route.kind {
        RouteKind::Client { tls, servers } => {
            let own = OwnCertificate::of(tls.credential());
            let connected = servers.connect_by_tls(tls, route.counters.handshakes(), route.deadline, told).await;
            let Reached { stream, admission, server_name, health } =
                connected.map_err(|(address, reason)| match reason {
                    Unreached::Connect(error) => Refused::Target(address.to_string(), error),
                    Unreached::Tls(AcceptError::Io(error)) if is_alert(&error) => {
                        Refused::Target(address.to_string(), error)
                    }
                    Unreached::Tls(error) => error.into(),
                    Unreached::Silent(_) => Refused::Deadline,
                })?;
            waiting.over();
            let (streams, dialled) =
                (Streams::Client(socket, Box::new(stream)), Some(Box::new(Dialled { health, server_name, own })));
            Ok(Opening::Session(Opened { route, admission, streams, dialled }, permit))
        }
        RouteKind::Plain { proxy_protocol, targets } | RouteKind::Server { proxy_protocol, targets, .. } => {
            let header = Header { addresses: addresses(&socket, ends), ..Header::default() };
            let header = (*proxy_protocol != ProxyProtocol::Off).then(|| header.encode());
            let target = reach(&route, targets, header).await?;
            waiting.over();
            let streams = Streams::Plain(socket, target);
            Ok(Opening::Session(Opened { route, admission: Anyone::admitted(), streams, dialled: None }, permit))
        }
    }
}

/// Opens a connection at an address that several tunnels share, or a tunnel and the control channel: the server name of
/// the ClientHello selects the tunnel (RFC 6066 section 3), its protocols the channel (RFC 7301).
async fn open_by_hello(
    state: &ListenerState,
    socket: Socket,
    guest: &mut Guest,
    common: &Common,
    ends: Option<Ends>,
    told: &mut Option<Socket>,
) -> Result<Opening, Failed> {
    let since = std::time::Instant::now();
    let begun = common.status.unmatched().handshakes().begin(since);
    let hello = match show_out(guest, async { Ok(ClientHello::read_telling(socket, told).await?) }).await {
        Ok(hello) => hello,
        Err(refused) => {
            fail(begun, &refused);
            return Err((None, refused));
        }
    };
    begun.go_on_elsewhere();
    if hello.is_challenge() {
        // The name may be an address in reverse (RFC 8738 section 6), which no tunnel lists.
        let servers = state.routes.iter().filter_map(|route| route.server());
        let answered = hello.answer_challenge(servers).await.map_err(|error| (None, error.into()))?;
        return Ok(Opening::Validation(answered));
    }
    let Some(route) = state.route(hello.server_name()) else {
        let name = hello.server_name().map(str::to_owned);
        *told = Some(hello.refuse_name().await);
        return Err((None, Refused::NoTunnel(name)));
    };
    let RouteKind::Server { tls, targets, .. } = &route.kind else {
        // Validation of the configuration lets only TLS servers share an address.
        return Err((Some(route.clone()), Refused::NoTunnel(None)));
    };
    // A tunnel without the channel takes a client that asks for it as any other, and chooses no protocol.
    let control = if hello.is_control() { common.control.server(&route.name) } else { None };
    let shares = &common.shares;
    let opened = async {
        if let Some(control) = control {
            let begun = route.counters.handshakes().begin(since);
            let accepted = shake(guest, begun, hello.accept_telling(&control, told)).await;
            return accepted.map(|(stream, admission)| Opening::Control(Box::new(stream), admission));
        }
        let begun = route.counters.handshakes().begin(since);
        let (stream, admission) = shake(guest, begun, hello.accept_telling(tls, told)).await?;
        forward((route, targets), stream, admission, guest, shares, ends).await
    };
    opened.await.map_err(|refused| (Some(route.clone()), refused))
}

/// Takes a permit and connects to the target, for an admitted client.
async fn forward(
    (route, targets): (&Arc<Route>, &Targets<()>),
    stream: ServerStream<Socket>,
    admission: Admission,
    guest: &mut Guest,
    shares: &Arc<Shares>,
    ends: Option<Ends>,
) -> Result<Opening, Refused> {
    guest.stand_up();
    let peer = admission.peer();
    let header = match &route.kind {
        RouteKind::Server {
            proxy_protocol: proxy_protocol @ (ProxyProtocol::Header | ProxyProtocol::WithCertificate),
            ..
        } => {
            let (socket, tls) = stream.get_ref();
            let shown = || tls.peer_certificates().and_then(|shown| shown.first()).map(AsRef::as_ref);
            let wanted = *proxy_protocol == ProxyProtocol::WithCertificate && peer.is_some();
            let header = Header {
                addresses: addresses(socket, ends),
                alpn: tls.alpn_protocol(),
                authority: tls.server_name().map(without_root),
                tls_version: crate::tls::version_name(tls),
                verified: peer.is_some(),
                resumed: crate::tls::is_resumed(tls),
                common_name: peer.and_then(|peer| peer.common_name()),
                certificate: if wanted { shown() } else { None },
            };
            Some(header.encode())
        }
        _ => None,
    };
    let waiting = Waiting::new(stream.get_ref().0);
    let permit = shares.take(&route.name).await?;
    let target = reach(route, targets, header).await?;
    waiting.over();
    let streams = Streams::Server(Box::new(stream), target);
    Ok(Opening::Session(Opened { route: route.clone(), admission, streams, dialled: None }, permit))
}

async fn reach(route: &Route, targets: &Targets<()>, header: Option<Vec<u8>>) -> Result<Socket, Refused> {
    let reached = targets.connect(route.patience()).await;
    let (mut target, health) = reached.map_err(|(address, error)| Refused::Target(address.to_string(), error))?;
    if let Some(header) = header {
        let written = target.write_all(&header).await;
        written.map_err(|error| Refused::Target(health.address().to_string(), error))?;
    }
    Ok(target)
}
