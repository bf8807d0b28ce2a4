//! Signer: the only actor that holds the key, and the last gate before it.

use std::time::Duration;

use actix::{Actor, Context, Handler, Supervised};
use quorate_protocol::{
    Attestation, Message, Network, NodeKey, Observation, RefusalNotice, VerifiedReport, Written,
    cosign::SigningJournal, rounds::Quoted,
};

use crate::{
    clock::Clock,
    messages::{Announce, Beat, CoSign, CoSigned, Object, OwnReport, Publish, State},
    sink::{Sink, pass_on},
    supervisor::SupervisedActor,
};

/// Signs this node's observations, the observations of others that the Aggregator vouches for, and news.
pub struct Signer {
    key: NodeKey,
    network: Network,
    clock: Clock,
    /// What was signed since this process started. It survives a restart of the actor: an entry is made before its signature,
    /// so that it knows at least what was signed.
    journal: SigningJournal,
    sinks: SignerSinks,
}

/// To whom the Signer speaks.
pub struct SignerSinks {
    /// Aggregator.
    pub own_report: Sink<OwnReport>,
    /// Aggregator.
    pub cosigned: Sink<CoSigned>,
    /// GossipBridge.
    pub publish: Sink<Publish>,
}

impl Signer {
    /// A signer with this key for this network. Two statements of an observer within `one_window` are for one window.
    pub fn new(
        key: NodeKey,
        network: Network,
        one_window: Duration,
        clock: Clock,
        sinks: SignerSinks,
    ) -> Self {
        let journal = SigningJournal::new(clock.unix_now(), one_window);
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

impl Supervised for Signer {}

impl SupervisedActor for Signer {}

impl Handler<State> for Signer {
    type Result = ();

    fn handle(&mut self, State { feed, quoted }: State, _: &mut Context<Self>) {
        let Quoted {
            evidence,
            observed_at,
            ..
        } = quoted;
        let observation = Observation::new(feed, observed_at, self.key.address(), evidence);
        let digest = observation.digest(&self.network);
        if let Err(refusal) = self.journal.enter(&observation, digest) {
            let feed = observation.feed();
            return log::info!("own observation not stated: feed={feed} reason=\"{refusal}\"");
        }
        match VerifiedReport::sign_own(observation, &self.network, &self.key) {
            Ok(report) => {
                self.publish(Message::Report(report.to_report()));
                pass_on("own report", &self.sinks.own_report, OwnReport(report));
            }
            Err(error) => log::error!("own observation not signed: reason=\"{error}\""),
        }
    }
}

impl Handler<Object> for Signer {
    type Result = ();

    fn handle(
        &mut self,
        Object {
            digest,
            observer,
            reason,
        }: Object,
        _: &mut Context<Self>,
    ) {
        let now = self.clock.unix_now();
        let notice = RefusalNotice::sign(digest, observer, reason, now, &self.network, &self.key);
        self.publish(Message::Refusal(notice));
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
