//! One actor's supervision: the task that runs it, notices each failure, and starts it again.

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use super::body::{Body, SupervisedActor};
use super::cause::Cause;
use super::config::{ActorSpec, SupervisorConfig};
use super::fatal::Fatal;
use super::fault::Fault;
use super::heartbeat::MissedBeats;
use super::panics::PanicReport;
use super::policy::{Decision, Jitter, RestartHistory};
use super::shutdown::StepOutcome;
use super::status::Phase;
use super::vitals::Vitals;

/// What the supervisor's handle asks of one actor's supervision.
#[derive(Debug)]
pub(super) enum Command {
    /// Fail in that way.
    Inject(Fault),
    /// Finish what was accepted until the deadline, then stop.
    Drain {
        deadline: Instant,
        reply: oneshot::Sender<StepOutcome>,
    },
}

/// How many commands may wait. They are rare, and more faults at a time than this show nothing new.
pub(super) const COMMANDS: usize = 8;

/// What a supervision needs beside the actor.
pub(super) struct Terms {
    pub(super) spec: ActorSpec,
    pub(super) config: SupervisorConfig,
    pub(super) vitals: Arc<Vitals>,
    pub(super) fatal: watch::Sender<Option<Fatal>>,
    pub(super) commands: mpsc::Receiver<Command>,
}

/// Runs an actor until it was drained or given up. `body` makes it, on this thread.
pub(super) async fn supervise<A: SupervisedActor>(
    terms: Terms,
    body: impl FnOnce() -> Result<Body<A>, PanicReport>,
) {
    let mut unless_ended = UnlessEnded {
        vitals: Arc::clone(&terms.vitals),
        fatal: terms.fatal.clone(),
        ended: false,
    };
    log::info!("actor starts: actor={}", terms.spec.name);
    match body() {
        Ok(body) => Supervision::new(terms, body).run().await,
        Err(report) => give_up(
            &terms.vitals,
            &terms.fatal,
            Cause::NotBuilt(report),
            0,
            Duration::ZERO,
        ),
    }
    unless_ended.ended = true;
}

/// A supervision that is dropped before its end (its runtime was stopped under it) is a failure too: never a silent one.
struct UnlessEnded {
    vitals: Arc<Vitals>,
    fatal: watch::Sender<Option<Fatal>>,
    ended: bool,
}

impl Drop for UnlessEnded {
    fn drop(&mut self) {
        if !self.ended {
            give_up(&self.vitals, &self.fatal, Cause::ThreadEnded, 0, Duration::ZERO);
        }
    }
}

fn give_up(
    vitals: &Vitals,
    fatal: &watch::Sender<Option<Fatal>>,
    cause: Cause,
    restarts: u32,
    within: Duration,
) {
    log_backtrace(vitals.name(), &cause);
    let this = Fatal {
        actor: vitals.name(),
        restarts,
        within,
        cause: cause.clone(),
    };
    log::error!("actor given up: {this}");
    vitals.record_failure(cause);
    vitals.enter(Phase::GaveUp);
    // The first one is the reason; the others are its followers.
    fatal.send_if_modified(|fatal| {
        let is_first = fatal.is_none();
        fatal.get_or_insert(this);
        is_first
    });
}

fn log_backtrace(actor: &str, cause: &Cause) {
    if let Some(backtrace) = cause.panic().and_then(|report| report.backtrace.as_deref()) {
        log::error!("backtrace of the panic: actor={actor}\n{backtrace}");
    }
}

/// How one run of the actor ended.
enum RunEnd {
    Failed(Cause),
    Drained,
    OutOfTime,
}

/// How a back-off ended.
enum PauseEnd {
    Over,
    OutOfTime,
}

/// A drain under way.
struct Drain {
    deadline: Pin<Box<Sleep>>,
    reply: oneshot::Sender<StepOutcome>,
    /// Whether this run of the actor was asked already.
    asked: bool,
}

struct Supervision<A: SupervisedActor> {
    body: Body<A>,
    terms: Terms,
    history: RestartHistory,
    beat: Interval,
    missed: MissedBeats,
    drain: Option<Drain>,
    /// Whether the handle of the supervisor still exists.
    commanded: bool,
}

