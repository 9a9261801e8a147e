//! Lists the keys of `gateway`.

use super::acme::ACME;
use super::field::{FILE, Field, Kind, LIST_FULL, NAMES_FULL, Object, Objects, Refused, described, not_empty, push};
use super::storage::STORAGE;
use super::tls::TUNNEL_TLS;
use crate::config::duration;
use crate::config::model::{CrlsRequired, MAX_FILES, MAX_FRAGMENT_SIZE, MAX_NAMES, MAX_TARGETS, MAX_TUNNELS};
use crate::config::network::{MAX_NETWORKS, NETWORK};
use crate::config::raw::{RawTunnel, SideKind};
use crate::config::shape::{Form, Needs};
use crate::identity::without_root;

macro_rules! limit {
    ($key:literal, $doc:literal, $limit:ident) => {
        text!($key, $doc, Duration, |raw, text| raw.gateway.limits.$limit =
            duration::milliseconds(text).ok_or(duration::EXPECTED)?)
    };
}

/// The longest TCP time: Linux takes whole seconds up to 32767.
const LONGEST_TCP_TIME_MS: u64 = 9 * 3_600_000;

fn tcp_time(text: &str) -> Result<u64, Refused> {
    let milliseconds = duration::milliseconds(text);
    milliseconds.filter(|time| (1_000..=LONGEST_TCP_TIME_MS).contains(time)).ok_or("a duration from 1s to 9h")
}

pub(super) static GATEWAY: Object = members!(
    false,
    Nothing,
    None,
    [
        field!("tunnels", "what is forwarded", Any, MAX_TUNNELS, Kind::Objects(&TUNNELS)),
        texts!(
            "known_intermediates",
            "intermediates that complete chains, PEM; not trusted",
            MAX_FILES,
            |raw| &mut raw.gateway.known_intermediates,
            FILE,
            LIST_FULL
        ),
        texts!(
            "crl_files",
            "revocation lists (CRLs), PEM or DER, each signed by the CA whose certificates it revokes",
            MAX_FILES,
            |raw| &mut raw.gateway.crl_files,
            FILE,
            LIST_FULL
        ),
        choice!(
            "crls_required",
            "whose CA must have a CRL: \"none\" (default), the \"leaf\", or all of the \"chain\"; a CRL that is there counts in any case",
            ["none" => CrlsRequired::None, "leaf" => CrlsRequired::Leaf, "chain" => CrlsRequired::Chain],
            "\"none\", \"leaf\" or \"chain\"",
            |raw, chosen| raw.gateway.crls_required = chosen
        ),
        text!(
            "audit_log",
            "the file to which each refusal and each change of trust is written, as a line of JSON; SIGHUP opens it again",
            NotEmpty,
            |raw, text| raw.gateway.audit_log = not_empty(text, FILE)?
        ),
        object!("est", "devices renew their certificates here, over EST (RFC 7030)", EST, |raw| raw.enter_est()),
        object!("mesh", "the mesh of sites: what tunnels with service take from it", MESH, |raw| raw.enter_mesh()),
        object!("admin", "the operator's pages", ADMIN, |raw| raw.gateway.admin.offset = raw.offset),
        object!("limits", "what it may cost", LIMITS),
    ]
);

static TUNNELS: Objects = Objects {
    object: &TUNNEL,
    begin: None,
    enter: |raw| {
        let tunnel = RawTunnel { offset: raw.offset, ..RawTunnel::default() };
        raw.gateway.tunnels.push(tunnel).map_err(|_| "at most 32 tunnels")
    },
    text: None,
    element: "an object",
};

static EST: Object = members!(
    false,
    All(&["listen", "acme"]),
    None,
    [
        text!("listen", "ADDRESS:PORT", Address, |raw, text| raw.gateway.est.listen = not_empty(text, "ADDRESS:PORT")?),
        object!("tls", "instead of security.tls; client certificates are required", TUNNEL_TLS, |raw| raw
            .enter(SideKind::Est)),
        object!(
            "acme",
            "where certificates are ordered, for each device's own names: without domains",
            EST_ACME,
            |raw| { raw.enter_est_acme() }
        ),
        flag!(
            "chain_in_answer",
            "the answer to a renewal holds the intermediates too, for firmware that does not ask for cacerts; default false, goes with the next version",
            |raw, value| raw.gateway.est.chain_in_answer = value
        ),
        object!("limits", "what it may cost, instead of gateway.limits", TUNNEL_LIMITS, |raw| raw.enter_limits(true)),
        object!(
            "first_enrollment",
            "devices without a certificate get their first one here, each by a voucher of `edgetrust devices invite`",
            FIRST_ENROLLMENT,
            |raw| raw.enter_first_enrollment()
        ),
    ]
);

