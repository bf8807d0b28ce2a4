//! Questions to actors: an answer waits for none longer than a second, and the bridge is not asked more often than that.

use std::{sync::Arc, time::Duration};

use actix::Message;
use quorate_actors::{
    Clock,
    gossip_bridge::{BridgeMessage, BridgeStatus},
};
use quorate_protocol::Instant;
use quorate_supervisor::Mailbox;
use tokio::{
    sync::{Mutex, oneshot},
    time::timeout,
};

/// An actor answers within milliseconds, or it is being restarted.
const PATIENCE: Duration = Duration::from_secs(1);

/// For how long what the bridge said of itself is good enough.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// What an actor answers; `None`: nothing, as its mailbox is full or it is being restarted.
pub(super) async fn ask<M, A>(
    mailbox: &Mailbox<M>,
    question: impl FnOnce(oneshot::Sender<A>) -> M,
) -> Option<A>
where
    M: Message<Result = ()> + Send + 'static,
{
    let (asker, answer) = oneshot::channel();
    mailbox.try_send(question(asker)).ok()?;
    timeout(PATIENCE, answer).await.ok()?.ok()
}

/// The GossipBridge, which tells who is connected. Anybody may ask this node, and what the node publishes goes through the same
/// mailbox: so one question is on its way at a time, and its answer serves all who ask within a second. Clones share it.
#[derive(Clone)]
pub(crate) struct Bridge {
    mailbox: Mailbox<BridgeMessage>,
    last: Arc<Mutex<Option<Said>>>,
}

/// What it said last, if it did, and when.
struct Said {
    at: Instant,
    status: Option<BridgeStatus>,
}

impl Bridge {
    pub(crate) fn new(mailbox: Mailbox<BridgeMessage>) -> Self {
        let last = Arc::default();
        Self { mailbox, last }
    }

    /// `None`: it does not answer.
    pub(crate) async fn status(&self, clock: Clock) -> Option<BridgeStatus> {
        let mut last = self.last.lock().await;
        if let Some(said) = &*last
            && clock.now().since(said.at) < GOOD_FOR
        {
            return said.status.clone();
        }
        let status = ask(&self.mailbox, BridgeMessage::AskStatus).await;
        let at = clock.now();
        last.insert(Said { at, status }).status.clone()
    }
}
