//! Where the database is and how to log in: `postgres://user:password@host:port/database?sslmode=verify-full`.
//!
//! tokio-postgres reads most of it ([`Config`]). What it does not know is ours: how far the server's certificate is to be
//! trusted, and that nothing of the password is ever shown.

mod parse;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio_postgres::{Config, config::Host};

pub use parse::ParseDatabaseUrlError;

use crate::secret::Secret;

/// Stands for themselves in a URL, whatever is written around them (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How much TLS to ask of the server, as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it. Protects from nobody who can change packets. libpq's `allow` is taken for it.
    #[default]
    Prefer,
    /// Always. Without `sslrootcert` any certificate will do; with it, the certificate must come from that authority.
    Require,
    /// Always, with a certificate from a known authority, whatever host it is made out to.
    VerifyCa,
    /// Always, with a certificate from a known authority that is made out to the host.
    VerifyFull,
}

impl SslMode {
    const NAMES: [(&'static str, Self); 6] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("allow", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];

    fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, mode)| *mode == self);
        named.map_or("", |(name, _)| name)
    }
}

/// What a server's certificate is held against, as libpq's `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SslRoot {
    /// The authorities (or the very certificates) of a PEM file.
    File(PathBuf),
    /// The authorities that this machine trusts: `sslrootcert=system`.
    System,
}

/// What we show of ourselves: `sslcert` and `sslkey`, both PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The certificate and what leads from it to an authority.
    pub(crate) chain: PathBuf,
    /// Its key, not encrypted; may be the same file.
    pub(crate) key: PathBuf,
}

/// A database's address with its credentials. `Display` and `Debug` hide the password; [`DatabaseUrl::reveal`] does not.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Everything that tokio-postgres knows, but not the password, nor how much TLS to ask for.
    pub(crate) config: Config,
    password: Option<Secret>,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_root: Option<SslRoot>,
    pub(crate) ssl_client: Option<ClientCertificate>,
    /// Which of the options that tokio-postgres reads were given: `config` does not tell what it was told from its defaults.
    options: Vec<(&'static str, String)>,
    files: Files,
}

/// Where parts of a URL come from, to be read anew when they let nobody in: what they hold may be replaced while nodes run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Files {
    url: Option<PathBuf>,
    password: Option<PathBuf>,
}

impl DatabaseUrl {
    /// A database at a TCP port, with nothing else said.
    pub(crate) fn at(host: &str, port: u16, user: &str, password: &Secret, database: &str) -> Self {
        let mut config = Config::new();
        config.host(host).port(port).user(user).dbname(database);
        Self {
            config,
            password: Some(password.clone()),
            ssl_mode: SslMode::default(),
            ssl_root: None,
            ssl_client: None,
            options: Vec::new(),
            files: Files::default(),
        }
    }

    /// The same, read anew after a log-in that failed: the URL from the one file, the password from the other, as far as they
    /// are given.
    pub fn from_files(self, url: Option<&Path>, password: Option<&Path>) -> Self {
        Self {
            files: Files {
                url: url.map(Path::to_owned),
                password: password.map(Path::to_owned),
            },
            ..self
        }
    }

    /// As its files have it now; what is wrong with one of them if that cannot be said.
    pub(crate) fn as_it_is_now(&self) -> Result<Self, String> {
        let mut now = match &self.files.url {
            Some(path) => {
                let text = Secret::read(path).map_err(|error| format!("the database's URL: {error}"))?;
                text.reveal()
                    .parse()
                    .map_err(|error| format!("{} holds no Postgres URL: {error}", path.display()))?
            }
            None => self.clone(),
        };
        if let Some(path) = &self.files.password {
            let password = Secret::read(path).map_err(|error| format!("the database's password: {error}"))?;
            now.password = Some(password);
        }
        Ok(now)
    }

    /// The password, if the URL has one.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The URL with the password in it: for a file that only its owner may read, or for psql's environment.
    pub fn reveal(&self) -> String {
        self.render(self.password.as_ref().map(|password| encode(password.reveal())))
    }

    /// The same, with this password.
    pub fn with_password(&self, password: Secret) -> Self {
        Self {
            password: Some(password),
            ..self.clone()
        }
    }

    /// The same server and credentials, another database.
    pub fn with_database(&self, database: &str) -> Self {
        let mut url = self.clone();
        url.config.dbname(database);
        url
    }

    /// The same database with other TLS settings.
    pub fn with_ssl(&self, ssl_mode: SslMode, ssl_root_cert: Option<&Path>) -> Self {
        Self {
            ssl_mode,
            ssl_root: ssl_root_cert.map(|path| SslRoot::File(path.to_owned())),
            ..self.clone()
        }
    }

