//! The Aggregator carries out what its state machine decides, at the moment that it decides.

use std::time::Duration;

use actix::{Addr, AsyncContext, Context, Recipient, dev::channel::channel, prelude::SendError};
use prometheus::Registry;
use quorate_actors::{
    Clock,
    aggregator::{self, Aggregator, AggregatorMeasures, AggregatorMessage},
    db_writer::DbWriterMessage,
};
use quorate_protocol::{
    ALIVE_FOR, Address, AgreedPrice, Certificate, Committee, Digest, Feed, HEARTBEAT_INTERVAL, Heartbeat,
    LastRecord, Link, Members, Message, NodeKey, Observation, ProvenEquivocation, QuorumRule, RefusalNotice,
    Signature, UnixMillis, VerifiedReport, WriteOutcome,
    judge::Verified,
    rounds::{FeedStatus, Settings, StoreRequest, Timing},
};
use quorate_supervisor::{ActorSpec, Mailbox, Supervisor};
use quorate_testkit::builders::{
    self, certify, evidence, feed, key, network, observation_for, open, report, sign,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    neighbours::{
        Announce, AskLastRecord, Beat, CoSign, FetchFor, KeepEvidence, Neighbours, Object, Publish, Recorder,
        State, Write,
    },
    reports::{by_rank, whose_turn_is},
    running::{in_paused_time, panic_and_restart, supervisor, until},
};

const NOON: UnixMillis = UnixMillis::new(1_700_000_000_000);
const WINDOW: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);
/// Timers are as fine as this.
const GRAIN: Duration = Duration::from_millis(2);

fn anchor() -> Digest {
    Digest::new([7; 32])
}

/// What an observer states for the record that follows `anchor()`.
fn observation(observer: &NodeKey, price: &str, at: UnixMillis) -> Observation {
    observation_for(behind_the_anchor(), observer, price, at)
}

fn behind_the_anchor() -> Link {
    Link::after(1, anchor())
}

/// What the database says of its last record.
fn aged(digest: Digest, age: Duration) -> LastRecord {
    LastRecord {
        sequence: 1,
        previous: Digest::new([0; 32]),
        digest,
        age,
        price: "3000".parse().unwrap(),
        observed_at: UnixMillis::new(0),
        written_by: Address::new([2; 20]),
        signatures: 3,
    }
}

fn timing() -> Timing {
    Timing::for_interval(WINDOW)
}

/// An Aggregator of an open network of three, whose own observations are tried last.
struct Bench {
    me: NodeKey,
    peers: [NodeKey; 2],
    began: Instant,
    clock: Clock,
    neighbours: Neighbours,
    supervisor: Supervisor,
    aggregator: Addr<Aggregator>,
}

impl Bench {
    fn new() -> Self {
        Self::of_feeds(&[feed()])
    }

    fn of_feeds(feeds: &[Feed]) -> Self {
        Self::start(feeds, None)
    }

    fn start(feeds: &[Feed], writer: Option<Mailbox<DbWriterMessage>>) -> Self {
        let [b, c, me] = by_rank(anchor());
        let settings = feeds
            .iter()
            .map(|feed| Settings {
                feed: feed.clone(),
                ..builders::settings(me.address(), open(3))
            })
            .collect();
        let began = Instant::now();
        let (clock, neighbours, supervisor) = (Clock::starting_at(NOON), Neighbours::start(), supervisor());
        let to = aggregator::Neighbours {
            price_fetcher: neighbours.mailbox(),
            signer: neighbours.mailbox(),
            gossip_bridge: neighbours.mailbox(),
            db_writer: writer.unwrap_or_else(|| neighbours.mailbox()),
        };
        let measures = AggregatorMeasures::new(&Registry::new(), feeds).unwrap();
        let slot = supervisor
            .reserve(ActorSpec::new("Aggregator").mailbox(1024))
            .unwrap();
        let aggregator = Aggregator::new(settings, clock, to, measures);
        Self {
            me,
            peers: [b, c],
            began,
            clock,
            neighbours,
            supervisor,
            aggregator: slot.run_here(move |_| aggregator),
        }
    }

    /// Answers the first question: the last record is `anchor()`, and the window opens after this time.
    async fn window_opens_in(&self, wait: Duration) {
        self.last_record(WINDOW - wait).await;
    }

    async fn last_record(&self, age: Duration) {
        let last = aged(anchor(), age);
        self.answer(feed(), Ok(Some(last))).await;
    }

    async fn answer(&self, feed: Feed, answer: Result<Option<LastRecord>, String>) {
        self.tell(AggregatorMessage::LastRecordIs { feed, answer }).await;
    }

