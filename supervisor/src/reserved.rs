//! An actor before it runs: its name, its mailbox and its address are there, its value is not.

use std::{io, sync::Arc, time::Duration};

use actix::{
    Actor, Addr, Arbiter, Context, Handler, Message, System,
    dev::channel::{AddressReceiver, channel},
};
use tokio::sync::mpsc;

use crate::{
    contained::{Contained, SupervisedActor},
    failure,
    mailbox::Mailbox,
    status::{Phase, SharedStatus},
    supervision::{self, Inputs},
    supervisor::{Registered, Registry},
};

/// What actors get unless they say otherwise: some seconds of a busy program's messages, and a bound on what can pile up behind a
/// crash.
const MAILBOX_CAPACITY: usize = 64;
/// How many commands may wait for an actor's supervision. They are rare, and more faults at a time than this show nothing new.
const COMMANDS: usize = 8;

/// How one actor is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActorSpec {
    /// Its name in logs, metrics and statuses; unique in the process.
    pub name: &'static str,
    /// How many messages may wait for it before `try_send` refuses and `send` waits.
    pub mailbox: usize,
    /// Its own patience instead of [`SupervisorConfig::hang_after`](crate::SupervisorConfig::hang_after): for an actor that rightly
    /// waits long in front of its mailbox.
    pub hang_after: Option<Duration>,
}

impl ActorSpec {
    /// An actor of that name with room for 64 messages and the supervisor's patience.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            mailbox: MAILBOX_CAPACITY,
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

/// Why an actor could not be put under supervision.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program names two actors alike.
    #[error("actor name {0:?} is taken: give each actor its own")]
    DuplicateName(&'static str),
    /// There is no actix system on this thread to give the actor a thread.
    #[error("actor {0} cannot be started outside an actix system: call this from within System::block_on")]
    NoSystem(&'static str),
    /// The operating system refused a thread.
    #[error("actor {name} has no thread: {source}; raise the limit on processes or memory")]
    NoThread {
        /// The actor.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// The promise of an actor: its address is valid from now on and for ever, and messages wait in the mailbox. Dropped without being
/// run, its mailbox closes.
#[must_use = "the actor has an address and does not run yet"]
pub struct Reserved<A: Actor> {
    addr: Addr<A>,
    receiver: AddressReceiver<A>,
    inputs: Inputs,
}

impl<A: SupervisedActor> Reserved<A> {
    pub(crate) fn new(spec: ActorSpec, registry: &Registry) -> Result<Self, StartError> {
        let status = Arc::new(SharedStatus::new(spec.name));
        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        registry.add(Registered {
            status: Arc::clone(&status),
            commands,
        })?;
        let (sender, receiver) = channel(spec.mailbox);
        Ok(Self {
            addr: Addr::new(sender),
            receiver,
            inputs: Inputs {
                hang_after: spec.hang_after.unwrap_or(registry.config.hang_after),
                heartbeat: registry.config.heartbeat,
                restart: registry.config.restart,
                status,
                given_up: registry.given_up().clone(),
                commands: command_receiver,
            },
        })
    }

    /// The actor's address, before, between and after its runs.
    pub fn address(&self) -> Addr<A> {
        self.addr.clone()
    }

    /// The way to the actor for messages of one type, bounded and counted. An actor has one such type, an enum of all that it is
    /// told.
    pub fn mailbox<M>(&self) -> Mailbox<M>
    where
        A: Handler<M>,
        M: Message<Result = ()> + Send + 'static,
    {
        Mailbox::new(self.addr.clone().recipient(), self.inputs.status.mail())
    }

    /// Runs the actor on a thread of its own. `build` makes it there, once: the actor need not be `Send`, and must not wait for
    /// other actors.
    ///
    /// # Errors
    /// [`StartError::NoSystem`], [`StartError::NoThread`]. A `build` that panics gives the actor up at once: see
    /// [`Supervisor::failed`](crate::Supervisor::failed).
    pub fn run(
        self,
        build: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
    ) -> Result<Addr<A>, StartError> {
        let name = self.inputs.status.name();
        if System::try_current().is_none() {
            return Err(StartError::NoSystem(name));
        }
        let arbiter = Arbiter::try_new().map_err(|source| StartError::NoThread { name, source })?;
        let Self {
            addr,
            receiver,
            inputs,
        } = self;
        // Not by the new thread: a shutdown that comes before its first step must wait for it.
        inputs.status.enter(Phase::Starting);
        arbiter.spawn_fn(move || {
            failure::name_this_thread(name);
            actix::spawn(async move {
                let status = Arc::clone(&inputs.status);
                supervision::supervise(inputs, move || Contained::build(receiver, status, build)).await;
                // The thread was this actor's alone.
                Arbiter::current().stop();
            });
        });
        Ok(addr)
    }

    /// Runs the actor on this thread, whose time tests may pause. A blocked handler blocks everything here.
    ///
    /// # Panics
    /// Outside an actix system, as [`actix::spawn`] does.
    pub fn run_here(self, build: impl FnOnce(&mut Context<A>) -> A + 'static) -> Addr<A> {
        let Self {
            addr,
            receiver,
            inputs,
        } = self;
        inputs.status.enter(Phase::Starting);
        let status = Arc::clone(&inputs.status);
        actix::spawn(supervision::supervise(inputs, move || {
            Contained::build(receiver, status, build)
        }));
        addr
    }
}