static FIRST_ENROLLMENT: Object = members!(
    false,
    All(&["listen"]),
    None,
    [text!("listen", "ADDRESS:PORT of its own: no client certificate is asked for here", Address, |raw, text| {
        raw.gateway.est.first.listen = not_empty(text, "ADDRESS:PORT")?
    }),]
);

/// An `acme` whose presence says that it is enabled.
static EST_ACME: Object = Object { needs: Needs::Nothing, ..ACME };

static MESH: Object = members!(
    false,
    All(&["file", "site"]),
    None,
    [
        text!("file", "the mesh file, as edgetrust federation writes it", NotEmpty, |raw, text| raw
            .gateway
            .mesh
            .file =
            not_empty(text, FILE)?),
        text!("site", "the site of this gateway", NotEmpty, |raw, text| raw.gateway.mesh.site =
            not_empty(text, "the name of a site")?),
        text!(
            "storage_path",
            "the folder that keeps the mesh in force, where the mesh file has to be signed; goes with ca_bundle",
            NotEmpty,
            |raw, text| raw.gateway.mesh.storage_path = not_empty(text, "a folder")?
        ),
        field!(
            "storage",
            "the store that several gateways share: the newest signed mesh file is kept there too",
            Any,
            0,
            Kind::Object(&STORAGE, |raw| {
                let index = super::storage::enter(raw)?;
                raw.gateway.mesh.storage = Some(index);
                Ok(())
            })
        ),
        text!(
            "ca_bundle",
            "the roots that the first signed mesh file must come from; afterwards they are those of the mesh in force",
            NotEmpty,
            |raw, text| raw.gateway.mesh.ca_bundle = not_empty(text, FILE)?
        ),
        flag!(
            "control",
            "gateways of a signed mesh bring each other the newest one, at the addresses of their tunnels; default true",
            |raw, value| raw.gateway.mesh.control = Some(value)
        ),
    ]
);

static ADMIN: Object = members!(
    false,
    Nothing,
    None,
    [
        text!("listen", "where they are served: ADDRESS:PORT or unix:PATH", Listen, |raw, text| raw
            .gateway
            .admin
            .listen =
            not_empty(text, "ADDRESS:PORT or unix:PATH")?),
        texts!(
            "hosts",
            "names by which they may be asked for, beside IP addresses and localhost; others are refused",
            MAX_NAMES,
            |raw| &mut raw.gateway.admin.hosts,
            "a DNS name",
            NAMES_FULL
        ),
        object!(
            "tls",
            "mutual TLS for them, instead of security.tls; needs an allow list of its own",
            TUNNEL_TLS,
            |raw| raw.enter(SideKind::Admin)
        ),
        flag!(
            "check_targets",
            "/readyz says 503 too while the target of a server tunnel accepts no connection; default false",
            |raw, value| raw.gateway.admin.check_targets = value
        ),
    ]
);

/// A limit that is a number.
macro_rules! number {
    ($key:literal, $doc:literal, $from:literal, |$raw:ident| $limit:expr) => {
        Field {
            key: $key,
            doc: $doc,
            form: Form::Range($from, u32::MAX),
            at_most: 0,
            kind: Kind::Number(|$raw, number| {
                *$limit = number.into();
                if ($from..=u32::MAX).contains(&number) { Ok(()) } else { Err("a number from 1") }
            }),
        }
    };
}

