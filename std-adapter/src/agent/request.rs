//! Exchanges renewal requests and answers with the gateway that holds the home, by two entries of the home.

use serde::{Deserialize, Serialize};

use crate::store::{Entry, Held, Home, StorageError};

/// The length limit of a request's number, in characters.
const LONGEST_NUMBER: usize = 32;

#[derive(Deserialize, Serialize)]
struct Answer {
    /// The number of the request.
    number: String,
    /// The reason that there is no new certificate, or a fault of the renewal.
    error: Option<String>,
}

/// Requests a renewal; the number identifies the answer.
pub(super) async fn ask(home: &Home, number: &str) -> Result<(), StorageError> {
    home.leave(Entry::Request, number.as_bytes()).await
}

/// Takes the pending request and returns its number; each request is taken once.
pub(super) async fn take(held: &dyn Held) -> Result<Option<String>, StorageError> {
    let Some(number) = held.look(Entry::Request).await? else { return Ok(None) };
    held.forget(Entry::Request).await?;
    let number = String::from_utf8_lossy(&number);
    Ok(Some(number.chars().filter(char::is_ascii_alphanumeric).take(LONGEST_NUMBER).collect()))
}

/// Answers a request.
pub(super) async fn answer(held: &dyn Held, number: &str, error: Option<&str>) -> Result<(), StorageError> {
    let answer = Answer { number: number.to_owned(), error: error.map(str::to_owned) };
    held.keep(Entry::Answer, &serde_json::to_vec(&answer).unwrap_or_default()).await
}

/// Returns the result of the request with this number, or `None` while there is no answer.
pub(super) async fn answered(home: &Home, number: &str) -> Result<Option<Result<(), String>>, StorageError> {
    let answer = home.look(Entry::Answer).await?.and_then(|json| serde_json::from_slice::<Answer>(&json).ok());
    let answer = answer.filter(|answer| answer.number == number);
    Ok(answer.map(|answer| answer.error.map_or(Ok(()), Err)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_for_the_one_who_asked() {
        let parent = tempfile::tempdir().unwrap();
        let home = Home::folder(parent.path().to_str().unwrap());
        let held = home.take().await.unwrap();
        assert_eq!(take(&*held).await.unwrap(), None);
        ask(&home, "17").await.unwrap();
        assert_eq!(take(&*held).await.unwrap().as_deref(), Some("17"));
        assert_eq!(take(&*held).await.unwrap(), None);
        assert_eq!(answered(&home, "17").await.unwrap(), None);
        answer(&*held, "17", Some("the CA is away")).await.unwrap();
        assert_eq!(answered(&home, "18").await.unwrap(), None);
        assert_eq!(answered(&home, "17").await.unwrap(), Some(Err("the CA is away".to_owned())));
        answer(&*held, "18", None).await.unwrap();
        assert_eq!(answered(&home, "18").await.unwrap(), Some(Ok(())));
    }
}
