//! Accepts connections at one address: the one loop that tunnels, EST, the pages and http-01 have in common.

mod few;

use std::future::{Future, pending};
use std::io;
use std::time::Duration;

pub(crate) use few::Few;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// The pause after a failed accept: without free descriptors, say, others end meanwhile and free theirs.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// The phase of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressPhase {
    Accept,
    /// Accept no more; established connections continue.
    Close,
    /// Accept no more; established connections end within this time.
    Drain(Duration),
}

/// The part that differs between addresses: the clients that may come in, their turns, and the service they get.
pub(crate) trait Reception: Send + Sync + 'static {
    /// An accepted connection.
    type Visitor: Send;

    /// Accepts a connection; returns `None` for one that was refused at once. It may be cancelled at any time.
    fn accept(&self) -> impl Future<Output = io::Result<Option<Self::Visitor>>> + Send;

    /// Logs that a connection cannot be accepted.
    fn failed(&self, error: &io::Error);

    /// Logs that so many connections are cut, since they were still open at the drain deadline.
    fn cut(connections: usize);

    /// Waits for the turn of the accepted connection, as the limits have it. One connection waits here, the others wait
    /// in the listener's queue. It may be cancelled at any time, and is called again for the same connection.
    fn turn(&self, visitor: &mut Self::Visitor) -> impl Future<Output = ()> + Send;

    /// Ends a connection whose turn has not come when the address closes.
    fn turn_away(visitor: Self::Visitor) {
        drop(visitor);
    }

    /// Serves the connection, whose turn it is, to its end.
    fn serve(
        &self,
        visitor: Self::Visitor,
        phase: &watch::Receiver<AddressPhase>,
    ) -> impl Future<Output = ()> + Send + 'static;
}

/// An address at which connections are accepted. When the value is dropped, the address and its connections are closed.
#[derive(Debug)]
pub(crate) struct Accepting(watch::Sender<AddressPhase>);

impl Accepting {
    pub(crate) fn begin(reception: impl Reception) -> Self {
        let (phase, seen) = watch::channel(AddressPhase::Accept);
        tokio::spawn(run(reception, seen));
        Self(phase)
    }

    /// Enters another phase; the address is never opened again.
    pub(crate) fn enter(&self, phase: AddressPhase) {
        self.0.send_replace(phase);
    }

    /// Returns whether the address and its last connection are closed.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits until the address and its last connection are closed.
    pub(crate) async fn over(&self) {
        self.0.closed().await;
    }
}

/// Accepts connections in the accepting phase, then serves them until the last has ended.
async fn run<R: Reception>(reception: R, mut phase: watch::Receiver<AddressPhase>) {
    let mut connections = JoinSet::new();
    let mut waiting = None;
    while *phase.borrow_and_update() == AddressPhase::Accept {
        tokio::select! {
            changed = phase.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = turn(&reception, &mut waiting), if waiting.is_some() => {
                if let Some(visitor) = waiting.take() {
                    connections.spawn(reception.serve(visitor, &phase));
                }
            }
            accepted = reception.accept(), if waiting.is_none() => match accepted {
                Ok(visitor) => waiting = visitor,
                Err(error) => {
                    reception.failed(&error);
                    sleep(AFTER_ERROR).await;
                }
            },
        }
    }
    let closed = Instant::now();
    let now = *phase.borrow();
    // Whoever was accepted before the program ends is still served. The others are in the queue of a socket that was passed,
    // for the process that follows.
    if let AddressPhase::Drain(deadline) = now
        && waiting.is_some()
        && timeout(deadline, turn(&reception, &mut waiting)).await.is_ok()
        && let Some(visitor) = waiting.take()
    {
        connections.spawn(reception.serve(visitor, &phase));
    }
    drop(reception);
    if let Some(visitor) = waiting {
        R::turn_away(visitor);
    }
    loop {
        let now = *phase.borrow_and_update();
        if let AddressPhase::Drain(deadline) = now {
            let deadline = deadline.saturating_sub(closed.elapsed());
            let all_ended = async { while connections.join_next().await.is_some() {} };
            tokio::select! {
                ended = timeout(deadline, all_ended) => {
                    if ended.is_err() {
                        R::cut(connections.len());
                    }
                    return;
                }
                changed = phase.changed() => if changed.is_err() { return },
            }
            continue;
        }
        tokio::select! {
            changed = phase.changed() => if changed.is_err() { return },
            ended = connections.join_next() => if ended.is_none() { return },
        }
    }
}

