//! A key as a list of members names it: by its address, which can be known without the key.

use std::path::{Path, PathBuf};

use libp2p::PeerId;
use quorate_protocol::Address;

use super::{
    key_file::{KeyFileError, from_hex, is_keystore},
    keystore, peer_id, private_file,
};
use crate::secret::{Secret, shown};

/// Who a key file or an address stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// What a person calls it, if that is known: the file's name without its ending.
    pub(crate) name: Option<String>,
    /// The node's name.
    pub(crate) address: Address,
    /// Its other name, which only the key itself tells.
    pub(crate) peer_id: Option<PeerId>,
}

/// Why an argument stands for nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListedError {
    /// The file cannot be read, or holds no key.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// It is an encrypted keystore that names no address, and there is no file beside it that does.
    #[error("{path} is a keystore that does not name its address", path = shown(.0))]
    Nameless(PathBuf),
}

impl ListedError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Key(error) => error.remedy(),
            Self::Nameless(path) => format!(
                "give its address instead, write it to {}, or open it with --key-password-file",
                shown(&beside(path))
            ),
        }
    }
}

/// An address as it stands, or whom a key file stands for. A keystore is opened if there is a password for it; without one, the
/// address that it names counts, or that in the file `KEYFILE.address`.
pub(crate) fn listed(argument: &str, password: Option<&Secret>) -> Result<Listed, ListedError> {
    if let Ok(address) = argument.parse() {
        return Ok(Listed {
            name: None,
            address,
            peer_id: None,
        });
    }
    let path = Path::new(argument);
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let text = private_file::read(path).map_err(KeyFileError::from)?.text;
    let key = match (is_keystore(&text), password) {
        (false, _) => from_hex(&text).ok_or_else(|| KeyFileError::NoKey(path.to_owned()))?,
        (true, Some(password)) => keystore::decrypt(&text, password, path)?,
        (true, None) => {
            let address = keystore::named_address(&text).or_else(|| written_beside(path));
            return Ok(Listed {
                name,
                address: address.ok_or_else(|| ListedError::Nameless(path.to_owned()))?,
                peer_id: None,
            });
        }
    };
    Ok(Listed {
        name,
        address: key.address(),
        peer_id: Some(peer_id(&key)),
    })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".address");
    name.into()
}

fn written_beside(path: &Path) -> Option<Address> {
    std::fs::read_to_string(beside(path)).ok()?.trim().parse().ok()
}

/// The members' file: a table for each.
pub(crate) fn members_file(listed: &[Listed]) -> String {
    listed
        .iter()
        .map(
            |Listed {
                 name,
                 address,
                 peer_id,
             }| {
                let name = name.as_ref().map_or(String::new(), |name| {
                    format!("name = {}\n", toml::Value::String(name.clone()))
                });
                let peer_id = peer_id.map_or(String::new(), |id| format!("# peer_id = \"{id}\"\n"));
                format!("[[member]]\n{name}address = \"{address}\"\n{peer_id}")
            },
        )
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use quorate_protocol::NodeKey;

    use super::*;
    use crate::keys::{Format, save};

    #[test]
    fn a_member_is_a_key_file_of_either_form_or_an_address() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let key = NodeKey::generate();
        let password = Secret::new("correct horse");
        save(&key, file("node-1.key").as_ref(), &Format::Hex).unwrap();
        save(
            &key,
            file("node-2.json").as_ref(),
            &Format::Keystore(password.clone()),
        )
        .unwrap();
        let whole = |name: &str| Listed {
            name: Some(name.to_owned()),
            address: key.address(),
            peer_id: Some(peer_id(&key)),
        };
        assert_eq!(listed(&file("node-1.key"), None).unwrap(), whole("node-1"));
        assert_eq!(
            listed(&file("node-2.json"), Some(&password)).unwrap(),
            whole("node-2")
        );
        let closed = Listed {
            peer_id: None,
            ..whole("node-2")
        };
        assert_eq!(listed(&file("node-2.json"), None).unwrap(), closed);
        assert_eq!(
            listed(&key.address().to_string(), None).unwrap().address,
            key.address()
        );
    }

    #[test]
    fn a_keystore_that_names_nobody_has_its_address_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old.json");
        private_file::create(&path, "{}").unwrap();
        let path = path.to_str().unwrap();
        let error = listed(path, None).unwrap_err();
        assert!(error.remedy().contains("old.json.address"), "{}", error.remedy());
        let address = NodeKey::generate().address();
        fs::write(format!("{path}.address"), format!("{address}\n")).unwrap();
        assert_eq!(listed(path, None).unwrap().address, address);
    }

    #[test]
    fn the_file_is_toml_whatever_the_files_are_called() {
        let member = |name: &str| Listed {
            name: Some(name.to_owned()),
            address: NodeKey::generate().address(),
            peer_id: None,
        };
        let members = [member("node-1"), member("a \"b\"\n[[member]]")];
        let table: toml::Table = members_file(&members).parse().unwrap();
        let read = table["member"].as_array().unwrap();
        assert_eq!(read.len(), 2);
        for (read, member) in read.iter().zip(&members) {
            assert_eq!(read["name"].as_str(), member.name.as_deref());
            assert_eq!(
                read["address"].as_str(),
                Some(member.address.to_string().as_str())
            );
        }
    }
}