    async fn hear(&self, verified: Verified) {
        self.tell(AggregatorMessage::Heard(verified)).await;
    }

    /// It has a price and has stated it: only then can it be the first to write what is near that price.
    async fn state_price(&self, feed: Feed, price: &str) {
        self.see_price_of(feed.clone(), price).await;
        let now = self.clock.unix_now();
        let own = Observation::new(
            feed,
            behind_the_anchor(),
            now,
            self.me.address(),
            evidence(price, now),
        );
        self.tell(AggregatorMessage::OwnReport(sign(own, &self.me, &[])))
            .await;
    }

    async fn see_price(&self, price: &str) {
        self.see_price_of(feed(), price).await;
    }

    async fn see_price_of(&self, feed: Feed, price: &str) {
        let now = self.clock.unix_now();
        let price = AgreedPrice {
            feed,
            evidence: evidence(price, now),
            observed_at: now,
            observed: self.clock.now(),
        };
        self.tell(AggregatorMessage::Price(price)).await;
    }

    /// A report of `b` that all three have signed, of now, in whose writing this node's turn comes first.
    fn quorate(&self) -> VerifiedReport {
        let [b, c] = &self.peers;
        let others = [b.address(), c.address()];
        let make = |at| observation(b, "3000", at);
        let observation = whose_turn_is(&self.me, &others, self.clock.unix_now(), make);
        sign(observation, b, &[c, &self.me])
    }

    fn of_peer(&self, index: usize) -> (Observation, VerifiedReport) {
        let observer = &self.peers[index];
        let observation = observation(observer, "3000", self.clock.unix_now());
        (observation.clone(), sign(observation, observer, &[]))
    }

    async fn wrote(&self, digest: Digest, outcome: WriteOutcome) {
        let wrote = AggregatorMessage::Wrote {
            feed: feed(),
            digest,
            outcome,
        };
        self.tell(wrote).await;
    }

    async fn tell(&self, message: AggregatorMessage) {
        self.aggregator.send(message).await.unwrap();
    }

    async fn statuses(&self) -> Vec<FeedStatus> {
        let (asker, answer) = oneshot::channel();
        self.tell(AggregatorMessage::AskStatus(asker)).await;
        answer.await.unwrap()
    }

    async fn status(&self) -> FeedStatus {
        self.statuses().await.remove(0)
    }

    async fn advance(&self, by: Duration) {
        sleep(by).await;
    }
}

