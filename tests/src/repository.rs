//! Reads the files of this repository for tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the top folder of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// A text file of the repository.
pub struct Source {
    /// The path from the top folder, with `/`.
    pub path: String,
    /// The file's text.
    pub text: String,
}

impl Source {
    /// Returns the text that is built into programs and libraries: all before the module of unit tests.
    pub fn shipped(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default()
    }

    /// Returns the shipped text without comments.
    pub fn code(&self) -> String {
        self.shipped().lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
    }
}

/// Returns all text files below a folder, except built or fetched files.
pub fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            // In a worktree, .git is a file.
            if matches!(name.as_str(), "target" | ".git" | "node_modules") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root()).expect("below the top").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(!found.is_empty(), "{folder}: no files");
    found
}

/// Returns the Rust files below a folder.
pub fn rust(folder: &str) -> Vec<Source> {
    sources(folder).into_iter().filter(|source| source.path.ends_with(".rs")).collect()
}
