//! Where the database is and how to log in: `postgres://user:password@host:port/database?sslmode=verify-full`.

use std::{
    fmt::{self, Write as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::secret::Secret;

const DEFAULT_PORT: u16 = 5432;

/// How much TLS to ask of the server, as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SslMode {
    /// Never.
    Disable,
    /// If the server offers it. Protects from nobody who can change packets.
    #[default]
    Prefer,
    /// Always. Without `sslrootcert` any certificate will do; with it, the certificate must come from that authority.
    Require,
    /// Always, with a certificate from a known authority that is made out to the host.
    VerifyFull,
}

impl SslMode {
    const ALL: [(&'static str, Self); 4] = [
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-full", Self::VerifyFull),
    ];

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, mode)| *mode == self)
            .map_or("", |(name, _)| name)
    }
}

/// Which server of several hosts will do, as libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetServer {
    /// The first that answers.
    #[default]
    Any,
    /// The first that can be written to: after a failover, the new primary.
    ReadWrite,
}

/// A database's address with its credentials. `Display` and `Debug` hide the password; [`DatabaseUrl::reveal`] does not.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Secret>,
    /// Names, addresses, or folders of Unix sockets (they start with a slash), tried in order.
    pub(crate) hosts: Vec<(String, u16)>,
    pub(crate) database: Option<String>,
    pub(crate) ssl_mode: SslMode,
    pub(crate) ssl_root_cert: Option<PathBuf>,
    pub(crate) target: TargetServer,
}

/// What is wrong with a database URL. Shows no part of it that could be the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDatabaseUrlError {
    /// It starts with something else.
    #[error("a database URL starts with postgres:// or postgresql://")]
    Scheme,
    /// There is no host, neither behind the @ nor as an option.
    #[error("no host: write postgres://user:password@host:5432/database")]
    NoHost,
    /// What should be a port is none.
    #[error(
        "the port is no number from 1 to 65535 (inside a user name or password write : / ? # @ % as %3A %2F %3F %23 %40 %25)"
    )]
    Port,
    /// A percent sign without two hex digits behind it, or no UTF-8.
    #[error("a % is not followed by two hex digits, or they make no UTF-8 (a percent sign itself is %25)")]
    Encoding,
    /// A `#`, which would cut the URL.
    #[error("a # in a database URL must be written %23")]
    Fragment,
    /// An option that this program does not know. Its name is not shown: it could be a piece of a password.
    #[error(
        "an option behind the ? is unknown; known are host, port, user, password, dbname, sslmode, sslrootcert, target_session_attrs (a ? in a password is written %3F)"
    )]
    UnknownOption,
    /// Another `sslmode`.
    #[error("sslmode is one of disable, prefer, require, verify-full")]
    SslMode,
    /// Another `target_session_attrs`.
    #[error("target_session_attrs is any or read-write")]
    Target,
}

impl DatabaseUrl {
    /// The password, if the URL has one.
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// The URL with the password in it: for a file that only its owner may read, or for psql's environment.
    pub fn reveal(&self) -> String {
        self.render(true)
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
        Self {
            database: Some(database.to_owned()),
            ..self.clone()
        }
    }

    /// The same database with other TLS settings.
    pub fn with_ssl(&self, ssl_mode: SslMode, ssl_root_cert: Option<&Path>) -> Self {
        Self {
            ssl_mode,
            ssl_root_cert: ssl_root_cert.map(Path::to_owned),
            ..self.clone()
        }
    }

    /// Who logs in; `None`: whoever runs the process.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The database; `None`: the one named like the user.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }

    fn render(&self, with_password: bool) -> String {
        let mut url = String::from("postgres://");
        if let Some(user) = &self.user {
            url += &encode(user);
        }
        if let Some(password) = &self.password {
            url.push(':');
            url += &if with_password {
                encode(password.reveal())
            } else {
                "***".to_owned()
            };
        }
        if self.user.is_some() || self.password.is_some() {
            url.push('@');
        }
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                encode(host)
            };
            // Writing to a String cannot fail.
            let _ = write!(url, "{comma}{host}:{port}");
        }
        if let Some(database) = &self.database {
            url.push('/');
            url += &encode(database);
        }
        let mut separator = '?';
        let mut option = |name: &str, value: &str| {
            let _ = write!(url, "{separator}{name}={}", encode(value));
            separator = '&';
        };
        if self.ssl_mode != SslMode::default() {
            option("sslmode", self.ssl_mode.name());
        }
        if let Some(path) = &self.ssl_root_cert {
            option("sslrootcert", &path.to_string_lossy());
        }
        if self.target == TargetServer::ReadWrite {
            option("target_session_attrs", "read-write");
        }
        url
    }
}

