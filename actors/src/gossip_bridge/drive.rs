//! What keeps the swarm running: a future of the actor, so that events are handled in the actor's own turn, without a lock.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use actix::fut::ActorFuture;
use futures::StreamExt;

use super::GossipBridge;

/// Events handled before others on this thread get their turn.
const EVENTS_A_TURN: usize = 64;

/// Ends when the actor has no swarm any more.
pub(super) struct Drive;

impl ActorFuture<GossipBridge> for Drive {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        bridge: &mut GossipBridge,
        ctx: &mut actix::Context<GossipBridge>,
        task: &mut Context<'_>,
    ) -> Poll<()> {
        for _ in 0..EVENTS_A_TURN {
            let Some(swarm) = bridge.swarm.as_mut() else {
                return Poll::Ready(());
            };
            match swarm.poll_next_unpin(task) {
                Poll::Ready(Some(event)) => bridge.on_event(event, ctx),
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        task.waker().wake_by_ref();
        Poll::Pending
    }
}
