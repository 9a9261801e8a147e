//! Parses and validates the configuration of ADR-001: its types cannot hold a combination that makes no sense.
//!
//! [`Config::parse`] takes a whole SemStreams file, or ADR-001's own block: `security.tls`, `gateway` and `device` are
//! read, all other sections are ignored. Inside these sections an unknown key is an error that names the nearest known
//! one. `//` and `/* */` comments are skipped. Text is decoded in the caller's buffer, and the result borrows from
//! this buffer.
//!
//! `schema.rs` is the one place that lists the keys.

#![allow(clippy::result_large_err, reason = "there is no heap to put an error on")]

mod acme;
mod address;
#[cfg(feature = "gateway")]
mod allowed_clients;
#[cfg(feature = "device")]
mod device_octets;
mod duration;
#[cfg(feature = "gateway")]
mod endpoint;
#[cfg(feature = "device")]
mod enroll;
mod error;
mod inherit;
#[cfg(feature = "gateway")]
mod limits;
mod model;
#[cfg(feature = "gateway")]
mod nats;
#[cfg(feature = "gateway")]
mod network;
mod parse;
#[cfg(feature = "gateway")]
mod paths;
#[cfg(feature = "gateway")]
mod proxy;
mod raw;
#[cfg(feature = "gateway")]
mod reference;
mod schema;
#[cfg(feature = "gateway")]
mod shape;
mod token_uri;
mod validate;
mod validate_acme;
#[cfg(feature = "gateway")]
mod validate_admin;
#[cfg(feature = "device")]
mod validate_device;
#[cfg(feature = "gateway")]
mod validate_est;
#[cfg(feature = "gateway")]
mod validate_gateway;
mod validate_place;
#[cfg(feature = "gateway")]
mod validate_proxy;
mod validate_sides;
#[cfg(feature = "gateway")]
mod validate_storage;
#[cfg(feature = "gateway")]
mod validate_targets;

pub use crate::json::{Found, MAX_DEPTH, MAX_PATH, Segment};
pub use acme::{Acme, AcmeKeys, AcmeOrdering, ChallengeType, Eab, KeyType, MAX_DOMAINS, RenewVia};
pub use address::{parse_ip_address, rule_address};
#[cfg(feature = "gateway")]
pub use allowed_clients::{AllowedClients, MAX_CLIENT_RULES, MAX_ISSUERS, Span};
#[cfg(feature = "device")]
pub use device_octets::{DEVICE_OCTETS_VERSION, OctetsError};
pub use duration::parse_duration;
#[cfg(feature = "gateway")]
pub use endpoint::Endpoint;
#[cfg(feature = "device")]
pub use enroll::{Enroll, Remote};
pub use error::ConfigError;
#[cfg(feature = "gateway")]
pub use inherit::INHERITANCE;
#[cfg(feature = "gateway")]
pub use limits::{GatewayLimits, TunnelLimits};
pub use model::{
    Addresses, ClientTls, ClientTrust, Config, CredentialSource, DEVICE_FRAGMENT_SIZE, DeniedKey, DeniedKeys, Files,
    MAX_DENIED_KEYS, MAX_FILES, MAX_NAMES, MinVersion, Names, Paths, Server, ServerTls,
};
#[cfg(feature = "gateway")]
pub use model::{
    Admin, CrlsRequired, Est, Gateway, Inheritance, MAX_FRAGMENT_SIZE, MAX_TARGETS, MAX_TUNNELS, MeshOfSites, Origin,
    Origins, OtherTarget, ProxyProtocol, Service, SignedFile, Tunnel, TunnelKind,
};
#[cfg(feature = "device")]
pub use model::{Device, FirstCredential, MAX_DEVICE_DENIED_KEYS, MAX_DEVICE_ISSUERS, VoucherFile};
#[cfg(feature = "gateway")]
pub use nats::{DEFAULT_BUCKET, MAX_NATS_CA_FILES, MAX_NATS_SERVERS, MAX_SEALING_KEYS, NatsStore};
#[cfg(feature = "gateway")]
pub use network::{MAX_NETWORKS, Network};
#[cfg(feature = "gateway")]
pub use paths::PathKind;
#[cfg(feature = "gateway")]
pub use proxy::{Egress, Proxy, ProxyScheme};
#[cfg(feature = "gateway")]
pub use reference::{Entry, TOP_MEMBERS, reference};
#[cfg(feature = "gateway")]
pub use schema::MISPLACED;
#[cfg(feature = "gateway")]
pub use shape::{Form, Members, Needs, Shape};
