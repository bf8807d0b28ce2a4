//! Waiting for what happens, never for how long it takes.

use std::{
    thread,
    time::{Duration, Instant as RealInstant},
};

use tokio::time::{Instant, sleep};

/// Generous: the machine may be busy. What is waited for takes well below a second otherwise, and in paused time all of it costs
/// nothing.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How often it is looked.
const POLL: Duration = Duration::from_millis(2);
/// The same where a look costs more: a log read again, a server asked.
const BLOCKING_POLL: Duration = Duration::from_millis(20);

/// What `look` finds, as soon as it finds it.
///
/// # Panics
/// It has found nothing after [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} in vain: {what}");
        sleep(POLL).await;
    }
}

/// The same for a thread that may block, within a time of its own.
///
/// # Panics
/// It has found nothing after that.
pub fn eventually_within<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = RealInstant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(RealInstant::now() < deadline, "waited {within:?} in vain: {what}");
        thread::sleep(BLOCKING_POLL);
    }
}
