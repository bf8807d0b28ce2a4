//! The bridge's life: what is acquired when it starts, looked at while it runs, and dropped when it fails.

use std::{sync::Arc, time::Duration};

use actix::{Actor, ActorContext, AsyncContext, Context, Supervised};
use quorate_protocol::judge::{Finding, Judge};
use quorate_supervisor::SupervisedActor;

use super::{
    GossipBridge,
    behaviour::Behaviour,
    drive::Drive,
    gossip,
    listen::Listen,
    peers::{Close, Peers, Via},
    redial::Redial,
    swarm,
};

/// How often schedules are looked at: as fine as the shortest pause before a redial.
const TICK: Duration = Duration::from_millis(250);

impl GossipBridge {
    /// Everything as at the start, but without a swarm.
    fn forget_connections(&mut self) {
        if let Some(swarm) = self.swarm.take() {
            self.standing = swarm.behaviour().gate.standing().clone();
        }
        let local = self.keypair.public().to_peer_id();
        self.judge = Judge::new(self.config.judge.clone(), self.clock.unix_now());
        self.listen = Listen::new(self.config.listen.clone());
        self.peers = Peers::new(local);
        self.redial = Redial::new(local);
        self.count_connections();
        self.tell_news();
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        // For what gossipsub sends by itself: grafts, and what it tells of messages.
        if let Some(swarm) = &mut self.swarm {
            swarm.behaviour_mut().nudge.all();
        }
        self.open_listeners(ctx);
        self.dial_due();
        let overdue = self.peers.overdue(self.clock.now());
        for (close, reason) in overdue {
            match close {
                Close::Spare(id) => self.close_connection(id, reason),
                Close::Peer(peer) => self.disconnect(&peer, reason),
            }
        }
        for _ in 0..self.counts.take_dialled_with_our_key() {
            self.mirror.incoming(self.clock.now());
        }
        if self.mirror.has_twin(self.clock.now()) {
            self.counts.refused(&Finding::OurKey);
            self.log_twin("a connection");
        }
        self.count_connections();
        self.tell_news();
    }

    /// What changes without anybody being told.
    fn count_connections(&self) {
        let (mut mesh, mut listening) = (0, 0);
        if let Some(swarm) = &self.swarm {
            let gossip = &swarm.behaviour().gossip.gossip;
            mesh = gossip.mesh_peers(&gossip::topic().hash()).count();
            listening = swarm.listeners().count();
        }
        self.counts.mesh(mesh);
        self.counts.listening(listening);
    }

    pub(super) fn open_listeners(&mut self, ctx: &mut Context<Self>) {
        let Some(swarm) = &mut self.swarm else {
            return;
        };
        if let Err(error) = self.listen.open(|address| swarm.listen_on(address)) {
            log::error!("{error}");
            ctx.stop();
        }
    }
}

impl Actor for GossipBridge {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let behaviour = Behaviour::new(
            &self.config,
            &self.keypair,
            self.clock,
            self.standing.clone(),
            Arc::clone(&self.counts),
        );
        match behaviour.and_then(|behaviour| swarm::build(&self.keypair, behaviour, &self.counts)) {
            Ok(swarm) => self.swarm = Some(swarm),
            Err(error) => {
                log::error!("gossip bridge cannot start: reason=\"{error}\"");
                return ctx.stop();
            }
        }
        let now = self.clock.now();
        for address in self.config.peers.clone() {
            self.redial.add(address, Via::Static, now);
        }
        self.redial.listed(&self.config.endpoints, now);
        for name in self.config.dns_peers.clone() {
            self.resolve(name, 0, ctx);
        }
        self.tick(ctx);
        ctx.run_interval(TICK, Self::tick);
        ctx.spawn(Drive);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.forget_connections();
    }
}

impl SupervisedActor for GossipBridge {}

impl Supervised for GossipBridge {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.forget_connections();
    }
}
