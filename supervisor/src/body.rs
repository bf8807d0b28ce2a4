//! One actor and its context, so wrapped that no panic gets out and every failure is a [`Cause`].

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use actix::dev::channel::{AddressReceiver, AddressSender, channel};
use actix::dev::{AsyncContextParts, ContextFut, ContextParts};
use actix::{Actor, ActorContext, ActorFuture, Addr, AsyncContext, Context, ResponseFuture, Supervised, fut};

use super::cause::Cause;
use super::fault::{BLOCK_FOR, Fault};
use super::panics::{self, PanicReport};
use super::pump::{Mail, Pump};
use super::vitals::Vitals;

/// An actor that the supervisor can keep.
///
/// `started()` acquires what the actor needs, `restarting()` (of [`Supervised`]) frees it and makes the state as new; between the
/// two lies the back-off. Timers and futures of the context are gone by then. A panic in either is one more failure.
pub trait SupervisedActor: Actor<Context = Context<Self>> + Supervised {
    /// Asked once the mailbox is empty and everybody who stops earlier has stopped: the returned future ends when nothing that the
    /// actor accepted is unfinished. Messages are still taken meanwhile. It must bound itself: after its step's share of the
    /// grace the actor is stopped regardless.
    fn drain(&mut self, _ctx: &mut Context<Self>) -> ResponseFuture<()> {
        Box::pin(std::future::ready(()))
    }
}

/// See the module.
pub(super) struct Body<A: SupervisedActor> {
    context: ContextFut<A, Context<A>>,
    mail: Rc<Mail<A>>,
    drained: Rc<Cell<bool>>,
    polled: bool,
    /// The context insists on a mailbox of its own. Nobody has its address, this keeps it from looking abandoned.
    _decoy: AddressSender<A>,
    /// Keeps the real mailbox from looking abandoned while nobody else has an address.
    _addr: Addr<A>,
}

impl<A: SupervisedActor> Body<A> {
    /// Builds the actor on this thread; nothing of it runs until the first poll.
    pub(super) fn build(
        receiver: AddressReceiver<A>,
        vitals: Arc<Vitals>,
        build: impl FnOnce(&mut Context<A>) -> A,
    ) -> Result<Self, PanicReport> {
        let (decoy, decoy_receiver) = channel(1);
        let mut ctx = Context::with_receiver(decoy_receiver);
        // From here on the context's address is that of the real mailbox.
        *ctx.parts() = ContextParts::new(receiver.sender_producer());
        let addr = Addr::new(receiver.sender());
        let mail = Rc::new(Mail::new(receiver, vitals));
        ctx.spawn(Pump(Rc::clone(&mail)));
        let actor = panics::catch(|| build(&mut ctx))?;
        Ok(Self {
            context: ctx.into_future(actor),
            mail,
            drained: Rc::new(Cell::new(false)),
            polled: false,
            _decoy: decoy,
            _addr: addr,
        })
    }

    /// Runs what can run; ready when the actor failed.
    pub(super) fn poll(&mut self, task: &mut TaskContext<'_>) -> Poll<Cause> {
        self.mail.forget_empty();
        self.polled = true;
        match panics::catch(|| Pin::new(&mut self.context).poll(task)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Cause::Stopped),
            Err(report) => Poll::Ready(Cause::Panicked(report)),
        }
    }

    /// Cancels all timers and futures and lets the actor rebuild its state; the next poll starts it. The mailbox is not touched.
    pub(super) fn rebuild(&mut self) -> Result<(), Cause> {
        self.polled = false;
        self.drained = Rc::new(Cell::new(false));
        panics::catch(|| {
            // `restart` alone would keep cancellations that the failure left pending, and number new futures from 1 again: an
            // old cancellation would then end a new timer. New parts have none.
            *self.context.ctx().parts() = ContextParts::new(self.mail.receiver().borrow().sender_producer());
            // It refuses only when its mailbox, the decoy, has no address left, and we keep one.
            let _restarted = self.context.restart();
            self.context.ctx().spawn(Pump(Rc::clone(&self.mail)));
        })
        .map_err(Cause::Panicked)
    }

    /// Whether the actor could be reached since this was last asked.
    pub(super) fn take_reached(&self) -> bool {
        self.mail.take_reached()
    }

    /// Whether the last poll left no message.
    pub(super) fn mail_is_empty(&self) -> bool {
        self.mail.is_empty()
    }

    /// Asks the actor to finish what it has; [`Self::is_drained`] tells when.
    pub(super) fn begin_drain(&mut self) {
        let drained = Rc::clone(&self.drained);
        self.context.ctx().spawn(DrainCall { work: None, drained });
    }

    pub(super) fn is_drained(&self) -> bool {
        self.drained.get()
    }

    /// Has the fault happen at the next poll.
    pub(super) fn inject(&mut self, fault: Fault) {
        let ctx = self.context.ctx();
        match fault {
            Fault::Panic => {
                ctx.spawn(InContext(|| panic!("injected fault")));
            }
            Fault::Stop => ctx.stop(),
            Fault::Hang => ctx.wait(fut::wrap_future::<_, A>(std::future::pending::<()>())),
            Fault::Block => {
                ctx.spawn(InContext(|| std::thread::sleep(BLOCK_FOR)));
            }
        }
    }

    /// Stops the actor: `stopping()` and `stopped()` are called if it ever started, waits are cut short, and a refusal to stop is
    /// not heard.
    pub(super) fn halt(&mut self) {
        let polled = self.polled;
        let context = &mut self.context;
        let halted = panics::catch(|| {
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

impl<A: SupervisedActor> Drop for Body<A> {
    fn drop(&mut self) {
        self.halt();
    }
}

/// Runs a closure inside the actor's context, as a timer's callback would be.
struct InContext<F>(F);

impl<A: Actor, F: FnMut() + Unpin> ActorFuture<A> for InContext<F> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        _actor: &mut A,
        _ctx: &mut A::Context,
        _task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        (self.0)();
        Poll::Ready(())
    }
}

/// Asks the actor to drain, and notes when it did.
struct DrainCall {
    work: Option<ResponseFuture<()>>,
    drained: Rc<Cell<bool>>,
}

impl<A: SupervisedActor> ActorFuture<A> for DrainCall {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut Context<A>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        let work = self.work.get_or_insert_with(|| actor.drain(ctx));
        if work.as_mut().poll(task).is_pending() {
            return Poll::Pending;
        }
        self.drained.set(true);
        Poll::Ready(())
    }
}
