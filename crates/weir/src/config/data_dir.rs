//! Where what outlives an instance is kept.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Why nothing can be kept there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadDataDir {
    /// It is not there, and cannot be made.
    #[error("--data-dir {}: cannot make the directory: {cause}", .dir.display())]
    NotMade { dir: PathBuf, cause: io::Error },
    /// It is something else.
    #[error("--data-dir {}: this is no directory", .dir.display())]
    NoDirectory { dir: PathBuf },
    /// It is there, for others.
    #[error("--data-dir {}: cannot write in the directory: {cause}", .dir.display())]
    NotWritable { dir: PathBuf, cause: io::Error },
}

/// Makes the directory where it is missing, for the user of this process alone, because what is kept there is what others have
/// published.
///
/// # Errors
/// [`BadDataDir`].
pub(crate) fn prepare(dir: &Path) -> Result<(), BadDataDir> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Ok(()) => check(dir),
        Err(_) if fs::metadata(dir).is_ok_and(|found| !found.is_dir()) => {
            Err(BadDataDir::NoDirectory { dir: dir.to_owned() })
        }
        Err(cause) => Err(BadDataDir::NotMade { dir: dir.to_owned(), cause }),
    }
}

/// Whether a process started here could write in a directory that is there.
///
/// # Errors
/// [`BadDataDir`].
pub(crate) fn check(dir: &Path) -> Result<(), BadDataDir> {
    access(dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|cause| BadDataDir::NotWritable { dir: dir.to_owned(), cause: cause.into() })
}
