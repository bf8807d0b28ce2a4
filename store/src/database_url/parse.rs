//! How a database URL is read.

use std::{path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;
use tokio_postgres::{Config, config::Host};

use super::{ClientCertificate, DatabaseUrl, Files, SYSTEM, SslMode, SslRoot, encode};
use crate::secret::Secret;

/// What is wrong with a database URL. Shows no part of it that could be the password: of an option only a name that is
/// known from elsewhere.
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
    /// Two ports for one host, or one too few of several.
    #[error("there are {ports} ports for {hosts} hosts: write each port once, behind its host")]
    Ports {
        /// How many ports.
        ports: usize,
        /// How many hosts.
        hosts: usize,
    },
    /// A percent sign without two hex digits behind it, or no UTF-8.
    #[error("a % is not followed by two hex digits, or they make no UTF-8 (a percent sign itself is %25)")]
    Encoding,
    /// A `#`, which would cut the URL.
    #[error("a # in a database URL must be written %23")]
    Fragment,
    /// An option that nobody knows. Its name is not shown: it could be a piece of a password.
    #[error(
        "option {position} behind the ? is unknown; known are {known} (a ? in a password is written %3F)",
        known = known_options()
    )]
    UnknownOption {
        /// Which one, counted from 1.
        position: usize,
    },
    /// An option of libpq or of another driver that quorate does not have.
    #[error("the option {option} cannot be used here; known are {known}", known = known_options())]
    Unsupported {
        /// Its name.
        option: &'static str,
    },
    /// An option whose value says nothing.
    #[error("{option} is {allowed}")]
    Value {
        /// Its name.
        option: &'static str,
        /// What may stand there.
        allowed: &'static str,
    },
}

/// The options that are read here.
const OURS: &str = "host port user password dbname sslmode sslrootcert sslcert sslkey";

/// The options that tokio-postgres reads, and what may stand there.
const PASSED_ON: [(&str, &str); 8] = [
    ("application_name", "a text"),
    ("channel_binding", "one of disable, prefer, require"),
    ("connect_timeout", "a whole number of seconds"),
    ("hostaddr", "an IP address, or several with commas between them"),
    ("load_balance_hosts", "disable or random"),
    ("options", "a text, like -c name=value"),
    ("sslnegotiation", "postgres or direct"),
    (
        "target_session_attrs",
        "one of any, read-write, primary, read-only",
    ),
];

/// What is taken and changes nothing: quorate speaks UTF-8, has no GSS, and gives up a silent server by its own times.
/// Other drivers' words for a pooler and how to prepare statements are among it.
const WITHOUT_EFFECT: &str = "binary_parameters client_encoding fallback_application_name gssdelegation gssencmode gsslib \
    keepalives keepalives_count keepalives_idle keepalives_interval krbsrvname pgbouncer prepareThreshold \
    prepared_statements sslcompression statement_cache_size tcp_user_timeout uselibpqcompat";

/// What would have an effect elsewhere, so that leaving it out must be somebody's decision: options of libpq
/// (PostgreSQL 18, section 34.1.2) and of other drivers.
const UNSUPPORTED: &str = "authtype connection_limit max_protocol_version min_protocol_version passfile pool_timeout \
    replication require_auth requirepeer requiressl schema search_path service servicefile \
    ssl_max_protocol_version ssl_min_protocol_version sslaccept sslcertmode sslcrl sslcrldir sslkeylogfile sslpassword \
    sslsni";

/// The name, if it is one of these.
fn listed(name: &str, names: &'static str) -> Option<&'static str> {
    names.split(' ').find(|known| *known == name)
}

fn known_options() -> String {
    let passed_on = PASSED_ON.iter().map(|(name, _)| *name);
    OURS.split(' ').chain(passed_on).collect::<Vec<_>>().join(", ")
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
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        // An @ in a password that nobody has encoded: the host begins behind the last one.
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let mut given = Given {
            user: decode(user)?,
            password: password.map(decode).transpose()?.map(Secret::new),
            database: decode(database)?,
            ..Given::default()
        };
        given.read(options)?;
        given.into_url(hosts)
    }
}

