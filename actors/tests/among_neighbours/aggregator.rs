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
    Address, AgreedPrice, Certificate, Committee, Digest, Feed, LastRecord, Members, Message, NodeKey,
    Observation, ProvenEquivocation, QuorumRule, UnixMillis, VerifiedReport, WriteOutcome,
    cosign::CosignPolicy,
    judge::Verified,
    rounds::{FeedStatus, Settings, StoreRequest, Timing},
};
use quorate_supervisor::{ActorSpec, Mailbox, Supervisor};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use crate::{
    neighbours::{
        Announce, AskLastRecord, Beat, CoSign, FetchFor, KeepEvidence, Neighbours, Object, Publish, Recorder,
        Write,
    },
    reports::{
        by_rank, certify, evidence, feed, key, network, observation, report, three_signatures, whose_turn_is,
    },
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

/// What the database says of its last record.
fn aged(digest: Digest, age: Duration) -> LastRecord {
    LastRecord {
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
                me: me.address(),
                committee: three_signatures(),
                write_interval: WINDOW,
                fetch_interval: WINDOW,
                policy: CosignPolicy {
                    max_deviation_bps: 50,
                    max_age: Settings::max_age(WINDOW),
                    future_tolerance: 5 * SECOND,
                },
                timing: timing(),
                quarantine: 600 * SECOND,
                predecessor_ended: None,
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

    async fn see_price(&self, price: &str) {
        let price = AgreedPrice {
            feed: feed(),
            evidence: evidence(price),
            observed_at: self.clock.unix_now(),
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
        report(observation, b, &[c, &self.me])
    }

    fn of_peer(&self, index: usize) -> (Observation, VerifiedReport) {
        let observer = &self.peers[index];
        let observation = observation(observer, "3000", self.clock.unix_now());
        (observation.clone(), report(observation, observer, &[]))
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
fn at_the_start_it_asks_for_the_last_record_until_it_is_answered() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.advance(25 * SECOND).await;
        let asked = bench.neighbours.timed::<AskLastRecord>();
        assert!(asked.iter().all(|(_, AskLastRecord(asked))| *asked == feed()));
        let at: Vec<u64> = asked.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(at, [0, 10, 20], "an answer that does not come was lost");
        bench.window_opens_in(SECOND).await;
        bench.advance(60 * SECOND).await;
        assert_eq!(bench.neighbours.all::<AskLastRecord>().len(), 3);
    });
}

#[test]
fn while_the_database_is_away_it_asks_with_growing_pauses() {
    in_paused_time(async {
        let bench = Bench::new();
        for number in 1..=8 {
            bench.neighbours.hears::<AskLastRecord>(number).await;
            bench.answer(feed(), Err("connection refused".to_owned())).await;
        }
        assert!(bench.status().await.tally.database_lost_at.is_some());
        let at: Vec<u128> = bench
            .neighbours
            .timed::<AskLastRecord>()
            .into_iter()
            .map(|(at, _)| at.as_millis())
            .collect();
        let pauses: Vec<u128> = at.windows(2).map(|pair| (pair[1] - pair[0]) / 50 * 50).collect();
        assert_eq!(pauses, [250, 500, 1000, 2000, 4000, 4000, 4000]);
        bench.window_opens_in(SECOND).await;
        assert_eq!(bench.status().await.tally.database_lost_at, None);
    });
}

#[test]
fn the_best_ranked_observation_is_cosigned_after_settling() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        // The one that is tried first comes last.
        bench.see_price("3000").await;
        let own = observation(&bench.me, "3000", bench.clock.unix_now());
        bench
            .tell(AggregatorMessage::OwnReport(report(own, &bench.me, &[])))
            .await;
        bench.hear(Verified::Report(bench.of_peer(1).1)).await;
        bench.advance(SECOND / 20).await;
        let (best, signed) = bench.of_peer(0);
        bench.hear(Verified::Report(signed)).await;

        let CoSign(asked) = bench.neighbours.hears(1).await;
        assert_eq!(asked, report(best, &bench.peers[0], &[]));
        let (at, _) = bench.neighbours.timed::<CoSign>().remove(0);
        let settled = SECOND + timing().settle;
        assert!(
            at >= settled && at <= settled + GRAIN,
            "{at:?}, settled at {settled:?}"
        );

        let answer = AggregatorMessage::CoSigned {
            feed: feed(),
            digest: asked.digest(),
            answer: Ok(asked.cosigned_by(&bench.me)),
        };
        bench.tell(answer).await;
        let status = bench.status().await;
        assert_eq!((status.tally.cosigned, status.live, status.required), (1, 3, 3));
        assert_eq!(
            bench.neighbours.all::<CoSign>().len(),
            1,
            "one observation at a time"
        );
    });
}

