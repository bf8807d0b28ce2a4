//! A Postgres of one's own, for devnets and tests: made from a server's binaries, which are fetched where none are installed, in a
//! temporary folder, on a free port of 127.0.0.1, gone when its owner is gone, however that ends.

mod fetch;
mod find;
mod process;
mod standby;

use std::{
    fs, io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{database_url::DatabaseUrl, secret::Secret};
use find::Binaries;
use process::{Account, Guard};

/// The name of the role that owns everything on a private server.
pub const OWNER: &str = "postgres";

/// A loaded machine may take seconds; a healthy one takes a tenth of a second.
const START_PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);
/// A port that was free when we asked can be taken when the server starts.
const START_ATTEMPTS: u32 = 5;
/// What the server then says; its language is set by us.
const PORT_TAKEN: &str = "could not create any TCP/IP sockets";
/// Longer paths do not fit into a socket's address (107 bytes with `/.s.PGSQL.65535`).
const MAX_SOCKET_FOLDER: usize = 90;

/// How to make a private server.
#[derive(Debug, Clone, Default)]
pub struct PrivateOptions {
    /// Whether what is committed must survive a crash of the machine. Costs a disk write a commit.
    pub durable: bool,
    /// Offers TLS.
    pub tls: Option<ServerTls>,
    /// The folder of a server's programs; `None`: the variable `QUORATE_POSTGRES_BIN`, or wherever there is one.
    pub postgres_bin: Option<PathBuf>,
    /// Whether no server may be fetched where there is none; so does the variable `QUORATE_OFFLINE`.
    pub offline: bool,
}

/// A server's certificate.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate (chain) in PEM form.
    pub certificate: String,
    /// Its key in PEM form.
    pub key: Secret,
    /// Whether connections without TLS are turned away.
    pub required: bool,
}

/// Why there is no private server.
#[derive(Debug, thiserror::Error)]
pub enum PrivatePostgresError {
    /// There is none, and none could be fetched.
    #[error(
        "no PostgreSQL server is on this machine, and none was fetched ({reason}): install one (Debian, Ubuntu: apt-get install \
         postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), or name the folder of one's programs \
         with --postgres-bin or QUORATE_POSTGRES_BIN"
    )]
    NotInstalled {
        /// What was tried.
        reason: String,
    },
    /// The folder that is named holds no server that can be used.
    #[error("{folder} holds no PostgreSQL server that can be used: {reason}", folder = folder.display())]
    NotAServer {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// We are root, and there is nobody else to run it as.
    #[error("PostgreSQL refuses to run as root, and there is no user postgres or nobody on this machine")]
    NoAccount,
    /// Its folder cannot be made.
    #[error("{what}: {error}")]
    Io {
        /// What was to be done.
        what: String,
        /// The operating system's words.
        error: io::Error,
    },
    /// The server's own tools failed.
    #[error("{what} failed: {log}")]
    Failed {
        /// Which one.
        what: &'static str,
        /// The last lines that it wrote.
        log: String,
    },
}

/// A running server. Dropped, it is stopped and its folder removed; the same happens when this process is killed.
///
/// Its functions block for a moment (start about 1 s, or as long as a download; stop about 0.1 s): call them where that does no harm.
#[derive(Debug)]
pub struct PrivatePostgres {
    // The order of dropping: first the server, then its folder.
    guard: Option<Guard>,
    folder: TempDir,
    binaries: Binaries,
    account: Option<Account>,
    port: u16,
    password: Secret,
}

impl PrivatePostgres {
    /// Makes a folder, initializes it and starts a server on it. Where there are no server's programs they are fetched, which is said
    /// on standard error.
    ///
    /// # Errors
    /// There is no server and none can be fetched; or it does not start.
    pub fn start(options: &PrivateOptions) -> Result<Self, PrivatePostgresError> {
        let binaries = Binaries::find(options)?;
        let (folder, account) = make_folder()?;
        let mut server = Self {
            guard: None,
            folder,
            binaries,
            account,
            port: 0,
            password: random_password()?,
        };
        server.initialize(options)?;
        let mut attempt = 1;
        loop {
            server.port = free_port()?;
            match server.start_again() {
                Err(PrivatePostgresError::Failed { log, .. })
                    if log.contains(PORT_TAKEN) && attempt < START_ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result.map(|()| server),
            }
        }
    }

