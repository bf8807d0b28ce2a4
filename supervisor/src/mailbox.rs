//! The way to an actor: bounded and counted. A full mailbox loses the message and says so; it never grows.
//!
//! actix does not tell how many messages wait, so both ends count: mailboxes what they put in, the supervision what it delivers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use actix::{Message, Recipient, prelude::SendError};

/// How often who waits for room looks again: soon against what a mailbox holds, seldom enough to cost nothing.
const ROOM_CHECK: Duration = Duration::from_millis(10);

/// The one typed way to an actor whose messages are `M`, before, between and after its runs. Clones share its
/// bound. A question is a message that holds a `oneshot` sender for the answer.
pub struct Mailbox<M: Message<Result = ()> + Send + 'static> {
    /// One for all clones: actix gives each clone of a recipient room for one more message.
    recipient: Arc<Recipient<M>>,
    counts: Arc<MailCounts>,
}

impl<M: Message<Result = ()> + Send + 'static> Mailbox<M> {
    pub(crate) fn new(recipient: Recipient<M>, counts: Arc<MailCounts>) -> Self {
        Self {
            recipient: Arc::new(recipient),
            counts,
        }
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

    /// For what must not be dropped: waits until there is room, also through a restart of the actor.
    ///
    /// # Errors
    /// The message, if its actor has stopped for good.
    pub async fn send(&self, mut message: M) -> Result<(), M> {
        loop {
            match self.recipient.try_send(message) {
                Ok(()) => {
                    self.counts.accept();
                    return Ok(());
                }
                Err(SendError::Full(unsent)) => message = unsent,
                Err(SendError::Closed(unsent)) => return Err(unsent),
            }
            // actix wakes nobody who waits for room.
            tokio::time::sleep(ROOM_CHECK).await;
        }
    }
}

impl<M: Message<Result = ()> + Send + 'static> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        Self {
            recipient: Arc::clone(&self.recipient),
            counts: Arc::clone(&self.counts),
        }
    }
}

impl<M: Message<Result = ()> + Send + 'static> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// To an actor that no supervisor keeps: nobody reads what is counted.
impl<M: Message<Result = ()> + Send + 'static> From<Recipient<M>> for Mailbox<M> {
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
