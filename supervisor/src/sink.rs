//! Sending within bounds: a full mailbox loses the message, counts it and says so; it never grows.

use std::sync::Arc;

use actix::{
    Message, Recipient,
    prelude::{RecipientRequest, SendError},
};

use crate::Tally;

/// The way to an actor for messages of one kind.
pub struct Sink<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    to: Recipient<M>,
    tally: Arc<Tally>,
}

impl<M> Clone for Sink<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self {
            to: self.to.clone(),
            tally: Arc::clone(&self.tally),
        }
    }
}

impl<M> std::fmt::Debug for Sink<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink")
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}

/// To an actor that no supervisor keeps: nobody reads what is counted.
impl<M> From<Recipient<M>> for Sink<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn from(to: Recipient<M>) -> Self {
        Self::new(to, Arc::default())
    }
}

impl<M> Sink<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    pub(crate) fn new(to: Recipient<M>, tally: Arc<Tally>) -> Self {
        Self { to, tally }
    }

    /// Sends if there is room.
    ///
    /// # Errors
    /// The message, if the mailbox is full or its actor has stopped for good.
    pub fn try_send(&self, message: M) -> Result<(), SendError<M>> {
        let sent = self.to.try_send(message);
        match &sent {
            Ok(()) => self.tally.accept(),
            Err(SendError::Full(_)) => self.tally.drop_one(),
            // The receiver is stopped: only at shutdown, since the supervisor keeps every mailbox.
            Err(SendError::Closed(_)) => {}
        }
        sent
    }

    /// Sends, and waits for room and for the answer. What it returns should have a timeout: an actor may be restarting.
    pub fn send(&self, message: M) -> RecipientRequest<M> {
        self.tally.accept();
        self.to.send(message)
    }
}

/// Sends, or logs what was lost. Whether it was sent.
pub fn pass_on<M>(what: &str, to: &Sink<M>, message: M) -> bool
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    match to.try_send(message) {
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