    /// Which server it is, and where its programs are: `PostgreSQL 18.6 in /usr/lib/postgresql/18/bin (installed)`.
    pub fn server(&self) -> String {
        self.binaries.in_words()
    }

    /// The owner's URL, of the database `postgres`.
    pub fn owner_url(&self) -> DatabaseUrl {
        self.url_for(OWNER, &self.password)
    }

    /// The URL of another role.
    pub fn url_for(&self, user: &str, password: &Secret) -> DatabaseUrl {
        let host = Ipv4Addr::LOCALHOST.to_string();
        DatabaseUrl::at(&host, self.port, user, password, "postgres")
    }

    /// The port on 127.0.0.1. Stays the same over [`PrivatePostgres::stop`] and [`PrivatePostgres::start_again`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket, if its path is short enough for one.
    pub fn socket_folder(&self) -> Option<PathBuf> {
        let folder = self.folder.path();
        (folder.as_os_str().len() <= MAX_SOCKET_FOLDER).then(|| folder.to_owned())
    }

    /// What the server has logged.
    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Stops the server and keeps its data: an outage. Sessions are ended. Does nothing if it is stopped already.
    pub fn stop(&mut self) -> Result<(), PrivatePostgresError> {
        match self.guard.take() {
            Some(guard) => guard
                .stop_and_keep()
                .map_err(|error| io_error("stopping the server", error)),
            None => Ok(()),
        }
    }

    /// Starts the server after [`PrivatePostgres::stop`], on the same port. Does nothing if it is running.
    pub fn start_again(&mut self) -> Result<(), PrivatePostgresError> {
        if self.guard.as_mut().is_some_and(Guard::is_running) {
            return Ok(());
        }
        let socket = self.socket_folder();
        let settings = format!(
            "port = {}\nunix_socket_directories = '{}'\n",
            self.port,
            socket.as_deref().map(quoted).unwrap_or_default()
        );
        self.write("data/place.conf", &settings)?;
        let pid_file = self.folder.path().join("data/postmaster.pid");
        // A file left behind by a killed server would look like a running one.
        let _ = fs::remove_file(&pid_file);
        let mut guard = Guard::start(&self.binaries.postgres(), self.folder.path(), |command| {
            self.prepare(command)
        })
        .map_err(|error| io_error("starting the server", error))?;
        let deadline = Instant::now() + START_PATIENCE;
        while !is_ready(&pid_file) {
            if !guard.is_running() || Instant::now() > deadline {
                // The folder holds the log, and after an outage the data.
                let _ = guard.stop_and_keep();
                return Err(PrivatePostgresError::Failed {
                    what: "postgres",
                    log: last_lines(&fs::read_to_string(self.log_file()).unwrap_or_default()),
                });
            }
            std::thread::sleep(POLL);
        }
        self.guard = Some(guard);
        Ok(())
    }

