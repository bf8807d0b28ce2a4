//! Aggregator: the shell around [`quorate_protocol::rounds`]. It carries out effects, and decides nothing.

mod measures;
mod notes;
mod status;

use std::{collections::BTreeMap, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, Supervised};
pub use measures::AggregatorMeasures;
use quorate_protocol::{
    Address, Digest, Feed, Heartbeat, Instant, Message, ProvenEquivocation, Signature, UnixMillis,
    judge::Verified,
    rounds::{Effect, HEARTBEAT_INTERVAL, Now, Quoted, Rounds, Settings, WriteOutcome},
};
pub use status::{AskStatus, FeedStatus, NodeStatus};

use crate::{
    clock::Clock,
    messages::{
        Announce, AskLastRecord, Beat, CoSign, CoSigned, CommitteeIs, Contradicted, FetchAnew, FetchFor,
        Heard, KeepEvidence, LastRecordIs, Object, Observed, OwnReport, PeerDown, PeerUp, Publish, State,
        Write, Wrote,
    },
    sink::{Sink, pass_on},
    supervisor::SupervisedActor,
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
    sinks: AggregatorSinks,
    measures: AggregatorMeasures,
    timer: Option<SpawnHandle>,
}

struct Machine {
    rounds: Rounds,
    status: FeedStatus,
}

/// To whom the Aggregator speaks.
pub struct AggregatorSinks {
    /// PriceFetcher.
    pub fetch_for: Sink<FetchFor>,
    /// PriceFetcher.
    pub fetch_anew: Sink<FetchAnew>,
    /// Signer.
    pub state: Sink<State>,
    /// Signer.
    pub object: Sink<Object>,
    /// Signer.
    pub cosign: Sink<CoSign>,
    /// Signer.
    pub announce: Sink<Announce>,
    /// Signer.
    pub beat: Sink<Beat>,
    /// GossipBridge.
    pub publish: Sink<Publish>,
    /// DbWriter.
    pub write: Sink<Write>,
    /// DbWriter.
    pub keep_evidence: Sink<KeepEvidence>,
    /// DbWriter.
    pub ask_last_record: Sink<AskLastRecord>,
}

