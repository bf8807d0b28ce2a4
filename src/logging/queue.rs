//! Lines on their way to standard error, where a thread of their own writes them: whoever logs never waits for whoever reads. A
//! pager that is paused, a terminal after Ctrl-S or a log driver that is stuck must not stop an actor.

use std::{
    collections::VecDeque,
    io::Write,
    mem,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What may wait: some 1,700 lines, an hour of a quiet node. More is dropped, and counted.
const MOST_BYTES: usize = 256 * 1024;

/// How many lines this process has dropped, for the metrics.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines of the log were dropped since the process began.
pub(crate) fn dropped_lines() -> u64 {
    DROPPED.load(Relaxed)
}

/// The lines that wait. Shared by all that log and the one thread that writes.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    /// Of the lines that wait.
    bytes: usize,
    /// Lines dropped since the last entry that says so.
    dropped: u64,
    /// A line was taken, and is not written yet.
    is_writing: bool,
}

enum Entry {
    Line(String),
    /// So many lines are missing here.
    Dropped(u64),
}

impl State {
    fn is_written(&self) -> bool {
        self.waiting.is_empty() && self.dropped == 0 && !self.is_writing
    }

    /// The next entry; what was dropped is said where it is missing.
    fn take(&mut self) -> Option<Entry> {
        let entry = self
            .waiting
            .pop_front()
            .or_else(|| match mem::take(&mut self.dropped) {
                0 => None,
                count => Some(Entry::Dropped(count)),
            })?;
        if let Entry::Line(line) = &entry {
            self.bytes -= line.len();
        }
        self.is_writing = true;
        Some(entry)
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked with it in hand left whole lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a line written, or dropped if too much waits already. Once lines were dropped, half of the room must be free before
    /// others are taken: so that a slow reader sees stretches of the log, each with a word about what is missing between them.
    pub(super) fn push(&self, line: String) {
        let mut state = self.lock();
        let room = if state.dropped > 0 {
            MOST_BYTES / 2
        } else {
            MOST_BYTES
        };
        if state.bytes + line.len() > room {
            state.dropped += 1;
            DROPPED.fetch_add(1, Relaxed);
            return;
        }
        if state.dropped > 0 {
            let missing = Entry::Dropped(mem::take(&mut state.dropped));
            state.waiting.push_back(missing);
        }
        state.bytes += line.len();
        state.waiting.push_back(Entry::Line(line));
        self.changed.notify_all();
    }

    /// Writes what comes, for as long as the process runs; `missing` is the line that tells of so many dropped ones. A line that
    /// nobody can read any more is lost.
    pub(super) fn write_to(&self, out: &mut impl Write, missing: impl Fn(u64) -> String) {
        loop {
            let line = match self.next() {
                Entry::Line(line) => line,
                Entry::Dropped(count) => missing(count),
            };
            let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            self.lock().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Entry {
        let mut state = self.lock();
        loop {
            if let Some(entry) = state.take() {
                return entry;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until all is written, but not longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), patience, |state| !state.is_written());
        drop(waited);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, mpsc},
        thread,
        time::Instant,
    };

    use super::*;

    /// A reader that takes one line whenever it is told to.
    struct Reader {
        allowed: mpsc::Receiver<()>,
        read: mpsc::SyncSender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            let text = String::from_utf8_lossy(bytes).into_owned();
            self.read.send(text).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A queue, with who lets a line be read and who sees it.
    fn queue() -> (Arc<Queue>, mpsc::SyncSender<()>, mpsc::Receiver<String>) {
        let queue = Arc::<Queue>::default();
        let ((allow, allowed), (read, seen)) = (mpsc::sync_channel(32), mpsc::sync_channel(32));
        let writes = Arc::clone(&queue);
        thread::spawn(move || {
            writes.write_to(&mut Reader { allowed, read }, |count| {
                format!("{count} dropped\n")
            });
        });
        (queue, allow, seen)
    }

    #[test]
    fn who_logs_never_waits_and_what_is_missing_is_said_where_it_is() {
        let (queue, allow, seen) = queue();
        let line = "x".repeat(MOST_BYTES / 4);
        let before = dropped_lines();
        // One may be in the writer's hands already; the queue takes four.
        for _ in 0..20 {
            queue.push(line.clone());
        }
        let dropped = dropped_lines() - before;
        assert!(dropped >= 15, "{dropped}");
        for _ in 0..20 - dropped {
            allow.send(()).unwrap();
            assert_eq!(seen.recv().unwrap(), line);
        }
        queue.push("y".to_owned());
        for _ in 0..2 {
            allow.send(()).unwrap();
        }
        assert_eq!(seen.recv().unwrap(), format!("{dropped} dropped\n"));
        assert_eq!(seen.recv().unwrap(), "y");
    }

    #[test]
    fn the_end_waits_for_a_reader_and_not_for_ever() {
        let (queue, allow, seen) = queue();
        queue.push("last".to_owned());
        let began = Instant::now();
        queue.flush(Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50));
        allow.send(()).unwrap();
        queue.flush(Duration::from_secs(60));
        assert_eq!(seen.try_recv().as_deref(), Ok("last"));
    }
}