    fn initialize(&self, options: &PrivateOptions) -> Result<(), PrivatePostgresError> {
        self.write("password", self.password.reveal())?;
        let mut command = Command::new(self.binaries.initdb());
        self.prepare(&mut command);
        command
            .args(["--pgdata", "data", "--username", OWNER, "--pwfile", "password"])
            .args([
                "--auth",
                "scram-sha-256",
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--no-sync",
            ])
            .stdin(Stdio::null());
        let output = command
            .output()
            .map_err(|error| io_error("starting initdb", error))?;
        let _ = fs::remove_file(self.folder.path().join("password"));
        if !output.status.success() {
            return Err(PrivatePostgresError::Failed {
                what: "initdb",
                log: last_lines(&String::from_utf8_lossy(&output.stderr)),
            });
        }
        let config = self.folder.path().join("data/postgresql.conf");
        let defaults =
            fs::read_to_string(&config).map_err(|error| io_error("reading postgresql.conf", error))?;
        self.write(
            "data/postgresql.conf",
            &format!("{defaults}\n{}", settings(options)),
        )?;
        let host = match &options.tls {
            Some(tls) => {
                self.write("data/server.crt", &tls.certificate)?;
                self.write("data/server.key", tls.key.reveal())?;
                if tls.required { "hostssl" } else { "host" }
            }
            None => "host",
        };
        let access =
            format!("local all all scram-sha-256\n{host} all,replication all 127.0.0.1/32 scram-sha-256\n");
        self.write("data/pg_hba.conf", &access)
    }

    /// As whom, where, and with which environment the server's programs run: ours may hold secrets.
    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C");
        if let Some(account) = &self.account {
            account.apply(command);
        }
    }

    /// Writes a file that only the server's account may read.
    fn write(&self, name: &str, contents: &str) -> Result<(), PrivatePostgresError> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.folder.path().join(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, contents.as_bytes()))
            .and_then(|()| {
                self.account
                    .as_ref()
                    .map_or(Ok(()), |account| account.give(&path))
            })
            .map_err(|error| io_error(&format!("writing {name}"), error))
    }
}

/// The settings that do not depend on the place.
fn settings(options: &PrivateOptions) -> String {
    let mut settings = String::from(
        "listen_addresses = '127.0.0.1'\npassword_encryption = 'scram-sha-256'\nlogging_collector = off\n\
         log_destination = 'stderr'\nshared_buffers = '32MB'\nmax_connections = 500\ninclude = 'place.conf'\n",
    );
    if !options.durable {
        settings += "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n";
    }
    if options.tls.is_some() {
        settings += "ssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n";
    }
    settings
}

/// A folder that only the server's account may enter, and that account if it is not ours.
fn make_folder() -> Result<(TempDir, Option<Account>), PrivatePostgresError> {
    let failed = |error| io_error("making a temporary folder", error);
    let make = |parent: &Path| {
        tempfile::Builder::new()
            .prefix("quorate-postgres-")
            .tempdir_in(parent)
    };
    let folder = make(&std::env::temp_dir()).map_err(failed)?;
    if !process::is_roots(folder.path()).map_err(failed)? {
        return Ok((folder, None));
    }
    let account = Account::find().ok_or(PrivatePostgresError::NoAccount)?;
    // Root's own temporary folder may be closed to everybody else.
    let folder = if process::others_can_enter(folder.path()) {
        folder
    } else {
        make(Path::new("/tmp")).map_err(failed)?
    };
    account.give(folder.path()).map_err(failed)?;
    Ok((folder, Some(account)))
}

fn free_port() -> Result<u16, PrivatePostgresError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| io_error("looking for a free port", error))
}

/// 32 hex digits from the operating system's randomness.
fn random_password() -> Result<Secret, PrivatePostgresError> {
    use io::Read as _;
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| io_error("reading /dev/urandom", error))?;
    Ok(Secret::new(const_hex::encode(bytes)))
}

/// The server writes its state into the eighth line.
fn is_ready(pid_file: &Path) -> bool {
    fs::read_to_string(pid_file)
        .is_ok_and(|text| text.lines().nth(7).is_some_and(|state| state.trim() == "ready"))
}

/// For a quoted value of postgresql.conf.
fn quoted(path: &Path) -> String {
    path.to_string_lossy().replace('\'', "''")
}

/// Enough of a log to see what is wrong, in one line.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(5)..].join(" | ")
}

fn io_error(what: &str, error: io::Error) -> PrivatePostgresError {
    PrivatePostgresError::Io {
        what: what.to_owned(),
        error,
    }
}