impl Aggregator {
    /// An aggregator of these feeds.
    pub fn new(
        feeds: Vec<Settings>,
        clock: Clock,
        sinks: AggregatorSinks,
        measures: AggregatorMeasures,
    ) -> Self {
        Self {
            feeds,
            machines: BTreeMap::new(),
            clock,
            started: clock.now(),
            spoke: None,
            beat_at: None,
            is_unknown: false,
            sinks,
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
            match effect {
                Effect::State(quoted) => {
                    let feed = feed.clone();
                    pass_on("state", &self.sinks.state, State { feed, quoted });
                }
                Effect::Object {
                    digest,
                    observer,
                    reason,
                } => {
                    pass_on(
                        "object",
                        &self.sinks.object,
                        Object {
                            digest,
                            observer,
                            reason,
                        },
                    );
                }
                Effect::Accuse(proof) => {
                    let claim = Message::Equivocation(proof.to_claim());
                    pass_on("accuse", &self.sinks.publish, Publish(claim));
                }
                Effect::KeepEvidence(proof) => {
                    pass_on("keep evidence", &self.sinks.keep_evidence, KeepEvidence(proof));
                }
                Effect::CoSign { observation, digest } => {
                    pass_on("co-sign", &self.sinks.cosign, CoSign { observation, digest });
                }
                Effect::Publish(report) => {
                    pass_on("publish", &self.sinks.publish, Publish(Message::Report(report)));
                }
                Effect::Write(certificate) => self.write(feed, certificate),
                Effect::Announce {
                    certificate,
                    written_at,
                } => {
                    pass_on(
                        "announce",
                        &self.sinks.announce,
                        Announce {
                            certificate,
                            written_at,
                        },
                    );
                }
                Effect::AskLastRecord => {
                    pass_on(
                        "ask last record",
                        &self.sinks.ask_last_record,
                        AskLastRecord(feed.clone()),
                    );
                }
                Effect::FetchFor(at) => {
                    pass_on(
                        "fetch",
                        &self.sinks.fetch_for,
                        FetchFor {
                            feed: feed.clone(),
                            at,
                        },
                    );
                }
                Effect::FetchAnew => {
                    pass_on("fetch", &self.sinks.fetch_anew, FetchAnew { feed: feed.clone() });
                }
                Effect::Note(note) => {
                    let unix_now = self.clock.unix_now();
                    if let Some(machine) = self.machines.get_mut(feed) {
                        machine.status.take_note(&note, unix_now);
                    }
                    self.measures.take_note(feed, &note);
                    notes::log(feed, &note);
                }
            }
        }
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
        if !pass_on("write", &self.sinks.write, Write(certificate)) {
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
        pass_on("heartbeat", &self.sinks.beat, Beat(heartbeat));
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

impl Handler<Observed> for Aggregator {
    type Result = ();

    fn handle(&mut self, observed: Observed, ctx: &mut Context<Self>) {
        let quoted = Quoted {
            evidence: observed.evidence,
            observed_at: observed.observed_at,
            observed: observed.observed_instant,
        };
        if let Some(machine) = self.machines.get_mut(&observed.feed) {
            machine.status.observed(observed.observed_at);
        }
        self.decide(&observed.feed, ctx, |machine, now| {
            machine.on_own_price(quoted, now)
        });
    }
}

impl Handler<OwnReport> for Aggregator {
    type Result = ();

    fn handle(&mut self, OwnReport(report): OwnReport, ctx: &mut Context<Self>) {
        let feed = report.observation().feed().clone();
        self.spoke = Some(self.clock.now());
        self.decide(&feed, ctx, |machine, now| machine.on_report(report, now));
    }
}

impl Handler<CoSigned> for Aggregator {
    type Result = ();

    fn handle(&mut self, CoSigned { feed, digest, answer }: CoSigned, ctx: &mut Context<Self>) {
        self.decide(&feed, ctx, |machine, now| {
            machine.on_cosigned(digest, answer, now)
        });
    }
}

impl Handler<Heard> for Aggregator {
    type Result = ();

    fn handle(&mut self, Heard { verified, .. }: Heard, ctx: &mut Context<Self>) {
        match verified {
            Verified::Report(report) => {
                let feed = report.observation().feed().clone();
                self.decide(&feed, ctx, |machine, now| machine.on_report(report, now));
            }
            Verified::Written {
                certificate, writer, ..
            } => {
                let feed = certificate.report().observation().feed().clone();
                self.decide(&feed, ctx, |machine, now| {
                    machine.on_written(certificate, writer, now)
                });
            }
            Verified::Heartbeat(heartbeat) => {
                self.decide_all(ctx, |machine, now| machine.on_heartbeat(&heartbeat, now));
            }
            Verified::Refusal(notice) => {
                self.decide_all(ctx, |machine, now| machine.on_refusal(&notice, now));
            }
            Verified::Equivocation(proof) => self.take_proof(*proof, false, ctx),
        }
    }
}

impl Handler<Contradicted> for Aggregator {
    type Result = ();

    fn handle(&mut self, Contradicted(proof): Contradicted, ctx: &mut Context<Self>) {
        self.take_proof(proof, true, ctx);
    }
}

impl Handler<CommitteeIs> for Aggregator {
    type Result = ();

    fn handle(&mut self, CommitteeIs(committee): CommitteeIs, ctx: &mut Context<Self>) {
        // Also for the machines of a later restart.
        for settings in &mut self.feeds {
            settings.committee = committee.clone();
        }
        self.decide_all(ctx, |machine, now| machine.on_committee(committee.clone(), now));
    }
}

impl Handler<PeerUp> for Aggregator {
    type Result = ();

    fn handle(&mut self, PeerUp(peer): PeerUp, ctx: &mut Context<Self>) {
        self.is_unknown = true;
        self.decide_all(ctx, |machine, now| machine.on_peer_up(peer, now));
    }
}

impl Handler<PeerDown> for Aggregator {
    type Result = ();

    fn handle(&mut self, PeerDown(peer): PeerDown, ctx: &mut Context<Self>) {
        self.decide_all(ctx, |machine, now| machine.on_peer_down(peer, now));
    }
}

impl Handler<Wrote> for Aggregator {
    type Result = ();

    fn handle(
        &mut self,
        Wrote {
            feed,
            digest,
            outcome,
        }: Wrote,
        ctx: &mut Context<Self>,
    ) {
        if let Some(machine) = self.machines.get_mut(&feed) {
            machine.status.wrote(&outcome);
        }
        self.decide(&feed, ctx, |machine, now| {
            machine.on_write_outcome(digest, outcome, now)
        });
    }
}

impl Handler<LastRecordIs> for Aggregator {
    type Result = ();

    fn handle(&mut self, LastRecordIs { feed, answer }: LastRecordIs, ctx: &mut Context<Self>) {
        self.decide(&feed, ctx, |machine, now| machine.on_last_record(answer, now));
    }
}

impl Handler<AskStatus> for Aggregator {
    type Result = actix::MessageResult<AskStatus>;

    fn handle(&mut self, _: AskStatus, _: &mut Context<Self>) -> Self::Result {
        let now = self.now();
        let statuses = self
            .machines
            .values()
            .map(|machine| machine.status.of(&machine.rounds, now));
        actix::MessageResult(statuses.collect())
    }
}
