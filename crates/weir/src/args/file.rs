//! The optional TOML file.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::nearest::nearest;

/// What a file sets, by flag.
#[derive(Debug)]
pub(crate) struct FileLayer {
    /// The file.
    pub(crate) path: PathBuf,
    /// Flag names without dashes in front, and their texts: several for a list.
    pub(crate) settings: Vec<(String, Vec<String>)>,
}

/// A flag as far as a file is concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagKind<'a> {
    /// Its name without dashes in front.
    pub(crate) name: &'a str,
    /// Whether it takes a list.
    pub(crate) list: bool,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {source}", .file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    /// It is not TOML.
    #[error("{} is not TOML: {reason}", .file.display())]
    Syntax { file: PathBuf, reason: String },
    /// A key that is no flag.
    #[error("unknown key {key} in {}: the nearest is {nearest}", .file.display())]
    UnknownKey { file: PathBuf, key: String, nearest: String },
    /// A value of a shape that no flag takes.
    #[error("the value of {key} in {} must be {expected}", .file.display())]
    Shape { file: PathBuf, key: String, expected: &'static str },
}

impl FileLayer {
    /// Reads a file that may set these flags.
    ///
    /// # Errors
    /// [`FileError`].
    pub(crate) fn read(path: &Path, flags: &[FlagKind<'_>]) -> Result<Self, FileError> {
        let file = path.to_owned();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(source) => return Err(FileError::Unreadable { file, source }),
        };
        let table: Table = match toml::from_str(&text) {
            Ok(table) => table,
            Err(error) => return Err(FileError::Syntax { reason: place(&text, &error), file }),
        };
        let settings = table.into_iter().map(|(key, value)| setting(path, key, value, flags));
        Ok(Self { path: file, settings: settings.collect::<Result<_, _>>()? })
    }

    /// Whether it sets a flag.
    pub(crate) fn sets(&self, flag: &str) -> bool {
        self.settings.iter().any(|(name, _)| name == flag)
    }

    /// The same on a command line.
    pub(crate) fn as_flags(&self) -> impl Iterator<Item = OsString> {
        let texts = |(flag, texts): &'_ (String, Vec<String>)| -> Vec<OsString> {
            texts.iter().map(|text| format!("--{flag}={text}").into()).collect()
        };
        self.settings.iter().flat_map(texts)
    }
}

fn setting(
    file: &Path,
    key: String,
    value: Value,
    flags: &[FlagKind<'_>],
) -> Result<(String, Vec<String>), FileError> {
    let file = || file.to_owned();
    let Some(flag) = flags.iter().find(|flag| flag.name == key) else {
        let nearest = nearest(&key, flags.iter().map(|flag| flag.name)).unwrap_or_default().to_owned();
        return Err(FileError::UnknownKey { file: file(), key, nearest });
    };
    let values = match value {
        Value::Array(values) if flag.list => values,
        single @ (Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_)) => vec![single],
    };
    let texts: Option<Vec<String>> = values.into_iter().map(scalar).collect();
    let expected = if flag.list { "a text or an array of texts" } else { "one text or number" };
    texts.map(|texts| (key.clone(), texts)).ok_or_else(|| FileError::Shape { file: file(), key, expected })
}

fn scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// The parser's own text spans several lines and quotes the file, which may hold a password.
fn place(text: &str, error: &toml::de::Error) -> String {
    let start = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..start].iter().filter(|b| **b == b'\n').count() + 1;
    format!("line {line}: {}", error.message().lines().next().unwrap_or_default())
}
