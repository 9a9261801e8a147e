//! Keeps settings that can be replaced while in use, and that follow changes of the trust in them.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{ClientSettings, ServerSettings, TlsClient, TlsError, TlsServer};

/// A server or a client that is made from settings.
pub(super) trait Made: fmt::Debug + Sized {
    type Settings: Clone + fmt::Debug;

    fn make(settings: Self::Settings) -> Result<Self, TlsError>;

    /// Returns whether trust is unchanged since `self` was made.
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

/// Settings, and the server or client made from them.
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

    /// Replaces the settings; on failure nothing changes.
    pub(super) fn reload(&self, settings: T::Settings) -> Result<(), TlsError> {
        self.0.store(Current::new(settings)?);
        Ok(())
    }

    /// Returns the server or client for new handshakes, made anew when a [`super::TrustStore`] has been replaced, so
    /// that no earlier session is resumed.
    pub(super) fn current(&self) -> Result<T, TlsError> {
        let current = self.0.load_full();
        if current.made.is_current() {
            return Ok(current.made.clone());
        }
        let renewed = Current::new(current.settings.clone())?;
        // A concurrent reload is newer, and stays.
        self.0.compare_and_swap(&current, renewed.clone());
        Ok(renewed.made.clone())
    }
}