#[test]
fn without_a_price_of_its_own_it_abstains_until_it_has_one() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        let (best, signed) = bench.of_peer(0);
        bench.hear(Verified::Report(signed)).await;
        bench.advance(SECOND).await;
        assert!(bench.neighbours.all::<CoSign>().is_empty());
        bench.see_price("3000").await;
        let CoSign(asked) = bench.neighbours.hears(1).await;
        assert_eq!(*asked.observation(), best);
    });
}

#[test]
fn a_certificate_is_written_once_at_the_moment_the_window_opens() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(5 * SECOND).await;
        until(bench.began, 3 * SECOND).await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        let Write(certificate) = bench.neighbours.hears(1).await;
        assert_eq!(certificate, certify(&quorate));
        let (at, _) = bench.neighbours.timed::<Write>().remove(0);
        assert!(at >= 5 * SECOND && at <= 5 * SECOND + GRAIN, "{at:?}");

        bench
            .wrote(quorate.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        let announce: Announce = bench.neighbours.hears(1).await;
        assert_eq!(announce.certificate, certificate);
        assert_eq!(announce.written_at, NOON);
        bench.advance(20 * SECOND).await;
        assert_eq!(bench.neighbours.all::<Write>().len(), 1);
        assert_eq!(bench.neighbours.all::<Announce>().len(), 1);
        let status = bench.status().await;
        assert_eq!(
            (status.tally.records, status.tally.last_record),
            (1, Some(quorate.digest()))
        );
        assert_eq!(status.tally.last_writer, Some(bench.me.address()));
    });
}

#[test]
fn the_next_price_is_wanted_a_lead_before_the_next_window_opens() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(5 * SECOND).await;
        let wanted: FetchFor = bench.neighbours.hears(1).await;
        let opens = 5 * SECOND;
        let at = wanted.at.since_start();
        assert!(
            at + timing().lead >= opens && at + timing().lead <= opens + GRAIN,
            "{at:?}"
        );
        until(bench.began, 4 * SECOND).await;
        bench.see_price("3000").await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        bench.neighbours.hears::<Write>(1).await;
        bench
            .wrote(quorate.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        let next: FetchFor = bench.neighbours.hears(2).await;
        let opens = opens + WINDOW;
        let at = next.at.since_start();
        assert!(
            at + timing().lead >= opens && at + timing().lead <= opens + 2 * GRAIN,
            "{at:?}"
        );
    });
}

#[test]
fn news_of_a_record_cancels_its_own_write() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(5 * SECOND).await;
        until(bench.began, 3 * SECOND).await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        // Another saw the window open a moment before.
        until(bench.began, 5 * SECOND - Duration::from_millis(3)).await;
        let news = Verified::Written {
            certificate: certify(&quorate),
            writer: bench.peers[1].address(),
            written_at: NOON,
        };
        bench.hear(news).await;
        let status = bench.status().await;
        assert_eq!(
            (status.tally.records, status.tally.last_writer),
            (1, Some(bench.peers[1].address()))
        );
        // It asks the database whether that was true, and it was.
        bench.neighbours.hears::<AskLastRecord>(2).await;
        let (asked, _) = bench.neighbours.timed::<AskLastRecord>().remove(1);
        assert!(
            asked >= 5 * SECOND && asked <= 5 * SECOND + timing().confirm + 2 * timing().stagger + GRAIN,
            "at once: {asked:?}"
        );
        let last = aged(quorate.digest(), 2 * SECOND);
        bench.answer(feed(), Ok(Some(last))).await;
        bench.advance(20 * SECOND).await;
        assert!(bench.neighbours.all::<Write>().is_empty());
        assert!(bench.neighbours.all::<Announce>().is_empty());
    });
}

#[test]
fn false_news_of_a_record_delays_the_write_by_seconds_only() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(5 * SECOND).await;
        until(bench.began, 3 * SECOND).await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        until(bench.began, 5 * SECOND - Duration::from_millis(3)).await;
        let news = Verified::Written {
            certificate: certify(&quorate),
            writer: bench.peers[1].address(),
            written_at: NOON,
        };
        bench.hear(news).await;
        bench.neighbours.hears::<AskLastRecord>(2).await;
        bench.last_record(WINDOW + 2 * SECOND).await;
        let Write(certificate) = bench.neighbours.hears(1).await;
        assert_eq!(certificate.digest(), quorate.digest());
        let (at, _) = bench.neighbours.timed::<Write>().remove(0);
        assert!(at <= 8 * SECOND, "{at:?}");
    });
}

