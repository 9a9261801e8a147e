//! Exchanges renewal requests and answers with the gateway that holds the folder, by two small files, each atomic.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::store::{Folder, FolderError, leave, look};

const REQUEST: &str = "renew.request";
const ANSWER: &str = "renew.answer";

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
pub(super) fn ask(folder: &Path, number: &str) -> Result<(), FolderError> {
    leave(folder, REQUEST, number.as_bytes())
}

/// Takes the pending request and returns its number; each request is taken once.
pub(super) fn take(folder: &Folder) -> Result<Option<String>, FolderError> {
    let Some(number) = folder.read(REQUEST)? else { return Ok(None) };
    folder.remove(REQUEST)?;
    let number = String::from_utf8_lossy(&number);
    Ok(Some(number.chars().filter(char::is_ascii_alphanumeric).take(LONGEST_NUMBER).collect()))
}

/// Answers a request.
pub(super) fn answer(folder: &Folder, number: &str, error: Option<&str>) -> Result<(), FolderError> {
    let answer = Answer { number: number.to_owned(), error: error.map(str::to_owned) };
    folder.write(ANSWER, &serde_json::to_vec(&answer).unwrap_or_default())
}

/// Returns the result of the request with this number, or `None` while there is no answer.
pub(super) fn answered(folder: &Path, number: &str) -> Result<Option<Result<(), String>>, FolderError> {
    let answer = look(folder, ANSWER)?.and_then(|json| serde_json::from_slice::<Answer>(&json).ok());
    let answer = answer.filter(|answer| answer.number == number);
    Ok(answer.map(|answer| answer.error.map_or(Ok(()), Err)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_for_the_one_who_asked() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        assert_eq!(take(&folder).unwrap(), None);
        ask(parent.path(), "17").unwrap();
        assert_eq!(take(&folder).unwrap().as_deref(), Some("17"));
        assert_eq!(take(&folder).unwrap(), None);
        assert_eq!(answered(parent.path(), "17").unwrap(), None);
        answer(&folder, "17", Some("the CA is away")).unwrap();
        assert_eq!(answered(parent.path(), "18").unwrap(), None);
        assert_eq!(answered(parent.path(), "17").unwrap(), Some(Err("the CA is away".to_owned())));
        answer(&folder, "18", None).unwrap();
        assert_eq!(answered(parent.path(), "18").unwrap(), Some(Ok(())));
    }
}
