//! One actor in its context, so contained that no panic gets out and every failure is a [`Cause`].
//!
//! actix would let the context own the mailbox. Here the supervision owns it, and a future, spawned into every new run of the
//! context, takes the messages out. That buys three things: a mailbox that outlives whatever happens to the context; a pass that
//! ends after some messages, so that a flood starves neither timers nor the supervision; and a heartbeat that needs no message and
//! no room in the mailbox: when this future is polled, the actor can be reached, and when a future waits in front of the mailbox
//! (`ctx.wait`), actix does not poll it.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFuture, ActorFutureExt, Addr, AsyncContext, Context, ResponseFuture,
    Supervised, WrapFuture,
    dev::{
        AsyncContextParts, ContextFut, ContextParts, Envelope, EnvelopeProxy,
        channel::{AddressReceiver, AddressSender, channel},
    },
    fut,
};
use futures::StreamExt;

use crate::{
    failure::{self, Cause, PanicReport},
    fault::Fault,
    status::SharedStatus,
};

/// Where a backtrace leaves the actor's own code.
pub(crate) const MODULE: &str = module_path!();
/// How many messages are handled before timers and the supervision have their turn: a default mailbox in one go.
const MESSAGES_PER_PASS: usize = 64;
/// Of an injected fault: longer than anybody watches. The watchdog ends the process long before.
const BLOCK_FOR: Duration = Duration::from_secs(60 * 60);

/// An actor that the supervisor can keep.
///
/// `started()` acquires what the actor needs, `restarting()` (of [`Supervised`]) frees it and makes the state as new; between the
/// two lies the back-off. Timers and futures of the context are gone by then. A panic in either is one more failure.
pub trait SupervisedActor: Actor<Context = Context<Self>> + Supervised {
    /// Asked at the end, once the mailbox is empty and everybody who stops earlier has stopped: the returned future ends when
    /// nothing that the actor accepted is unfinished. Messages are still taken meanwhile. It must bound itself: after its step's
    /// share of the grace the actor is stopped regardless.
    fn drain(&mut self, _ctx: &mut Context<Self>) -> ResponseFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

/// An actor and its context.
pub(crate) struct Contained<A: SupervisedActor> {
    context: ContextFut<A, Context<A>>,
    mail: Rc<Mail<A>>,
    drained: Rc<Cell<bool>>,
    polled: bool,
    /// The context insists on a mailbox of its own. Nobody has its address; this keeps it from looking abandoned.
    _unused_mailbox: AddressSender<A>,
    /// Keeps the real mailbox from looking abandoned while nobody else has an address.
    _addr: Addr<A>,
}

impl<A: SupervisedActor> Contained<A> {
    /// Builds the actor on this thread; nothing of it runs until the first poll.
    pub(crate) fn build(
        receiver: AddressReceiver<A>,
        status: Arc<SharedStatus>,
        build: impl FnOnce(&mut Context<A>) -> A,
    ) -> Result<Self, PanicReport> {
        let (unused_mailbox, unused_receiver) = channel(1);
        let mut ctx = Context::with_receiver(unused_receiver);
        // From here on the context's address is that of the real mailbox.
        *ctx.parts() = ContextParts::new(receiver.sender_producer());
        let addr = Addr::new(receiver.sender());
        let mail = Rc::new(Mail {
            receiver: RefCell::new(receiver),
            reached: Cell::new(false),
            empty: Cell::new(false),
            status,
        });
        ctx.spawn(Delivery(Rc::clone(&mail)));
        let actor = failure::catch(|| build(&mut ctx))?;
        Ok(Self {
            context: ctx.into_future(actor),
            mail,
            drained: Rc::default(),
            polled: false,
            _unused_mailbox: unused_mailbox,
            _addr: addr,
        })
    }

    /// Runs what can run; ready when the actor failed.
    pub(crate) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Cause> {
        self.mail.empty.set(false);
        self.polled = true;
        match failure::catch(|| Pin::new(&mut self.context).poll(task)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Cause::Stopped),
            Err(report) => Poll::Ready(Cause::Panicked(report)),
        }
    }

