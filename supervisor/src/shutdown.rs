//! The ordered end: one actor after the other finishes what it has and stops.

use std::fmt;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Supervisor;
use super::supervised::Command;

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

/// What of the remaining grace the next of `steps_left` steps may use: an equal share, so that a slow early step cannot take the
/// time of the last, the database's; what a step leaves unused is its successors'.
fn share(remaining: Duration, steps_left: usize) -> Duration {
    remaining / u32::try_from(steps_left.max(1)).unwrap_or(u32::MAX)
}

impl Supervisor {
    /// Stops the actors in `order`, then those that it does not name, the last reserved first. Each handles what is in its mailbox,
    /// is asked to [`drain`](super::SupervisedActor::drain), and stops; all within `grace`. Then the watchdog ends too.
    ///
    /// Ends with every actor stopped, but for threads that are blocked. The caller ends the process.
    pub async fn shutdown(&self, order: &[&str], grace: Duration) -> ShutdownReport {
        let end = Instant::now() + grace;
        let names = self.stop_order(order);
        let count = names.len();
        let mut steps = Vec::with_capacity(count);
        for (index, name) in names.into_iter().enumerate() {
            let begun = Instant::now();
            let limit = share(end.saturating_duration_since(begun), count - index);
            let outcome = self.stop_one(name, begun, limit).await;
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
        self.close();
        ShutdownReport { steps }
    }

    fn stop_order(&self, order: &[&str]) -> Vec<&'static str> {
        let known = self.names();
        let mut names: Vec<&'static str> = Vec::with_capacity(known.len());
        for wanted in order {
            match known.iter().find(|name| *name == wanted) {
                Some(&name) if !names.contains(&name) => names.push(name),
                Some(_) => {}
                None => log::warn!("shutdown order names no actor of this process: name={wanted}"),
            }
        }
        for &name in known.iter().rev() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    async fn stop_one(&self, name: &'static str, begun: Instant, limit: Duration) -> StepOutcome {
        let Some(commands) = self.commands(name) else {
            return StepOutcome::NotRunning;
        };
        if self.phase(name) == Some(super::Phase::GaveUp) {
            return StepOutcome::GaveUp;
        }
        if self.phase(name) == Some(super::Phase::Reserved) {
            return StepOutcome::NotRunning;
        }
        let (reply, outcome) = oneshot::channel();
        let command = Command::Drain {
            // A tenth is left to it for stopping and answering after its own deadline.
            deadline: begun + limit * 9 / 10,
            reply,
        };
        let asked = async {
            match commands.send(command).await {
                Ok(()) => outcome.await.unwrap_or(StepOutcome::NotRunning),
                Err(_supervision_ended) => StepOutcome::NotRunning,
            }
        };
        tokio::time::timeout_at(begun + limit, asked)
            .await
            .unwrap_or(StepOutcome::Unresponsive)
    }
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
