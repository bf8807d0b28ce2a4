//! Failures on request, to see the supervisor work.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longer than anybody watches; the watchdog ends the process long before.
pub(super) const BLOCK_FOR: Duration = Duration::from_secs(60 * 60);

/// A failure that [`super::Supervisor::inject`] can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// A panic inside the actor.
    Panic,
    /// An unexpected stop of its context.
    Stop,
    /// A future that never ends, in front of its mailbox.
    Hang,
    /// Its thread blocked: nothing inside the process can cure that.
    Block,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Panic, Self::Stop, Self::Hang, Self::Block];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panic => "panic",
            Self::Stop => "stop",
            Self::Hang => "hang",
            Self::Block => "block",
        })
    }
}

/// No fault has that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fault is {0:?}: use panic, stop, hang or block")]
pub struct ParseFaultError(String);

impl FromStr for Fault {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|fault| fault.to_string() == text)
            .ok_or_else(|| ParseFaultError(text.to_owned()))
    }
}

/// Why a fault was not injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InjectError {
    /// The operator did not allow it.
    #[error("fault injection is off: start the node with --fault-injection")]
    Disabled,
    /// The caller named nobody.
    #[error("actor is {name:?}: use one of {known}")]
    UnknownActor {
        /// What was asked for.
        name: String,
        /// Who there is.
        known: String,
    },
    /// There is nothing to break at the moment.
    #[error("actor {name} is {state}, not running: try again when it is")]
    NotRunning {
        /// The actor.
        name: &'static str,
        /// What it does instead.
        state: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_back_from_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
            assert_eq!(serde_json::to_string(&fault).unwrap(), format!("\"{fault}\""));
        }
        assert_eq!(
            "explode".parse::<Fault>().unwrap_err().to_string(),
            "fault is \"explode\": use panic, stop, hang or block"
        );
    }
}