#[test]
fn each_step_of_a_round_goes_to_the_neighbour_that_takes_it_at_its_moment() {
    in_paused_time(async {
        let bench = Bench::new();
        let AskLastRecord(asked) = bench.neighbours.hears(1).await;
        assert_eq!(asked, feed());
        let opens = bench.began.elapsed() + 5 * SECOND;
        bench.window_opens_in(5 * SECOND).await;
        let wanted: FetchFor = bench.neighbours.hears(1).await;
        assert_eq!(wanted.feed, feed());
        let at = wanted.at.since_start() + timing().lead;
        assert!(at >= opens && at <= opens + GRAIN, "{at:?}, opens at {opens:?}");

        for peer in &bench.peers {
            bench.tell(AggregatorMessage::PeerUp(peer.address())).await;
        }
        until(bench.began, 4 * SECOND).await;
        bench.see_price("3000").await;
        let State(stated) = bench.neighbours.hears(1).await;
        assert_eq!(stated.evidence, evidence("3000", stated.observed_at));

        let best = bench.quorate();
        let alone = sign(best.observation().clone(), &bench.peers[0], &[]);
        let heard = bench.began.elapsed();
        bench.state_price(feed(), "3000").await;
        bench.hear(Verified::Report(alone.clone())).await;
        let CoSign(asked) = bench.neighbours.hears(1).await;
        assert_eq!(asked, alone);
        let (at, _) = bench.neighbours.timed::<CoSign>().remove(0);
        let settled = heard + timing().settle;
        assert!(
            at >= settled && at <= settled + GRAIN,
            "{at:?}, settled at {settled:?}"
        );
        bench
            .tell(AggregatorMessage::CoSigned {
                feed: feed(),
                digest: asked.digest(),
                answer: Ok(asked.cosigned_by(&bench.me)),
            })
            .await;
        assert_eq!(bench.status().await.tally.cosigned, 1);

        bench.hear(Verified::Report(best.clone())).await;
        let Write(certificate) = bench.neighbours.hears(1).await;
        assert_eq!(certificate, certify(&best));
        let (at, _) = bench.neighbours.timed::<Write>().remove(0);
        assert!(at >= opens && at <= opens + GRAIN, "{at:?}, opens at {opens:?}");
        bench
            .wrote(best.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        let announce: Announce = bench.neighbours.hears(1).await;
        assert_eq!((announce.certificate, announce.written_at), (certificate, NOON));
        let status = bench.status().await;
        assert_eq!((status.live, status.required), (3, 3));
        assert_eq!(
            (
                status.tally.records,
                status.tally.last_record,
                status.tally.last_writer
            ),
            (1, Some(best.digest()), Some(bench.me.address()))
        );
    });
}

#[test]
fn what_the_network_says_reaches_the_rounds() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        let [b, c] = &bench.peers;
        bench.tell(AggregatorMessage::PeerUp(b.address())).await;
        assert_eq!(bench.status().await.live, 2);
        bench.tell(AggregatorMessage::PeerDown(b.address())).await;
        assert_eq!(bench.status().await.live, 1);
        let now = bench.clock.unix_now();
        let beat = Heartbeat {
            node: c.address(),
            version: "0.1.0".to_owned(),
            feeds: vec![feed()],
            sent_at: now,
            last_observation: now,
            last_record: anchor(),
            uptime_s: 1,
            signature: Signature::new([0; 65]),
        };
        bench.hear(Verified::Heartbeat(beat.signed(&network(), c))).await;
        assert_eq!(bench.status().await.live, 2);
        let theirs = bench.of_peer(0).1;
        bench.hear(Verified::Report(theirs.clone())).await;
        let notice = RefusalNotice::sign(theirs.digest(), b.address(), "price_deviates", now, &network(), c);
        bench.hear(Verified::Refusal(notice)).await;
        let quorate = bench.quorate();
        let news = Verified::Written {
            certificate: certify(&quorate),
            writer: c.address(),
            written_at: now,
        };
        bench.hear(news).await;
        let status = bench.status().await;
        assert_eq!(
            (status.live, status.tally.last_record, status.tally.last_writer),
            (3, Some(quorate.digest()), Some(c.address()))
        );
        let of_b = status.nodes.iter().find(|node| node.address == b.address());
        assert_eq!(of_b.unwrap().findings_of_others["price_deviates"], 1);
    });
}

#[test]
fn a_proof_is_kept_and_published_and_a_refusal_is_signed() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        let [b, c] = &bench.peers;
        let now = bench.clock.unix_now();
        let statement = |by: &NodeKey, price: &str| sign(observation(by, price, now), by, &[]);
        let proof_of = |liar| {
            let [one, other] = ["3000", "3001"].map(|price| statement(liar, price));
            ProvenEquivocation::of(&one, &other, 15 * SECOND).unwrap()
        };
        // Found by this node, and told by another.
        let (found, told) = (proof_of(b), proof_of(&key(9)));
        bench.tell(AggregatorMessage::Contradicted(found.clone())).await;
        bench.hear(Verified::Equivocation(Box::new(told.clone()))).await;
        bench.neighbours.hears::<KeepEvidence>(2).await;
        let kept = bench.neighbours.all::<KeepEvidence>();
        let kept: Vec<ProvenEquivocation> = kept.into_iter().map(|KeepEvidence(proof)| proof).collect();
        assert_eq!(kept, [found.clone(), told]);
        let Publish(published) = bench.neighbours.hears(1).await;
        assert_eq!(published, Message::Equivocation(found.to_claim()));

        bench.see_price("3000").await;
        let dear = statement(c, "3600");
        bench.hear(Verified::Report(dear.clone())).await;
        let refusal: Object = bench.neighbours.hears(1).await;
        assert_eq!(
            (refusal.digest, refusal.observer, refusal.reason),
            (dear.digest(), c.address(), "price_deviates")
        );
    });
}

