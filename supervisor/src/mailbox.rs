//! An actor's mailbox as others see it: the way in, and what is counted there.
//!
//! actix does not tell how many messages wait, so both ends count: the sinks what they put in, the supervision what it delivers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use actix::{Actor, Addr, Handler, Message, dev::ToEnvelope};

use crate::sink::Sink;

/// What went into a mailbox, came out of it, and did not fit.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    accepted: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Tally {
    pub(crate) fn accept(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn deliver(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(crate) fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Messages that wait. One that is delivered before its sender has counted it does not make this negative.
    pub(crate) fn waiting(&self) -> u64 {
        self.accepted.load(Relaxed).saturating_sub(self.delivered())
    }
}

/// The way to an actor, before, between and after its runs.
pub struct Mailbox<A: Actor> {
    pub(super) addr: Addr<A>,
    pub(super) tally: Arc<Tally>,
}

impl<A: Actor> Mailbox<A> {
    /// The way for messages of one kind.
    pub fn sink<M>(&self) -> Sink<M>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        Sink::new(self.addr.clone().recipient(), Arc::clone(&self.tally))
    }
}
