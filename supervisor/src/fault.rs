//! Failures on request, to see the supervisor work.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Supervisor, status::Phase, supervision::Command, supervisor::Registered};

/// A failure that [`Supervisor::inject`] can cause.
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
    /// All kinds.
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
    /// [`SupervisorConfig::fault_injection`](crate::SupervisorConfig::fault_injection) is off.
    #[error("fault injection is off")]
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

impl Supervisor {
    /// Makes an actor fail, to see what follows. The name's case does not matter.
    ///
    /// # Errors
    /// [`InjectError`]. `Ok` means that the fault will happen in a moment.
    pub fn inject(&self, name: &str, fault: Fault) -> Result<(), InjectError> {
        if !self.registry().config.fault_injection {
            return Err(InjectError::Disabled);
        }
        let actors = self.registry().actors();
        let named = |actor: &&Registered| actor.status.name().eq_ignore_ascii_case(name);
        let Some(actor) = actors.iter().find(named) else {
            let known: Vec<_> = actors.iter().map(|actor| actor.status.name()).collect();
            return Err(InjectError::UnknownActor {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let not_running = |state| InjectError::NotRunning {
            name: actor.status.name(),
            state,
        };
        let phase = actor.status.phase();
        if phase != Phase::Running {
            return Err(not_running(phase.label()));
        }
        actor
            .commands
            .try_send(Command::Inject(fault))
            .map_err(|_| not_running("busy with earlier faults"))
    }
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