#[test]
fn a_certificate_that_the_writers_mailbox_has_no_room_for_is_tried_again() {
    in_paused_time(async {
        // A writer that has stopped taking mail: its mailbox is full of another's certificates.
        let (sender, receiver) = channel(1);
        let writer = Addr::<Recorder>::new(sender);
        let other = certify(&report(&[9], "1", NOON));
        // Each sender may exceed the bound by one, so the Aggregator's own must find it full.
        let recipient: Recipient<DbWriterMessage> = writer.clone().recipient();
        let mut queued = 0;
        let write =
            |certificate: &Certificate| DbWriterMessage::Request(StoreRequest::Write(certificate.clone()));
        while recipient.try_send(write(&other)).is_ok() {
            queued += 1;
        }
        let refused = recipient.try_send(write(&other));
        assert!(matches!(refused, Err(SendError::Full(_))));

        let bench = Bench::start(&[feed()], Some(recipient.into()));
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        bench.state_price(feed(), "3000").await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        bench.advance(SECOND / 10).await;
        assert!(
            bench.status().await.tally.database_lost_at.is_some(),
            "known at once, not after the write's time-out"
        );
        bench.advance(10 * SECOND).await;

        let context = Context::with_receiver(receiver);
        assert_eq!(context.address(), writer);
        actix::spawn(context.into_future(bench.neighbours.recorder()));
        bench.neighbours.hears::<Write>(queued + 1).await;
        let Write(certificate) = bench.neighbours.all::<Write>().remove(queued);
        assert_eq!(certificate.digest(), quorate.digest());
        bench
            .wrote(quorate.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        assert_eq!(bench.status().await.tally.database_lost_at, None);
    });
}

#[test]
fn each_feed_has_its_own_window_and_one_timer_serves_them_all() {
    in_paused_time(async {
        let (eth, btc): (Feed, Feed) = (feed(), "BTC/USD".parse().unwrap());
        let bench = Bench::of_feeds(&[eth.clone(), btc.clone()]);
        // The later one is known first, and messages that set the timer anew come in between.
        let opens_in = |secs| aged(anchor(), WINDOW - secs * SECOND);
        let of_btc = LastRecord {
            price: "60000".parse().unwrap(),
            ..opens_in(9)
        };
        bench.answer(btc.clone(), Ok(Some(of_btc))).await;
        bench.answer(eth.clone(), Ok(Some(opens_in(5)))).await;
        until(bench.began, Duration::from_millis(6100)).await;
        bench.state_price(eth.clone(), "3000").await;
        bench.state_price(btc.clone(), "60000").await;
        let [b, c] = &bench.peers;
        let of_btc = |at| {
            Observation::new(
                btc.clone(),
                behind_the_anchor(),
                at,
                b.address(),
                evidence("60000", at),
            )
        };
        let others = [b.address(), c.address()];
        let in_btc = whose_turn_is(&bench.me, &others, bench.clock.unix_now(), of_btc);
        bench
            .hear(Verified::Report(sign(in_btc.clone(), b, &[c, &bench.me])))
            .await;
        let in_eth = bench.quorate();
        bench.hear(Verified::Report(in_eth.clone())).await;
        for _ in 0..1000 {
            bench.tell(AggregatorMessage::PeerUp(c.address())).await;
            bench.advance(Duration::from_millis(1)).await;
        }
        bench
            .wrote(in_eth.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        until(bench.began, 12 * SECOND).await;
        let writes: Vec<(Duration, Digest)> = bench
            .neighbours
            .timed::<Write>()
            .into_iter()
            .map(|(at, Write(certificate))| (at, certificate.digest()))
            .collect();
        let [(first_at, first), (second_at, second)] = writes[..] else {
            panic!("{writes:?}");
        };
        assert_eq!((first, second), (in_eth.digest(), in_btc.digest(&network())));
        assert!(
            first_at <= Duration::from_millis(6100) + GRAIN,
            "its window was open: {first_at:?}"
        );
        assert!(
            second_at >= 9 * SECOND && second_at <= 9 * SECOND + GRAIN,
            "{second_at:?}"
        );
        let fetches = bench.neighbours.all::<FetchFor>();
        assert!(
            fetches.iter().any(|fetch| fetch.feed == btc) && fetches.iter().any(|fetch| fetch.feed == eth)
        );
    });
}

#[test]
fn when_it_says_nothing_else_it_gives_a_sign_of_life_every_35_s_also_after_restarts() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.see_price("3000").await;
        bench.advance(122 * SECOND).await;
        let beats = bench.neighbours.timed::<Beat>();
        let at: Vec<u64> = beats.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(at, [0, 35, 70, 105]);
        let Beat(beat) = &beats[3].1;
        assert_eq!(beat.feeds, [feed()]);
        assert_eq!(beat.last_observation, NOON);
        assert_eq!(beat.last_record, anchor());
        assert_eq!(beat.uptime_s, 105);
        assert!(beat.sent_at.since(NOON) >= 105 * SECOND && beat.sent_at.since(NOON) <= 106 * SECOND);

        for _ in 0..3 {
            panic_and_restart(&bench.supervisor, "Aggregator").await;
        }
        let restarted = bench.neighbours.timed::<Beat>().len();
        bench.advance(301 * SECOND).await;
        assert_eq!(
            bench.neighbours.timed::<Beat>().len() - restarted,
            9,
            "one timer stays one timer"
        );
        let Beat(last) = bench.neighbours.all::<Beat>().pop().unwrap();
        assert!(
            last.uptime_s > 400,
            "the node's, not the actor's: {}",
            last.uptime_s
        );
    });
}