static LIMITS: Object = members!(
    false,
    Nothing,
    None,
    [
        number!("connections", "connections at a time, of all tunnels, default 10000", 1, |raw| &mut raw
            .gateway
            .limits
            .connections),
        number!(
            "waiting",
            "admitted clients of one tunnel that wait for a connection to end, default 1024; others are refused",
            1,
            |raw| &mut raw.gateway.limits.waiting
        ),
        number!(
            "handshakes",
            "TLS connections of one address at a time whose handshake is not done, default 1024",
            1,
            |raw| &mut raw.gateway.limits.handshakes
        ),
        number!(
            "connections_per_source",
            "connections of one IPv4 address or IPv6 /64 at a time to one address, default 0: no limit",
            0,
            |raw| &mut raw.gateway.limits.connections_per_source
        ),
        number!(
            "handshakes_per_second",
            "new TLS connections of one IPv4 address or IPv6 /64 in a second to one address, default 0: no limit",
            0,
            |raw| &mut raw.gateway.limits.handshakes_per_second
        ),
        text!(
            "handshake_timeout",
            "from accept to the reached target, default \"10s\"",
            PositiveDuration,
            |raw, text| raw.gateway.limits.handshake_timeout_ms = duration::milliseconds(text)
                .filter(|milliseconds| *milliseconds > 0)
                .ok_or("a duration above zero, as \"10s\"")?
        ),
        text!(
            "idle_timeout",
            "how long a connection may be silent (once to twice that), \"0s\": for ever; default: for ever, \"10m\" where no peer is authenticated",
            Duration,
            |raw, text| raw.gateway.limits.idle_timeout_ms =
                Some(duration::milliseconds(text).ok_or(duration::EXPECTED)?)
        ),
        limit!("drain_timeout", "how long connections go on after SIGTERM, default \"30s\"", drain_timeout_ms),
        limit!(
            "expired_grace",
            "how long a session goes on after its peer's certificate expired, if nothing else is wrong with it, default \"0s\"",
            expired_grace_ms
        ),
        limit!(
            "session_max_age",
            "the age at which a session between gateways ends that was continued under newer certificates, or up to a tenth earlier, default \"168h\"; \"0s\": none",
            session_max_age_ms
        ),
        flag!(
            "keep_removed_sessions",
            "sessions of a removed tunnel go on while another tunnel would let their peer in; default false: they end at once",
            |raw, value| raw.gateway.limits.keep_removed_sessions = value
        ),
        limit!(
            "half_close_timeout",
            "how long a connection of which one side has ended may carry nothing, default \"5m\"; \"0s\": for ever",
            half_close_timeout_ms
        ),
        text!(
            "keepalive_time",
            "after how much silence TCP asks whether the other end is there, default \"60s\"; \"0s\": never",
            Duration,
            |raw, text| raw.gateway.limits.keepalive_time_ms = if text == "0s" { 0 } else { tcp_time(text)? }
        ),
        text!(
            "keepalive_interval",
            "how long after that it asks again, default \"15s\"",
            PositiveDuration,
            |raw, text| raw.gateway.limits.keepalive_interval_ms = tcp_time(text)?
        ),
        Field {
            key: "keepalive_probes",
            form: Form::Range(1, 127),
            at_most: 0,
            doc: described("how often it asks before the other end is gone, where user_timeout is \"0s\"; default 4"),
            kind: Kind::Number(|raw, number| {
                raw.gateway.limits.keepalive_probes = number;
                if (1..=127).contains(&number) { Ok(()) } else { Err("a number from 1 to 127") }
            }),
        },
        text!(
            "user_timeout",
            "how long TCP waits for an answer to what it sent, or for a reader that takes nothing, default \"5m\"; \"0s\": as the system does",
            Duration,
            |raw, text| raw.gateway.limits.user_timeout_ms = duration::milliseconds(text)
                .filter(|milliseconds| *milliseconds <= LONGEST_TCP_TIME_MS)
                .ok_or("a duration up to 9h")?
        ),
    ]
);

/// The limits of a tunnel or of the EST server.
static TUNNEL_LIMITS: Object = members!(
    false,
    Nothing,
    None,
    [
        number!("connections", "its connections at a time", 1, |raw| &mut raw.limits().connections),
        number!("handshakes", "its TLS connections at a time whose handshake is not done", 1, |raw| &mut raw
            .limits()
            .handshakes),
        number!(
            "connections_per_source",
            "connections of one IPv4 address or IPv6 /64 at a time; 0: no limit",
            0,
            |raw| &mut raw.limits().connections_per_source
        ),
        number!(
            "handshakes_per_second",
            "new TLS connections of one IPv4 address or IPv6 /64 in a second; 0: no limit",
            0,
            |raw| &mut raw.limits().handshakes_per_second
        ),
        text!("idle_timeout", "how long a connection may be silent; \"0s\": for ever", Duration, |raw, text| raw
            .limits()
            .idle_timeout_ms =
            Some(duration::milliseconds(text).ok_or(duration::EXPECTED)?)),
    ]
);