/// What a URL says, on its way to a [`DatabaseUrl`].
#[derive(Default)]
struct Given {
    user: String,
    password: Option<Secret>,
    database: String,
    /// From the options; more may stand in the URL itself.
    hosts: Vec<String>,
    port: Option<String>,
    ssl_mode: Option<SslMode>,
    ssl_root: Option<SslRoot>,
    ssl_cert: Option<PathBuf>,
    ssl_key: Option<PathBuf>,
    passed_on: Vec<(&'static str, String)>,
}

impl Given {
    fn read(&mut self, options: &str) -> Result<(), ParseDatabaseUrlError> {
        let options = options.split('&').filter(|option| !option.is_empty());
        for (index, option) in options.enumerate() {
            let unknown = ParseDatabaseUrlError::UnknownOption { position: index + 1 };
            let Some((name, value)) = option.split_once('=') else {
                return Err(unknown);
            };
            let value = decode(value)?;
            if !self.take(name, value)? {
                return Err(match listed(name, UNSUPPORTED) {
                    Some(option) => ParseDatabaseUrlError::Unsupported { option },
                    None => unknown,
                });
            }
        }
        Ok(())
    }

    /// Whether the option is one that can be taken.
    fn take(&mut self, name: &str, value: String) -> Result<bool, ParseDatabaseUrlError> {
        let path = || (!value.is_empty()).then(|| PathBuf::from(&value));
        match name {
            "host" => self.hosts.extend(value.split(',').map(str::to_owned)),
            "port" => self.port = Some(value),
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = value,
            "sslmode" => {
                let named = SslMode::NAMES.iter().find(|(name, _)| *name == value);
                let (_, mode) = named.ok_or(ParseDatabaseUrlError::Value {
                    option: "sslmode",
                    allowed: "one of disable, prefer, require, verify-ca, verify-full",
                })?;
                self.ssl_mode = Some(*mode);
            }
            // As libpq reads what JDBC writes.
            "ssl" if value == "true" => self.ssl_mode = Some(SslMode::Require),
            "sslrootcert" if value == SYSTEM => self.ssl_root = Some(SslRoot::System),
            "sslrootcert" => self.ssl_root = path().map(SslRoot::File),
            "sslcert" => self.ssl_cert = path(),
            "sslkey" => self.ssl_key = path(),
            "gssencmode" if value == "require" => {
                return Err(ParseDatabaseUrlError::Value {
                    option: "gssencmode",
                    allowed: "disable or prefer: quorate encrypts by TLS only",
                });
            }
            "target_session_attrs" if value == "primary" => {
                return self.take(name, "read-write".to_owned());
            }
            _ if listed(name, WITHOUT_EFFECT).is_some() => {}
            _ => match PASSED_ON.iter().find(|(known, _)| *known == name) {
                Some((known, _)) => self.passed_on.push((known, value)),
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn into_url(self, hosts: &str) -> Result<DatabaseUrl, ParseDatabaseUrlError> {
        let mut options = Vec::new();
        for (option, value) in &self.passed_on {
            let written = format!("{option}={}", encode(value));
            // Alone, so that it is known which one is wrong.
            if config(&format!("?{written}")).is_none() {
                let allowed = PASSED_ON.iter().find(|(known, _)| known == option);
                return Err(ParseDatabaseUrlError::Value {
                    option,
                    allowed: allowed.map_or("", |(_, allowed)| allowed),
                });
            }
            options.push(written);
        }
        let mut all = config(&format!("?{}", options.join("&"))).unwrap_or_default();
        let place = config(hosts).ok_or(ParseDatabaseUrlError::Port)?;
        for host in place.get_hosts() {
            match host {
                Host::Tcp(name) => all.host(name),
                Host::Unix(folder) => all.host_path(folder),
            };
        }
        for host in &self.hosts {
            all.host(host);
        }
        let ports: Result<Vec<u16>, _> = match &self.port {
            Some(ports) => ports.split(',').map(str::parse).collect(),
            None => Ok(place.get_ports().to_vec()),
        };
        let ports = ports.map_err(|_| ParseDatabaseUrlError::Port)?;
        if ports.contains(&0) {
            return Err(ParseDatabaseUrlError::Port);
        }
        ports.iter().for_each(|port| {
            all.port(*port);
        });
        let hosts = all.get_hosts();
        let is_empty = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
        if hosts.iter().any(is_empty) || hosts.is_empty() && all.get_hostaddrs().is_empty() {
            return Err(ParseDatabaseUrlError::NoHost);
        }
        let hosts = hosts.len().max(all.get_hostaddrs().len());
        if ports.len() > 1 && ports.len() != hosts {
            let ports = ports.len();
            return Err(ParseDatabaseUrlError::Ports { ports, hosts });
        }
        if !self.user.is_empty() {
            all.user(&self.user);
        }
        if !self.database.is_empty() {
            all.dbname(&self.database);
        }
        Ok(DatabaseUrl {
            ssl_mode: self.ssl_mode()?,
            ssl_client: self.ssl_client()?,
            ssl_root: self.ssl_root,
            password: self.password,
            options: self.passed_on,
            files: Files::default(),
            config: all,
        })
    }

    fn ssl_mode(&self) -> Result<SslMode, ParseDatabaseUrlError> {
        match (self.ssl_mode, &self.ssl_root) {
            (None | Some(SslMode::VerifyFull), Some(SslRoot::System)) => Ok(SslMode::VerifyFull),
            // As libpq: anybody can have a certificate from such an authority.
            (Some(_), Some(SslRoot::System)) => Err(ParseDatabaseUrlError::Value {
                option: "sslmode",
                allowed: "verify-full (or left out) where sslrootcert is system",
            }),
            (mode, _) => Ok(mode.unwrap_or_default()),
        }
    }

    fn ssl_client(&self) -> Result<Option<ClientCertificate>, ParseDatabaseUrlError> {
        match (&self.ssl_cert, &self.ssl_key) {
            (Some(chain), key) => Ok(Some(ClientCertificate {
                chain: chain.clone(),
                key: key.as_ref().unwrap_or(chain).clone(),
            })),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(ParseDatabaseUrlError::Value {
                option: "sslkey",
                allowed: "the key of an sslcert, which is missing",
            }),
        }
    }
}

/// What tokio-postgres makes of the part of a URL behind `postgres://`.
fn config(rest: &str) -> Option<Config> {
    format!("postgres://{rest}").parse().ok()
}

fn decode(text: &str) -> Result<String, ParseDatabaseUrlError> {
    let is_hex = |at: usize| text.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    if text
        .match_indices('%')
        .any(|(at, _)| !is_hex(at + 1) || !is_hex(at + 2))
    {
        return Err(ParseDatabaseUrlError::Encoding);
    }
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| ParseDatabaseUrlError::Encoding)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

    use super::*;

    fn url(text: &str) -> DatabaseUrl {
        text.parse().unwrap()
    }

    fn problem(text: &str) -> ParseDatabaseUrlError {
        text.parse::<DatabaseUrl>().unwrap_err()
    }

    #[test]
    fn reads_every_part() {
        let parsed = url(
            "postgres://node:p%40ss%2F%3F@db.example:6543/prices?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&target_session_attrs=read-write",
        );
        assert_eq!(parsed.user(), Some("node"));
        assert_eq!(parsed.password, Some(Secret::new("p@ss/?")));
        assert_eq!(parsed.hosts(), "db.example:6543");
        assert_eq!(parsed.database(), Some("prices"));
        assert_eq!(parsed.ssl_mode, SslMode::VerifyFull);
        assert_eq!(parsed.ssl_root, Some(SslRoot::File("/etc/ca.pem".into())));
        assert_eq!(
            parsed.config.get_target_session_attrs(),
            TargetSessionAttrs::ReadWrite
        );
    }

    #[test]
    fn defaults_are_libpqs() {
        let parsed = url("postgresql://localhost");
        assert_eq!(parsed.hosts(), "localhost:5432");
        assert_eq!(parsed.ssl_mode, SslMode::Prefer);
        assert_eq!((parsed.user(), parsed.database()), (None, None));
    }

    #[test]
    fn a_socket_folder_is_a_host() {
        for text in [
            "postgres://u@%2Fvar%2Frun%2Fpostgresql:5433/db",
            "postgres:///db?host=/var/run/postgresql&port=5433",
        ] {
            let parsed = url(text);
            assert_eq!(
                parsed.config.get_hosts(),
                [Host::Unix("/var/run/postgresql".into())]
            );
            assert_eq!(parsed.config.get_ports(), [5433]);
        }
    }

    #[test]
    fn several_hosts_and_ipv6() {
        assert_eq!(url("postgres://u@a:1,b,[::1]:3/db").hosts(), "a:1,b:5432,[::1]:3");
        assert_eq!(url("postgres:///db?host=a,b&port=7").hosts(), "a:7,b:7");
    }

    #[test]
    fn an_option_stands_above_what_is_in_its_place() {
        let parsed = url("postgres://u:p@h:1/d?port=2&user=v&password=q&dbname=e");
        assert_eq!(parsed.reveal(), "postgres://v:q@h:2/e");
    }

    #[test]
    fn urls_as_hosters_hand_them_out_are_taken() {
        let parsed = url("postgresql://u:p@h/d?sslmode=require&channel_binding=require&connect_timeout=15");
        assert_eq!(parsed.ssl_mode, SslMode::Require);
        assert_eq!(parsed.config.get_channel_binding(), ChannelBinding::Require);
        assert_eq!(
            parsed.config.get_connect_timeout(),
            Some(&Duration::from_secs(15))
        );
        let parsed =
            url("postgres://h/d?sslmode=verify-ca&application_name=x&options=endpoint%3Dep-1&ssl=true");
        assert_eq!(parsed.config.get_application_name(), Some("x"));
        assert_eq!(parsed.config.get_options(), Some("endpoint=ep-1"));
        for text in [
            "postgres://h/d?pgbouncer=true&gssencmode=disable&keepalives=1&client_encoding=utf8",
            "postgres://h/d?sslmode=allow",
            "postgres://h/d?target_session_attrs=primary&load_balance_hosts=random",
            "postgres://h/d?hostaddr=10.0.0.1&sslnegotiation=direct",
        ] {
            url(text);
        }
    }

    #[test]
    fn client_certificates_may_hold_their_key() {
        let client = |text: &str| url(text).ssl_client.unwrap();
        let one_file = client("postgres://h/d?sslcert=/a.pem");
        assert_eq!((one_file.chain, one_file.key), ("/a.pem".into(), "/a.pem".into()));
        let two_files = client("postgres://h/d?sslcert=/a.crt&sslkey=/a.key");
        assert_eq!(
            (two_files.chain, two_files.key),
            ("/a.crt".into(), "/a.key".into())
        );
    }

    #[test]
    fn the_systems_authorities_are_for_whole_checks_only() {
        let parsed = url("postgres://h/d?sslrootcert=system");
        assert_eq!(
            (parsed.ssl_mode, &parsed.ssl_root),
            (SslMode::VerifyFull, &Some(SslRoot::System))
        );
        let weaker = problem("postgres://h/d?sslrootcert=system&sslmode=require").to_string();
        assert_eq!(
            weaker,
            "sslmode is verify-full (or left out) where sslrootcert is system"
        );
    }

    #[test]
    fn an_at_sign_in_a_password_does_not_make_its_rest_a_host() {
        let parsed = url("postgres://u:pass@word@h/db");
        assert_eq!(
            (parsed.hosts().as_str(), parsed.password.unwrap().reveal()),
            ("h:5432", "pass@word")
        );
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
                ParseDatabaseUrlError::UnknownOption { position: 1 },
            ),
            (
                "postgres://h/db?sslmode=require&hunter2=1",
                ParseDatabaseUrlError::UnknownOption { position: 2 },
            ),
            ("postgres://u:hunter2@h:0/db", ParseDatabaseUrlError::Port),
            (
                "postgres://u:hunter2@a:1,b:2/db?port=3,4,5",
                ParseDatabaseUrlError::Ports { ports: 3, hosts: 2 },
            ),
            (
                "postgres://u:hunter2@h/db?sslcrl=/x",
                ParseDatabaseUrlError::Unsupported { option: "sslcrl" },
            ),
            (
                "postgres://u:hunter2@h/db?sslmode=verify",
                ParseDatabaseUrlError::Value {
                    option: "sslmode",
                    allowed: "one of disable, prefer, require, verify-ca, verify-full",
                },
            ),
            (
                "postgres://u:hunter2@h/db?target_session_attrs=x",
                ParseDatabaseUrlError::Value {
                    option: "target_session_attrs",
                    allowed: "one of any, read-write, primary, read-only",
                },
            ),
        ] {
            let found = problem(text);
            assert_eq!(found, error, "{text}");
            assert!(!format!("{found} {found:?}").contains("hunter2"));
        }
        // Each that is passed on is read by tokio-postgres.
        let wrong = "postgres://h/db?channel_binding=x&connect_timeout=x&hostaddr=x&load_balance_hosts=x";
        for option in wrong.split_once('?').unwrap().1.split('&') {
            let found = problem(&format!("postgres://h/db?{option}")).to_string();
            assert!(
                found.starts_with(option.split_once('=').unwrap().0),
                "{option}: {found}"
            );
        }
    }
}
