//! Logs the rotation's alarms in the words of docs/OPERATIONS.md.

use edgetrust_core::rotation::Alarm;

use super::status::CredentialStatus;

/// Returns whether an operator must act, and the alarm's text.
fn meaning(alarm: Alarm) -> (bool, &'static str) {
    match alarm {
        Alarm::ClockUnknown => (false, "no time is known"),
        Alarm::ClockWentBack => (false, "the clock went back: deadlines went with it"),
        Alarm::ClockDisagrees => {
            (true, "the new certificate is not valid by this clock: this clock or the CA's is wrong")
        }
        Alarm::IssuerRefused => (true, "the CA refuses: something must be changed before it can work"),
        Alarm::IssuerTimeout => (false, "the CA took too long: the attempt is given up"),
        Alarm::StorageFailed => (true, "the new certificate cannot be kept: the one before stays"),
        Alarm::Reverted => (true, "peers refused the new certificate: the one before is back"),
        Alarm::Expired => (true, "the certificate has expired, and there is no other"),
        Alarm::OnFallback => (false, "the manual certificate is shown; ACME is tried on"),
        Alarm::FallbackRefused => (true, "the manual certificate cannot be used"),
    }
}

pub(super) fn say(alarm: Alarm, status: &CredentialStatus) {
    match meaning(alarm) {
        (true, what) => log!(error, status, "{what}"),
        (false, what) => log!(warn, status, "{what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runbook_has_each_of_them() {
        let runbook = include_str!("../../../docs/OPERATIONS.md");
        for alarm in [
            Alarm::ClockUnknown,
            Alarm::ClockWentBack,
            Alarm::ClockDisagrees,
            Alarm::IssuerRefused,
            Alarm::IssuerTimeout,
            Alarm::StorageFailed,
            Alarm::Reverted,
            Alarm::Expired,
            Alarm::OnFallback,
            Alarm::FallbackRefused,
        ] {
            let (_, what) = meaning(alarm);
            assert!(runbook.contains(what), "docs/OPERATIONS.md says nothing of {what:?}");
        }
    }
}
