//! Aggregator: the shell around [`quorate_protocol::rounds`]. It carries out effects, and decides nothing.

use std::{collections::BTreeMap, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, Supervised};
use quorate_protocol::{
    Address, Digest, Feed, Heartbeat, Instant, Message, ProvenEquivocation, Signature, UnixMillis,
    VerifiedReport,
    judge::Verified,
    rounds::{Effect, HEARTBEAT_INTERVAL, Note, Now, Rounds, Settings, WriteOutcome},
};
use quorate_supervisor::{Mailbox, SupervisedActor};

use super::{AggregatorMeasures, AggregatorMessage, FeedStatus, notes};
use crate::{
    clock::Clock, db_writer::DbWriterMessage, gossip_bridge::BridgeMessage, price_fetcher::FetcherMessage,
    signer::SignerMessage,
};

/// How often it is looked at whether a sign of life is due: newcomers wait for no longer.
const LOOK: Duration = Duration::from_secs(1);

/// A node that says other things all the time tells its version and its clock so often all the same.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Keeps a state machine for each feed and gives it time, messages and answers.
pub struct Aggregator {
    feeds: Vec<Settings>,
    machines: BTreeMap<Feed, Machine>,
    clock: Clock,
    started: Instant,
    /// When this node last said anything that others know it to be alive by.
    spoke: Option<Instant>,
    /// When it last gave a sign of life.
    beat_at: Option<Instant>,
    /// Whether somebody came who has not heard one.
    is_unknown: bool,
    to: Neighbours,
    measures: AggregatorMeasures,
    timer: Option<SpawnHandle>,
}

struct Machine {
    rounds: Rounds,
    status: FeedStatus,
}

/// To whom the Aggregator speaks.
#[derive(Debug, Clone)]
pub struct Neighbours {
    /// Told when a price is needed.
    pub price_fetcher: Mailbox<FetcherMessage>,
    /// Signs, and publishes what it signs.
    pub signer: Mailbox<SignerMessage>,
    /// Publishes what needs no signature of this node.
    pub gossip_bridge: Mailbox<BridgeMessage>,
    /// Writes certificates and proofs, and knows the last record.
    pub db_writer: Mailbox<DbWriterMessage>,
}

impl Aggregator {
    /// An aggregator of these feeds.
    pub fn new(feeds: Vec<Settings>, clock: Clock, to: Neighbours, measures: AggregatorMeasures) -> Self {
        Self {
            feeds,
            machines: BTreeMap::new(),
            clock,
            started: clock.now(),
            spoke: None,
            beat_at: None,
            is_unknown: false,
            to,
            measures,
            timer: None,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            unix: self.clock.unix_now(),
        }
    }

    /// Lets one machine decide, and carries out what it decided.
    fn decide(
        &mut self,
        feed: &Feed,
        ctx: &mut Context<Self>,
        decision: impl FnOnce(&mut Rounds, Now) -> Vec<Effect>,
    ) {
        let now = self.now();
        if let Some(machine) = self.machines.get_mut(feed) {
            let effects = decision(&mut machine.rounds, now);
            self.carry_out(feed, effects);
        }
        self.set_timer(ctx);
    }

    /// The same for every feed.
    fn decide_all(&mut self, ctx: &mut Context<Self>, decision: impl Fn(&mut Rounds, Now) -> Vec<Effect>) {
        let feeds: Vec<Feed> = self.machines.keys().cloned().collect();
        for feed in feeds {
            self.decide(&feed, ctx, &decision);
        }
    }

