//! What the Signer puts its name to, and what it refuses.

use std::{sync::Mutex, time::Duration};

use actix::Addr;
use quorate_actors::{
    Clock,
    signer::{self, Signer, SignerMessage},
};
use quorate_protocol::{
    Address, AgreedPrice, Digest, Heartbeat, Link, Message, NodeKey, Observation, Signature, UnixMillis,
    cosign::Refusal, rounds::SignRequest,
};
use quorate_supervisor::{ActorSpec, Supervisor};
use quorate_testkit::builders::{certify, evidence, feed, key, network, observation, report, sign};
use tokio::time::sleep;

use crate::{
    neighbours::{CoSigned, Neighbours, OwnReport, Publish},
    running::{in_paused_time, panic_and_restart, supervisor},
};

/// Two statements closer than this are for one window.
const WINDOW: Duration = Duration::from_secs(15);
const NOON: UnixMillis = UnixMillis::new(1_700_000_000_000);

struct Bench {
    key: NodeKey,
    clock: Clock,
    neighbours: Neighbours,
    supervisor: Supervisor,
    signer: Addr<Signer>,
}

impl Bench {
    fn new() -> Self {
        Self::with_key(key(9))
    }

    fn with_key(key: NodeKey) -> Self {
        let (clock, neighbours, supervisor) = (Clock::starting_at(NOON), Neighbours::start(), supervisor());
        let to = signer::Neighbours {
            aggregator: neighbours.mailbox(),
            gossip_bridge: neighbours.mailbox(),
        };
        let slot = supervisor.reserve(ActorSpec::new("Signer")).unwrap();
        let signer = Signer::new(key.clone(), network(), WINDOW, clock, to);
        let signer = slot.run_here(move |_| signer);
        Self {
            key,
            clock,
            neighbours,
            supervisor,
            signer,
        }
    }

    async fn state(&self, price: &str) {
        let price = AgreedPrice {
            feed: feed(),
            evidence: evidence(price, self.clock.unix_now()),
            observed_at: self.clock.unix_now(),
            observed: self.clock.now(),
        };
        let link = Link::FIRST;
        self.ask(SignRequest::State { link, price }).await;
    }

    /// Asks for a co-signature under an observation of one of these keys, and waits for the answer.
    async fn cosign(&self, observer: &NodeKey, observation: Observation) -> CoSigned {
        let answers = self.neighbours.all::<CoSigned>().len();
        let report = sign(observation, observer, &[]);
        self.ask(SignRequest::CoSign(report)).await;
        self.neighbours.hears(answers + 1).await
    }

    async fn ask(&self, request: SignRequest) {
        self.signer.send(SignerMessage(request)).await.unwrap();
    }
}

#[test]
fn an_own_observation_is_signed_published_and_told_to_the_aggregator() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.state("3012.45").await;
        let OwnReport(own) = bench.neighbours.hears(1).await;
        let said = own.observation();
        assert_eq!(said.observer(), bench.key.address());
        assert_eq!((said.observed_at(), said.feed().clone()), (NOON, feed()));
        assert_eq!(said.evidence(), &evidence("3012.45", NOON));
        let signature = own.signatures()[&bench.key.address()];
        assert_eq!(
            signature.recover(said.digest(&network())),
            Ok(bench.key.address())
        );
        let Publish(published) = bench.neighbours.hears(1).await;
        assert_eq!(published, Message::Report(own.to_report()));
        assert_eq!(bench.neighbours.everything().len(), 2, "once each");
    });
}

#[test]
fn what_it_cosigns_it_publishes_with_its_signature_and_tells_the_aggregator() {
    in_paused_time(async {
        let bench = Bench::new();
        let theirs = observation(&key(1), "3012.45", NOON);
        let answer = bench.cosign(&key(1), theirs.clone()).await;
        assert_eq!(answer.feed, feed());
        assert_eq!(answer.digest, theirs.digest(&network()));
        let signed = answer.answer.unwrap();
        assert_eq!(signed, sign(theirs.clone(), &key(1), &[&bench.key]));
        let Publish(published) = bench.neighbours.hears(1).await;
        assert_eq!(published, Message::Report(signed.to_report()));
        let again = bench.cosign(&key(1), theirs).await;
        assert_eq!(again.answer, Ok(signed), "the same statement again is no other");
    });
}

#[test]
fn it_states_one_price_for_a_window_whatever_it_is_asked() {
    in_paused_time(async {
        let bench = Bench::new();
        bench.state("3012.45").await;
        sleep(WINDOW - Duration::from_millis(10)).await;
        bench.state("3012.46").await;
        assert_eq!(bench.neighbours.all::<OwnReport>().len(), 1);
        sleep(Duration::from_millis(10)).await;
        bench.state("3012.46").await;
        assert_eq!(bench.neighbours.all::<OwnReport>().len(), 2, "a window later");
        assert_eq!(bench.neighbours.all::<Publish>().len(), 2);
    });
}

