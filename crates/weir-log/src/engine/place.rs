//! Where the database is.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction,
};

use super::memory::Memory;

/// What a directory's database is called.
const FILE: &str = "weir.redb";

/// What the layout of the tables is called. A version that cannot read another's tables counts on.
const FORMAT: u64 = 1;
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("weir");
const FORMAT_KEY: &str = "format";
/// How many transactions were committed: what tells after a failure whether the last one was.
const COMMITS_KEY: &str = "commits";

/// Memory for the pages of a file that were read lately. What the system caches of the file comes on top, and is given back
/// when it is needed.
const FILE_CACHE: usize = 64 << 20;
/// Largest file that is looked through at the start. It bounds how long that takes to a second or so.
const LOOKED_THROUGH: u64 = 256 << 20;
/// Of what is in memory there is nothing to cache: enough for what one transaction changes.
const MEMORY_CACHE: usize = 8 << 20;

/// Where the database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the memory of this process, and gone with it.
    Memory,
    /// In a file in this directory, which is made where there is none.
    Directory(PathBuf),
}

/// Why the database was not opened. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be used.
    #[error("cannot use the directory {}: it must exist or be creatable, and be writable", .0.display())]
    Directory(PathBuf, #[source] io::Error),
    /// Somebody else has it open.
    #[error("{} is in use by another process: give each instance a directory of its own", .0.display())]
    InUse(PathBuf),
    /// It was written by a newer version.
    #[error("{} has format {format}, and this version knows formats up to {FORMAT}: use the newer weir that wrote it", file.display())]
    Newer {
        /// Which file.
        file: PathBuf,
        /// Its format.
        format: u64,
    },
    /// It is no database, or a damaged one.
    #[error("{} cannot be read: restore it from a backup, or move it away to begin with an empty one", .0.display())]
    Damaged(PathBuf, #[source] Box<redb::Error>),
    /// The writer's thread did not start.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Place {
    /// Opens the database, or makes it. A file that nobody had open before is looked through, where it is not too large for
    /// that: the library trusts what it reads, and what was altered behind its back makes it panic, or goes unnoticed.
    pub(super) fn open_first(&self) -> Result<Database, OpenError> {
        let size = std::fs::metadata(self.file()).map_or(0, |file| file.len());
        self.open_looking(matches!(self, Self::Directory(_)) && size <= LOOKED_THROUGH)
    }

    /// Opens the database again.
    pub(super) fn open(&self) -> Result<Database, OpenError> {
        self.open_looking(false)
    }

    fn open_looking(&self, through: bool) -> Result<Database, OpenError> {
        match self {
            Self::Memory => {
                let mut builder = Builder::new();
                let opened = builder.set_cache_size(MEMORY_CACHE).create_with_backend(Memory::default());
                opened.map_err(|error| self.refused(error.into()))
            }
            Self::Directory(dir) => {
                std::fs::create_dir_all(dir).map_err(|error| OpenError::Directory(dir.clone(), error))?;
                let file = private(&self.file()).map_err(|error| OpenError::Directory(dir.clone(), error))?;
                let mut builder = Builder::new();
                builder.set_cache_size(FILE_CACHE).set_check_integrity_on_open(through);
                let opened = FileBackend::new(file).and_then(|file| builder.create_with_backend(file));
                let database = opened.map_err(|error| self.refused(error.into()))?;
                self.check_format(&database)?;
                Ok(database)
            }
        }
    }

    fn check_format(&self, database: &Database) -> Result<(), OpenError> {
        match format(database).map_err(|error| self.refused(error))? {
            Some(1..=FORMAT) => Ok(()),
            Some(format) => Err(OpenError::Newer { file: self.file(), format }),
            None => set_format(database).map_err(|error| self.refused(error)),
        }
    }

    fn refused(&self, error: redb::Error) -> OpenError {
        if matches!(error, redb::Error::DatabaseAlreadyOpen) {
            return OpenError::InUse(self.file());
        }
        if let redb::Error::Io(error) = error {
            return if error.kind() == io::ErrorKind::InvalidData {
                OpenError::Damaged(self.file(), Box::new(error.into()))
            } else {
                OpenError::Directory(self.directory(), error)
            };
        }
        OpenError::Damaged(self.file(), Box::new(error))
    }

    fn file(&self) -> PathBuf {
        self.directory().join(FILE)
    }

    fn directory(&self) -> PathBuf {
        match self {
            Self::Memory => PathBuf::from("memory"),
            Self::Directory(dir) => dir.clone(),
        }
    }
}

/// A file for the user of this process alone, whoever may look into the directory: what others have published is in it.
fn private(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(file)
}

/// `None` where the file is new.
fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Ok(table) => Ok(table.get(FORMAT_KEY)?.map(|format| format.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set_format(database: &Database) -> Result<(), redb::Error> {
    let txn = database.begin_write()?;
    txn.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
    Ok(txn.commit()?)
}

/// Counts a transaction.
pub(super) fn count(txn: &WriteTransaction) -> Result<u64, redb::Error> {
    let mut meta = txn.open_table(META)?;
    let count = meta.get(COMMITS_KEY)?.map_or(0, |count| count.value()) + 1;
    meta.insert(COMMITS_KEY, count)?;
    Ok(count)
}

/// How many transactions were committed.
pub(super) fn counted(database: &Database) -> Result<u64, redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get(COMMITS_KEY)?.map_or(0, |count| count.value()))
}