    fn carry_out(&mut self, feed: &Feed, effects: Vec<Effect>) {
        for effect in effects {
            let feed = feed.clone();
            match effect {
                Effect::FetchFor(at) => self.fetch(FetcherMessage::FetchFor { feed, at }),
                Effect::FetchAnew => self.fetch(FetcherMessage::FetchAnew(feed)),
                Effect::State(quoted) => self.sign(SignerMessage::State { feed, quoted }),
                Effect::CoSign { observation, digest } => {
                    self.sign(SignerMessage::CoSign { observation, digest });
                }
                Effect::Announce {
                    certificate,
                    written_at,
                } => self.sign(SignerMessage::Announce {
                    certificate,
                    written_at,
                }),
                Effect::Object {
                    digest,
                    observer,
                    reason,
                } => self.sign(SignerMessage::Object {
                    digest,
                    observer,
                    reason,
                }),
                Effect::Publish(report) => self.publish(Message::Report(report)),
                Effect::Accuse(proof) => self.publish(Message::Equivocation(proof.to_claim())),
                Effect::AskLastRecord => {
                    let question = DbWriterMessage::AskLastRecord(feed);
                    self.to.db_writer.send_or_log("question", question);
                }
                Effect::KeepEvidence(proof) => {
                    self.to
                        .db_writer
                        .send_or_log("evidence", DbWriterMessage::KeepEvidence(proof));
                }
                Effect::Write(certificate) => self.write(&feed, certificate),
                Effect::Note(note) => self.take_note(&feed, &note),
            }
        }
    }

    fn fetch(&self, wish: FetcherMessage) {
        self.to.price_fetcher.send_or_log("wish for a price", wish);
    }

    fn sign(&self, request: SignerMessage) {
        self.to.signer.send_or_log("request to sign", request);
    }

    fn publish(&self, message: Message) {
        self.to
            .gossip_bridge
            .send_or_log("message", BridgeMessage::Publish(message));
    }

    fn take_note(&mut self, feed: &Feed, note: &Note) {
        let unix_now = self.clock.unix_now();
        if let Some(machine) = self.machines.get_mut(feed) {
            machine.status.take_note(note, unix_now);
        }
        self.measures.take_note(feed, note);
        notes::log(feed, note);
    }

    fn hear(&mut self, verified: Verified, ctx: &mut Context<Self>) {
        match verified {
            Verified::Report(report) => self.take_report(report, ctx),
            Verified::Written {
                certificate, writer, ..
            } => {
                let feed = certificate.report().observation().feed().clone();
                self.decide(&feed, ctx, |rounds, now| {
                    rounds.on_written(certificate, writer, now)
                });
            }
            Verified::Heartbeat(heartbeat) => {
                self.decide_all(ctx, |rounds, now| rounds.on_heartbeat(&heartbeat, now));
            }
            Verified::Refusal(notice) => {
                self.decide_all(ctx, |rounds, now| rounds.on_refusal(&notice, now));
            }
            Verified::Equivocation(proof) => self.take_proof(*proof, false, ctx),
        }
    }

    fn take_report(&mut self, report: VerifiedReport, ctx: &mut Context<Self>) {
        let feed = report.observation().feed().clone();
        self.decide(&feed, ctx, |rounds, now| rounds.on_report(report, now));
    }

    fn take_proof(&mut self, proof: ProvenEquivocation, is_ours: bool, ctx: &mut Context<Self>) {
        let feed = proof.statements().0.observation().feed().clone();
        self.decide(&feed, ctx, |machine, now| {
            machine.on_equivocation(proof, is_ours, now)
        });
    }

    /// A certificate on its way to the database may not be lost: what cannot be handed over is tried again.
    fn write(&mut self, feed: &Feed, certificate: quorate_protocol::Certificate) {
        let digest = certificate.digest();
        if !self
            .to
            .db_writer
            .send_or_log("certificate", DbWriterMessage::Write(certificate))
        {
            let now = self.now();
            let outcome = WriteOutcome::Unavailable("the writer does not take more".to_owned());
            let effects = self
                .machines
                .get_mut(feed)
                .map(|machine| machine.rounds.on_write_outcome(digest, outcome, now))
                .unwrap_or_default();
            self.carry_out(feed, effects);
        }
    }

