//! Receives clients of whom nothing is asked, a few at a time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{AddressPhase, Reception};

/// A reception that serves a few connections at a time, whoever they are from; others wait.
pub(crate) struct Few<S> {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    serve: S,
    failed: fn(&io::Error),
}

impl<S> Few<S> {
    /// Serves at most `limit` connections at a time; `failed` logs that none can be accepted.
    pub(crate) fn new(listener: TcpListener, limit: usize, serve: S, failed: fn(&io::Error)) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(limit)), serve, failed }
    }
}

impl<S, F> Reception for Few<S>
where
    S: Fn(TcpStream, SocketAddr) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    type Visitor = (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>);

    async fn accept(&self) -> io::Result<Option<Self::Visitor>> {
        let (stream, remote) = self.listener.accept().await?;
        Ok(Some((stream, remote, None)))
    }

    fn failed(&self, error: &io::Error) {
        (self.failed)(error);
    }

    /// Does nothing: such an address is closed at once, and never drained.
    fn cut(_connections: usize) {}

    async fn turn(&self, (_, _, permit): &mut Self::Visitor) {
        // The semaphore is never closed.
        *permit = self.permits.clone().acquire_owned().await.ok();
    }

    fn serve(
        &self,
        (stream, remote, permit): Self::Visitor,
        _phase: &watch::Receiver<AddressPhase>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let serving = (self.serve)(stream, remote);
        async move {
            serving.await;
            drop(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::Accepting;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn one_too_many_waits_until_another_has_ended() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let greet = |mut stream: TcpStream, _| async move {
            stream.write_all(b"!").await.unwrap();
            let _ = stream.read_u8().await;
        };
        let _accepting = Accepting::begin(Few::new(listener, 1, greet, |error| panic!("{error}")));
        let (mut first, mut second) =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        assert_eq!(first.read_u8().await.unwrap(), b'!');
        assert!(second.try_read(&mut [0]).is_err(), "the first has not ended");
        drop(first);
        assert_eq!(second.read_u8().await.unwrap(), b'!');
    }
}