#[test]
fn a_write_without_an_answer_is_tried_again() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        bench.neighbours.hears::<Write>(2).await;
        let writes = bench.neighbours.timed::<Write>();
        assert!(
            writes
                .iter()
                .all(|(_, Write(certificate))| certificate.digest() == quorate.digest())
        );
        let pause = writes[1].0 - writes[0].0;
        assert!(
            pause >= timing().write_timeout && pause <= timing().write_timeout + SECOND,
            "{pause:?}"
        );
    });
}

#[test]
fn a_certificate_waits_while_the_database_is_away_and_is_written_when_it_is_back() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        for attempt in 1..=12 {
            let Write(certificate) = bench.neighbours.hears(attempt).await;
            assert_eq!(certificate.digest(), quorate.digest());
            let outcome = WriteOutcome::Unavailable {
                reason: "connection refused".to_owned(),
            };
            bench.wrote(quorate.digest(), outcome).await;
        }
        assert!(
            bench.began.elapsed() > WINDOW,
            "longer than anybody would vouch for it"
        );
        bench.neighbours.hears::<Write>(13).await;
        bench
            .wrote(quorate.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        bench.neighbours.hears::<Announce>(1).await;
    });
}

#[test]
fn a_certificate_that_the_writers_mailbox_has_no_room_for_is_tried_again() {
    in_paused_time(async {
        // A writer that has stopped taking mail: its mailbox is full of another's certificates.
        let (sender, receiver) = channel(1);
        let writer = Addr::<Recorder>::new(sender);
        let other = certify(&report(observation(&key(9), "1", NOON), &key(9), &[]));
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
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        bench.advance(SECOND / 10).await;
        assert!(
            bench.status().await.tally.database_lost_at.is_some(),
            "known at once, not after the write's time-out"
        );
        bench.advance(20 * SECOND).await;

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
        bench.answer(btc.clone(), Ok(Some(opens_in(9)))).await;
        bench.answer(eth.clone(), Ok(Some(opens_in(5)))).await;
        until(bench.began, Duration::from_millis(6100)).await;
        let [b, c] = &bench.peers;
        let of_btc = |at| Observation::new(btc.clone(), at, b.address(), evidence("60000"));
        let others = [b.address(), c.address()];
        let in_btc = whose_turn_is(&bench.me, &others, bench.clock.unix_now(), of_btc);
        bench
            .hear(Verified::Report(report(in_btc.clone(), b, &[c, &bench.me])))
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
fn it_gives_a_sign_of_life_every_quarter_minute_also_after_restarts() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.see_price("3000").await;
        bench.advance(122 * SECOND).await;
        let beats = bench.neighbours.timed::<Beat>();
        let at: Vec<u64> = beats.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(at, [1, 16, 31, 46, 61, 76, 91, 106, 121]);
        let Beat(beat) = &beats[8].1;
        assert_eq!(beat.feeds, [feed()]);
        assert_eq!(beat.last_observation, NOON);
        assert_eq!(beat.last_record, anchor());
        assert_eq!(beat.uptime_s, 121);
        assert!(beat.sent_at.since(NOON) >= 121 * SECOND && beat.sent_at.since(NOON) <= 122 * SECOND);

        for _ in 0..3 {
            panic_and_restart(&bench.supervisor, "Aggregator").await;
        }
        let restarted = bench.neighbours.timed::<Beat>().len();
        bench.advance(301 * SECOND).await;
        assert_eq!(
            bench.neighbours.timed::<Beat>().len() - restarted,
            20,
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
fn what_it_has_just_said_needs_no_sign_of_life() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(10 * SECOND).await;
        let own = observation(&bench.me, "3000", bench.clock.unix_now());
        bench
            .tell(AggregatorMessage::OwnReport(report(own, &bench.me, &[])))
            .await;
        bench.advance(16 * SECOND).await;
        let beats = bench.neighbours.timed::<Beat>();
        let at: Vec<u64> = beats.iter().map(|(at, _)| at.as_secs()).collect();
        assert_eq!(
            at,
            [1, 25],
            "15 s after the observation, not after the last sign of life"
        );
    });
}

#[test]
fn a_proof_takes_the_observer_out_of_the_running_and_is_kept_and_told() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        let (liar, now) = (bench.peers[0].clone(), bench.clock.unix_now());
        let [one, other] = ["3000", "3001"].map(|price| report(observation(&liar, price, now), &liar, &[]));
        bench.hear(Verified::Report(one.clone())).await;
        let proof = ProvenEquivocation::of(&one, &other, 15 * SECOND).unwrap();
        bench.tell(AggregatorMessage::Contradicted(proof.clone())).await;
        let KeepEvidence(kept) = bench.neighbours.hears(1).await;
        assert_eq!(kept, proof);
        let Publish(told) = bench.neighbours.hears(1).await;
        assert_eq!(told, Message::Equivocation(proof.to_claim()));

        bench.see_price("3000").await;
        bench.advance(SECOND).await;
        assert!(
            bench.neighbours.all::<CoSign>().is_empty(),
            "neither is co-signed"
        );
        let status = bench.status().await;
        let node = status
            .nodes
            .iter()
            .find(|node| node.address == liar.address())
            .unwrap();
        assert_eq!(node.findings["equivocation"], 1);
        assert!(node.quarantined_ms.is_some_and(|left| left > 590_000));

        // The same from somebody else is no news.
        bench.hear(Verified::Equivocation(Box::new(proof))).await;
        bench.advance(SECOND).await;
        assert_eq!(bench.neighbours.all::<KeepEvidence>().len(), 1);
        bench.advance(600 * SECOND).await;
        let status = bench.status().await;
        assert!(
            status.nodes.iter().all(|node| node.quarantined_ms.is_none()),
            "it is over"
        );
    });
}

