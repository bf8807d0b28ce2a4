//! A whole network in virtual time: real judges, real signatures, simulated exchange, gossip and database.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use quorate_protocol::{
    Address, AgreedPrice, Certificate, Committee, Digest, Evidence, Fraction, Heartbeat, HeartbeatSchedule,
    Instant, LastRecord, Link, Members, Message, Network, NodeKey, Observation, Price, ProvenEquivocation,
    QuorumRule, RefusalNotice, Signature, UnixMillis, VerifiedReport, WriteOutcome, Written,
    cosign::SigningJournal,
    judge::{Finding, Judge, JudgeConfig, Verified},
    one_window,
    rounds::{Effect, FeedStatus, FetchRequest, Note, Now, Rounds, Settings, SignRequest, StoreRequest},
};
use quorate_testkit::builders::{self, attest, certify, feed, key};

pub(crate) const WINDOW: Duration = Duration::from_secs(30);
const NOON: u64 = 1_700_000_000_000;

/// A network to simulate.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) nodes: usize,
    pub(crate) min_signatures: usize,
    pub(crate) fraction: Option<Fraction>,
    /// Nodes that are members and never start.
    pub(crate) dead: usize,
    /// Nodes whose exchange lies by 20 %.
    pub(crate) liars: usize,
    /// How many of the nodes, from the first, are validators.
    pub(crate) validators: usize,
    /// How many of the nodes, from the last, never get a price.
    pub(crate) priceless: usize,
    /// Whether anybody counts, or the nodes alone.
    pub(crate) open: bool,
    pub(crate) seed: u64,
    pub(crate) outages: Vec<(Duration, Duration)>,
    /// How many sources each node asks.
    pub(crate) sources: usize,
    /// To how much of itself, in percent, all sources' price changes at which moment.
    pub(crate) moves: Vec<(Duration, u64)>,
    pub(crate) message_delay_ms: (u64, u64),
    /// How many of a hundred messages are lost.
    pub(crate) lost_percent: u64,
    /// Nodes that hear nobody and are not heard, from when to when.
    pub(crate) cut_off: Vec<(usize, Duration, Duration)>,
    /// How long exchanges take to answer.
    pub(crate) fetch_ms: (u64, u64),
    /// How long a node works on each message that it hears, one after the other.
    pub(crate) work_us: u64,
}

impl Scenario {
    pub(crate) fn new(nodes: usize, min_signatures: usize) -> Self {
        Self {
            nodes,
            min_signatures,
            fraction: None,
            dead: 0,
            liars: 0,
            validators: 0,
            priceless: 0,
            open: false,
            seed: 7,
            outages: vec![],
            sources: 1,
            moves: vec![],
            message_delay_ms: (2, 40),
            lost_percent: 0,
            cut_off: vec![],
            fetch_ms: (80, 600),
            work_us: 0,
        }
    }
}

enum Event {
    Tick(usize),
    FetchDone(usize),
    Beat(usize),
    Arrive(usize, Vec<u8>),
    Deliver(usize, Vec<u8>),
    Sign(usize, SignRequest),
    WriteArrives(usize, Certificate),
    Outcome(usize, Digest, WriteOutcome),
    AskArrives(usize),
    LastRecord(usize, Result<Option<LastRecord>, String>),
}

struct Node {
    key: NodeKey,
    machine: Rounds,
    judge: Judge,
    journal: SigningJournal,
    heartbeats: HeartbeatSchedule,
    /// When it has worked on all that it has heard.
    busy_until: Duration,
    /// The start of the next fetch, and of the last one.
    next_fetch: Duration,
    lies: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) written: Duration,
    pub(crate) link: Link,
    pub(crate) digest: Digest,
    pub(crate) price: Price,
    pub(crate) observed_at: UnixMillis,
    pub(crate) writer: Address,
    pub(crate) observer: Address,
    pub(crate) signers: BTreeSet<Address>,
}

