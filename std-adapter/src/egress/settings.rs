//! Holds a `proxy` of the configuration, with the file that it names.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use edgetrust_core::config::{self, Proxy, ProxyScheme};
use tokio::io::{AsyncRead, AsyncWrite};

use super::credentials::Credentials;
use super::destination::{Destination, ProxyPlace};
use super::environment::{Exceptions, from_environment};
use super::fault::{EgressError, ProxyFault};
use super::{connect, socks5};

/// A proxy, and what it is not used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    place: ProxyPlace,
    credentials: Option<Credentials>,
    except: Exceptions,
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl Egress {
    /// Reads what a `proxy` names; the file is given to `note` first. `None` is the direct way, as where the environment
    /// names no proxy.
    ///
    /// # Errors
    /// Returns the fault of the file or of the environment.
    pub(crate) fn read(
        egress: Option<&config::Egress<'_>>,
        mut note: impl FnMut(&Path),
    ) -> Result<Option<Arc<Self>>, EgressError> {
        let made = match egress {
            None => None,
            Some(config::Egress::Environment) => from_environment(&|name| std::env::var_os(name))?,
            Some(config::Egress::Proxy(Proxy { protocol, endpoint, credentials_file })) => {
                let credentials = credentials_file.map(|file| {
                    note(Path::new(file));
                    // Operators easily put the password itself where the file's name belongs.
                    let shown = if file.contains('/') { file } else { "(no path)" };
                    Credentials::read(Path::new(file)).map_err(|fault| EgressError::File(shown.to_owned(), fault))
                });
                let credentials = credentials.transpose()?;
                ProxyPlace::new(*protocol, endpoint).map(|place| (place, credentials, Exceptions::default()))
            }
        };
        let made = made.map(|(place, credentials, except)| Self { place, credentials, except });
        Ok(made.map(Arc::new))
    }

    /// Returns the proxy's host and port.
    pub(crate) fn host(&self) -> (&str, u16) {
        (&self.place.host, self.place.port)
    }

    /// Returns whether the proxy leads to a destination, or `no_proxy` has it.
    pub(crate) fn leads_to(&self, to: &Destination<'_>) -> bool {
        !self.except.have(to)
    }

    /// Asks the proxy at the other end of a stream for a way to a destination. What follows on the stream is then the
    /// destination's.
    ///
    /// # Errors
    /// Returns the proxy, and why it does not lead there.
    pub(crate) async fn ask(
        &self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        to: &Destination<'_>,
    ) -> io::Result<()> {
        let known = self.credentials.as_ref();
        let asked = match self.place.scheme {
            ProxyScheme::Http => connect::ask(stream, to, known).await,
            ProxyScheme::Socks5 => socks5::ask(stream, to, known).await,
        };
        asked.map_err(|fault| self.fault(fault))
    }

    /// Returns an error that names the proxy.
    pub(crate) fn fault(&self, fault: ProxyFault) -> io::Error {
        io::Error::new(fault.kind(), format!("proxy {self}: {fault}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgetrust_core::config::Endpoint;

    #[test]
    fn a_file_is_noted_and_its_fault_names_no_password() {
        let endpoint = Endpoint::parse("[::1]:3128").unwrap();
        let proxy =
            |file| config::Egress::Proxy(Proxy { protocol: ProxyScheme::Http, endpoint, credentials_file: Some(file) });
        let mut noted = Vec::new();
        let error = Egress::read(Some(&proxy("user:secret")), |file| noted.push(file.to_owned())).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(noted.len(), 1);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy");
        std::fs::write(&file, "user:secret").unwrap();
        let egress = Egress::read(Some(&proxy(file.to_str().unwrap())), |_| ()).unwrap().unwrap();
        assert_eq!(egress.to_string(), "http://[::1]:3128");
        assert!(!format!("{egress:?}").contains("secret"));
        assert!(Egress::read(None, |_| ()).unwrap().is_none());
    }
}