    /// Cancels all timers and futures and lets the actor rebuild its state; the next poll starts it. The mailbox is not touched.
    pub(crate) fn rebuild(&mut self) -> Result<(), Cause> {
        self.polled = false;
        self.drained = Rc::default();
        failure::catch(|| {
            // `restart` alone would keep cancellations that the failure left pending, and number new futures from 1 again: an
            // old cancellation would then end a new timer. New parts have none.
            *self.context.ctx().parts() = ContextParts::new(self.mail.receiver.borrow().sender_producer());
            // It refuses only when the context's own mailbox has no address left, and we keep one.
            let _restarted = self.context.restart();
            self.context.ctx().spawn(Delivery(Rc::clone(&self.mail)));
        })
        .map_err(Cause::Panicked)
    }

    /// Whether the actor could be reached since this was last asked.
    pub(crate) fn take_reached(&self) -> bool {
        self.mail.reached.replace(false)
    }

    /// Whether the last poll left no message.
    pub(crate) fn mail_is_empty(&self) -> bool {
        self.mail.empty.get()
    }

    /// Asks the actor to finish what it has; [`Self::is_drained`] tells when.
    pub(crate) fn begin_drain(&mut self) {
        let drained = Rc::clone(&self.drained);
        let drain = fut::ready(())
            .then(|(), actor: &mut A, ctx: &mut Context<A>| actor.drain(ctx).into_actor(actor))
            .map(move |(), _, _| drained.set(true));
        self.context.ctx().spawn(drain);
    }

    /// Whether it has finished.
    pub(crate) fn is_drained(&self) -> bool {
        self.drained.get()
    }

    /// Has the fault happen at the next poll.
    pub(crate) fn inject(&mut self, fault: Fault) {
        let ctx = self.context.ctx();
        let in_context = |fail: fn()| fut::ready(()).map(move |(), _: &mut A, _: &mut Context<A>| fail());
        match fault {
            Fault::Panic => {
                ctx.spawn(in_context(|| panic!("injected fault")));
            }
            Fault::Stop => ctx.stop(),
            Fault::Hang => ctx.wait(fut::wrap_future::<_, A>(std::future::pending::<()>())),
            Fault::Block => {
                ctx.spawn(in_context(|| std::thread::sleep(BLOCK_FOR)));
            }
        }
    }

    /// Stops the actor: `stopping()` and `stopped()` are called if it ever started, waits are cut short, and a refusal to stop is
    /// not heard.
    fn halt(&mut self) {
        let polled = self.polled;
        let context = &mut self.context;
        let halted = failure::catch(|| {
            // A context that was not started would be started by a poll, only to be stopped.
            if polled && context.ctx().state().alive() {
                context.ctx().stop();
                let _ready = Pin::new(&mut *context).poll(&mut TaskContext::from_waker(Waker::noop()));
            }
        });
        self.context.ctx().terminate();
        if let Err(report) = halted {
            log::error!("actor panicked while it was stopped: cause=\"{report}\"");
        }
    }
}

impl<A: SupervisedActor> Drop for Contained<A> {
    fn drop(&mut self) {
        self.halt();
    }
}

/// The mailbox, and what its delivery last found. Shared by all runs of one actor, on its thread.
struct Mail<A: Actor> {
    receiver: RefCell<AddressReceiver<A>>,
    reached: Cell<bool>,
    empty: Cell<bool>,
    status: Arc<SharedStatus>,
}

impl<A: Actor<Context = Context<A>>> Mail<A> {
    /// The next message; the mailbox is free again when this returns, so that a handler's panic cannot leave it borrowed.
    fn next(&self, task: &mut TaskContext<'_>) -> Option<Envelope<A>> {
        match self.receiver.borrow_mut().poll_next_unpin(task) {
            Poll::Ready(message) => message,
            Poll::Pending => None,
        }
    }
}

/// Delivers the mail from inside the context.
struct Delivery<A: Actor>(Rc<Mail<A>>);

impl<A: Actor<Context = Context<A>>> ActorFuture<A> for Delivery<A> {
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
            mail.status.count_message();
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
