//! Aggregator: the shell around [`quorate_protocol::rounds`]. It carries out effects, and decides nothing.

use std::{collections::BTreeMap, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, SpawnHandle, Supervised};
use quorate_protocol::{
    Address, Digest, Feed, HEARTBEAT_INTERVAL, Heartbeat, HeartbeatSchedule, Instant, ProvenEquivocation,
    Signature, Trace, UnixMillis, VerifiedReport, WriteOutcome,
    judge::Verified,
    rounds::{Effect, Now, Rounds, Settings, SignRequest, StoreRequest},
    scorecard::Scorecard,
};
use quorate_supervisor::{Mailbox, SupervisedActor};

use super::{AggregatorMeasures, AggregatorMessage, notes};
use crate::{
    clock::Clock, db_writer::DbWriterMessage, gossip_bridge::BridgeMessage, price_fetcher::FetcherMessage,
    signer::SignerMessage,
};

/// Between two warnings that a clock is off: it does not mend by being told of more often.
const WARN_OF_CLOCKS: Duration = Duration::from_secs(60);

/// Keeps a state machine for each feed and gives it time, messages and answers.
pub struct Aggregator {
    feeds: Vec<Settings>,
    rounds: BTreeMap<Feed, Rounds>,
    /// What happened in the last rounds; it is kept when they begin anew.
    traces: BTreeMap<Feed, Trace>,
    /// Who had a part in it, kept likewise.
    scorecards: BTreeMap<Feed, Scorecard>,
    heartbeats: HeartbeatSchedule,
    /// When all feeds are looked at again, also those that wait for nothing: they forget who has fallen silent.
    sweep_at: Instant,
    clock: Clock,
    started: Instant,
    to: Neighbours,
    measures: AggregatorMeasures,
    timer: Option<SpawnHandle>,
    warned_of_clocks: Option<Instant>,
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
    /// Writes certificates, keeps proofs and lost records, and knows the last record.
    pub db_writer: Mailbox<DbWriterMessage>,
}

impl Aggregator {
    /// An aggregator of these feeds.
    pub fn new(feeds: Vec<Settings>, clock: Clock, to: Neighbours, measures: AggregatorMeasures) -> Self {
        let count = feeds.len();
        let trace = |of: &Settings| (of.feed.clone(), Trace::new(of.me, of.write_interval, count));
        let scorecard = |of: &Settings| (of.feed.clone(), Scorecard::new(of, clock.now()));
        Self {
            traces: feeds.iter().map(trace).collect(),
            scorecards: feeds.iter().map(scorecard).collect(),
            feeds,
            rounds: BTreeMap::new(),
            heartbeats: HeartbeatSchedule::default(),
            sweep_at: clock.now() + HEARTBEAT_INTERVAL,
            clock,
            started: clock.now(),
            to,
            measures,
            timer: None,
            warned_of_clocks: None,
        }
    }

    fn now(&self) -> Now {
        Now {
            instant: self.clock.now(),
            unix: self.clock.unix_now(),
        }
    }

    /// Lets the rounds of one feed decide, and carries out what they decided.
    fn decide(
        &mut self,
        feed: &Feed,
        ctx: &mut Context<Self>,
        decision: impl FnOnce(&mut Rounds, Now) -> Vec<Effect>,
    ) {
        self.decide_for(feed, decision);
        self.set_timer(ctx);
    }

    /// The same for every feed.
    fn decide_all(&mut self, ctx: &mut Context<Self>, decision: impl Fn(&mut Rounds, Now) -> Vec<Effect>) {
        let feeds: Vec<Feed> = self.rounds.keys().cloned().collect();
        for feed in feeds {
            self.decide_for(&feed, &decision);
        }
        self.set_timer(ctx);
    }

