//! Whose turn it is: a network keeps about one core busy while it starts, and tests that measure time need theirs.

use std::sync::{Condvar, Mutex};

/// Networks at once.
const MOST: usize = 2;

static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// Held while a network runs.
pub(super) struct Turn(());

impl Turn {
    /// Waits for one.
    pub(super) fn take() -> Self {
        let running = RUNNING.lock().unwrap();
        let mut running = ENDED.wait_while(running, |running| *running >= MOST).unwrap();
        *running += 1;
        Self(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap() -= 1;
        ENDED.notify_one();
    }
}
