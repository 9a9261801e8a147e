//! Settings that can be replaced while they are in use, and that follow the trust in them.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{ClientSettings, ServerSettings, TlsClient, TlsError, TlsServer};

/// What is made of settings: a server or a client.
pub(super) trait Made: fmt::Debug + Sized {
    type Settings: Clone + fmt::Debug;

    fn make(settings: Self::Settings) -> Result<Self, TlsError>;

    /// Whether trust is still what it was when this was made.
    fn is_current(&self) -> bool;
}

impl Made for TlsServer {
    type Settings = ServerSettings;

    fn make(settings: ServerSettings) -> Result<Self, TlsError> {
        Self::new(settings)
    }

    fn is_current(&self) -> bool {
        Self::is_current(self)
    }
}

impl Made for TlsClient {
    type Settings = ClientSettings;

    fn make(settings: ClientSettings) -> Result<Self, TlsError> {
        Self::new(settings)
    }

    fn is_current(&self) -> bool {
        Self::is_current(self)
    }
}

/// Settings, and what was made of them.
#[derive(Debug)]
struct Current<T: Made> {
    settings: T::Settings,
    made: T,
}

impl<T: Made> Current<T> {
    fn new(settings: T::Settings) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self { made: T::make(settings.clone())?, settings }))
    }
}

/// The newest settings.
#[derive(Debug)]
pub(super) struct Reloading<T: Made>(ArcSwap<Current<T>>);

impl<T: Made + Clone> Reloading<T> {
    pub(super) fn new(settings: T::Settings) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::new(Current::new(settings)?)))
    }

    /// All or nothing.
    pub(super) fn reload(&self, settings: T::Settings) -> Result<(), TlsError> {
        self.0.store(Current::new(settings)?);
        Ok(())
    }

    /// What new handshakes use: made anew when a [`super::TrustStore`] has been replaced, so that no session from before is resumed.
    pub(super) fn current(&self) -> Result<T, TlsError> {
        let current = self.0.load_full();
        if current.made.is_current() {
            return Ok(current.made.clone());
        }
        let renewed = Current::new(current.settings.clone())?;
        // A reload meanwhile is newer.
        self.0.compare_and_swap(&current, renewed.clone());
        Ok(renewed.made.clone())
    }
}
