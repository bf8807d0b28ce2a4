//! Waiting for what happens, never for how long it takes.

use std::{thread::sleep, time::Duration};

pub(crate) use quorate_testkit::{builders::unix_now, wait::eventually_within as eventually};

/// Lets time pass in which something must not happen, or in which something stays away: then time itself is the subject.
pub(crate) fn let_pass(time: Duration) {
    sleep(time);
}
