//! Signer: the only actor that holds the key, and the last gate before it.

use actix::{Actor, Context, Handler, Recipient, Supervised};
use quorate_protocol::{
    Attestation, Message, Network, NodeKey, Observation, VerifiedReport, Written, cosign::SigningJournal,
};

use crate::{
    clock::Clock,
    messages::{Announce, Beat, CoSign, CoSigned, Observed, OwnReport, Publish},
    sink::pass_on,
    supervisor::SupervisedActor,
};

/// Signs this node's observations, the observations of others that the Aggregator vouches for, and news.
pub struct Signer {
    key: NodeKey,
    network: Network,
    clock: Clock,
    /// What was co-signed since this signer (re)started.
    journal: SigningJournal,
    sinks: SignerSinks,
}

/// To whom the Signer speaks.
pub struct SignerSinks {
    /// Aggregator.
    pub own_report: Recipient<OwnReport>,
    /// Aggregator.
    pub cosigned: Recipient<CoSigned>,
    /// GossipBridge.
    pub publish: Recipient<Publish>,
}

impl Signer {
    /// A signer with this key for this network.
    pub fn new(key: NodeKey, network: Network, clock: Clock, sinks: SignerSinks) -> Self {
        let journal = SigningJournal::new(clock.unix_now());
        Self {
            key,
            network,
            clock,
            journal,
            sinks,
        }
    }

    fn publish(&self, message: Message) {
        pass_on("publish", &self.sinks.publish, Publish(message));
    }
}

impl Actor for Signer {
    type Context = Context<Self>;
}

impl Supervised for Signer {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // What the crashed one signed is not known for sure: begin anew, and sign nothing that it may have signed.
        self.journal = self.journal.successor(self.clock.unix_now());
    }
}

impl SupervisedActor for Signer {}

impl Handler<Observed> for Signer {
    type Result = ();

    fn handle(&mut self, observed: Observed, _: &mut Context<Self>) {
        // No journal for our own: each observation comes here once, with a moment of its own.
        let Observed {
            feed,
            observed_at,
            evidence,
            ..
        } = observed;
        let observation = Observation::new(feed, observed_at, self.key.address(), evidence);
        match VerifiedReport::sign_own(observation, &self.network, &self.key) {
            Ok(report) => {
                self.publish(Message::Report(report.to_report()));
                pass_on("own report", &self.sinks.own_report, OwnReport(report));
            }
            Err(error) => log::error!("own observation not signed: reason=\"{error}\""),
        }
    }
}

impl Handler<CoSign> for Signer {
    type Result = ();

    fn handle(&mut self, CoSign { observation, digest }: CoSign, _: &mut Context<Self>) {
        let signed = observation.digest(&self.network);
        let answer = self.journal.enter(&observation, signed).map(|()| Attestation {
            signer: self.key.address(),
            signature: self.key.sign(signed),
        });
        let feed = observation.feed().clone();
        pass_on(
            "co-signature",
            &self.sinks.cosigned,
            CoSigned { feed, digest, answer },
        );
    }
}

impl Handler<Announce> for Signer {
    type Result = ();

    fn handle(
        &mut self,
        Announce {
            certificate,
            written_at,
        }: Announce,
        _: &mut Context<Self>,
    ) {
        self.publish(Message::Written(Written::sign(
            &certificate,
            written_at,
            &self.network,
            &self.key,
        )));
    }
}

impl Handler<Beat> for Signer {
    type Result = ();

    fn handle(&mut self, Beat(heartbeat): Beat, _: &mut Context<Self>) {
        self.publish(Message::Heartbeat(heartbeat.signed(&self.network, &self.key)));
    }
}