    /// One timer, at the earliest moment that any feed asks for.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let wakeup = self
            .machines
            .values()
            .filter_map(|machine| machine.rounds.next_wakeup())
            .min();
        self.timer = wakeup.map(|at| {
            let wait = at.since(self.clock.now());
            ctx.run_later(wait, |actor, ctx| {
                actor.timer = None;
                actor.decide_all(ctx, Rounds::on_tick);
            })
        });
    }

    /// Says that this node is alive: when it has said nothing else for a while, when somebody new should get to know it, and
    /// now and then for what only a sign of life tells.
    fn beat(&mut self) {
        let now = self.clock.now();
        let is_over = |since: Option<Instant>, wait| since.is_none_or(|since| now.since(since) >= wait);
        let is_due = is_over(self.spoke, HEARTBEAT_INTERVAL) || is_over(self.beat_at, LONGEST_SILENCE);
        if !std::mem::take(&mut self.is_unknown) && !is_due {
            return;
        }
        (self.spoke, self.beat_at) = (Some(now), Some(now));
        let newest = |a: Option<UnixMillis>, b: Option<UnixMillis>| a.max(b);
        let observations = self
            .machines
            .values()
            .map(|machine| machine.status.last_observation);
        let first = self.machines.values().next();
        // Node and signature are the signer's to fill in.
        let heartbeat = Heartbeat {
            node: Address::new([0; 20]),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            feeds: self.machines.keys().cloned().collect(),
            sent_at: self.clock.unix_now(),
            last_observation: observations.fold(None, newest).unwrap_or(UnixMillis::new(0)),
            last_record: first.map_or(Digest::new([0; 32]), |machine| machine.rounds.last_record()),
            uptime_s: self.clock.now().since(self.started).as_secs(),
            signature: Signature::new([0; 65]),
        };
        self.sign(SignerMessage::Beat(heartbeat));
    }
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        self.machines.clear();
        for settings in self.feeds.clone() {
            let feed = settings.feed.clone();
            let (rounds, effects) = Rounds::start(settings, now);
            let status = FeedStatus::new(feed.clone());
            self.machines.insert(feed.clone(), Machine { rounds, status });
            self.carry_out(&feed, effects);
        }
        self.set_timer(ctx);
        ctx.run_interval(LOOK, |actor, _| actor.beat());
    }
}

impl Supervised for Aggregator {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // The machines are rebuilt in `started`, their windows from the database.
        self.machines.clear();
        self.timer = None;
    }
}

impl SupervisedActor for Aggregator {}

impl Handler<AggregatorMessage> for Aggregator {
    type Result = ();

    fn handle(&mut self, message: AggregatorMessage, ctx: &mut Context<Self>) {
        match message {
            AggregatorMessage::Quoted { feed, quoted } => {
                if let Some(machine) = self.machines.get_mut(&feed) {
                    machine.status.observed(quoted.observed_at);
                }
                self.decide(&feed, ctx, |rounds, now| rounds.on_own_price(quoted, now));
            }
            AggregatorMessage::OwnReport(report) => {
                self.spoke = Some(self.clock.now());
                self.take_report(report, ctx);
            }
            AggregatorMessage::CoSigned { feed, digest, answer } => {
                self.decide(&feed, ctx, |rounds, now| rounds.on_cosigned(digest, answer, now));
            }
            AggregatorMessage::Heard(verified) => self.hear(verified, ctx),
            AggregatorMessage::Contradicted(proof) => self.take_proof(proof, true, ctx),
            AggregatorMessage::PeerUp(peer) => {
                self.is_unknown = true;
                self.decide_all(ctx, |rounds, now| rounds.on_peer_up(peer, now));
            }
            AggregatorMessage::PeerDown(peer) => {
                self.decide_all(ctx, |rounds, now| rounds.on_peer_down(peer, now));
            }
            AggregatorMessage::Wrote {
                feed,
                digest,
                outcome,
            } => {
                if let Some(machine) = self.machines.get_mut(&feed) {
                    machine.status.wrote(&outcome);
                }
                self.decide(&feed, ctx, |rounds, now| {
                    rounds.on_write_outcome(digest, outcome, now)
                });
            }
            AggregatorMessage::LastRecordIs { feed, answer } => {
                self.decide(&feed, ctx, |rounds, now| rounds.on_last_record(answer, now));
            }
            AggregatorMessage::CommitteeIs(committee) => {
                // Also for the machines of a later restart.
                for settings in &mut self.feeds {
                    settings.committee = committee.clone();
                }
                self.decide_all(ctx, |rounds, now| rounds.on_committee(committee.clone(), now));
            }
            AggregatorMessage::AskStatus(asker) => {
                let now = self.now();
                let statuses = self
                    .machines
                    .values()
                    .map(|machine| machine.status.of(&machine.rounds, now));
                // Who asked may have gone away.
                let _gone = asker.send(statuses.collect());
            }
        }
    }
}
