//! Waiting for what happens, never for how long it takes.

use std::{
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use quorate_protocol::UnixMillis;

const POLL: Duration = Duration::from_millis(25);

/// What `look` finds, as soon as it finds it; panics when that takes longer than `within`.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} in vain: {what}");
        sleep(POLL);
    }
}

/// Lets time pass in which something must not happen, or in which something stays away: then time itself is the subject.
pub(crate) fn let_pass(time: Duration) {
    sleep(time);
}

/// The calendar, which the processes of one machine share.
pub(crate) fn unix_now() -> UnixMillis {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    UnixMillis::new(since_1970.as_millis().try_into().unwrap())
}
