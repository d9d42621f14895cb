//! What can be wrong with a configuration file. Each message names the file, the key and the way out.

use std::path::{Path, PathBuf};

/// Why a configuration file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that the configuration names does not exist.
    #[error("{file}: key `{key}` names {value}, which does not exist; {fix}")]
    FileMissing {
        /// The configuration file.
        file: PathBuf,
        /// Dotted name of the key.
        key: &'static str,
        /// The path after it was made absolute.
        value: PathBuf,
        /// What to do.
        fix: &'static str,
    },
    /// The configuration file itself can't be read.
    #[error("can't read {file}; give the path of the configuration file with --config")]
    Read {
        /// The configuration file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, an unknown or missing key, or a value that does not fit.
    #[error("{file}, line {line}, key `{key}`: {problem}")]
    Value {
        /// The configuration file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Dotted name of the key or section that the problem is in.
        key: String,
        /// The problem, with the value and the way out.
        problem: String,
    },
}

impl ConfigError {
    /// Finds the place of a parser's error in `text`. The source line is not repeated: it could be a half-written URL
    /// with a password.
    pub(super) fn from_toml(file: &Path, text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or(0, |span| span.start);
        let (line, key) = place(text, offset);
        Self::Value { file: file.to_owned(), line, key, problem: error.message().replace('\n', "; ") }
    }
}

/// Line number and dotted key at a byte offset: the last `[section]` before it, and what stands left of `=`.
fn place(text: &str, offset: usize) -> (usize, String) {
    let mut section = String::new();
    let (mut start, mut number, mut key) = (0, 0, String::new());
    for line in text.split_inclusive('\n') {
        if start > offset {
            break;
        }
        start += line.len();
        number += 1;
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            key.clear();
        } else if let Some((name, _)) = line.split_once('=') {
            name.trim().clone_into(&mut key);
        } else {
            key.clear();
        }
    }
    let dotted = [section, key].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
    (number.max(1), dotted)
}
