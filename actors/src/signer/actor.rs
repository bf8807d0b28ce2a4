//! Signer: the only actor that holds the key, and the last gate before it.

use std::time::Duration;

use actix::{Actor, Context, Handler, Supervised};
use quorate_protocol::{
    Attestation, Digest, Feed, Message, Network, NodeKey, Observation, RefusalNotice, VerifiedReport,
    Written, cosign::SigningJournal, rounds::Quoted,
};
use quorate_supervisor::{Mailbox, SupervisedActor};

use super::SignerMessage;
use crate::{aggregator::AggregatorMessage, clock::Clock, gossip_bridge::BridgeMessage};

/// Signs this node's observations, the observations of others that the Aggregator vouches for, and news.
pub struct Signer {
    key: NodeKey,
    network: Network,
    clock: Clock,
    /// What was signed since this process started. It survives a restart of the actor: an entry is made before its signature,
    /// so that it knows at least what was signed.
    journal: SigningJournal,
    to: Neighbours,
}

/// To whom the Signer speaks.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Learns what was signed.
    pub aggregator: Mailbox<AggregatorMessage>,
    /// Publishes it.
    pub gossip_bridge: Mailbox<BridgeMessage>,
}

impl Signer {
    /// A signer with this key for this network. Two statements of an observer within `one_window` are for one window.
    pub fn new(key: NodeKey, network: Network, one_window: Duration, clock: Clock, to: Neighbours) -> Self {
        let journal = SigningJournal::new(clock.unix_now(), one_window);
        Self {
            key,
            network,
            clock,
            journal,
            to,
        }
    }

    fn state(&mut self, feed: Feed, quoted: Quoted) {
        let observation = Observation::new(feed, quoted.observed_at, self.key.address(), quoted.evidence);
        let digest = observation.digest(&self.network);
        if let Err(refusal) = self.journal.enter(&observation, digest) {
            let feed = observation.feed();
            return log::info!("own observation not stated: feed={feed} reason=\"{refusal}\"");
        }
        match VerifiedReport::sign_own(observation, &self.network, &self.key) {
            Ok(report) => {
                self.publish(Message::Report(report.to_report()));
                let message = AggregatorMessage::OwnReport(report);
                self.to.aggregator.send_or_log("own report", message);
            }
            Err(error) => log::error!("own observation not signed: reason=\"{error}\""),
        }
    }

    fn cosign(&mut self, observation: &Observation, digest: Digest) {
        let signed = observation.digest(&self.network);
        let answer = self.journal.enter(observation, signed).map(|()| Attestation {
            signer: self.key.address(),
            signature: self.key.sign(signed),
        });
        let feed = observation.feed().clone();
        let message = AggregatorMessage::CoSigned { feed, digest, answer };
        self.to.aggregator.send_or_log("co-signature", message);
    }

    fn publish(&self, message: Message) {
        self.to
            .gossip_bridge
            .send_or_log("message", BridgeMessage::Publish(message));
    }
}

impl Actor for Signer {
    type Context = Context<Self>;
}

impl Supervised for Signer {}

impl SupervisedActor for Signer {}

impl Handler<SignerMessage> for Signer {
    type Result = ();

    fn handle(&mut self, message: SignerMessage, _: &mut Context<Self>) {
        match message {
            SignerMessage::State { feed, quoted } => self.state(feed, quoted),
            SignerMessage::CoSign { observation, digest } => self.cosign(&observation, digest),
            SignerMessage::Announce {
                certificate,
                written_at,
            } => self.publish(Message::Written(Written::sign(
                &certificate,
                written_at,
                &self.network,
                &self.key,
            ))),
            SignerMessage::Object {
                digest,
                observer,
                reason,
            } => {
                let now = self.clock.unix_now();
                let notice = RefusalNotice::sign(digest, observer, reason, now, &self.network, &self.key);
                self.publish(Message::Refusal(notice));
            }
            SignerMessage::Beat(heartbeat) => {
                self.publish(Message::Heartbeat(heartbeat.signed(&self.network, &self.key)));
            }
        }
    }
}
