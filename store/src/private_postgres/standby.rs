//! A second server that follows the first, and the end of the first without a word: what a failover is made of.

use std::{fs, io, path::Path, process::Command};

use super::{OWNER, PrivatePostgres, PrivatePostgresError, free_port, io_error, make_folder};

impl PrivatePostgres {
    /// A replica that follows this server by streaming, from a copy of its data: this server is stopped for a moment. It answers
    /// reads, and writes once it is told to `pg_promote()`. Whether this server waits for it is for its settings to say
    /// (`synchronous_standby_names`); what they are at the moment, the replica has too.
    ///
    /// # Errors
    /// The copy cannot be made, or one of the two does not start.
    pub fn standby(&mut self) -> Result<Self, PrivatePostgresError> {
        self.stop()?;
        let (folder, account) = make_folder()?;
        let mut standby = Self {
            guard: None,
            folder,
            binaries: self.binaries.clone(),
            account,
            port: free_port()?,
            password: self.password.clone(),
        };
        let copied = copy(&self.folder.path().join("data"), standby.folder.path());
        self.start_again()?;
        copied.map_err(|error| io_error("copying the server's data", error))?;
        let primary = format!(
            "primary_conninfo = 'host=127.0.0.1 port={} user={OWNER} password={}'\n",
            self.port,
            self.password.reveal()
        );
        standby.write("data/standby.signal", "")?;
        standby.write("data/postgresql.auto.conf", &primary)?;
        standby.start_again()?;
        Ok(standby)
    }

    /// Ends the server at once, as a crash or a lost machine would: sessions get no answer, nothing more is sent to replicas.
    ///
    /// # Errors
    /// It does not run, or cannot be told to end.
    pub fn kill(&mut self) -> Result<(), PrivatePostgresError> {
        let failed = |error| io_error("killing the server", error);
        let file = self.folder.path().join("data/postmaster.pid");
        let text = fs::read_to_string(file).map_err(failed)?;
        let id = text.lines().next().unwrap_or_default();
        // SIGQUIT reaches the server's children too, which SIGKILL would leave behind. The shell's own kill: not every machine
        // has the program.
        run(Command::new("sh").args(["-c", "kill -QUIT \"$0\"", id])).map_err(failed)?;
        self.stop()
    }
}

/// Copies a folder into another one, with its owner and its permissions.
fn copy(from: &Path, into: &Path) -> io::Result<()> {
    run(Command::new("cp").arg("-a").arg(from).arg(into))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(
        String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    ))
}