    /// Time has passed for the feeds that asked to be woken by now; with many feeds these are few.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.clock.now();
        let is_due = |rounds: &Rounds| rounds.next_wakeup().is_some_and(|at| at <= now);
        let due = self.rounds.iter().filter(|(_, rounds)| is_due(rounds));
        let feeds: Vec<Feed> = due.map(|(feed, _)| feed.clone()).collect();
        for feed in feeds {
            self.decide_for(&feed, Rounds::on_tick);
        }
        self.set_timer(ctx);
    }

    fn decide_for(&mut self, feed: &Feed, decision: impl FnOnce(&mut Rounds, Now) -> Vec<Effect>) {
        let now = self.now();
        if let Some(rounds) = self.rounds.get_mut(feed) {
            let effects = decision(rounds, now);
            self.carry_out(feed, effects);
        }
    }

    fn carry_out(&mut self, feed: &Feed, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Fetch(request) => {
                    self.to
                        .price_fetcher
                        .send_or_log("wish for a price", FetcherMessage(request));
                }
                Effect::Sign(request) => self.sign(request),
                Effect::Publish(message) => {
                    self.to
                        .gossip_bridge
                        .send_or_log("message", BridgeMessage::Publish(message));
                }
                Effect::Store(request) => self.store(feed, request),
                Effect::Note(note) => {
                    self.trace(feed, |trace, next, now| trace.on_note(&note, next, now));
                    let now = self.clock.now();
                    if let Some(scorecard) = self.scorecards.get_mut(feed) {
                        scorecard.on_note(&note, now);
                    }
                    self.measures.take_note(feed, &note);
                    notes::log(feed, &note);
                }
            }
        }
    }

    fn trace(&mut self, feed: &Feed, take: impl FnOnce(&mut Trace, Option<u64>, UnixMillis)) {
        let next = self.rounds.get(feed).and_then(Rounds::next_sequence);
        if let Some(trace) = self.traces.get_mut(feed) {
            take(trace, next, self.clock.unix_now());
        }
    }

    /// A report is followed, whatever comes of it.
    fn follow(&mut self, feed: &Feed, report: &VerifiedReport) {
        self.trace(feed, |trace, next, now| trace.on_report(report, next, now));
        let next = self.rounds.get(feed).and_then(Rounds::next_sequence);
        if let Some(scorecard) = self.scorecards.get_mut(feed) {
            scorecard.on_report(report, next, self.clock.now());
        }
    }

    /// The scorecards of all feeds take what concerns nodes and not one feed.
    fn each_scorecard(&mut self, take: impl Fn(&mut Scorecard, Instant)) {
        let now = self.clock.now();
        self.scorecards
            .values_mut()
            .for_each(|scorecard| take(scorecard, now));
    }

    fn sign(&self, request: SignRequest) {
        self.to
            .signer
            .send_or_log("request to sign", SignerMessage(request));
    }

    /// A certificate on its way to the database may not be lost: what cannot be handed over is tried again.
    fn store(&mut self, feed: &Feed, request: StoreRequest) {
        let certificate = match &request {
            StoreRequest::Write(certificate) => Some(certificate.digest()),
            StoreRequest::LastRecord(_) | StoreRequest::KeepEquivocation(_) | StoreRequest::KeepLost(_) => {
                None
            }
        };
        let is_passed_on = self
            .to
            .db_writer
            .send_or_log("request to the database", DbWriterMessage::Request(request));
        let now = self.now();
        if !is_passed_on
            && let Some(digest) = certificate
            && let Some(rounds) = self.rounds.get_mut(feed)
        {
            let reason = "the writer does not take more".to_owned();
            let effects = rounds.on_write_outcome(digest, WriteOutcome::Unavailable { reason }, now);
            self.carry_out(feed, effects);
        }
    }

    fn hear(&mut self, verified: Verified, ctx: &mut Context<Self>) {
        match verified {
            Verified::Report(report) => self.take_report(report, ctx),
            Verified::Written {
                certificate, writer, ..
            } => {
                let feed = certificate.report().observation().feed().clone();
                self.follow(&feed, certificate.report());
                self.decide(&feed, ctx, |rounds, now| {
                    rounds.on_written(certificate, writer, now)
                });
            }
            Verified::Heartbeat(heartbeat) => {
                self.each_scorecard(|scorecard, now| scorecard.on_heartbeat(&heartbeat, now));
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
        self.follow(&feed, &report);
        self.decide(&feed, ctx, |rounds, now| rounds.on_report(report, now));
    }

    fn take_proof(&mut self, proof: ProvenEquivocation, is_ours: bool, ctx: &mut Context<Self>) {
        let feed = proof.statements().0.observation().feed().clone();
        self.decide(&feed, ctx, |rounds, now| {
            rounds.on_equivocation(proof, is_ours, now)
        });
    }

    /// One timer, at the earliest moment that any feed asks for, or the next sign of life.
    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let now = self.clock.now();
        let wakeups = self.rounds.values().filter_map(Rounds::next_wakeup);
        let windows = self.scorecards.values().map(Scorecard::next_due);
        let at = wakeups
            .chain(windows)
            .fold(self.heartbeats.next_due(now).min(self.sweep_at), Instant::min);
        self.timer = Some(ctx.run_later(at.since(now), |actor, ctx| {
            actor.timer = None;
            actor.each_scorecard(Scorecard::advance);
            actor.say_alive();
            let now = actor.clock.now();
            if now < actor.sweep_at {
                actor.tick(ctx);
            } else {
                actor.sweep_at = now + HEARTBEAT_INTERVAL;
                actor.decide_all(ctx, Rounds::on_tick);
            }
            actor.warn_of_clocks();
        }));
    }

    /// Names the clocks that are off, once in a while: they are the same for all feeds.
    fn warn_of_clocks(&mut self) {
        let now = self.clock.now();
        if self
            .warned_of_clocks
            .is_some_and(|last| now.since(last) < WARN_OF_CLOCKS)
        {
            return;
        }
        let faults = self.rounds.values().next().map(Rounds::clock_faults);
        for fault in faults.into_iter().flatten() {
            self.warned_of_clocks = Some(now);
            notes::warn_of_clock(&fault);
        }
    }

    /// Says that this node is alive, when it is time to.
    fn say_alive(&mut self) {
        let now = self.now();
        if !self.heartbeats.take_due(now.instant) {
            return;
        }
        let observed = self.rounds.values().filter_map(Rounds::last_observation).max();
        let first = self.rounds.values().next();
        self.sign(SignRequest::Heartbeat(Heartbeat {
            node: Address::new([0; 20]),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            feeds: self.rounds.keys().cloned().collect(),
            sent_at: now.unix,
            last_observation: observed.unwrap_or(UnixMillis::new(0)),
            last_record: first.map_or(Digest::new([0; 32]), Rounds::last_record),
            uptime_s: now.instant.since(self.started).as_secs(),
            signature: Signature::new([0; 65]),
        }));
    }
}

