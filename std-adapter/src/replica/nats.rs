//! A bucket of NATS JetStream: a stream with the last message of each subject, as NATS' key-value stores are.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType};
use async_nats::jetstream::{Context, ContextBuilder, ErrorCode, kv};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, HeaderValue};
use futures_util::StreamExt;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::{sleep, timeout};

use super::bucket::{Answer, Bucket, BucketError, News, Revision, Value, room};
use super::user::NatsUser;
use crate::tls::TlsClient;

/// The time limit for one request. After a leader's death NATS needs about five seconds to choose another.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time after which a connection that carries nothing is asked for a sign of life; a second question without an
/// answer ends it.
const PING: Duration = Duration::from_secs(3);

/// The longest wait between two attempts to connect.
const RECONNECT: Duration = Duration::from_secs(2);

/// The wait before a store that could not be followed is followed again.
const AGAIN: Duration = Duration::from_millis(500);

/// The size limit of a message, in octets: the largest is a signed mesh. Servers take 1 MiB by default.
const MAX_MESSAGE: i32 = 2 * 1024 * 1024;

/// The way to a bucket.
#[derive(Clone)]
pub(crate) struct NatsAccess {
    /// `tls://HOST:PORT` or `nats://HOST:PORT`.
    pub(crate) servers: Vec<String>,
    pub(crate) bucket: String,
    /// The number of servers that keep a bucket that is made.
    pub(crate) replicas: u8,
    /// Judges the servers, and has the certificate that is shown to them.
    pub(crate) tls: TlsClient,
    /// The user that the servers know.
    pub(crate) user: Option<NatsUser>,
}

/// A bucket of NATS, connected to when it is first used.
pub(crate) struct NatsBucket {
    access: NatsAccess,
    client: Arc<OnceCell<Client>>,
    /// The reason that the last attempt to connect failed, until one succeeds.
    refused: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for NatsBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBucket").field("bucket", &self.access.bucket).finish_non_exhaustive()
    }
}

impl fmt::Display for NatsBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NATS bucket {}", self.access.bucket)
    }
}

fn away(reason: impl fmt::Display) -> BucketError {
    BucketError::Away(format!("NATS: {reason}"))
}

impl NatsBucket {
    pub(crate) fn new(access: NatsAccess) -> Self {
        Self { access, client: Arc::default(), refused: Arc::default() }
    }

    /// Returns another handle of this bucket, with the same connection.
    fn another(&self) -> Self {
        Self { access: self.access.clone(), client: self.client.clone(), refused: self.refused.clone() }
    }

    /// Returns the reason that nothing was answered in time.
    fn no_answer(&self) -> BucketError {
        self.explained(away(format!("no answer in {} s", PATIENCE.as_secs())))
    }

    /// Returns the reason that there is no connection, if there is none, in the place of an error that follows from it.
    fn explained(&self, error: BucketError) -> BucketError {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (error, refused) {
            (BucketError::Away(_), Some(reason)) => {
                BucketError::Away(format!("not connected to any of {}: {reason}", self.access.servers.join(", ")))
            }
            (error, _) => error,
        }
    }

    async fn client(&self) -> Result<&Client, BucketError> {
        self.client.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Client, BucketError> {
        let encrypted = self.access.servers.iter().any(|server| server.starts_with("tls://"));
        let mut options = ConnectOptions::new()
            .name("edgetrust")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .ping_interval(PING)
            .event_callback({
                let refused = self.refused.clone();
                move |event| {
                    let reason = match event {
                        Event::ClientError(error) => Some(Some(error.to_string())),
                        Event::Connected => Some(None),
                        _ => None,
                    };
                    if let Some(reason) = reason {
                        *refused.lock().unwrap_or_else(PoisonError::into_inner) = reason;
                    }
                    std::future::ready(())
                }
            })
            // Others than the configured servers are neither in the certificates nor let through.
            .ignore_discovered_servers()
            .reconnect_delay_callback(|attempts| {
                let factor = u32::try_from(attempts.min(20)).unwrap_or(20);
                RECONNECT.min(Duration::from_millis(100).saturating_mul(factor))
            });
        if encrypted {
            options = options.require_tls(true).tls_client_config(self.access.tls.config_without_resumption());
        }
        if let Some(user) = &self.access.user {
            // The error may repeat a part of the file.
            let refused = |_| away("storage.nats.credentials_file: found another text, expected a NATS user's");
            options = options.credentials(user.text()).map_err(refused)?;
        }
        options.connect(self.access.servers.clone()).await.map_err(away)
    }

    async fn context(&self) -> Result<Context, BucketError> {
        let client = self.client().await?.clone();
        Ok(ContextBuilder::new().timeout(PATIENCE).build(client))
    }

    fn stream(&self) -> String {
        format!("KV_{}", self.access.bucket)
    }

    fn subject(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.access.bucket)
    }

    /// Makes the bucket, if it is missing.
    async fn make(&self) -> Result<(), BucketError> {
        let context = self.context().await?;
        match context.get_stream(self.stream()).await {
            Ok(_) => return Ok(()),
            Err(error) if is_missing(&error.kind()) => {}
            Err(error) => return Err(away(error)),
        }
        let config = Config {
            name: self.stream(),
            description: Some("what gateways share (edgetrust)".to_owned()),
            subjects: vec![self.subject(">")],
            max_messages_per_subject: 1,
            max_message_size: MAX_MESSAGE,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: usize::from(self.access.replicas),
            allow_rollup: true,
            deny_delete: true,
            // A follower may answer with an older value.
            allow_direct: false,
            ..Config::default()
        };
        context.create_stream(config).await.map(drop).map_err(away)
    }

