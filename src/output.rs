//! Writing to the terminal or a pipe. `println!` panics when the reader has gone; these do not.

use std::{
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Writes a command's result to standard output. A reader that has gone away (`quorate prices | head`) wanted no more: that
/// is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    print_more(text).map(|_is_read| ())
}

/// The same for who has more to print; `false` when the reader has gone away.
pub(crate) fn print_more(text: &str) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        done => done.map(|()| true),
    }
}

/// Tells a person something on standard error. If nobody can read it, nobody can be told that either; and a reader that has
/// stopped reading is not waited for longer than a second, for the process may be about to end.
pub(crate) fn complain(text: &str) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (text, (done, told)) = (text.to_owned(), mpsc::sync_channel(1));
    let write = move || {
        let _ = io::stderr().lock().write_all(text.as_bytes());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = told.recv_timeout(PATIENCE);
    }
}