impl FromStr for DatabaseUrl {
    type Err = ParseDatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or(ParseDatabaseUrlError::Scheme)?;
        if rest.contains('#') {
            return Err(ParseDatabaseUrlError::Fragment);
        }
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(Secret::new(decode(password)?))),
            None => (login, None),
        };
        let mut url = Self {
            user: not_empty(decode(user)?),
            password,
            hosts: Vec::new(),
            database: not_empty(decode(database)?),
            ssl_mode: SslMode::default(),
            ssl_root_cert: None,
            target: TargetServer::default(),
        };
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            url.hosts.push(host_and_port(host)?);
        }
        let mut port = None;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option
                .split_once('=')
                .ok_or(ParseDatabaseUrlError::UnknownOption)?;
            let value = decode(value)?;
            match name {
                "host" => url
                    .hosts
                    .extend(value.split(',').map(|host| (host.to_owned(), DEFAULT_PORT))),
                "port" => port = Some(parse_port(&value)?),
                "user" => url.user = not_empty(value),
                "password" => url.password = Some(Secret::new(value)),
                "dbname" => url.database = not_empty(value),
                "sslmode" => {
                    url.ssl_mode = SslMode::ALL
                        .iter()
                        .find(|(name, _)| *name == value)
                        .map(|(_, mode)| *mode)
                        .ok_or(ParseDatabaseUrlError::SslMode)?;
                }
                "sslrootcert" => url.ssl_root_cert = not_empty(value).map(PathBuf::from),
                "target_session_attrs" => {
                    url.target = match value.as_str() {
                        "any" => TargetServer::Any,
                        "read-write" => TargetServer::ReadWrite,
                        _ => return Err(ParseDatabaseUrlError::Target),
                    };
                }
                _ => return Err(ParseDatabaseUrlError::UnknownOption),
            }
        }
        if let Some(port) = port {
            url.hosts.iter_mut().for_each(|host| host.1 = port);
        }
        if url.hosts.is_empty() || url.hosts.iter().any(|(host, _)| host.is_empty()) {
            return Err(ParseDatabaseUrlError::NoHost);
        }
        Ok(url)
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn not_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn parse_port(text: &str) -> Result<u16, ParseDatabaseUrlError> {
    match text.parse() {
        Ok(0) | Err(_) => Err(ParseDatabaseUrlError::Port),
        Ok(port) => Ok(port),
    }
}

/// `host`, `host:port`, `[::1]:port`, or a percent-encoded folder.
fn host_and_port(text: &str) -> Result<(String, u16), ParseDatabaseUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, behind) = bracketed.split_once(']').ok_or(ParseDatabaseUrlError::NoHost)?;
            (host, behind.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Ok(DEFAULT_PORT), parse_port)?;
    Ok((decode(host)?, port))
}

fn decode(text: &str) -> Result<String, ParseDatabaseUrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digit = |at: usize| behind.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            return Err(ParseDatabaseUrlError::Encoding);
        };
        // Two hex digits are at most 255.
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| ParseDatabaseUrlError::Encoding)?);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).map_err(|_| ParseDatabaseUrlError::Encoding)
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn reads_every_part() {
        let parsed = url(
            "postgres://node:p%40ss%2F%3F@db.example:6543/prices?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&target_session_attrs=read-write",
        );
        assert_eq!(parsed.user(), Some("node"));
        assert_eq!(parsed.password, Some(Secret::new("p@ss/?")));
        assert_eq!(parsed.hosts, [("db.example".to_owned(), 6543)]);
        assert_eq!(parsed.database(), Some("prices"));
        assert_eq!(parsed.ssl_mode, SslMode::VerifyFull);
        assert_eq!(parsed.ssl_root_cert, Some("/etc/ca.pem".into()));
        assert_eq!(parsed.target, TargetServer::ReadWrite);
    }

    #[test]
    fn defaults_are_libpqs() {
        let parsed = url("postgresql://localhost");
        assert_eq!(parsed.hosts, [("localhost".to_owned(), 5432)]);
        assert_eq!(parsed.ssl_mode, SslMode::Prefer);
        assert_eq!((parsed.user(), parsed.database()), (None, None));
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        let folder = [("/var/run/postgresql".to_owned(), 5433)];
        assert_eq!(
            url("postgres://u@%2Fvar%2Frun%2Fpostgresql:5433/db").hosts,
            folder
        );
        assert_eq!(
            url("postgres:///db?host=/var/run/postgresql&port=5433").hosts,
            folder
        );
    }

    #[test]
    fn several_hosts_and_ipv6() {
        assert_eq!(
            url("postgres://u@a:1,b,[::1]:3/db").hosts,
            [("a".to_owned(), 1), ("b".to_owned(), 5432), ("::1".to_owned(), 3)]
        );
    }

    #[test]
    fn what_is_revealed_parses_to_the_same_url() {
        for text in [
            "postgres://u:p%25%40%3A%2F@a:1,b,[::1]:3/d%20b?sslmode=require&sslrootcert=/a%20b",
            "postgres://u@%2Ftmp/db?target_session_attrs=read-write",
            "postgres://host",
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
    }

    #[test]
    fn an_error_names_what_is_wrong_and_never_the_password() {
        for (text, error) in [
            ("mysql://u:hunter2@h", ParseDatabaseUrlError::Scheme),
            ("postgres://u:hunter2@/db", ParseDatabaseUrlError::NoHost),
            ("postgres://u:hunter2/x@h/db", ParseDatabaseUrlError::Port),
            ("postgres://u:hunter2%@h/db", ParseDatabaseUrlError::Encoding),
            ("postgres://u:hunter2#x@h/db", ParseDatabaseUrlError::Fragment),
            (
                "postgres://u:1?hunter2@h/db",
                ParseDatabaseUrlError::UnknownOption,
            ),
            ("postgres://h/db?hunter2=1", ParseDatabaseUrlError::UnknownOption),
            ("postgres://u:hunter2@h:0/db", ParseDatabaseUrlError::Port),
            (
                "postgres://u:hunter2@h/db?sslmode=verify-ca",
                ParseDatabaseUrlError::SslMode,
            ),
            (
                "postgres://u:hunter2@h/db?target_session_attrs=x",
                ParseDatabaseUrlError::Target,
            ),
        ] {
            let found = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(found, error, "{text}");
            assert!(!format!("{found} {found:?}").contains("hunter2"));
        }
    }
}