    /// Carries out an operation within the time limit; makes the bucket first where it is missing.
    async fn carry_out<T, F>(&self, operation: impl Fn() -> F) -> Result<T, BucketError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let within =
            |answer: Result<Result<T, Failed>, _>| answer.unwrap_or_else(|_| Err(Failed::Other(self.no_answer())));
        match within(timeout(PATIENCE, operation()).await) {
            Ok(done) => Ok(done),
            Err(Failed::Other(error)) => Err(self.explained(error)),
            Err(Failed::Missing) => {
                timeout(PATIENCE, self.make()).await.unwrap_or_else(|_| Err(away("the bucket cannot be made")))?;
                match within(timeout(PATIENCE, operation()).await) {
                    Ok(done) => Ok(done),
                    Err(Failed::Other(error)) => Err(error),
                    Err(Failed::Missing) => Err(away("no server leads the bucket now")),
                }
            }
        }
    }

    async fn publish(&self, key: &str, octets: Vec<u8>, over: Option<Revision>) -> Result<Revision, Failed> {
        let context = self.context().await.map_err(Failed::Other)?;
        let mut headers = HeaderMap::new();
        if let Some(over) = over {
            headers.insert("Nats-Expected-Last-Subject-Sequence", HeaderValue::from(over));
        }
        let failed = |error: async_nats::jetstream::context::PublishError| match error.kind() {
            PublishErrorKind::WrongLastSequence => Failed::Other(BucketError::Conflict),
            PublishErrorKind::StreamNotFound => Failed::Missing,
            _ => Failed::Other(away(error)),
        };
        let sent = context.publish_with_headers(self.subject(key), headers, octets.into()).await.map_err(failed)?;
        Ok(sent.await.map_err(failed)?.sequence)
    }

    async fn last(&self, key: &str) -> Result<Value, Failed> {
        let context = self.context().await.map_err(Failed::Other)?;
        let stream = context.get_stream_no_info(self.stream()).await.map_err(|error| Failed::Other(away(error)))?;
        match stream.get_last_raw_message_by_subject(&self.subject(key)).await {
            Ok(message) if message.headers.get("KV-Operation").is_some() => {
                Ok(Value { revision: message.sequence, octets: None })
            }
            Ok(message) => Ok(Value { revision: message.sequence, octets: Some(message.payload.to_vec()) }),
            Err(error) => match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => Ok(Value::default()),
                LastRawMessageErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Err(Failed::Missing)
                }
                _ => Err(Failed::Other(away(error))),
            },
        }
    }

    /// Tells of the keys below a prefix until nobody listens any more, or the store is away.
    async fn tell(&self, prefix: &str, longest: usize, news: &mpsc::Sender<News>) -> Result<(), BucketError> {
        let late = |_| self.no_answer();
        timeout(PATIENCE, self.make()).await.map_err(late)??;
        let context = self.context().await?;
        let store = timeout(PATIENCE, context.get_key_value(&self.access.bucket)).await;
        let store = store.map_err(late)?.map_err(away)?;
        let keys = [format!("{prefix}.>")];
        let watch = timeout(PATIENCE, store.watch_many_with_history(keys)).await;
        let mut watch = watch.map_err(late)?.map_err(away)?;
        if news.send(News::Heard).await.is_err() {
            return Ok(());
        }
        loop {
            let entry = tokio::select! {
                entry = watch.next() => entry,
                () = news.closed() => return Ok(()),
            };
            let entry = entry.ok_or_else(|| away("the bucket is not followed any more"))?.map_err(away)?;
            let value = entry.value.get(..longest.saturating_add(1)).unwrap_or(&entry.value);
            let octets = (entry.operation == kv::Operation::Put).then(|| value.to_vec());
            let value = Value { revision: entry.revision, octets };
            if news.send(News::Value(entry.key, value)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// The reason that an operation failed.
enum Failed {
    /// There is no such bucket, or no server leads it.
    Missing,
    Other(BucketError),
}

fn is_missing(kind: &async_nats::jetstream::context::GetStreamErrorKind) -> bool {
    use async_nats::jetstream::context::GetStreamErrorKind;
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

impl Bucket for NatsBucket {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Value> {
        Box::pin(self.carry_out(move || self.last(key)))
    }

    fn replace<'a>(&'a self, key: &'a str, octets: Vec<u8>, over: Revision) -> Answer<'a, Revision> {
        Box::pin(async move { self.carry_out(|| self.publish(key, octets.clone(), Some(over))).await })
    }

    fn put<'a>(&'a self, key: &'a str, octets: Vec<u8>) -> Answer<'a, Revision> {
        Box::pin(async move { self.carry_out(|| self.publish(key, octets.clone(), None)).await })
    }

    fn follow(&self, prefix: &str, longest: usize) -> mpsc::Receiver<News> {
        let (news, receiver) = mpsc::channel(room(longest));
        let (bucket, prefix) = (self.another(), prefix.to_owned());
        tokio::spawn(async move {
            while !news.is_closed() {
                let Err(error) = bucket.tell(&prefix, longest, &news).await else { return };
                if news.send(News::Away(bucket.explained(error).to_string())).await.is_err() {
                    return;
                }
                sleep(AGAIN).await;
            }
        });
        receiver
    }
}