async fn turn<R: Reception>(reception: &R, waiting: &mut Option<R::Visitor>) {
    match waiting {
        Some(visitor) => reception.turn(visitor).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tokio::sync::{Notify, Semaphore, mpsc};

    /// A reception of numbers: odd ones are refused, and each fifth accept fails.
    struct Numbers {
        next: Mutex<u32>,
        served: mpsc::UnboundedSender<(u32, Instant)>,
        turns: std::sync::Arc<Semaphore>,
        end: std::sync::Arc<Notify>,
    }

    impl Reception for Numbers {
        type Visitor = u32;

        fn failed(&self, _: &io::Error) {}

        fn cut(_: usize) {}

        async fn accept(&self) -> io::Result<Option<u32>> {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            if next.is_multiple_of(5) {
                return Err(io::Error::from_raw_os_error(24));
            }
            Ok(Some(*next).filter(|number| number.is_multiple_of(2)))
        }

        async fn turn(&self, _: &mut u32) {
            self.turns.acquire().await.unwrap().forget();
        }

        fn serve(&self, number: u32, _: &watch::Receiver<AddressPhase>) -> impl Future<Output = ()> + Send + 'static {
            let (served, end) = (self.served.clone(), self.end.clone());
            async move {
                served.send((number, Instant::now())).unwrap();
                end.notified().await;
            }
        }
    }

    fn numbers(turns: usize) -> (Accepting, mpsc::UnboundedReceiver<(u32, Instant)>, std::sync::Arc<Notify>) {
        let (served, seen) = mpsc::unbounded_channel();
        let end = std::sync::Arc::new(Notify::new());
        let turns = std::sync::Arc::new(Semaphore::new(turns));
        let numbers = Numbers { next: Mutex::new(0), served, turns, end: end.clone() };
        (Accepting::begin(numbers), seen, end)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_is_not_served_and_an_error_is_waited_out() {
        let (_accepting, mut seen, _end) = numbers(4);
        let mut served = Vec::new();
        for _ in 0..4 {
            served.push(seen.recv().await.unwrap());
        }
        assert_eq!(served.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 4, 6, 8]);
        assert_eq!(served[1].1 - served[0].1, Duration::ZERO);
        assert!(served[2].1 - served[1].1 >= AFTER_ERROR, "the fifth accept failed");
        tokio::task::yield_now().await;
        assert!(seen.try_recv().is_err(), "there are four turns");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_outlive_a_closed_address_and_end_at_the_deadline() {
        let (accepting, mut seen, end) = numbers(2);
        let began = Instant::now();
        assert_eq!([seen.recv().await.unwrap().0, seen.recv().await.unwrap().0], [2, 4]);
        accepting.enter(AddressPhase::Close);
        end.notify_one();
        tokio::task::yield_now().await;
        assert!(!accepting.is_over(), "one connection has not ended");
        accepting.enter(AddressPhase::Drain(Duration::from_secs(3)));
        accepting.over().await;
        assert!(began.elapsed() >= Duration::from_secs(3));
        assert!(seen.recv().await.is_none(), "nothing is left of the reception");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_turn_is_served_while_the_address_drains() {
        let (served, mut seen) = mpsc::unbounded_channel();
        let (end, turns) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Semaphore::new(1)));
        let numbers = Numbers { next: Mutex::new(0), served, turns: turns.clone(), end: end.clone() };
        let accepting = Accepting::begin(numbers);
        assert_eq!(seen.recv().await.unwrap().0, 2);
        // The next one is accepted, and has no turn.
        sleep(Duration::from_millis(1)).await;
        accepting.enter(AddressPhase::Drain(Duration::from_secs(3)));
        sleep(Duration::from_millis(1)).await;
        turns.add_permits(1);
        assert_eq!(seen.recv().await.map(|(number, _)| number), Some(4));
        sleep(Duration::from_millis(1)).await;
        end.notify_waiters();
        accepting.over().await;
    }

    #[tokio::test]
    async fn a_closed_address_without_connections_is_over() {
        let (accepting, _seen, _end) = numbers(0);
        accepting.enter(AddressPhase::Close);
        accepting.over().await;
    }

    #[tokio::test]
    async fn a_dropped_value_ends_the_connections() {
        let (accepting, mut seen, _end) = numbers(1);
        seen.recv().await.unwrap();
        drop(accepting);
        assert!(seen.recv().await.is_none());
    }
}