#[test]
fn a_second_statement_of_one_observer_for_one_window_is_refused() {
    in_paused_time(async {
        let bench = Bench::new();
        let observer = key(1);
        let after = |wait: Duration| UnixMillis::new(NOON.get() + wait.as_millis() as u64);
        let said = observation(&observer, "3012.45", NOON);
        assert!(bench.cosign(&observer, said).await.answer.is_ok());
        for wait in [Duration::ZERO, WINDOW - Duration::from_millis(1)] {
            let another = observation(&observer, "3012.46", after(wait));
            let refusal = bench.cosign(&observer, another).await.answer.unwrap_err();
            let observer = observer.address();
            assert_eq!(refusal, Refusal::SignedAnother { observer }, "after {wait:?}");
            assert_eq!(refusal.label(), "signed_another");
        }
        for (observer, at) in [(observer, after(WINDOW)), (key(2), NOON)] {
            let other = observation(&observer, "3012.46", at);
            assert!(
                bench.cosign(&observer, other).await.answer.is_ok(),
                "another window, or another observer"
            );
        }
    });
}

#[test]
fn a_restart_does_not_make_it_forget_what_it_signed() {
    in_paused_time(async {
        let bench = Bench::new();
        let ahead = UnixMillis::new(NOON.get() + 4000);
        let said = observation(&key(1), "3012.45", ahead);
        assert!(bench.cosign(&key(1), said.clone()).await.answer.is_ok());
        bench.state("3012.45").await;

        panic_and_restart(&bench.supervisor, "Signer").await;
        let contradiction = observation(&key(1), "3012.46", ahead);
        let refusal = bench.cosign(&key(1), contradiction).await.answer.unwrap_err();
        assert_eq!(refusal.label(), "signed_another");
        assert!(
            bench.cosign(&key(1), said).await.answer.is_ok(),
            "the same again is no contradiction"
        );
        bench.state("3012.46").await;
        assert_eq!(
            bench.neighbours.all::<OwnReport>().len(),
            1,
            "its own statements too"
        );
    });
}

#[test]
fn what_was_observed_before_the_process_began_is_refused() {
    in_paused_time(async {
        let bench = Bench::new();
        let before = observation(&key(1), "3012.45", UnixMillis::new(NOON.get() - 1));
        assert_eq!(
            bench.cosign(&key(1), before).await.answer,
            Err(Refusal::BeforeStart)
        );
    });
}

#[test]
fn a_refusal_is_said_in_its_own_name() {
    in_paused_time(async {
        let bench = Bench::new();
        let (digest, observer) = (Digest::new([7; 32]), key(1).address());
        let refusal = SignRequest::Refusal {
            digest,
            observer,
            reason: "price_deviates",
        };
        bench.ask(refusal).await;
        let Publish(Message::Refusal(notice)) = bench.neighbours.hears(1).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(notice.is_authentic(&network()));
        assert_eq!((notice.node, notice.observer), (bench.key.address(), observer));
        assert_eq!(
            (notice.observation, notice.reason.as_str()),
            (digest, "price_deviates")
        );
    });
}

#[test]
fn news_and_signs_of_life_are_signed_and_published() {
    in_paused_time(async {
        let bench = Bench::new();
        let certificate = certify(&report(&[1, 2], "3012.45", NOON));
        let written = SignRequest::Written {
            certificate: certificate.clone(),
            written_at: NOON,
        };
        bench.ask(written).await;
        let Publish(Message::Written(news)) = bench.neighbours.hears(1).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(news.is_authentic(&network(), certificate.digest()));
        assert_eq!(news.writer, bench.key.address());

        let blank = Heartbeat {
            node: Address::new([0; 20]),
            version: "0.1.0".to_owned(),
            feeds: vec![feed()],
            sent_at: NOON,
            last_observation: NOON,
            last_record: Digest::new([0; 32]),
            uptime_s: 1,
            signature: Signature::new([0; 65]),
        };
        bench.ask(SignRequest::Heartbeat(blank)).await;
        let Publish(Message::Heartbeat(beat)) = bench.neighbours.hears(2).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(beat.is_authentic(&network()));
        assert_eq!(beat.node, bench.key.address(), "its own name, whoever asked");
    });
}

/// All lines that were logged in this process since it was installed.
struct LogBook(Mutex<Vec<String>>);

static LOG_BOOK: LogBook = LogBook(Mutex::new(Vec::new()));

impl log::Log for LogBook {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

#[test]
fn the_key_is_shown_neither_in_logs_nor_in_what_is_sent() {
    log::set_logger(&LOG_BOOK).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    // A key of its own: other tests' lines are in the book too.
    let secret = NodeKey::generate();
    in_paused_time(async {
        let bench = Bench::with_key(secret.clone());
        bench.state("3012.45").await;
        assert!(
            bench
                .cosign(&key(1), observation(&key(1), "3012.45", NOON))
                .await
                .answer
                .is_ok()
        );
        assert!(
            bench
                .cosign(&key(1), observation(&key(1), "3012.46", NOON))
                .await
                .answer
                .is_err()
        );
        panic_and_restart(&bench.supervisor, "Signer").await;
        let said = bench.neighbours.everything();
        let shown = format!("{:?} {said:?}", bench.key);
        let logged = LOG_BOOK.0.lock().unwrap().join("\n");
        assert!(logged.contains("actor failed: actor=Signer"), "the book is kept");
        let bytes = secret.secret_bytes();
        let hex = const_hex::encode(bytes.as_slice());
        let list = format!("{bytes:?}");
        for text in [shown, logged] {
            let lower = text.to_lowercase();
            assert!(!lower.contains(&hex) && !lower.contains(list.trim_matches(['[', ']'])));
        }
    });
}
