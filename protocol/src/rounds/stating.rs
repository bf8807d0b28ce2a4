//! When this node states a price of its own: once for a window, and when there is somebody to hear it.

use super::{Effect, Now, Rounds};
use crate::{
    evidence::Evidence,
    time::{Instant, UnixMillis},
};

/// The exchanges' answers, before the node has put its name to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quoted {
    /// The answers; the price is their median.
    pub evidence: Evidence,
    /// When the last answer was in, by the calendar.
    pub observed_at: UnixMillis,
    /// The same moment on the stopwatch.
    pub observed: Instant,
}

impl Rounds {
    /// States the last price, if it has not been stated and serves the coming window.
    pub(super) fn state(&mut self, now: Now) {
        let Some(quoted) = &self.unstated else { return };
        let is_stale = now.instant.since(quoted.observed) > self.settings.policy.max_age;
        let is_for_no_window = self.active_from().is_some_and(|active| quoted.observed < active);
        let one_window = self.settings.one_window();
        let was_stated = self
            .stated_at
            .is_some_and(|at| at.apart(quoted.observed_at) < one_window);
        if is_stale || is_for_no_window || was_stated {
            self.unstated = None;
            return;
        }
        let mut due = self.no_statement_before();
        if self.roster.len() < self.required() {
            due = due.max(quoted.observed + self.settings.timing.hold);
        }
        if now.instant < due {
            return self.wake_at(due);
        }
        if let Some(quoted) = self.unstated.take() {
            self.stated_at = Some(quoted.observed_at);
            self.effects.push(Effect::State(quoted));
        }
    }

    /// The process before this one, with the same key, may have made a statement right before it ended. Unless the database
    /// shows that the network was at rest, this one waits until nothing that it says can contradict that.
    fn no_statement_before(&self) -> Instant {
        match self.settings.predecessor_ended {
            Some(started) if self.was_at_rest != Some(true) => started + self.settings.one_window(),
            _ => Instant::default(),
        }
    }
}