#[test]
fn a_refusal_is_told_to_the_network_with_its_reason_once_a_window() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        bench.see_price("3000").await;
        for _ in 0..3 {
            let (dear, observer) = ("3600", &bench.peers[0]);
            let dear = observation(observer, dear, bench.clock.unix_now());
            bench.hear(Verified::Report(report(dear, observer, &[]))).await;
            bench.advance(SECOND).await;
        }
        let told = bench.neighbours.all::<Object>();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(
            (told[0].observer, told[0].reason),
            (bench.peers[0].address(), "price_deviates")
        );
        let refusals = bench.status().await.tally.refusals;
        assert_eq!(
            refusals[&bench.peers[0].address()]["price_deviates"],
            3,
            "counted each time"
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
fn an_answer_to_a_question_from_before_the_restart_is_no_harm() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        bench.advance(SECOND).await;
        let quorate = bench.quorate();
        bench.hear(Verified::Report(quorate.clone())).await;
        bench.neighbours.hears::<Write>(1).await;
        panic_and_restart(&bench.supervisor, "Aggregator").await;
        bench
            .wrote(quorate.digest(), WriteOutcome::Written { written_at: NOON })
            .await;
        // It has no certificate to announce any more, but it knows of the record.
        bench.advance(Duration::from_millis(10)).await;
        let Some(FetchFor { at, .. }) = bench.neighbours.all().pop() else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(at.since_start() > WINDOW - SECOND, "the window is closed: {at:?}");
    });
}

#[test]
fn what_belongs_to_no_feed_of_its_own_is_ignored() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.window_opens_in(Duration::ZERO).await;
        let [b, c] = &bench.peers;
        let doge = Observation::new("DOGE/USD".parse().unwrap(), NOON, b.address(), evidence("3000"));
        bench
            .hear(Verified::Report(report(doge, b, &[c, &bench.me])))
            .await;
        bench.advance(2 * SECOND).await;
        assert!(bench.neighbours.all::<Write>().is_empty());
        assert_eq!(bench.statuses().await.len(), 1);
    });
}

#[test]
fn the_status_shows_who_is_there_and_what_was_seen() {
    in_paused_time(async {
        let bench = Bench::new();
        let status = bench.status().await;
        assert_eq!(
            (status.feed.clone(), status.live, status.required),
            (feed(), 1, 3)
        );
        assert_eq!(
            (status.tally.last_observation, status.tally.last_record),
            (None, None)
        );
        bench.advance(SECOND).await;
        bench.see_price("3000").await;
        for peer in &bench.peers {
            bench.tell(AggregatorMessage::PeerUp(peer.address())).await;
        }
        let status = bench.status().await;
        assert_eq!(status.live, 3);
        assert!(status.tally.last_observation.unwrap().since(NOON) >= SECOND);
        bench
            .tell(AggregatorMessage::PeerDown(bench.peers[0].address()))
            .await;
        assert_eq!(bench.status().await.live, 2);
        // A price that is far from its own is refused, and counted.
        bench.window_opens_in(Duration::ZERO).await;
        let dear = observation(&bench.peers[0], "3600", bench.clock.unix_now());
        bench
            .hear(Verified::Report(report(dear, &bench.peers[0], &[])))
            .await;
        bench.advance(SECOND).await;
        let refused = bench.status().await.tally.refused;
        assert_eq!(refused, 1);
        assert!(bench.neighbours.all::<CoSign>().is_empty());
    });
}
