//! A store in memory, for tests: it can be away, and go back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::bucket::{Answer, Bucket, BucketError, News, Revision, Value, room};

#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    revision: Revision,
    values: BTreeMap<String, Value>,
}

/// A store that all its clones share.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    contents: Arc<Mutex<Contents>>,
    changed: watch::Sender<u64>,
    away: watch::Sender<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { contents: Arc::default(), changed: watch::Sender::new(0), away: watch::Sender::new(false) }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store in memory")
    }
}

impl Memory {
    pub(super) fn set_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    pub(super) fn backup(&self) -> Contents {
        self.contents.lock().unwrap().clone()
    }

    pub(super) fn restore(&self, backup: Contents) {
        *self.contents.lock().unwrap() = backup;
        self.changed.send_modify(|count| *count += 1);
    }

    fn reached(&self) -> Result<(), BucketError> {
        if *self.away.borrow() { Err(BucketError::Away("away".to_owned())) } else { Ok(()) }
    }

    fn write(&self, key: &str, octets: Vec<u8>, over: Option<Revision>) -> Result<Revision, BucketError> {
        self.reached()?;
        let mut contents = self.contents.lock().unwrap();
        let before = contents.values.get(key).map_or(0, |value| value.revision);
        if over.is_some_and(|over| over != before) {
            return Err(BucketError::Conflict);
        }
        contents.revision += 1;
        let revision = contents.revision;
        contents.values.insert(key.to_owned(), Value { revision, octets: Some(octets) });
        self.changed.send_modify(|count| *count += 1);
        Ok(revision)
    }
}

impl Bucket for Memory {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Value> {
        Box::pin(async move {
            self.reached()?;
            Ok(self.contents.lock().unwrap().values.get(key).cloned().unwrap_or_default())
        })
    }

    fn replace<'a>(&'a self, key: &'a str, octets: Vec<u8>, over: Revision) -> Answer<'a, Revision> {
        Box::pin(async move { self.write(key, octets, Some(over)) })
    }

    fn put<'a>(&'a self, key: &'a str, octets: Vec<u8>) -> Answer<'a, Revision> {
        Box::pin(async move { self.write(key, octets, None) })
    }

    fn follow(&self, prefix: &str, longest: usize) -> mpsc::Receiver<News> {
        let (news, receiver) = mpsc::channel(room(longest));
        let (memory, prefix) = (self.clone(), format!("{prefix}."));
        let (mut changed, mut away) = (self.changed.subscribe(), self.away.subscribe());
        tokio::spawn(async move {
            loop {
                // As NATS does: where the store goes back, nothing is told until it has come to where it was.
                let mut told = 0;
                let one = if *away.borrow_and_update() { News::Away("away".to_owned()) } else { News::Heard };
                let heard = one == News::Heard;
                if news.send(one).await.is_err() {
                    return;
                }
                while heard && !*away.borrow() {
                    changed.borrow_and_update();
                    let values = memory.contents.lock().unwrap().values.clone();
                    let mut values: Vec<_> = values.into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect();
                    values.sort_by_key(|(_, value)| value.revision);
                    for (key, mut value) in values {
                        if value.revision > told {
                            told = value.revision;
                            value.octets.iter_mut().for_each(|octets| octets.truncate(longest + 1));
                            if news.send(News::Value(key, value)).await.is_err() {
                                return;
                            }
                        }
                    }
                    tokio::select! {
                        _ = changed.changed() => {}
                        _ = away.changed() => break,
                        () = news.closed() => return,
                    }
                }
                if !heard {
                    tokio::select! {
                        _ = away.changed() => {}
                        () = news.closed() => return,
                    }
                }
            }
        });
        receiver
    }
}
