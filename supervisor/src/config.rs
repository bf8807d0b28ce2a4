//! The supervisor's figures.

use std::time::Duration;

use super::policy::RestartPolicy;

/// Often enough to notice a hang within its limit, rare enough to cost nothing.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Longer than any pause that a healthy actor takes (remote calls run beside the mailbox, not in front of it), well below the
/// write window of 30 s.
const HANG_AFTER: Duration = Duration::from_secs(5);
/// The same patience for a thread. Liveness turns false then; an orchestrator probes it every few seconds.
const BLOCKED_AFTER: Duration = Duration::from_secs(5);
/// How long a thread may be blocked, from its last sign of life, until the process ends: within the promised 20 s, and late enough
/// that a burst of slow disk or swap passes.
const EXIT_AFTER: Duration = Duration::from_secs(15);
/// What actors get unless they say otherwise: some seconds of a busy network's messages, and a bound on what a crash can pile up.
const MAILBOX: usize = 64;

/// All figures of the supervisor. The defaults are the product's; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// How often each actor is asked whether it can be reached.
    pub heartbeat: Duration,
    /// An actor that cannot be reached for this long hangs and is restarted.
    pub hang_after: Duration,
    /// A thread that stands still for this long is blocked: the process is no longer live.
    pub blocked_after: Duration,
    /// A thread that stands still for this long ends the process; also how long the process may take to end after an actor was
    /// given up.
    pub exit_after: Duration,
    /// When to restart, when to give up.
    pub restart: RestartPolicy,
    /// Whether [`super::Supervisor::inject`] is allowed.
    pub fault_injection: bool,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        Self {
            heartbeat: HEARTBEAT,
            hang_after: HANG_AFTER,
            blocked_after: BLOCKED_AFTER,
            exit_after: EXIT_AFTER,
            restart: RestartPolicy::default(),
            fault_injection: false,
        }
    }
}

/// How one actor is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorSpec {
    /// Its name in logs, metrics and the API; unique in the process.
    pub name: &'static str,
    /// How many messages may wait for it before `try_send` refuses and `send` waits.
    pub mailbox: usize,
    /// Its own patience instead of [`SupervisorConfig::hang_after`]: for an actor that rightly waits long in front of its mailbox.
    pub hang_after: Option<Duration>,
}

impl ActorSpec {
    /// An actor of that name with the default mailbox (64) and patience.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            mailbox: MAILBOX,
            hang_after: None,
        }
    }

    /// With room for `messages` in its mailbox, at least 1 (actix takes 0 for "no bound").
    pub fn mailbox(mut self, messages: usize) -> Self {
        self.mailbox = messages.max(1);
        self
    }

    /// With a patience of its own.
    pub fn hang_after(mut self, hang_after: Duration) -> Self {
        self.hang_after = Some(hang_after);
        self
    }
}
