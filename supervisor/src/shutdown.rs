//! The ordered end: a signal, or an actor that was given up; then one actor after the other finishes what it has and stops; then
//! the system stops.

use std::{fmt, io, time::Duration};

use actix::System;
use tokio::{sync::oneshot, time::Instant};

use crate::{
    Supervisor,
    failure::{EXIT_GAVE_UP, GivenUp},
    status::Phase,
    supervision::Command,
    supervisor::Registered,
};

/// What a whole shutdown may take: below the 30 s after which Kubernetes kills, and bearable at a terminal.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The exit code of a process that was told twice: 128 + SIGINT, as shells have it.
const EXIT_CUT_SHORT: u8 = 130;

/// Who asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationSignal {
    /// An orchestrator, or `kill`.
    Sigterm,
    /// Ctrl-C.
    Sigint,
}

impl fmt::Display for TerminationSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sigterm => "SIGTERM",
            Self::Sigint => "SIGINT",
        })
    }
}

/// Waits for SIGTERM or Ctrl-C. From the first poll on neither kills the process by itself.
///
/// # Errors
/// The operating system refused the handler.
pub async fn termination() -> io::Result<TerminationSignal> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut sigterm = signal(SignalKind::terminate())?;
        let mut sigint = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = sigterm.recv() => Ok(TerminationSignal::Sigterm),
            _ = sigint.recv() => Ok(TerminationSignal::Sigint),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await?;
        Ok(TerminationSignal::Sigint)
    }
}

/// Why the process ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to, and every actor was asked to finish.
    Asked(TerminationSignal),
    /// It was asked to, and again before the actors had finished.
    CutShort(TerminationSignal),
    /// An actor was given up.
    GaveUp(GivenUp),
}

impl ExitReason {
    /// The process's exit code: 0, 130 or [`EXIT_GAVE_UP`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked(_) => 0,
            Self::CutShort(_) => EXIT_CUT_SHORT,
            Self::GaveUp(_) => EXIT_GAVE_UP,
        }
    }
}

/// How one actor's stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It finished everything.
    Drained,
    /// Its share of the grace was over first; what it had left is lost.
    OutOfTime,
    /// It had been given up, or was while it drained.
    GaveUp,
    /// It had stopped before, or was never run.
    NotRunning,
    /// Its thread is blocked; it was left behind.
    Unresponsive,
}

impl fmt::Display for StepOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Drained => "drained",
            Self::OutOfTime => "out_of_time",
            Self::GaveUp => "gave_up",
            Self::NotRunning => "not_running",
            Self::Unresponsive => "unresponsive",
        })
    }
}

/// What the shutdown did, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Each actor and how its stop went.
    pub steps: Vec<(&'static str, StepOutcome)>,
}

impl ShutdownReport {
    /// Whether nothing that an actor had accepted was lost.
    pub fn is_clean(&self) -> bool {
        self.steps
            .iter()
            .all(|(_, outcome)| matches!(outcome, StepOutcome::Drained | StepOutcome::NotRunning))
    }
}

impl Supervisor {
    /// Waits until the process is to end, then shuts down in `order` within `grace`, stops the actix system, and writes the last
    /// line. A second signal cuts the shutdown short.
    ///
    /// # Errors
    /// No handler for signals could be installed; nothing was stopped.
    pub async fn run_until_end(&self, order: &[&str], grace: Duration) -> io::Result<ExitReason> {
        let mut reason = tokio::select! {
            signal = termination() => ExitReason::Asked(signal?),
            given_up = self.failed() => ExitReason::GaveUp(given_up),
        };
        match &reason {
            ExitReason::GaveUp(given_up) => {
                log::error!("shutdown begins: reason=\"actor given up\" {given_up} grace={grace:?}");
            }
            ExitReason::Asked(signal) | ExitReason::CutShort(signal) => {
                log::info!("shutdown begins: reason={signal} grace={grace:?}");
            }
        }
        tokio::select! {
            report = self.shutdown(order, grace) => {
                if !report.is_clean() {
                    log::warn!("shutdown was not clean: see its steps");
                }
            }
            _again = termination() => {
                if let ExitReason::Asked(signal) = reason {
                    reason = ExitReason::CutShort(signal);
                }
            }
        }
        let code = reason.exit_code();
        match &reason {
            ExitReason::Asked(_) => log::info!("shutdown done: exit_code={code}"),
            ExitReason::CutShort(_) => log::warn!("shutdown cut short by a second signal: exit_code={code}"),
            ExitReason::GaveUp(given_up) => log::error!("fatal: {given_up} exit_code={code}"),
        }
        if let Some(system) = System::try_current() {
            system.stop_with_code(i32::from(code));
        }
        Ok(reason)
    }

