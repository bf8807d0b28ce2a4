//! The way to an actor: bounded and counted. A full mailbox loses the message and says so; it never grows.
//!
//! actix does not tell how many messages wait, so both ends count: mailboxes what they put in, the supervision what it delivers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use actix::{
    Message, Recipient,
    prelude::{RecipientRequest, SendError},
};

/// The one typed way to an actor whose messages are `M`, before, between and after its runs. Clones lead to the same actor.
pub struct Mailbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Recipient<M>,
    counts: Arc<MailCounts>,
}

impl<M> Mailbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    pub(crate) fn new(recipient: Recipient<M>, counts: Arc<MailCounts>) -> Self {
        Self { recipient, counts }
    }

    /// Sends if there is room. What does not fit is counted in [`ActorStatus::dropped`](crate::ActorStatus::dropped).
    ///
    /// # Errors
    /// The message: `Full`, or `Closed` if its actor has stopped for good.
    pub fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        let sent = self.recipient.try_send(message);
        match &sent {
            Ok(()) => self.counts.accept(),
            Err(SendError::Full(_)) => self.counts.drop_one(),
            // Only at the end of the process: a restart keeps the mailbox.
            Err(SendError::Closed(_)) => {}
        }
        sent
    }

    /// Sends if there is room, or logs what was lost. Whether it was sent.
    pub fn send_or_log(&self, what: &str, message: M) -> bool {
        match self.try_send(message) {
            Ok(()) => true,
            Err(SendError::Full(_)) => {
                log::warn!("message dropped: what=\"{what}\" reason=\"the receiver's mailbox is full\"");
                false
            }
            Err(SendError::Closed(_)) => {
                log::debug!("message dropped: what=\"{what}\" reason=\"the receiver has stopped\"");
                false
            }
        }
    }

    /// For what must not be dropped, and for questions: waits for room, then until the message was handled, and gives the answer.
    /// The caller sets a timeout: the actor may be waiting for its restart.
    ///
    /// # Errors
    /// [`MailboxError::Closed`](actix::MailboxError::Closed): the actor failed while it handled the message, whose outcome is
    /// unknown, or has stopped for good.
    pub fn send(&self, message: M) -> RecipientRequest<M> {
        self.counts.accept();
        self.recipient.send(message)
    }
}

impl<M> Clone for Mailbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self::new(self.recipient.clone(), Arc::clone(&self.counts))
    }
}

impl<M> fmt::Debug for Mailbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// To an actor that no supervisor keeps: nobody reads what is counted.
impl<M> From<Recipient<M>> for Mailbox<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn from(recipient: Recipient<M>) -> Self {
        Self::new(recipient, Arc::default())
    }
}

/// How many messages went into a mailbox, came out of it, and did not fit.
#[derive(Debug, Default)]
pub(crate) struct MailCounts {
    accepted: AtomicU64,
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl MailCounts {
    fn accept(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    pub(crate) fn deliver(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    fn drop_one(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Messages that wait. One that is delivered before its sender has counted it, or that came through the bare address, does not
    /// make this negative.
    pub(crate) fn waiting(&self) -> u64 {
        self.accepted.load(Relaxed).saturating_sub(self.delivered())
    }
}

/// The former name, until its users say `Mailbox`.
pub type Sink<M> = Mailbox<M>;

/// The former name of [`Mailbox::send_or_log`].
pub fn pass_on<M>(what: &str, to: &Mailbox<M>, message: M) -> bool
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.send_or_log(what, message)
}