pub(crate) struct Simulation {
    pub(crate) scenario: Scenario,
    pub(crate) now: Duration,
    network: Network,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    random: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) publishes: usize,
    pub(crate) attempts: usize,
    pub(crate) notes: Vec<(Duration, usize, Note)>,
    pub(crate) evidence: Vec<(usize, ProvenEquivocation)>,
    /// Questions for the last record.
    pub(crate) questions: usize,
    /// Every record that was ever written, by its number, also if the database has lost it since.
    pub(crate) ever: BTreeMap<u64, BTreeSet<Digest>>,
    /// Records that nodes gave the database to keep, as lost.
    pub(crate) lost: Vec<(usize, Digest)>,
}

impl Simulation {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut simulation = Self {
            now: Duration::ZERO,
            network: "simulated".parse().unwrap(),
            nodes: vec![],
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            random: scenario.seed | 1,
            records: vec![],
            publishes: 0,
            attempts: 0,
            notes: vec![],
            evidence: vec![],
            questions: 0,
            ever: BTreeMap::new(),
            lost: vec![],
            scenario: scenario.clone(),
        };
        let alive = scenario.nodes - scenario.dead;
        for index in 0..alive {
            simulation.start(index, None);
            simulation.start_fetch(index);
        }
        for index in 0..alive {
            simulation.connect(index);
        }
        simulation
    }

    /// Starts a node anew: it knows nothing of what it said and heard before.
    pub(crate) fn restart(&mut self, index: usize) {
        self.start(index, Some(self.clocks().instant));
        self.connect(index);
    }

    fn start(&mut self, index: usize, predecessor_ended: Option<Instant>) {
        let (now, is_liar) = (self.clocks(), index < self.scenario.liars);
        let (key, committee) = (member(index), self.committee());
        let settings = Settings {
            // Whoever lies does not hold itself back.
            max_move_bps: if is_liar { u32::MAX } else { 1000 },
            predecessor_ended,
            ..builders::settings(key.address(), committee.clone())
        };
        let feeds = [feed()].into();
        let config = JudgeConfig::new(self.network.clone(), feeds, key.address(), committee, WINDOW);
        let (machine, effects) = Rounds::start(settings, now);
        let mut heartbeats = HeartbeatSchedule::default();
        // Those who connect to it know that it is there.
        heartbeats.take_due(now.instant);
        let node = Node {
            heartbeats,
            busy_until: Duration::ZERO,
            key,
            machine,
            judge: Judge::new(config, now.unix),
            journal: SigningJournal::new(now.unix, one_window(WINDOW)),
            next_fetch: Duration::ZERO,
            lies: is_liar,
        };
        match self.nodes.get_mut(index) {
            Some(before) => {
                *before = Node {
                    next_fetch: before.next_fetch,
                    ..node
                };
            }
            None => {
                self.nodes.push(node);
                self.beat(index);
            }
        }
        self.carry_out(index, effects);
    }

    /// A node's peers are connected to it, all at once.
    fn connect(&mut self, index: usize) {
        for peer in (0..self.nodes.len()).filter(|peer| *peer != index) {
            let (address, now) = (self.nodes[peer].key.address(), self.clocks());
            let effects = self.nodes[index].machine.on_peer_up(address, now);
            self.carry_out(index, effects);
        }
    }

    fn committee(&self) -> Committee {
        let scenario = &self.scenario;
        let first = |count: usize| (0..count).map(|index| member(index).address()).collect();
        Committee {
            members: match scenario.open {
                true => Members::Open,
                false => Members::Closed(first(scenario.nodes)),
            },
            rule: QuorumRule {
                fraction: scenario.fraction,
                validators: first(scenario.validators),
                ..QuorumRule::at_least(scenario.min_signatures)
            },
        }
    }

    /// The database goes back by so many records, as one does that fails over to a replica that lagged.
    pub(crate) fn lose_records(&mut self, count: usize) -> Vec<Record> {
        self.records.split_off(self.records.len() - count)
    }

    /// The database is away from now on for so long.
    pub(crate) fn outage(&mut self, length: Duration) {
        self.scenario.outages.push((self.now, self.now + length));
    }

    /// Lets a node state its price for a place of its own choice.
    pub(crate) fn state_for(&mut self, liar: usize, link: Link) {
        let honest = self.observation(liar);
        let evidence = honest.evidence().clone();
        let stated = Observation::new(feed(), link, honest.observed_at(), honest.observer(), evidence);
        let report = VerifiedReport::sign_own(stated, &self.network, &self.nodes[liar].key).unwrap();
        self.gossip(liar, &Message::Report(report.to_report()));
    }

    pub(crate) fn status(&self, index: usize) -> FeedStatus {
        self.nodes[index].machine.status(self.clocks())
    }

    pub(crate) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse((at, _))) = self.queue.peek()
            && *at <= end
            && let Some(Reverse((at, id))) = self.queue.pop()
        {
            self.now = at;
            if let Some(event) = self.events.remove(&id) {
                self.handle(event);
            }
        }
        self.now = end;
    }

    /// Lets a member announce a record that it never wrote.
    pub(crate) fn lie_about_writing(&mut self, certificate: &Certificate, liar: usize) {
        let written_at = UnixMillis::new(NOON + millis(self.now));
        let news = Written::sign(certificate, written_at, &self.network, &self.nodes[liar].key);
        self.gossip(liar, &Message::Written(news));
    }

    /// The first nodes' addresses.
    pub(crate) fn addresses(&self, count: usize) -> Vec<Address> {
        self.nodes[..count]
            .iter()
            .map(|node| node.key.address())
            .collect()
    }

    /// From now on these are the members, in everybody's eyes.
    pub(crate) fn change_members(&mut self, members: &[Address]) {
        let now = self.clocks();
        let committee = Committee {
            members: Members::Closed(members.iter().copied().collect()),
            rule: QuorumRule::at_least(self.scenario.min_signatures),
        };
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            node.judge.replace_committee(committee.clone(), now.unix);
            let effects = node.machine.on_committee(committee.clone(), now);
            self.carry_out(index, effects);
            // As when they connect.
            let me = self.nodes[index].key.address();
            for peer in members.iter().filter(|_| members.contains(&me)) {
                let effects = self.nodes[index].machine.on_peer_up(*peer, now);
                self.carry_out(index, effects);
            }
        }
    }

    /// Lets a node make two statements, each to all.
    pub(crate) fn contradict(&mut self, liar: usize) {
        for later in 0..2 {
            self.now += Duration::from_millis(later);
            let observation = self.observation(liar);
            let report = VerifiedReport::sign_own(observation, &self.network, &self.nodes[liar].key).unwrap();
            self.gossip(liar, &Message::Report(report.to_report()));
        }
    }

    /// A certificate for the next record by the first nodes, as conspiring members could make it.
    pub(crate) fn conspire(&self, signers: usize) -> Certificate {
        let observation = self.observation(0);
        let mut report = VerifiedReport::sign_own(observation, &self.network, &self.nodes[0].key).unwrap();
        for node in &self.nodes[1..signers] {
            report.add(attest(&node.key, report.digest())).unwrap();
        }
        certify(&report)
    }

    /// Somebody from outside, with so many keys of his own, sends every node one report of this price that all of them signed.
    pub(crate) fn strangers_report(&mut self, price: &str, keys: u8) {
        let keys: Vec<NodeKey> = (0..keys).map(|n| key(100 + n)).collect();
        let observation = builders::observation_for(self.next(), &keys[0], price, self.clocks().unix);
        let mut report = VerifiedReport::sign_own(observation, &self.network, &keys[0]).unwrap();
        for key in &keys[1..] {
            report.add(attest(key, report.digest())).unwrap();
        }
        let bytes = Message::Report(report.to_report()).encode(&self.network);
        for index in 0..self.nodes.len() {
            self.after(Duration::from_millis(1), Event::Deliver(index, bytes.clone()));
        }
    }

    fn heartbeat(&self, key: &NodeKey) -> Message {
        let heartbeat = Heartbeat {
            node: key.address(),
            version: "0.1.0".to_owned(),
            feeds: vec![feed()],
            sent_at: self.clocks().unix,
            last_observation: self.clocks().unix,
            last_record: Digest::new([0; 32]),
            uptime_s: 1,
            signature: Signature::new([0; 65]),
        };
        Message::Heartbeat(heartbeat.signed(&self.network, key))
    }

    /// A node that has been silent for long says that it is alive.
    fn beat(&mut self, index: usize) {
        let now = self.clocks().instant;
        if self.nodes[index].heartbeats.take_due(now) {
            let message = self.heartbeat(&self.nodes[index].key);
            self.gossip(index, &message);
        }
        let next = self.nodes[index].heartbeats.next_due(now).since_start();
        self.at(next, Event::Beat(index));
    }

    /// So many keys of nobody give every node a sign of life.
    pub(crate) fn ghosts_beat(&mut self, ghosts: u8) {
        for n in 0..ghosts {
            let bytes = self.heartbeat(&key(200 - n)).encode(&self.network);
            for index in 0..self.nodes.len() {
                self.after(Duration::from_millis(1), Event::Deliver(index, bytes.clone()));
            }
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.clocks();
        let (index, effects) = match event {
            Event::Tick(index) => {
                let due = self.nodes[index]
                    .machine
                    .next_wakeup()
                    .is_some_and(|at| at <= now.instant);
                (
                    index,
                    if due {
                        self.nodes[index].machine.on_tick(now)
                    } else {
                        vec![]
                    },
                )
            }
            Event::FetchDone(index) => {
                if self.now < self.nodes[index].next_fetch {
                    return; // rescheduled meanwhile
                }
                return self.fetched(index);
            }
            Event::Beat(index) => return self.beat(index),
            Event::Arrive(index, bytes) => {
                let done =
                    self.nodes[index].busy_until.max(self.now) + Duration::from_micros(self.scenario.work_us);
                self.nodes[index].busy_until = done;
                return self.at(done, Event::Deliver(index, bytes));
            }
            Event::Deliver(index, bytes) => {
                let node = &mut self.nodes[index];
                let effects = match node.judge.judge(&bytes, now.unix) {
                    Ok(Verified::Report(report)) => node.machine.on_report(report, now),
                    Ok(Verified::Written {
                        certificate, writer, ..
                    }) => node.machine.on_written(certificate, writer, now),
                    Ok(Verified::Heartbeat(heartbeat)) => node.machine.on_heartbeat(&heartbeat, now),
                    Ok(Verified::Refusal(notice)) => node.machine.on_refusal(&notice, now),
                    Ok(Verified::Equivocation(proof)) => node.machine.on_equivocation(*proof, false, now),
                    Err(Finding::Equivocation(proof)) => node.machine.on_equivocation(*proof, true, now),
                    Err(_) => vec![],
                };
                (index, effects)
            }
            Event::Sign(index, request) => return self.sign(index, request),
            Event::WriteArrives(index, certificate) => return self.write_arrives(index, certificate),
            Event::Outcome(index, digest, outcome) => (
                index,
                self.nodes[index].machine.on_write_outcome(digest, outcome, now),
            ),
            Event::AskArrives(index) => {
                self.questions += 1;
                let answer = if self.is_down() {
                    Err("down".to_owned())
                } else {
                    Ok(self.last_record())
                };
                let delay = self.between(1, 3);
                return self.after(delay, Event::LastRecord(index, answer));
            }
            Event::LastRecord(index, answer) => {
                (index, self.nodes[index].machine.on_last_record(answer, now))
            }
        };
        self.carry_out(index, effects);
    }

    fn carry_out(&mut self, index: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                // The signer of a real node is as far away as its mailbox.
                Effect::Sign(request @ SignRequest::CoSign(_)) => {
                    self.after(Duration::from_millis(1), Event::Sign(index, request));
                }
                Effect::Sign(request) => self.sign(index, request),
                Effect::Publish(message) => self.gossip(index, &message),
                Effect::Store(StoreRequest::KeepEquivocation(proof)) => self.evidence.push((index, *proof)),
                Effect::Store(StoreRequest::KeepLost(certificate)) => {
                    self.lost.push((index, certificate.digest()));
                }
                Effect::Store(StoreRequest::Write(certificate)) => {
                    self.attempts += 1;
                    let delay = self.between(1, 2);
                    self.after(delay, Event::WriteArrives(index, certificate));
                }
                Effect::Store(StoreRequest::LastRecord(_)) => {
                    let delay = self.between(1, 2);
                    self.after(delay, Event::AskArrives(index));
                }
                Effect::Fetch(FetchRequest::By { at, .. }) => {
                    let start = at
                        .since_start()
                        .saturating_sub(self.fetch_estimate())
                        .max(self.now);
                    if !self.is_fetching(index) {
                        self.fetch_from(index, start);
                    }
                }
                Effect::Fetch(FetchRequest::Soon(_)) => {
                    if !self.is_fetching(index) {
                        self.fetch_from(index, self.now + self.fetch_estimate());
                    }
                }
                Effect::Note(note) => self.notes.push((self.now, index, note)),
            }
        }
        if let Some(at) = self.nodes[index].machine.next_wakeup() {
            let at = at.since_start().max(self.now);
            self.at(at, Event::Tick(index));
        }
    }

    /// Whether answers are on their way. A wish that comes meanwhile is said again after them.
    fn is_fetching(&self, index: usize) -> bool {
        let done = self.nodes[index].next_fetch;
        done >= self.now && done - self.now < self.fetch_estimate() * 2
    }

    /// What a fetcher believes its answers take.
    fn fetch_estimate(&self) -> Duration {
        let (least, most) = self.scenario.fetch_ms;
        Duration::from_millis((least + most) / 2)
    }

    fn start_fetch(&mut self, index: usize) {
        self.fetch_from(index, self.now);
    }

    fn fetch_from(&mut self, index: usize, start: Duration) {
        if index >= self.scenario.nodes - self.scenario.priceless {
            return;
        }
        let (least, most) = self.scenario.fetch_ms;
        let done = start + self.between(least, most);
        self.nodes[index].next_fetch = done;
        self.at(done, Event::FetchDone(index));
    }

    fn fetched(&mut self, index: usize) {
        let now = self.clocks();
        self.fetch_from(index, self.now + WINDOW);
        let observation = self.observation(index);
        let price = AgreedPrice {
            feed: feed(),
            evidence: observation.evidence().clone(),
            observed_at: now.unix,
            observed: now.instant,
        };
        let effects = self.nodes[index].machine.on_own_price(price, now);
        self.carry_out(index, effects);
    }

    /// As the Signer does: whoever signs also publishes.
    fn sign(&mut self, index: usize, request: SignRequest) {
        let (now, network) = (self.clocks(), self.network.clone());
        match request {
            SignRequest::State { link, price } => self.state(index, link, price),
            SignRequest::CoSign(report) => {
                let digest = report.digest();
                let node = &mut self.nodes[index];
                let answer = node.journal.cosign(report, &node.key);
                if let Ok(report) = &answer {
                    let message = Message::Report(report.to_report());
                    self.gossip(index, &message);
                }
                let effects = self.nodes[index].machine.on_cosigned(digest, answer, now);
                self.carry_out(index, effects);
            }
            SignRequest::Refusal {
                digest,
                observer,
                reason,
            } => {
                let key = &self.nodes[index].key;
                let notice = RefusalNotice::sign(digest, observer, reason, now.unix, &network, key);
                self.gossip(index, &Message::Refusal(notice));
            }
            SignRequest::Written {
                certificate,
                written_at,
            } => {
                let news = Written::sign(&certificate, written_at, &network, &self.nodes[index].key);
                self.gossip(index, &Message::Written(news));
            }
            SignRequest::Heartbeat(_) => unreachable!("the shell's, not the machine's"),
        }
    }

    fn state(&mut self, index: usize, link: Link, price: AgreedPrice) {
        let (now, node) = (self.clocks(), &mut self.nodes[index]);
        let stated = node.journal.state(link, price, &self.network, &node.key);
        assert!(stated.is_ok(), "two statements for one window");
        let report = stated.unwrap();
        node.heartbeats.on_observation(now.instant);
        self.gossip(index, &Message::Report(report.to_report()));
        let effects = self.nodes[index].machine.on_report(report, now);
        self.carry_out(index, effects);
    }

    fn observation(&self, index: usize) -> Observation {
        let node = &self.nodes[index];
        let at = self.clocks().unix;
        // Prices walk slowly and differ a little between nodes.
        let cents = 300_000 + millis(self.now) / 10_000 + index as u64;
        let cents = if node.lies { cents * 12 / 10 } else { cents };
        let moved = self.scenario.moves.iter().rfind(|(from, _)| *from <= self.now);
        let cents = moved.map_or(cents, |(_, percent)| cents * percent / 100);
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let sources = &["coinbase", "gemini", "kraken"][..self.scenario.sources];
        let quotes = sources.iter().map(|source| builders::quote(source, &price, at));
        let evidence = Evidence::new(quotes.collect()).unwrap();
        Observation::new(feed(), self.next(), at, node.key.address(), evidence)
    }

    fn gossip(&mut self, from: usize, message: &Message) {
        self.publishes += 1;
        self.nodes[from].judge.remember_own(message);
        let bytes = message.encode(&self.network);
        for index in (0..self.nodes.len()).filter(|index| *index != from) {
            let (least, most) = self.scenario.message_delay_ms;
            let delay = self.between(least, most);
            if !self.is_lost(from, index) {
                self.after(delay, Event::Arrive(index, bytes.clone()));
            }
        }
    }

    fn is_lost(&mut self, from: usize, to: usize) -> bool {
        let is_cut_off = |(node, begin, end): &(usize, Duration, Duration)| {
            (*node == from || *node == to) && (*begin..*end).contains(&self.now)
        };
        let percent = self.scenario.lost_percent;
        self.scenario.cut_off.iter().any(is_cut_off)
            || percent > 0 && self.between(0, 100) < Duration::from_millis(percent)
    }

    fn write_arrives(&mut self, index: usize, certificate: Certificate) {
        let digest = certificate.digest();
        let outcome = if self.is_down() {
            WriteOutcome::Unavailable {
                reason: "down".to_owned(),
            }
        } else if self.records.iter().any(|record| record.digest == digest) {
            WriteOutcome::Duplicate {
                last: self.last_record(),
            }
        } else if self.last_record().is_some_and(|last| last.age < WINDOW)
            || certificate.report().observation().link() != self.next()
        {
            WriteOutcome::TooSoon {
                last: self.last_record(),
            }
        } else {
            let report = certificate.report();
            let sequence = report.observation().link().sequence();
            self.ever.entry(sequence).or_default().insert(digest);
            self.records.push(Record {
                written: self.now,
                link: report.observation().link(),
                digest,
                price: report.observation().price(),
                observed_at: report.observation().observed_at(),
                writer: self.nodes[index].key.address(),
                observer: report.observation().observer(),
                signers: report.signatures().keys().copied().collect(),
            });
            WriteOutcome::Written {
                written_at: self.clocks().unix,
            }
        };
        let delay = self.between(1, 3);
        self.after(delay, Event::Outcome(index, digest, outcome));
    }

    fn last_record(&self) -> Option<LastRecord> {
        self.records.last().map(|record| LastRecord {
            sequence: record.link.sequence(),
            previous: record.link.previous(),
            digest: record.digest,
            age: self.now - record.written,
            price: record.price,
            observed_at: record.observed_at,
            written_by: record.writer,
            signatures: record.signers.len(),
        })
    }

    /// What may be written next.
    pub(crate) fn next(&self) -> Link {
        let last = self.records.last();
        last.map_or(Link::FIRST, |last| Link::after(last.link.sequence(), last.digest))
    }

    fn is_down(&self) -> bool {
        self.scenario
            .outages
            .iter()
            .any(|(from, to)| (*from..*to).contains(&self.now))
    }

    fn clocks(&self) -> Now {
        Now {
            instant: Instant::after_start(self.now),
            unix: UnixMillis::new(NOON + millis(self.now)),
        }
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    /// A duration between two numbers of milliseconds; xorshift, so that a seed tells all.
    fn between(&mut self, least: u64, most: u64) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_micros(least * 1000 + self.random % ((most - least) * 1000 + 1))
    }
}

/// The key of the node with this index.
fn member(index: usize) -> NodeKey {
    key(u8::try_from(index).unwrap() + 1)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

pub(crate) fn unix(now: Duration) -> UnixMillis {
    UnixMillis::new(NOON + millis(now))
}
