//! Files that hold a secret: created so that nobody else can ever have read them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
};

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

/// What the mode says.
pub(crate) fn exposure(file: &File) -> io::Result<Exposure> {
    Ok(judge_mode(file.metadata()?.permissions().mode()))
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
