//! Waits for an answer of the CA beside other events.

use std::future::{Future, pending};
use std::pin::Pin;

use crate::acme::AcmeError;

type Operation<T> = Pin<Box<dyn Future<Output = Result<T, AcmeError>> + Send>>;

/// An operation of the issuer, if one is under way.
pub(super) struct UnderWay<T>(Option<Operation<T>>);

impl<T> UnderWay<T> {
    pub(super) const fn none() -> Self {
        Self(None)
    }

    /// Begins an operation; another one that is under way is given up.
    pub(super) fn begin(&mut self, operation: impl Future<Output = Result<T, AcmeError>> + Send + 'static) {
        self.0 = Some(Box::pin(operation));
    }

    pub(super) fn give_up(&mut self) {
        self.0 = None;
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Waits for the answer, which ends the operation; forever if none is under way.
    pub(super) async fn answer(&mut self) -> Result<T, AcmeError> {
        let answer = match &mut self.0 {
            Some(operation) => operation.await,
            None => pending().await,
        };
        self.0 = None;
        answer
    }
}
