//! What an actor's supervision writes and the other threads read. No lock is held while anything is awaited, logged or called.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::cause::Cause;
use super::mailbox::Tally;
use super::status::{ActorStatus, LastFailure, Phase};

/// One actor's shared state.
#[derive(Debug)]
pub(super) struct Vitals {
    name: &'static str,
    /// Moves whenever the actor's thread gets to run its supervision or a message.
    ticks: AtomicU64,
    tally: Arc<Tally>,
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

impl Vitals {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            ticks: AtomicU64::new(0),
            tally: Arc::default(),
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

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// The actor's thread runs.
    pub(super) fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// One message is about to be handled: progress, even if it takes a while until the next sign of life.
    pub(super) fn count_message(&self) {
        self.tally.deliver();
        self.tick();
    }

    pub(super) fn heartbeat(&self) {
        self.life().last_heartbeat = Some(Instant::now());
    }

    pub(super) fn phase(&self) -> Phase {
        self.life().phase
    }

    pub(super) fn enter(&self, phase: Phase) {
        let mut life = self.life();
        life.phase = phase;
        life.resumes_at = None;
    }

    pub(super) fn back_off(&self, attempt: u32, delay: Duration) {
        let mut life = self.life();
        life.phase = Phase::BackingOff {
            attempt,
            remaining_ms: whole_ms(delay),
        };
        life.resumes_at = Some(Instant::now() + delay);
    }

    pub(super) fn record_failure(&self, cause: Cause) {
        self.life().last_failure = Some((Instant::now(), cause));
    }

    pub(super) fn count_restart(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the actor's thread is expected to move.
    pub(super) fn is_watched(&self) -> bool {
        !matches!(self.phase(), Phase::Reserved | Phase::Stopped | Phase::GaveUp)
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    pub(super) fn status(&self) -> ActorStatus {
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
            restarts: self.restarts.load(Ordering::Relaxed),
            messages: self.tally.delivered(),
            waiting: self.tally.waiting(),
            dropped: self.tally.dropped(),
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
