//! One actor's supervision: the task that runs it, notices each failure, and starts it again.

use std::{
    future::{Future, poll_fn},
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, Interval, MissedTickBehavior, Sleep},
};

use crate::{
    contained::{Contained, SupervisedActor},
    failure::{self, Cause, GivenUp, PanicReport},
    fault::Fault,
    restart_policy::{Decision, Jitter, RestartHistory, RestartPolicy},
    shutdown::StepOutcome,
    status::{Phase, SharedStatus},
    watchdog::Silence,
};

/// What the supervisor's handle asks of one actor's supervision.
#[derive(Debug)]
pub(crate) enum Command {
    /// Fail in that way.
    Inject(Fault),
    /// Finish what was accepted until the deadline, then stop.
    Drain {
        deadline: Instant,
        reply: oneshot::Sender<StepOutcome>,
    },
}

/// What a supervision needs beside the actor.
pub(crate) struct Inputs {
    pub(crate) heartbeat: Duration,
    pub(crate) hang_after: Duration,
    pub(crate) restart: RestartPolicy,
    pub(crate) status: Arc<SharedStatus>,
    pub(crate) given_up: watch::Sender<Option<GivenUp>>,
    pub(crate) commands: mpsc::Receiver<Command>,
}

/// Runs an actor until it was drained or given up. `build` makes it, on this thread.
pub(crate) async fn supervise<A: SupervisedActor>(
    inputs: Inputs,
    build: impl FnOnce() -> Result<Contained<A>, PanicReport>,
) {
    let mut unless_ended = UnlessEnded {
        status: Arc::clone(&inputs.status),
        given_up: inputs.given_up.clone(),
        ended: false,
    };
    log::info!("actor starts: actor={}", inputs.status.name());
    match build() {
        Ok(actor) => Supervision::new(inputs, actor).run().await,
        Err(report) => give_up(
            &inputs.status,
            &inputs.given_up,
            Cause::NotBuilt(report),
            0,
            Duration::ZERO,
        ),
    }
    unless_ended.ended = true;
}

/// A supervision that is dropped before its end (its runtime was stopped under it) is a failure too: never a silent one.
struct UnlessEnded {
    status: Arc<SharedStatus>,
    given_up: watch::Sender<Option<GivenUp>>,
    ended: bool,
}

impl Drop for UnlessEnded {
    fn drop(&mut self) {
        if !self.ended {
            give_up(
                &self.status,
                &self.given_up,
                Cause::ThreadEnded,
                0,
                Duration::ZERO,
            );
        }
    }
}

fn give_up(
    status: &SharedStatus,
    given_up: &watch::Sender<Option<GivenUp>>,
    cause: Cause,
    restarts: u32,
    within: Duration,
) {
    log_backtrace(status.name(), &cause);
    let this = GivenUp {
        actor: status.name(),
        restarts,
        within,
        cause: cause.clone(),
    };
    log::error!("actor given up: {this}");
    status.record_failure(cause);
    status.enter(Phase::GaveUp);
    // The first one is the reason; the others are its followers.
    given_up.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert(this);
        is_first
    });
}

fn log_backtrace(actor: &str, cause: &Cause) {
    if let Some(backtrace) = cause.backtrace() {
        log::error!("backtrace of the panic: actor={actor}\n{backtrace}");
    }
}

/// A drain under way.
struct Drain {
    deadline: Pin<Box<Sleep>>,
    reply: oneshot::Sender<StepOutcome>,
    /// Whether this run of the actor was asked already.
    asked: bool,
}

struct Supervision<A: SupervisedActor> {
    actor: Contained<A>,
    inputs: Inputs,
    history: RestartHistory,
    beat: Interval,
    silence: Silence,
    drain: Option<Drain>,
}