    /// Stops the actors in `order`, then those that it does not name, the last reserved first. Each handles what is in its mailbox,
    /// is asked to [`drain`](crate::SupervisedActor::drain), and stops; all within `grace`. Then the watchdog ends too.
    ///
    /// Ends with every actor stopped, but for threads that are blocked. The caller ends the process.
    pub async fn shutdown(&self, order: &[&str], grace: Duration) -> ShutdownReport {
        let end = Instant::now() + grace;
        let actors = self.stop_order(order);
        let count = actors.len();
        let mut steps = Vec::with_capacity(count);
        for (index, actor) in actors.iter().enumerate() {
            let name = actor.status.name();
            let begun = Instant::now();
            let limit = share(end.saturating_duration_since(begun), count - index);
            let outcome = stop_one(actor, begun, limit).await;
            let took = begun.elapsed();
            let step = index + 1;
            if matches!(outcome, StepOutcome::Drained | StepOutcome::NotRunning) {
                log::info!("shutdown step {step}/{count}: actor={name} outcome={outcome} took={took:.1?}");
            } else {
                log::warn!(
                    "shutdown step {step}/{count}: actor={name} outcome={outcome} took={took:.1?} limit={limit:.1?}"
                );
            }
            steps.push((name, outcome));
        }
        self.registry().close();
        ShutdownReport { steps }
    }

    fn stop_order(&self, order: &[&str]) -> Vec<Registered> {
        let mut left = self.registry().actors();
        let mut ordered = Vec::with_capacity(left.len());
        for wanted in order {
            match left.iter().position(|actor| actor.status.name() == *wanted) {
                Some(index) => ordered.push(left.remove(index)),
                None => log::warn!("shutdown order names no actor that is left: name={wanted}"),
            }
        }
        ordered.extend(left.into_iter().rev());
        ordered
    }
}

async fn stop_one(actor: &Registered, begun: Instant, limit: Duration) -> StepOutcome {
    match actor.status.phase() {
        Phase::GaveUp => return StepOutcome::GaveUp,
        Phase::Reserved => return StepOutcome::NotRunning,
        _ => {}
    }
    let (reply, outcome) = oneshot::channel();
    let command = Command::Drain {
        // A tenth is left to it for stopping and answering after its own deadline.
        deadline: begun + limit * 9 / 10,
        reply,
    };
    let asked = async {
        match actor.commands.send(command).await {
            Ok(()) => outcome.await.unwrap_or(StepOutcome::NotRunning),
            Err(_supervision_ended) => StepOutcome::NotRunning,
        }
    };
    tokio::time::timeout_at(begun + limit, asked)
        .await
        .unwrap_or(StepOutcome::Unresponsive)
}

/// What of the remaining grace the next of `steps_left` steps may use: an equal share, so that a slow early step cannot take the
/// time of the last; what a step leaves unused is its successors'.
fn share(remaining: Duration, steps_left: usize) -> Duration {
    remaining / u32::try_from(steps_left.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_gets_an_equal_share_of_what_is_left_and_the_last_gets_it_all() {
        let second = Duration::from_secs(1);
        assert_eq!(share(10 * second, 5), 2 * second);
        assert_eq!(share(9 * second, 3), 3 * second);
        assert_eq!(share(4 * second, 1), 4 * second);
        assert_eq!(share(Duration::ZERO, 2), Duration::ZERO);
    }
}
