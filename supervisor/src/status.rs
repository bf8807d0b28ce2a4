//! An actor's state as its supervision writes it and all other threads read it. No lock is held while anything is awaited, logged
//! or called.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{failure::Cause, mailbox::MailCounts};

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

/// The same while it changes.
#[derive(Debug)]
pub(crate) struct SharedStatus {
    name: &'static str,
    /// Moves whenever the actor's thread gets to run its supervision or a message.
    ticks: AtomicU64,
    mail: Arc<MailCounts>,
    restarts: AtomicU64,
    blocked: AtomicBool,
    life: Mutex<Life>,
}

#[derive(Debug)]
struct Life {
    phase: Phase,
    resumes_at: Option<Instant>,
    last_heartbeat: Option<Instant>,
    last_failure: Option<(Instant, Cause)>,
}

impl SharedStatus {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            ticks: AtomicU64::new(0),
            mail: Arc::default(),
            restarts: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            life: Mutex::new(Life {
                phase: Phase::Reserved,
                resumes_at: None,
                last_heartbeat: None,
                last_failure: None,
            }),
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        // Nothing that can panic runs under the lock, and a phase is whole whenever it is written.
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn mail(&self) -> Arc<MailCounts> {
        Arc::clone(&self.mail)
    }

    /// The actor's thread runs.
    pub(crate) fn tick(&self) {
        self.ticks.fetch_add(1, Relaxed);
    }

    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Relaxed)
    }

    /// One message is about to be handled: progress, even if it takes a while until the next sign of life.
    pub(crate) fn count_message(&self) {
        self.mail.deliver();
        self.tick();
    }

    /// The actor could be reached.
    pub(crate) fn heartbeat(&self) {
        self.life().last_heartbeat = Some(Instant::now());
    }

    pub(crate) fn phase(&self) -> Phase {
        self.life().phase
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let mut life = self.life();
        life.phase = phase;
        life.resumes_at = None;
    }

    pub(crate) fn back_off(&self, attempt: u32, delay: Duration) {
        let mut life = self.life();
        life.phase = Phase::BackingOff {
            attempt,
            remaining_ms: whole_ms(delay),
        };
        life.resumes_at = Some(Instant::now() + delay);
    }

    pub(crate) fn record_failure(&self, cause: Cause) {
        self.life().last_failure = Some((Instant::now(), cause));
    }

    pub(crate) fn count_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// Whether the actor's thread is expected to move.
    pub(crate) fn is_watched(&self) -> bool {
        !matches!(self.phase(), Phase::Reserved | Phase::Stopped | Phase::GaveUp)
    }

    pub(crate) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.load(Relaxed)
    }

    pub(crate) fn read(&self) -> ActorStatus {
        let now = Instant::now();
        let age_ms = |then: Instant| whole_ms(now.saturating_duration_since(then));
        let life = self.life();
        let phase = match (life.phase, life.resumes_at) {
            (Phase::BackingOff { attempt, .. }, Some(resumes_at)) => Phase::BackingOff {
                attempt,
                remaining_ms: whole_ms(resumes_at.saturating_duration_since(now)),
            },
            (phase, _) => phase,
        };
        ActorStatus {
            name: self.name,
            phase,
            blocked: self.is_blocked(),
            restarts: self.restarts.load(Relaxed),
            messages: self.mail.delivered(),
            waiting: self.mail.waiting(),
            dropped: self.mail.dropped(),
            last_heartbeat_age_ms: life.last_heartbeat.map(age_ms),
            last_failure: life.last_failure.as_ref().map(|(at, cause)| LastFailure {
                kind: cause.kind(),
                cause: cause.to_string(),
                age_ms: age_ms(*at),
            }),
        }
    }
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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