impl<A: SupervisedActor> Supervision<A> {
    fn new(terms: Terms, body: Body<A>) -> Self {
        let config = terms.config;
        let mut beat = tokio::time::interval(config.heartbeat);
        // After a pause of the whole process one beat is due, not all that it slept through.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            body,
            history: RestartHistory::new(config.restart),
            beat,
            missed: MissedBeats::new(
                config.heartbeat,
                terms.spec.hang_after.unwrap_or(config.hang_after),
            ),
            drain: None,
            commanded: true,
            terms,
        }
    }

    async fn run(mut self) {
        let outcome = loop {
            self.history.on_started(Instant::now().into_std());
            self.missed.reset();
            match poll_fn(|task| self.poll_run(task)).await {
                RunEnd::Drained => break StepOutcome::Drained,
                RunEnd::OutOfTime => break StepOutcome::OutOfTime,
                RunEnd::Failed(cause) => {
                    if let Err(outcome) = self.recover(cause).await {
                        break outcome;
                    }
                }
            }
        };
        // The actor and its mailbox go first, so that whoever hears of the end finds them gone.
        let Self {
            body, terms, drain, ..
        } = self;
        let actor = terms.spec.name;
        if let Err(report) = super::panics::catch(|| drop(body)) {
            log::error!("actor panicked while it was dropped: actor={actor} cause=\"{report}\"");
        }
        if outcome != StepOutcome::GaveUp {
            terms.vitals.enter(Phase::Stopped);
        }
        if let Some(drain) = drain {
            // Nobody waits any more if the shutdown was cut short.
            let _unheard = drain.reply.send(outcome);
        }
    }

    fn poll_run(&mut self, task: &mut TaskContext<'_>) -> Poll<RunEnd> {
        self.terms.vitals.tick();
        loop {
            if let Poll::Ready(cause) = self.body.poll(task) {
                return Poll::Ready(match (&self.drain, cause) {
                    (Some(_), Cause::Stopped) => RunEnd::Drained,
                    (_, cause) => RunEnd::Failed(cause),
                });
            }
            if let Some(drain) = &mut self.drain {
                if drain.deadline.as_mut().poll(task).is_ready() {
                    return Poll::Ready(RunEnd::OutOfTime);
                }
                if self.body.mail_is_empty() && !drain.asked {
                    drain.asked = true;
                    self.body.begin_drain();
                    continue;
                }
                if self.body.mail_is_empty() && self.body.is_drained() {
                    return Poll::Ready(RunEnd::Drained);
                }
            } else if self.terms.vitals.phase() == Phase::Starting {
                self.terms.vitals.enter(Phase::Running);
            }
            match self.poll_command(task) {
                Poll::Ready(Command::Drain { deadline, reply }) => {
                    self.start_drain(deadline, reply);
                    continue;
                }
                Poll::Ready(Command::Inject(fault)) => {
                    log::warn!("fault injected: actor={} fault={fault}", self.terms.spec.name);
                    self.body.inject(fault);
                    continue;
                }
                Poll::Pending => {}
            }
            while self.beat.poll_tick(task).is_ready() {
                let answered = self.body.take_reached();
                if answered {
                    self.terms.vitals.heartbeat();
                }
                if let Some(silent) = self.missed.beat(answered) {
                    return Poll::Ready(RunEnd::Failed(Cause::Hung(silent)));
                }
            }
            return Poll::Pending;
        }
    }

    fn poll_command(&mut self, task: &mut TaskContext<'_>) -> Poll<Command> {
        if !self.commanded {
            return Poll::Pending;
        }
        match self.terms.commands.poll_recv(task) {
            Poll::Ready(Some(command)) => Poll::Ready(command),
            Poll::Ready(None) => {
                self.commanded = false;
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn start_drain(&mut self, deadline: Instant, reply: oneshot::Sender<StepOutcome>) {
        self.terms.vitals.enter(Phase::Draining);
        self.drain = Some(Drain {
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            reply,
            asked: false,
        });
    }

    /// Frees what the failed run held, waits, and leaves the actor ready to be started; or says how the supervision ends.
    async fn recover(&mut self, mut cause: Cause) -> Result<(), StepOutcome> {
        let actor = self.terms.spec.name;
        loop {
            let now = Instant::now().into_std();
            let (attempt, delay) = match self.history.on_failure(now, random_jitter()) {
                Decision::Restart { attempt, delay } => (attempt, delay),
                Decision::GiveUp { restarts, within } => {
                    give_up(&self.terms.vitals, &self.terms.fatal, cause, restarts, within);
                    return Err(StepOutcome::GaveUp);
                }
            };
            log::warn!("actor failed: actor={actor} cause=\"{cause}\" attempt={attempt} delay={delay:?}");
            log_backtrace(actor, &cause);
            self.terms.vitals.record_failure(cause);
            // Before the pause: what it held, a port or a connection, is free for others meanwhile.
            let rebuilt = self.body.rebuild();
            self.terms.vitals.back_off(attempt, delay);
            let mut pause = Box::pin(tokio::time::sleep(delay));
            match poll_fn(|task| self.poll_pause(pause.as_mut(), task)).await {
                PauseEnd::Over => {}
                PauseEnd::OutOfTime => return Err(StepOutcome::OutOfTime),
            }
            let phase = match &mut self.drain {
                Some(drain) => {
                    drain.asked = false;
                    Phase::Draining
                }
                None => Phase::Starting,
            };
            self.terms.vitals.enter(phase);
            match rebuilt {
                Ok(()) => {
                    self.terms.vitals.count_restart();
                    log::info!("actor restarts: actor={actor} attempt={attempt}");
                    return Ok(());
                }
                Err(panicked) => cause = panicked,
            }
        }
    }

    fn poll_pause(&mut self, pause: Pin<&mut Sleep>, task: &mut TaskContext<'_>) -> Poll<PauseEnd> {
        self.terms.vitals.tick();
        while let Poll::Ready(command) = self.poll_command(task) {
            match command {
                // What waits in the mailbox is to be finished: the pause is cut short.
                Command::Drain { deadline, reply } => {
                    self.start_drain(deadline, reply);
                    return Poll::Ready(PauseEnd::Over);
                }
                Command::Inject(fault) => log::warn!(
                    "fault not injected, the actor is backing off: actor={} fault={fault}",
                    self.terms.spec.name
                ),
            }
        }
        if let Some(drain) = &mut self.drain
            && drain.deadline.as_mut().poll(task).is_ready()
        {
            return Poll::Ready(PauseEnd::OutOfTime);
        }
        // Only so that the thread shows signs of life.
        while self.beat.poll_tick(task).is_ready() {}
        pause.poll(task).map(|()| PauseEnd::Over)
    }
}

fn random_jitter() -> Jitter {
    // The standard library seeds its hash maps from the system's randomness: enough for a jitter.
    Jitter::from_random(RandomState::new().hash_one(()))
}
