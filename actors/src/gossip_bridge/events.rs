//! What the swarm reports, each event to the part that it concerns.

use actix::Context;
use libp2p::{
    gossipsub, identify,
    swarm::{ListenError, SwarmEvent},
};

use super::{
    GossipBridge, behaviour::BehaviourEvent, connections::show_address, dialling::with_causes, gate::Refusal,
    metered::MeteredEvent, standing::Offence,
};

impl GossipBridge {
    pub(super) fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>, ctx: &mut Context<Self>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => self.on_connected(peer_id, connection_id, &endpoint),
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => self.on_closed(&peer_id, connection_id, cause.map(|cause| cause.to_string())),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                peer_id,
            } => self.on_dial_failed(connection_id, peer_id, &error),
            SwarmEvent::IncomingConnectionError {
                send_back_addr,
                error,
                peer_id,
                ..
            } => {
                if let (Some(peer), ListenError::Denied { cause }) = (peer_id, &error)
                    && cause.downcast_ref() == Some(&Refusal::NotMember)
                {
                    self.log_stranger(peer, &send_back_addr);
                }
                let peer = peer_id.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
                log::debug!(
                    "connection refused: addr={send_back_addr} peer={peer} reason=\"{}\"",
                    with_causes(&error)
                );
            }
            SwarmEvent::NewListenAddr { address, .. } => log::info!("listening: address={address}"),
            SwarmEvent::ListenerClosed {
                listener_id, reason, ..
            } => {
                let reason = reason.map_or_else(|error| error.to_string(), |()| "closed".to_owned());
                log::warn!("listener closed, it will be opened again: reason=\"{reason}\"");
                self.listen.closed(listener_id);
                self.open_listeners(ctx);
            }
            SwarmEvent::ListenerError { error, .. } => log::debug!("listener error: reason=\"{error}\""),
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Gossip(MeteredEvent::Gossip(event)) => self.on_gossip(event),
            BehaviourEvent::Gossip(MeteredEvent::Flood(peer)) => {
                self.offended(&peer, Offence::Flood, "a flood of messages");
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_introduced(&peer_id, &info);
            }
            // Without identify there is nothing to tell networks apart by but the messages themselves.
            BehaviourEvent::Identify(identify::Event::Error { peer_id, .. }) => {
                if self.peers.introduced(&peer_id, None) {
                    self.on_up(&peer_id);
                }
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Nudge(never) => match never {},
            BehaviourEvent::Ping(event) => self.on_ping(&event),
            BehaviourEvent::Mdns(event) => self.on_mdns(event),
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => self.on_message(&propagation_source, &message_id, &message.data),
            gossipsub::Event::Subscribed { peer_id, .. } => {
                if self.peers.subscribed(&peer_id, true) {
                    self.on_up(&peer_id);
                }
            }
            gossipsub::Event::Unsubscribed { peer_id, .. } => {
                if self.peers.subscribed(&peer_id, false) {
                    log::info!(
                        "peer lost: address={} peer={peer_id} reason=\"it unsubscribed\"",
                        show_address(&peer_id)
                    );
                    self.tell_news();
                }
            }
            gossipsub::Event::GossipsubNotSupported { peer_id } => {
                self.disconnect(&peer_id, "it does not speak gossipsub");
                self.redial.not_for_us(&peer_id, self.clock.now());
            }
            gossipsub::Event::SlowPeer { peer_id, .. } => log::debug!("peer is slow: peer={peer_id}"),
        }
    }
}