    /// Who logs in; `None`: whoever runs the process.
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// The database; `None`: the one named like the user.
    pub fn database(&self) -> Option<&str> {
        self.config.get_dbname()
    }

    /// `password` is encoded already.
    fn render(&self, password: Option<String>) -> String {
        let mut login = self.user().map(encode).unwrap_or_default();
        if let Some(password) = password {
            login = format!("{login}:{password}");
        }
        if !login.is_empty() {
            login.push('@');
        }
        let database = self.database().map(|name| format!("/{}", encode(name)));
        let mut options: Vec<String> = Vec::new();
        let mut option = |name: &str, value: &str| options.push(format!("{name}={}", encode(value)));
        if self.ssl_mode != SslMode::default() {
            option("sslmode", self.ssl_mode.name());
        }
        match &self.ssl_root {
            Some(SslRoot::File(path)) => option("sslrootcert", &path.to_string_lossy()),
            Some(SslRoot::System) => option("sslrootcert", SYSTEM),
            None => {}
        }
        if let Some(ClientCertificate { chain, key }) = &self.ssl_client {
            option("sslcert", &chain.to_string_lossy());
            option("sslkey", &key.to_string_lossy());
        }
        for (name, value) in &self.options {
            option(name, value);
        }
        let options = match options.as_slice() {
            [] => String::new(),
            some => format!("?{}", some.join("&")),
        };
        format!(
            "postgres://{login}{}{}{options}",
            self.hosts(),
            database.unwrap_or_default()
        )
    }

    /// `host:port`, several with commas between them.
    fn hosts(&self) -> String {
        let ports = self.config.get_ports();
        let with_port = |(index, host): (usize, &Host)| {
            let host = match host {
                Host::Tcp(name) if name.contains(':') => format!("[{name}]"),
                Host::Tcp(name) => encode(name),
                Host::Unix(folder) => encode(&folder.to_string_lossy()),
            };
            // One port is for all hosts.
            let port = ports
                .get(index)
                .or(ports.first())
                .copied()
                .unwrap_or(DEFAULT_PORT);
            format!("{host}:{port}")
        };
        let hosts = self.config.get_hosts().iter().enumerate();
        hosts.map(with_port).collect::<Vec<_>>().join(",")
    }
}

const DEFAULT_PORT: u16 = 5432;

/// In place of a file: what this machine trusts.
const SYSTEM: &str = "system";

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(self.password.as_ref().map(|_| "***".to_owned())))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_revealed_parses_to_the_same_url() {
        for text in [
            "postgres://u:p%25%40%3A%2F@a:1,b,[::1]:3/d%20b?sslmode=require&sslrootcert=/a%20b",
            "postgres://u@%2Ftmp/db?target_session_attrs=read-write",
            "postgres://host",
            "postgres://h/d?sslrootcert=system&sslcert=/a&sslkey=/b&options=-c%20a%3Db&application_name=x%26y",
        ] {
            assert_eq!(url(&url(text).reveal()), url(text), "{text}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let parsed = url("postgres://node:hunter2@db:1/prices?sslmode=require");
        assert_eq!(
            parsed.to_string(),
            "postgres://node:***@db:1/prices?sslmode=require"
        );
        assert!(!format!("{parsed:?} {parsed}").contains("hunter2"));
        assert!(parsed.reveal().contains("hunter2"));
        let as_option = url("postgres://db:1/prices?password=hunter2");
        assert!(!format!("{as_option:?} {as_option}").contains("hunter2"));
    }

    #[test]
    fn what_comes_from_files_is_what_they_hold_now() {
        let folder = tempfile::tempdir().unwrap();
        let (url_file, password_file) = (folder.path().join("url"), folder.path().join("password"));
        let write = |path: &Path, text: &str| std::fs::write(path, text).unwrap();
        let (from_url, from_password) = (
            url("postgres://u:old@h/d").from_files(Some(&url_file), None),
            url("postgres://u@h/d").from_files(None, Some(&password_file)),
        );
        write(&url_file, "postgres://u:new@other/d\n");
        write(&password_file, "new\n");
        assert_eq!(
            from_url.as_it_is_now().unwrap().reveal(),
            "postgres://u:new@other:5432/d"
        );
        assert_eq!(
            from_password.as_it_is_now().unwrap().reveal(),
            "postgres://u:new@h:5432/d"
        );

        write(&url_file, "hunter2");
        let problem = from_url.as_it_is_now().unwrap_err();
        assert!(problem.contains("url holds no Postgres URL") && !problem.contains("hunter2"));
        write(&password_file, "\n");
        let problem = from_password.as_it_is_now().unwrap_err();
        assert!(problem.ends_with("password is empty"), "{problem}");
    }
}