impl<A: SupervisedActor> Supervision<A> {
    fn new(inputs: Inputs, actor: Contained<A>) -> Self {
        let mut beat = tokio::time::interval(inputs.heartbeat);
        // After a pause of the whole process one beat is due, not all that it slept through.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            actor,
            history: RestartHistory::new(inputs.restart),
            beat,
            silence: Silence::new(inputs.heartbeat, now()),
            drain: None,
            inputs,
        }
    }

    /// Run after run, until the end.
    async fn run(mut self) {
        let outcome = loop {
            self.history.on_started(now());
            self.silence = Silence::new(self.inputs.heartbeat, now());
            match poll_fn(|task| self.poll_run(task)).await {
                Ok(outcome) => break outcome,
                Err(cause) => {
                    if let Err(outcome) = self.recover(cause).await {
                        break outcome;
                    }
                }
            }
        };
        // The actor and its mailbox go first, so that whoever hears of the end finds them gone.
        let Self {
            actor,
            inputs: Inputs { status, .. },
            drain,
            ..
        } = self;
        if let Err(report) = failure::catch(|| drop(actor)) {
            log::error!(
                "actor panicked while it was dropped: actor={} cause=\"{report}\"",
                status.name()
            );
        }
        if outcome != StepOutcome::GaveUp {
            status.enter(Phase::Stopped);
        }
        if let Some(drain) = drain {
            // Nobody waits any more if the shutdown was cut short.
            let _unheard = drain.reply.send(outcome);
        }
    }

    /// One run: ready when the actor has ended as it was asked to, or with its failure.
    fn poll_run(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<StepOutcome, Cause>> {
        self.inputs.status.tick();
        loop {
            if let Poll::Ready(cause) = self.actor.poll(task) {
                return Poll::Ready(match (&self.drain, cause) {
                    (Some(_), Cause::Stopped) => Ok(StepOutcome::Drained),
                    (_, cause) => Err(cause),
                });
            }
            if let Some(drain) = &mut self.drain {
                if drain.deadline.as_mut().poll(task).is_ready() {
                    return Poll::Ready(Ok(StepOutcome::OutOfTime));
                }
                if self.actor.mail_is_empty() && !drain.asked {
                    drain.asked = true;
                    self.actor.begin_drain();
                    continue;
                }
                if self.actor.mail_is_empty() && self.actor.is_drained() {
                    return Poll::Ready(Ok(StepOutcome::Drained));
                }
            } else if self.inputs.status.phase() == Phase::Starting {
                self.inputs.status.enter(Phase::Running);
            }
            match self.poll_command(task) {
                Poll::Ready(Command::Drain { deadline, reply }) => {
                    self.start_drain(deadline, reply);
                    continue;
                }
                Poll::Ready(Command::Inject(fault)) => {
                    log::warn!(
                        "fault injected: actor={} fault={fault}",
                        self.inputs.status.name()
                    );
                    self.actor.inject(fault);
                    continue;
                }
                Poll::Pending => {}
            }
            while self.beat.poll_tick(task).is_ready() {
                let reached = self.actor.take_reached();
                if reached {
                    self.inputs.status.heartbeat();
                }
                let silent = self.silence.look(now(), reached);
                if silent >= self.inputs.hang_after {
                    return Poll::Ready(Err(Cause::Hung(silent)));
                }
            }
            return Poll::Pending;
        }
    }

    /// Pending too when the supervisor's handle is gone: nobody can command any more.
    fn poll_command(&mut self, task: &mut TaskContext<'_>) -> Poll<Command> {
        match self.inputs.commands.poll_recv(task) {
            Poll::Ready(Some(command)) => Poll::Ready(command),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn start_drain(&mut self, deadline: Instant, reply: oneshot::Sender<StepOutcome>) {
        self.inputs.status.enter(Phase::Draining);
        self.drain = Some(Drain {
            deadline: Box::pin(tokio::time::sleep_until(deadline)),
            reply,
            asked: false,
        });
    }

    /// Frees what the failed run held, waits, and leaves the actor ready to be started; or says how the supervision ends.
    async fn recover(&mut self, mut cause: Cause) -> Result<(), StepOutcome> {
        let status = Arc::clone(&self.inputs.status);
        let actor = status.name();
        loop {
            let (attempt, delay) = match self.history.on_failure(now(), random_jitter()) {
                Decision::Restart { attempt, delay } => (attempt, delay),
                Decision::GiveUp { restarts, within } => {
                    give_up(&status, &self.inputs.given_up, cause, restarts, within);
                    return Err(StepOutcome::GaveUp);
                }
            };
            log::warn!("actor failed: actor={actor} cause=\"{cause}\" attempt={attempt} delay={delay:?}");
            log_backtrace(actor, &cause);
            status.record_failure(cause);
            // Before the pause: what it held, a port or a connection, is free for others meanwhile.
            let rebuilt = self.actor.rebuild();
            status.back_off(attempt, delay);
            let mut pause = Box::pin(tokio::time::sleep(delay));
            poll_fn(|task| self.poll_pause(pause.as_mut(), task)).await?;
            status.enter(match &mut self.drain {
                Some(drain) => {
                    drain.asked = false;
                    Phase::Draining
                }
                None => Phase::Starting,
            });
            match rebuilt {
                Ok(()) => {
                    status.count_restart();
                    log::info!("actor restarts: actor={actor} attempt={attempt}");
                    return Ok(());
                }
                Err(panicked) => cause = panicked,
            }
        }
    }

    /// The pause before a restart; fails when a drain's time is over first.
    fn poll_pause(
        &mut self,
        pause: Pin<&mut Sleep>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Result<(), StepOutcome>> {
        self.inputs.status.tick();
        while let Poll::Ready(command) = self.poll_command(task) {
            match command {
                // What waits in the mailbox is to be finished: the pause is cut short.
                Command::Drain { deadline, reply } => {
                    self.start_drain(deadline, reply);
                    return Poll::Ready(Ok(()));
                }
                Command::Inject(fault) => log::warn!(
                    "fault not injected, the actor is backing off: actor={} fault={fault}",
                    self.inputs.status.name()
                ),
            }
        }
        if let Some(drain) = &mut self.drain
            && drain.deadline.as_mut().poll(task).is_ready()
        {
            return Poll::Ready(Err(StepOutcome::OutOfTime));
        }
        // Only so that the thread shows signs of life.
        while self.beat.poll_tick(task).is_ready() {}
        pause.poll(task).map(Ok)
    }
}

/// tokio's time, so that tests can pause it.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

fn random_jitter() -> Jitter {
    // The standard library seeds its hash maps from the system's randomness: enough for a jitter.
    Jitter::from_random(RandomState::new().hash_one(()))
}