impl Actor for Aggregator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        self.rounds.clear();
        for settings in self.feeds.clone() {
            let feed = settings.feed.clone();
            let (rounds, effects) = Rounds::start(settings, now);
            self.rounds.insert(feed.clone(), rounds);
            self.carry_out(&feed, effects);
        }
        self.set_timer(ctx);
    }
}

impl Supervised for Aggregator {
    fn restarting(&mut self, _: &mut Context<Self>) {
        // They are rebuilt in `started`, their windows from the database.
        self.rounds.clear();
        self.traces.values_mut().for_each(Trace::on_restart);
        self.timer = None;
    }
}

impl SupervisedActor for Aggregator {}

impl Handler<AggregatorMessage> for Aggregator {
    type Result = ();

    fn handle(&mut self, message: AggregatorMessage, ctx: &mut Context<Self>) {
        match message {
            AggregatorMessage::Price(price) => {
                let feed = price.feed.clone();
                self.decide(&feed, ctx, |rounds, now| rounds.on_own_price(price, now));
            }
            AggregatorMessage::OwnReport(report) => {
                self.heartbeats.on_observation(self.clock.now());
                self.take_report(report, ctx);
            }
            AggregatorMessage::CoSigned { feed, digest, answer } => {
                self.decide(&feed, ctx, |rounds, now| rounds.on_cosigned(digest, answer, now));
            }
            AggregatorMessage::Heard(verified) => self.hear(verified, ctx),
            AggregatorMessage::Contradicted(proof) => self.take_proof(proof, true, ctx),
            AggregatorMessage::ClockIs { node, ahead_ms } => {
                let now = self.now();
                for rounds in self.rounds.values_mut() {
                    rounds.on_clock(node, ahead_ms, now);
                }
                self.each_scorecard(|scorecard, now| scorecard.on_clock(node, now));
                self.warn_of_clocks();
            }
            AggregatorMessage::PeerUp(peer) => {
                self.heartbeats.on_peer_up(self.clock.now());
                self.decide_all(ctx, |rounds, now| rounds.on_peer_up(peer, now));
            }
            AggregatorMessage::PeerDown(peer) => {
                self.each_scorecard(|scorecard, now| scorecard.on_peer_down(&peer, now));
                self.decide_all(ctx, |rounds, now| rounds.on_peer_down(peer, now));
            }
            AggregatorMessage::Wrote {
                feed,
                digest,
                outcome,
            } => {
                self.decide(&feed, ctx, |rounds, now| {
                    rounds.on_write_outcome(digest, outcome, now)
                });
            }
            AggregatorMessage::LastRecordIs { feed, answer } => {
                self.decide(&feed, ctx, |rounds, now| rounds.on_last_record(answer, now));
            }
            AggregatorMessage::CommitteeIs(committee) => {
                // Also for the rounds of a later restart.
                for settings in &mut self.feeds {
                    settings.committee = committee.clone();
                }
                self.each_scorecard(|scorecard, now| scorecard.on_members(committee.members.clone(), now));
                self.decide_all(ctx, |rounds, now| rounds.on_committee(committee.clone(), now));
            }
            AggregatorMessage::AskStatus(asker) => {
                let now = self.now();
                let statuses = self.rounds.values().map(|rounds| rounds.status(now));
                // Who asked may have gone away.
                let _gone = asker.send(statuses.collect());
            }
            AggregatorMessage::AskRounds(feed, asker) => {
                self.trace(&feed, |trace, next, now| {
                    let _gone = asker.send(trace.rounds(next, now));
                });
            }
            AggregatorMessage::AskScorecard(feed, period, asker) => {
                let now = self.clock.now();
                if let Some(scorecard) = self.scorecards.get_mut(&feed) {
                    let _gone = asker.send(scorecard.heard(period, now));
                }
            }
        }
    }
}
