//! Obtains certificates from an ACME directory (RFC 8555). No other module uses a name of instant-acme.

mod account;
mod challenge;
mod devices;
mod error;
mod hook;
mod hook_helper;
mod http;
mod http01;
mod issued;
mod issuer;
mod key;
mod order;
mod probe;
mod rounds;
mod settings;
mod step_ca;
mod verify;

pub use account::account_file;
pub(crate) use challenge::{Answer as GivenAnswer, give as give_answer};
pub use devices::DeviceIssuer;
pub use error::AcmeError;
pub use hook::{HookCall, Hooks};
pub use hook_helper::{HOOK_HELPER, connect_hook_helper, run_hook, serve_hooks, start_hook_helper};
pub use http::HttpError;
pub use http01::{KeptOpen, Responders};
pub use issued::credential;
pub use issuer::{AcmeIssuer, RenewalWindow, forget_done_order, forget_order};
pub use probe::{Directory, probe};
pub(crate) use settings::Which;
pub use settings::{Purposes, Settings, SettingsError};
pub use verify::verify;