static TUNNEL: Object = members!(
    false,
    All(&["name", "mode", "listen"]),
    None,
    [
        text!("name", "its name in logs and metrics", NotEmpty, |raw, text| raw.tunnel().name =
            not_empty(text, "a name")?),
        choice!(
            "mode",
            "\"server\": accepts TLS; \"client\": originates TLS",
            ["server" => true, "client" => false],
            "\"server\" or \"client\"",
            |raw, chosen| raw.tunnel().is_server = Some(chosen)
        ),
        text!("listen", "ADDRESS:PORT; or unix:PATH, client tunnel", Listen, |raw, text| raw.tunnel().listen =
            not_empty(text, "ADDRESS:PORT")?),
        text!("target", "ADDRESS:PORT, HOST:PORT or unix:PATH", Endpoint, |raw, text| raw.tunnel().target =
            not_empty(text, "ADDRESS:PORT, HOST:PORT or unix:PATH")?),
        texts!(
            "targets",
            "instead of target: up to 8 targets, of which the first one that lives is used",
            MAX_TARGETS,
            |raw| &mut raw.tunnel().targets,
            "ADDRESS:PORT, HOST:PORT or unix:PATH",
            "at most 8 targets"
        ),
        text!(
            "health_interval",
            "of several targets: how long one that was not reached is passed over before it is tried again, 100ms to 1h; default \"10s\"",
            PositiveDuration,
            |raw, text| raw.tunnel().health_interval_ms = Some(
                duration::milliseconds(text)
                    .filter(|milliseconds| (100..=3_600_000).contains(milliseconds))
                    .ok_or("a duration from 100ms to 1h")?
            )
        ),
        text!(
            "service",
            "a service of gateway.mesh: who is let in, or where this leads, follows from the mesh",
            NotEmpty,
            |raw, text| { raw.tunnel().service = not_empty(text, "the name of a service")? }
        ),
        text!("to", "client tunnel with service: the site that it leads to", NotEmpty, |raw, text| raw.tunnel().to =
            not_empty(text, "the name of a site")?),
        text!("server_name", "the name that the server's certificate must be for", Host, |raw, text| raw
            .tunnel()
            .server_name =
            not_empty(without_root(text), "a name")?),
        names!(
            "sni",
            "server names that choose this tunnel among those that share a port",
            DnsName,
            MAX_NAMES,
            |raw| &mut raw.tunnel().sni,
            Texts,
            "a name",
            NAMES_FULL
        ),
        flag!("proxy_protocol", "a PROXY protocol version 2 header towards the target", |raw, value| raw
            .tunnel()
            .proxy_protocol =
            value),
        flag!("proxy_protocol_certificate", "that header holds the client's certificate too, in DER", |raw, value| {
            raw.tunnel().proxy_protocol_certificate = value
        }),
        Field {
            key: "max_fragment_size",
            form: Form::Range(512, 16_384),
            at_most: 0,
            doc: described(
                "server tunnel: octets of the largest record that it sends; default 16384, with gateway.est 4096"
            ),
            kind: Kind::Number(|raw, number| {
                let size = u16::try_from(number).ok().filter(|size| (512..=MAX_FRAGMENT_SIZE).contains(size));
                raw.tunnel().max_fragment_size = Some(size.ok_or("a number from 512 to 16384")?);
                Ok(())
            }),
        },
        texts!(
            "accept_proxy",
            "networks of load balancers in front, as \"10.0.0.0/8\": only they connect, and their PROXY protocol version 2 headers say who the clients are",
            MAX_NETWORKS,
            |raw| &mut raw.tunnel().accept_proxy,
            NETWORK,
            "at most 8 networks"
        ),
        text!(
            "proxy",
            "client tunnel: the proxy that leads to its target, as \"http://proxy.example:3128\" or \"socks5://proxy.example:1080\"; or \"environment\"",
            NotEmpty,
            |raw, text| raw.tunnel().proxy = not_empty(text, "a proxy")?
        ),
        text!("proxy_credentials_file", "file with user:password for the proxy", NotEmpty, |raw, text| raw
            .tunnel()
            .proxy_credentials_file =
            not_empty(text, FILE)?),
        flag!("allow_remote_plaintext", "plaintext may leave this machine", |raw, value| raw
            .tunnel()
            .allow_remote_plaintext =
            value),
        object!("tls", "instead of security.tls", TUNNEL_TLS, |raw| raw.enter(SideKind::Tunnel)),
        object!("limits", "what it may cost, instead of gateway.limits", TUNNEL_LIMITS, |raw| raw.enter_limits(false)),
    ]
);
