//! Key files: a node's secret, and that of a sealed network, on disk.

mod hex_file;
mod identity;
mod keystore;
mod listed;
mod load;
pub(crate) mod network_secret;
mod private_file;
mod prompt;

pub(crate) use identity::peer_id;
pub(crate) use listed::{Listed, listed, members_file};
pub(crate) use load::{KeyFileError, LoadedKey, load};
pub(crate) use private_file::{PrivateFileError, create as create_private};
pub(crate) use prompt::new_password;

use std::path::Path;

use quorate_protocol::NodeKey;

use crate::secret::Secret;

/// How a new key is written.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// `0x` and 64 hex digits; protected by the file's mode alone.
    Hex,
    /// An Ethereum V3 keystore, encrypted with this password.
    Keystore(Secret),
}

/// Writes the key to a new file that only its owner can read. Never replaces a file.
pub(crate) fn save(key: &NodeKey, path: &Path, format: &Format) -> Result<(), KeyFileError> {
    let text = match format {
        Format::Hex => hex_file::encode(key),
        Format::Keystore(password) => keystore::encrypt(key, password, path)?.into(),
    };
    private_file::create(path, &text).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => KeyFileError::Exists(path.to_owned()),
        _ => KeyFileError::Unwritable {
            path: path.to_owned(),
            error,
        },
    })
}

/// What may be known of a key: its two names, a line each.
pub(crate) fn describe(key: &NodeKey) -> String {
    format!("address  {}\npeer_id  {}\n", key.address(), peer_id(key))
}
