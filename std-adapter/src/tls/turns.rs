//! Gives handshakes turns at the processors. rustls computes and calls its verifiers inside a poll, for as long as a
//! signature or a path takes, and a stranger can have any number of handshakes: if all that are ready ran at once, an
//! authorized session would wait behind all of them.

use std::cell::Cell;
use std::sync::LazyLock;
use std::thread::available_parallelism;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;

/// One permit for each processor: handshakes alone can use all processors. tokio grants permits in request order.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, std::num::NonZero::get)));

/// The number of turns of a thread before its other tasks run.
const STEPS: u32 = 4;

thread_local! {
    static TAKEN: Cell<u32> = const { Cell::new(0) };
}

/// Waits for a turn. After every `STEPS` turns of a thread, the caller yields: tokio then runs the thread's other
/// tasks and polls the sockets first. The caller keeps its turn meanwhile, so that other handshakes still wait for
/// theirs and cannot run either.
pub(super) async fn take() -> Option<SemaphorePermit<'static>> {
    // The semaphore is never closed.
    let turn = TURNS.acquire().await.ok();
    if TAKEN.get() >= STEPS {
        yield_now().await;
        TAKEN.set(0);
    }
    TAKEN.set(TAKEN.get().saturating_add(1));
    turn
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::task::JoinSet;

    use crate::tls::handshake::Handshake;

    /// A handshake that is always ready to continue.
    struct Busy {
        steps: usize,
        taken: Arc<AtomicUsize>,
    }

    impl Future for Busy {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            self.taken.fetch_add(1, Ordering::Relaxed);
            self.steps = self.steps.saturating_sub(1);
            if self.steps == 0 {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn sessions_wait_for_few_handshakes() {
        let taken = Arc::<AtomicUsize>::default();
        let mut strangers = JoinSet::new();
        for _ in 0..400 {
            strangers.spawn(Handshake::drive(Busy { steps: 50, taken: taken.clone() }, None));
        }
        let (mut near, mut far) = UnixStream::pair().unwrap();
        // Without turns, every waiting handshake would run before each message.
        let mut most = 0;
        for _ in 0..100 {
            let before = taken.load(Ordering::Relaxed);
            near.write_all(b"x").await.unwrap();
            far.read_u8().await.unwrap();
            tokio::task::yield_now().await;
            most = most.max(taken.load(Ordering::Relaxed) - before);
        }
        assert!(taken.load(Ordering::Relaxed) > 0, "they go on");
        assert!(most < 50, "{most} of 400 handshakes went first");
        while strangers.join_next().await.is_some() {}
        assert_eq!(taken.load(Ordering::Relaxed), 400 * 50);
    }
}