#[test]
fn who_has_fallen_silent_is_forgotten_by_feeds_that_wait_for_nothing_too() {
    in_paused_time(async {
        let (eth, btc): (Feed, Feed) = (feed(), "BTC/USD".parse().unwrap());
        let bench = Bench::of_feeds(&[eth.clone(), btc.clone()]);
        bench.window_opens_in(WINDOW).await;
        bench
            .answer(btc.clone(), Ok(Some(aged(anchor(), Duration::ZERO))))
            .await;
        // Two of three: no price would help, so none is asked for.
        let [peer, _] = &bench.peers;
        bench.tell(AggregatorMessage::PeerUp(peer.address())).await;
        let live = async || {
            let feeds = bench.statuses().await;
            feeds.into_iter().find(|of| of.feed == btc).unwrap().live
        };
        assert_eq!(live().await, 2);
        let silence = ALIVE_FOR + 2 * HEARTBEAT_INTERVAL;
        for _ in 0..silence.as_secs() / 10 {
            // Its words about another feed are signs of life: none is due.
            let own = observation(&bench.me, "3000", bench.clock.unix_now());
            bench
                .tell(AggregatorMessage::OwnReport(sign(own, &bench.me, &[])))
                .await;
            bench.advance(10 * SECOND).await;
        }
        assert_eq!(live().await, 1);
    });
}

#[test]
fn what_it_has_just_said_needs_no_sign_of_life() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(10 * SECOND).await;
        let own = observation(&bench.me, "3000", bench.clock.unix_now());
        bench
            .tell(AggregatorMessage::OwnReport(sign(own, &bench.me, &[])))
            .await;
        bench.advance(36 * SECOND).await;
        let beats = bench.neighbours.timed::<Beat>();
        let at: Vec<u64> = beats.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(
            at,
            [0, 45],
            "35 s after the observation, not after the last sign of life"
        );
    });
}

#[test]
fn a_changed_committee_counts_at_once_and_after_a_restart_too() {
    in_paused_time(async {
        let bench = Bench::new();
        let nodes = [
            bench.me.address(),
            bench.peers[0].address(),
            bench.peers[1].address(),
        ];
        let committee = Committee {
            members: Members::Closed(nodes.into_iter().collect()),
            rule: QuorumRule::at_least(2),
        };
        bench.tell(AggregatorMessage::CommitteeIs(committee)).await;
        let seen = |status: &FeedStatus| (status.open, status.required, status.nodes.len());
        assert_eq!(seen(&bench.status().await), (false, 2, 3));
        panic_and_restart(&bench.supervisor, "Aggregator").await;
        assert_eq!(seen(&bench.status().await), (false, 2, 3));
    });
}

#[test]
fn after_a_restart_it_asks_for_the_last_record_and_goes_on() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        bench.see_price("3000").await;
        bench.hear(Verified::Report(bench.of_peer(0).1)).await;
        assert_eq!(bench.status().await.live, 2);

        panic_and_restart(&bench.supervisor, "Aggregator").await;
        bench.neighbours.hears::<AskLastRecord>(2).await;
        let status = bench.status().await;
        assert_eq!(
            (status.live, status.tally.last_observation),
            (1, None),
            "begun anew"
        );
        assert!(
            bench.neighbours.all::<CoSign>().is_empty(),
            "what was under way is forgotten"
        );

        let restarted = bench.began.elapsed();
        bench.window_opens_in(2 * SECOND).await;
        bench.state_price(feed(), "3000").await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        bench.neighbours.hears::<Write>(1).await;
        let (at, _) = bench.neighbours.timed::<Write>().remove(0);
        let opened = restarted + 2 * SECOND;
        assert!(
            at >= opened && at <= opened + GRAIN,
            "{at:?}, opened at {opened:?}"
        );
        bench
            .wrote(quorate.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        bench.neighbours.hears::<Announce>(1).await;
    });
}

#[test]
fn what_belongs_to_no_feed_of_its_own_is_ignored() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        let [b, c] = &bench.peers;
        let doge = Observation::new(
            "DOGE/USD".parse().unwrap(),
            behind_the_anchor(),
            NOON,
            b.address(),
            evidence("3000", NOON),
        );
        bench.hear(Verified::Report(sign(doge, b, &[c, &bench.me]))).await;
        bench.advance(2 * SECOND).await;
        assert!(bench.neighbours.all::<Write>().is_empty());
        assert_eq!(bench.statuses().await.len(), 1);
    });
}
