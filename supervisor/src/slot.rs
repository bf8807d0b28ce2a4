//! An address before its actor.

use std::io;

use actix::dev::channel::AddressReceiver;
use actix::{Addr, Arbiter, Context, System};

use super::body::{Body, SupervisedActor};
use super::mailbox::Mailbox;
use super::panics;
use super::status::Phase;
use super::supervised::{Terms, supervise};

/// Why an actor could not be put under supervision.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The wiring names two actors alike.
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
pub struct Slot<A: SupervisedActor> {
    pub(super) addr: Addr<A>,
    pub(super) receiver: AddressReceiver<A>,
    pub(super) terms: Terms,
}

impl<A: SupervisedActor> Slot<A> {
    /// The actor's address, before, between and after its runs.
    pub fn address(&self) -> Addr<A> {
        self.addr.clone()
    }

    /// The same for senders that are counted: how many messages wait, and how many did not fit.
    pub fn mailbox(&self) -> Mailbox<A> {
        Mailbox {
            addr: self.addr.clone(),
            tally: self.terms.vitals.tally(),
        }
    }

    /// Runs the actor on a thread of its own. `build` makes it there, once: the actor need not be `Send`, and must not wait for
    /// other actors.
    ///
    /// # Errors
    /// [`StartError::NoSystem`], [`StartError::NoThread`]. A `build` that panics gives the actor up at once: see
    /// [`super::Supervisor::failed`].
    pub fn run(
        self,
        build: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
    ) -> Result<Addr<A>, StartError> {
        let name = self.terms.spec.name;
        if System::try_current().is_none() {
            return Err(StartError::NoSystem(name));
        }
        let arbiter = Arbiter::try_new().map_err(|source| StartError::NoThread { name, source })?;
        let Self {
            addr,
            receiver,
            terms,
        } = self;
        // Not by the new thread: a shutdown that comes before its first step must wait for it.
        terms.vitals.enter(Phase::Starting);
        arbiter.spawn_fn(move || {
            panics::name_this_thread(name);
            actix::spawn(async move {
                let vitals = terms.vitals.clone();
                supervise(terms, move || Body::build(receiver, vitals, build)).await;
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
            terms,
        } = self;
        terms.vitals.enter(Phase::Starting);
        let vitals = terms.vitals.clone();
        actix::spawn(supervise(terms, move || Body::build(receiver, vitals, build)));
        addr
    }
}
