//! Why an actor failed.

use std::fmt;
use std::time::Duration;

use super::panics::PanicReport;

/// One actor's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It panicked: in a handler, a timer, a future of its context, or while it was started or rebuilt.
    Panicked(PanicReport),
    /// It stopped its context without being asked to.
    Stopped,
    /// Its context waited in front of the mailbox for this long, while its thread ran.
    Hung(Duration),
    /// Its value could not be made at all; there is nothing to restart.
    NotBuilt(PanicReport),
    /// Its thread ended under it: the runtime was stopped before the actors were.
    ThreadEnded,
}

impl Cause {
    /// One word for a metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Panicked(_) | Self::NotBuilt(_) => "panic",
            Self::Stopped => "stop",
            Self::Hung(_) => "hang",
            Self::ThreadEnded => "thread_ended",
        }
    }

    /// The panic behind it, if one was.
    pub(super) fn panic(&self) -> Option<&PanicReport> {
        match self {
            Self::Panicked(report) | Self::NotBuilt(report) => Some(report),
            Self::Stopped | Self::Hung(_) | Self::ThreadEnded => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(report) => write!(f, "{report}"),
            Self::Stopped => f.write_str("stopped unexpectedly"),
            Self::Hung(silent) => write!(f, "hung: no heartbeat answered for {silent:?}"),
            Self::NotBuilt(report) => write!(f, "could not be built: {report}"),
            Self::ThreadEnded => f.write_str("its thread ended while it was supervised"),
        }
    }
}
