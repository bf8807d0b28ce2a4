//! Sending within bounds: a full mailbox loses the message and says so, it never grows.

use actix::{Message, Recipient, prelude::SendError};

/// Sends, or logs what was lost. Whether it was sent.
pub(crate) fn pass_on<M>(what: &str, to: &Recipient<M>, message: M) -> bool
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
        // The receiver is stopped: only at shutdown, since the supervisor keeps every mailbox.
        Err(SendError::Closed(_)) => {
            log::debug!("message dropped: what=\"{what}\" reason=\"the receiver has stopped\"");
            false
        }
    }
}
