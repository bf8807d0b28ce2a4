//! Files that hold a secret: created so that nobody else can ever have read them, and read only if nobody else can.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::process::geteuid;
use zeroize::Zeroizing;

use crate::secret::{mask, shown};

/// Why a secret was not read. Holds nothing of the file's content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivateFileError {
    /// No such file.
    #[error("{path} does not exist", path = shown(.0))]
    Missing(PathBuf),
    /// The system refuses, or it is no text.
    #[error("{path} cannot be read ({error})", path = shown(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Others can read or change it: the secret may be known already.
    #[error("{path} can be read or changed by other users", path = shown(.0))]
    Open(PathBuf),
}

impl PrivateFileError {
    /// What to do about it, apart from a file that is missing.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Missing(_) | Self::Unreadable { .. } => "name a file that this user can read".to_owned(),
            Self::Open(path) => format!("run `chmod 600 {}`", mask(&path.display().to_string())),
        }
    }
}

/// A secret text, erased when it is dropped.
pub(crate) struct PrivateText {
    /// The text.
    pub(crate) text: Zeroizing<String>,
    /// The file is ours and its group can read it: allowed, and worth a line in the log. A secret that an orchestrator mounts
    /// for a group belongs to somebody else, and taking the group's right away would lock us out.
    pub(crate) group_can_read: bool,
}

/// Whatever is longer than this holds no key: a keystore has under 1 KiB.
const LONGEST: u64 = 64 * 1024;

/// Reads a file that nobody but its owner, and perhaps its group, can read.
pub(crate) fn read(path: &Path) -> Result<PrivateText, PrivateFileError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing(path.to_owned()),
        _ => PrivateFileError::Unreadable {
            path: path.to_owned(),
            error,
        },
    };
    // The mode is that of the file which is open, not of what may stand at the path a moment later.
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let exposure = judge_mode(metadata.permissions().mode());
    if exposure == Exposure::Open {
        return Err(PrivateFileError::Open(path.to_owned()));
    }
    // Large enough from the start: a text that grows leaves copies of itself behind.
    let length = usize::try_from(metadata.len().min(LONGEST)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(length + 64));
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    Ok(PrivateText {
        text,
        group_can_read: exposure == Exposure::GroupCanRead && metadata.uid() == geteuid().as_raw(),
    })
}

/// Creates a new file with mode 0600 from the first moment, and brings its content to the disk. An existing file, or a link
/// in its place, is left alone. A file that could not be written whole is removed.
pub(crate) fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(path);
    }
    written
}

/// Who can get at a file besides its owner; a group that reads somebody else's file is not counted, for it is there for us.
pub(crate) fn exposure(path: &Path) -> io::Result<Exposure> {
    let metadata = fs::metadata(path)?;
    Ok(match judge_mode(metadata.permissions().mode()) {
        Exposure::GroupCanRead if metadata.uid() != geteuid().as_raw() => Exposure::Private,
        exposure => exposure,
    })
}

/// Who besides its owner can get at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Nobody.
    Private,
    /// Its group can read it, as with a Kubernetes secret that is mounted for a group.
    GroupCanRead,
    /// Everybody can read it, or somebody else can change it.
    Open,
}

fn judge_mode(mode: u32) -> Exposure {
    const GROUP_CAN_READ: u32 = 0o040;
    const OTHERS_OR_GROUP_CAN_WRITE: u32 = 0o027;
    match mode {
        mode if mode & OTHERS_OR_GROUP_CAN_WRITE != 0 => Exposure::Open,
        mode if mode & GROUP_CAN_READ != 0 => Exposure::GroupCanRead,
        _ => Exposure::Private,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_belongs_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create(&path, "secret").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "secret");
    }

    #[test]
    fn neither_a_file_nor_a_link_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("key"), folder.path().join("link"));
        create(&path, "first").unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        for taken in [&path, &link] {
            assert_eq!(
                create(taken, "second").unwrap_err().kind(),
                io::ErrorKind::AlreadyExists
            );
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }

    #[test]
    fn the_mode_decides_who_is_let_in() {
        for (mode, exposure) in [
            (0o100_600, Exposure::Private),
            (0o100_400, Exposure::Private),
            (0o100_440, Exposure::GroupCanRead),
            (0o100_640, Exposure::GroupCanRead),
            (0o100_660, Exposure::Open),
            (0o100_644, Exposure::Open),
            (0o100_604, Exposure::Open),
            (0o100_602, Exposure::Open),
        ] {
            assert_eq!(judge_mode(mode), exposure, "{mode:o}");
        }
    }
}
