//! Confines a gateway at its start, once the processes run that stay outside.

use super::{Failure, log};
use crate::acme::start_hook_helper;
use crate::sandbox::{self, Needs};
#[cfg(feature = "pkcs11")]
use crate::token;

/// Starts the processes that stay outside of the sandbox: one runs hooks, and one for each PKCS #11 module its helpers.
///
/// # Errors
/// Fails if one cannot be started.
pub(crate) fn start_outside(needs: &Needs, format: log::Format) -> Result<(), Failure> {
    if needs.hooks().len() > 0 {
        start_hook_helper(needs.hooks()).map_err(|error| format!("the helper that runs hooks: {error}"))?;
    }
    #[cfg(feature = "pkcs11")]
    token::start_relays(needs.tokens(), format.name()).map_err(|error| format!("the helper of a token: {error}"))?;
    #[cfg(not(feature = "pkcs11"))]
    let _: log::Format = format;
    Ok(())
}

/// Confines this process to what its configuration needs. Threads start later: no part would hold for those before.
///
/// # Errors
/// Fails if the needs cannot be told, or the kernel refuses a part that it has.
pub(super) fn confine(needs: impl FnOnce() -> Result<Needs, Failure>) -> Result<(), Failure> {
    sandbox::enter(needs()?)?;
    #[cfg(feature = "pkcs11")]
    token::relays_started();
    Ok(())
}
