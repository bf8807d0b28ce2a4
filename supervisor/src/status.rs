//! What anybody may see of the actors, from any thread.

use serde::Serialize;

/// Where an actor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Phase {
    /// It has an address, and its value was not given yet.
    Reserved,
    /// It is being built or started.
    Starting,
    /// It takes messages.
    Running,
    /// It failed and waits for its restart; its mailbox stays open.
    BackingOff {
        /// Which restart in a row is next.
        attempt: u32,
        /// Milliseconds until then.
        remaining_ms: u64,
    },
    /// It finishes what it has before it stops.
    Draining,
    /// It was stopped as asked.
    Stopped,
    /// It failed too often: the process ends.
    GaveUp,
}

impl Phase {
    /// Every word of [`Self::label`].
    pub const LABELS: [&'static str; 7] = [
        "reserved",
        "starting",
        "running",
        "backing_off",
        "draining",
        "stopped",
        "gave_up",
    ];

    /// One word for logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::BackingOff { .. } => "backing_off",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::GaveUp => "gave_up",
        }
    }
}

/// The last failure of an actor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// `panic`, `stop`, `hang` or `thread_ended`.
    pub kind: &'static str,
    /// The cause in words.
    pub cause: String,
    /// How long ago.
    pub age_ms: u64,
}

/// One actor at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorStatus {
    /// Its name.
    pub name: &'static str,
    /// Where it is in its life; `state` in JSON.
    #[serde(flatten)]
    pub phase: Phase,
    /// Its thread stands still; nothing here helps but the end of the process.
    pub blocked: bool,
    /// How often it was restarted since the process began.
    pub restarts: u64,
    /// How many messages its mailbox delivered since the process began.
    pub messages: u64,
    /// How many wait in its mailbox.
    pub waiting: u64,
    /// How many did not fit into it since the process began.
    pub dropped: u64,
    /// How long ago it last could be reached; `None` before the first time.
    pub last_heartbeat_age_ms: Option<u64>,
    /// Its last failure, if it ever failed.
    pub last_failure: Option<LastFailure>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_is_flat_and_names_the_state() {
        let status = ActorStatus {
            name: "Signer",
            phase: Phase::BackingOff {
                attempt: 2,
                remaining_ms: 480,
            },
            blocked: false,
            restarts: 1,
            messages: 7,
            waiting: 2,
            dropped: 0,
            last_heartbeat_age_ms: Some(20),
            last_failure: Some(LastFailure {
                kind: "stop",
                cause: "stopped unexpectedly".to_owned(),
                age_ms: 20,
            }),
        };
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            serde_json::json!({
                "name": "Signer", "state": "backing_off", "attempt": 2, "remaining_ms": 480, "blocked": false,
                "restarts": 1, "messages": 7, "waiting": 2, "dropped": 0, "last_heartbeat_age_ms": 20,
                "last_failure": {"kind": "stop", "cause": "stopped unexpectedly", "age_ms": 20},
            })
        );
    }
}
