//! The longest time for which a certificate of a site's CA is valid.

use std::path::Path;
use std::time::Duration;

use pki_types::UnixTime;
use serde_json::Value;

use super::layout::SITES;
use super::place::look;
use super::step::Doubt;

/// The default of step-ca, in seconds.
const DEFAULT: u64 = 24 * 3600;

/// The seconds by which the clocks of CA and gateways may differ.
const CLOCKS: u64 = 60;

/// Returns the time from which no certificate is valid any more of a CA that went out of use. `longest` is the longest
/// lifetime that somebody says, in seconds.
///
/// # Errors
/// Fails if the `ca.json` of a site cannot be read.
pub(super) fn end(folder: &Path, sites: &[&str], since: UnixTime, longest: Option<u64>) -> Result<UnixTime, String> {
    let longest = match longest {
        Some(said) => said,
        None => {
            let all = sites.iter().map(|site| of_site(folder, site)).collect::<Result<Vec<_>, _>>()?;
            all.into_iter().max().unwrap_or(DEFAULT).saturating_add(CLOCKS)
        }
    };
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(since.as_secs().saturating_add(longest))))
}

/// Returns what speaks against the end of a CA that went out of use, if certificates of it may still be valid.
///
/// # Errors
/// Fails if the `ca.json` of a site cannot be read.
pub(super) fn doubt(
    folder: &Path,
    sites: &[&str],
    since: Option<UnixTime>,
    longest: Option<u64>,
    now: UnixTime,
) -> Result<Option<Doubt>, String> {
    let Some(since) = since else { return Ok(Some(Doubt::Lifetime(None))) };
    let end = end(folder, sites, since, longest)?;
    Ok((now < end).then_some(Doubt::Lifetime(Some(end))))
}

/// Returns the longest lifetime that a site's `ca.json` allows.
fn of_site(folder: &Path, site: &str) -> Result<u64, String> {
    let file = folder.join(SITES).join(site).join("ca.json");
    let Some(text) = look(&file)? else { return Ok(DEFAULT) };
    let failed = |error: &dyn std::fmt::Display| {
        format!("{}: {error}, expected step-ca's configuration; or say --lifetime", file.display())
    };
    let json: Value = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
    let authority = json.get("authority");
    let provisioners = authority.and_then(|authority| authority.get("provisioners")).and_then(Value::as_array);
    let claims =
        provisioners.into_iter().flatten().chain(authority).map(|one| one.pointer("/claims/maxTLSCertDuration"));
    let mut longest = None;
    for claim in claims.flatten() {
        let time = claim.as_str().and_then(edgetrust_core::config::parse_duration);
        let time = time.ok_or_else(|| failed(&format!("maxTLSCertDuration: found {claim}")))?;
        longest = longest.max(Some(time.as_secs()));
    }
    Ok(longest.unwrap_or(DEFAULT))
}
