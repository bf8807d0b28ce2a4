//! Signer: the only actor that holds the key, and the last gate before it.

use std::time::Duration;

use actix::{Actor, Context, Handler, Supervised};
use quorate_protocol::{
    AgreedPrice, Link, Message, Network, NodeKey, RefusalNotice, VerifiedReport, Written,
    cosign::SigningJournal, rounds::SignRequest,
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

    fn state(&mut self, link: Link, price: AgreedPrice) {
        let feed = price.feed.clone();
        match self.journal.state(link, price, &self.network, &self.key) {
            Ok(report) => {
                self.publish(Message::Report(report.to_report()));
                self.to
                    .aggregator
                    .send_or_log("own report", AggregatorMessage::OwnReport(report));
            }
            Err(refusal) => log::info!("own observation not stated: feed={feed} reason=\"{refusal}\""),
        }
    }

    fn cosign(&mut self, report: VerifiedReport) {
        let (feed, digest) = (report.observation().feed().clone(), report.digest());
        let answer = self.journal.cosign(report, &self.key);
        if let Ok(report) = &answer {
            self.publish(Message::Report(report.to_report()));
        }
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

    fn handle(&mut self, SignerMessage(request): SignerMessage, _: &mut Context<Self>) {
        match request {
            SignRequest::State { link, price } => self.state(link, price),
            SignRequest::CoSign(report) => self.cosign(report),
            SignRequest::Written {
                certificate,
                written_at,
            } => self.publish(Message::Written(Written::sign(
                &certificate,
                written_at,
                &self.network,
                &self.key,
            ))),
            SignRequest::Refusal {
                digest,
                observer,
                reason,
            } => {
                let now = self.clock.unix_now();
                let notice = RefusalNotice::sign(digest, observer, reason, now, &self.network, &self.key);
                self.publish(Message::Refusal(notice));
            }
            SignRequest::Heartbeat(heartbeat) => {
                self.publish(Message::Heartbeat(heartbeat.signed(&self.network, &self.key)));
            }
        }
    }
}
