//! Delivers an actor's mail from inside its context.
//!
//! actix would let the context own the mailbox. Here the supervision owns it, and this future, spawned into every new run of the
//! context, takes the messages out. That buys three things: a mailbox that outlives whatever happens to the context; a pass that
//! ends after some messages, so that a flood starves neither timers nor the supervision; and a heartbeat that needs no message and
//! no room in the mailbox: when this future is polled, the actor can be reached, and when a future waits in front of the mailbox,
//! actix does not poll it.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use actix::dev::channel::AddressReceiver;
use actix::dev::{Envelope, EnvelopeProxy};
use actix::{Actor, ActorFuture, AsyncContext, Context};
use futures::StreamExt;

use super::vitals::Vitals;

/// How many messages are handled before timers and the supervision have their turn. A default mailbox in one go.
const MESSAGES_PER_PASS: usize = 64;

/// The mailbox, and what its delivery last found. Shared by all runs of one actor, on its thread.
pub(super) struct Mail<A: Actor> {
    receiver: RefCell<AddressReceiver<A>>,
    reached: Cell<bool>,
    empty: Cell<bool>,
    vitals: Arc<Vitals>,
}

impl<A: Actor<Context = Context<A>>> Mail<A> {
    pub(super) fn new(receiver: AddressReceiver<A>, vitals: Arc<Vitals>) -> Self {
        Self {
            receiver: RefCell::new(receiver),
            reached: Cell::new(false),
            empty: Cell::new(false),
            vitals,
        }
    }

    /// The mailbox itself, to make addresses of it.
    pub(super) fn receiver(&self) -> &RefCell<AddressReceiver<A>> {
        &self.receiver
    }

    /// Whether the actor could be reached since this was last asked.
    pub(super) fn take_reached(&self) -> bool {
        self.reached.replace(false)
    }

    /// Whether the actor took all its mail in the pass since [`Self::forget_empty`].
    pub(super) fn is_empty(&self) -> bool {
        self.empty.get()
    }

    pub(super) fn forget_empty(&self) {
        self.empty.set(false);
    }

    /// The next message; the mailbox is free again when this returns, so that a handler's panic cannot leave it borrowed.
    fn next(&self, task: &mut TaskContext<'_>) -> Option<Envelope<A>> {
        match self.receiver.borrow_mut().poll_next_unpin(task) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }
}

/// See the module.
pub(super) struct Pump<A: Actor>(pub(super) Rc<Mail<A>>);

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Pump<A> {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let mail = &self.0;
        if ctx.waiting() {
            return Poll::Pending;
        }
        mail.reached.set(true);
        for handled in 0..MESSAGES_PER_PASS {
            let Some(mut message) = mail.next(task) else {
                mail.empty.set(true);
                // Futures of the context that were polled before this one have not seen what the handlers changed.
                if handled > 0 {
                    task.waker().wake_by_ref();
                }
                return Poll::Pending;
            };
            mail.vitals.count_message();
            message.handle(actor, ctx);
            // The handler began to wait or to stop: the rest stays in the mailbox.
            if ctx.waiting() {
                return Poll::Pending;
            }
        }
        // A plain wake would have this task run again dozens of times before tokio looks at its timers; this one comes after.
        let _pending = pin!(tokio::task::yield_now()).poll(task);
        Poll::Pending
    }
}
