//! What the DbWriter makes of the database's answers, and of their absence.

use std::time::Duration;

use actix::Addr;
use quorate_actors::db_writer::{self, DbWriter, DbWriterMessage, Terms};
use quorate_protocol::{
    Certificate, Committee, ProvenEquivocation, UnixMillis, WriteOutcome, rounds::StoreRequest,
};
use quorate_store::{DatabaseUrl, EquivocationQuery, NODE_ROLE, RecordQuery, Store, StoreConfig};
use quorate_supervisor::{ActorSpec, Fault, StepOutcome, Supervisor};
use quorate_testkit::{
    builders::{certify, feed, key, network, open, report, unix_now},
    postgres::{Database, LONG, connect, start_server},
    wait::eventually,
};
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::{
    neighbours::{LastRecordIs, Neighbours, Wrote},
    running::{in_real_time, panic_and_restart, supervisor},
};

struct Bench {
    neighbours: Neighbours,
    supervisor: Supervisor,
    writer: Addr<DbWriter>,
    misfit: watch::Receiver<Option<String>>,
}

impl Bench {
    fn new(url: &DatabaseUrl) -> Self {
        let terms = Terms {
            write_interval: LONG,
            min_signatures: 3,
        };
        Self::with_terms(url, terms)
    }

    fn with_terms(url: &DatabaseUrl, terms: Terms) -> Self {
        let (neighbours, supervisor) = (Neighbours::start(), supervisor());
        let (sender, misfit) = watch::channel(None);
        let to = db_writer::Neighbours {
            aggregator: neighbours.mailbox(),
            misfit: sender,
        };
        let store = Store::new(StoreConfig::new(url.clone()));
        let writer = DbWriter::new(store, key(1).address(), network(), terms, validated_by_2(), to);
        let slot = supervisor.reserve(ActorSpec::new("DbWriter")).unwrap();
        Self {
            neighbours,
            supervisor,
            writer: slot.run_here(move |_| writer),
            misfit,
        }
    }

    /// Writes and waits for the answer, which must be about this certificate.
    async fn write(&self, certificate: &Certificate) -> WriteOutcome {
        let answers = self.neighbours.all::<Wrote>().len();
        self.hand_over(certificate).await;
        let wrote: Wrote = self.neighbours.hears(answers + 1).await;
        assert_eq!((wrote.feed, wrote.digest), (feed(), certificate.digest()));
        wrote.outcome
    }

    async fn hand_over(&self, certificate: &Certificate) {
        self.writer
            .send(DbWriterMessage::Request(StoreRequest::Write(certificate.clone())))
            .await
            .unwrap();
    }

    async fn last_record(&self) -> LastRecordIs {
        let answers = self.neighbours.all::<LastRecordIs>().len();
        self.writer
            .send(DbWriterMessage::Request(StoreRequest::LastRecord(feed())))
            .await
            .unwrap();
        self.neighbours.hears(answers + 1).await
    }
}

/// Three signatures make a record, the second key's among them.
fn validated_by_2() -> Committee {
    let mut committee = open(3);
    committee.rule.validators.insert(key(2).address());
    committee
}

/// A certificate of the moment `at`, with three signatures.
fn certificate_of(at: UnixMillis) -> Certificate {
    certify(&report(&[1, 2, 3], "3012.45", at))
}

fn certificate() -> Certificate {
    certificate_of(unix_now())
}

fn later_than(certificate: &Certificate) -> Certificate {
    let at = certificate.report().observation().observed_at();
    certificate_of(UnixMillis::new(at.get() + 1))
}

/// How many records there are, and how many signatures.
async fn rows(database: &Database) -> (i64, i64) {
    let counts = "SELECT (SELECT count(*) FROM eth_prices), \
                  (SELECT coalesce(sum(cardinality(signers)), 0)::bigint FROM eth_prices)";
    let row = connect(&database.owner)
        .await
        .query_one(counts, &[])
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

/// Holds every write back until the returned session ends its transaction.
async fn hold_writes(database: &Database) -> Client {
    let client = connect(&database.owner).await;
    client
        .batch_execute("BEGIN; LOCK TABLE eth_prices IN SHARE MODE")
        .await
        .unwrap();
    client
}

/// Waits until a node's write waits for [`hold_writes`].
async fn has_a_write_waiting(database: &Database) {
    let client = connect(&database.owner).await;
    let waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND usename = $1
        AND wait_event_type = 'Lock'";
    eventually("a write waits", async || {
        let waits = client.query(waiting, &[&NODE_ROLE]).await.unwrap();
        (!waits.is_empty()).then_some(())
    })
    .await;
}

fn is_recent(age: Duration) -> bool {
    age < Duration::from_secs(60)
}

#[test]
fn a_proof_of_equivocation_is_kept_once_whoever_brings_it() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let at = unix_now();
        let [one, other] = ["3012.45", "3012.46"].map(|price| report(&[7], price, at));
        let proof = ProvenEquivocation::of(&one, &other, Duration::from_secs(15)).unwrap();
        let store = Store::new(StoreConfig::new(database.node.clone()));
        bench
            .writer
            .send(DbWriterMessage::Request(StoreRequest::KeepEquivocation(
                Box::new(proof.clone()),
            )))
            .await
            .unwrap();
        let kept = eventually("the proof is kept", async || {
            let kept = store.equivocations(EquivocationQuery::default()).await.unwrap();
            (!kept.is_empty()).then_some(kept)
        })
        .await;
        let again = store
            .keep_equivocation(&proof, &network(), key(2).address())
            .await;
        assert!(!again.unwrap(), "another node's word adds nothing");
        let kept_now = store.equivocations(EquivocationQuery::default()).await.unwrap();
        assert_eq!(kept_now.len(), kept.len());
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].observer, kept[0].found_by),
            (key(7).address(), key(1).address())
        );
        assert_eq!(kept[0].verify(), Ok(()));
    });
}

#[test]
fn a_record_that_is_lost_for_good_is_kept() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let lost = certificate();
        for _ in 0..2 {
            let request = StoreRequest::KeepLost(lost.clone());
            bench
                .writer
                .send(DbWriterMessage::Request(request))
                .await
                .unwrap();
        }
        let owner = connect(&database.owner).await;
        let kept = eventually("the record is kept", async || {
            let kept = owner.query("SELECT digest, found_by FROM eth_prices_lost", &[]);
            Some(kept.await.unwrap()).filter(|kept| !kept.is_empty())
        })
        .await;
        let bytes = |column: usize| kept[0].get::<_, Vec<u8>>(column);
        assert_eq!(bytes(0), lost.digest().as_bytes());
        assert_eq!(bytes(1), key(1).address().as_bytes());
        // It is a record like any other until another one takes its place.
        assert_eq!(rows(&database).await, (0, 0));
    });
}

#[test]
fn the_record_tells_whose_signatures_are_validators() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let WriteOutcome::Written { .. } = bench.write(&certificate()).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        let store = Store::new(StoreConfig::new(database.node.clone()));
        let records = store.records(RecordQuery::default()).await.unwrap();
        assert_eq!(records[0].validators, [key(2).address()].into());
    });
}

#[test]
fn a_certificate_is_written_then_a_duplicate_and_the_next_too_soon() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let before = bench.last_record().await;
        assert_eq!((before.feed, before.answer), (feed(), Ok(None)));

        let certificate = certificate();
        let WriteOutcome::Written { written_at } = bench.write(&certificate).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(is_recent(unix_now().since(written_at)) && is_recent(written_at.since(unix_now())));
        let WriteOutcome::Duplicate { last: Some(last) } = bench.write(&certificate).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(last.digest == certificate.digest() && is_recent(last.age));
        let WriteOutcome::TooSoon { last: Some(last) } = bench.write(&later_than(&certificate)).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(last.digest == certificate.digest() && is_recent(last.age));
        let last = bench.last_record().await.answer.unwrap().unwrap();
        assert!(last.digest == certificate.digest() && is_recent(last.age));
        assert_eq!(rows(&database).await, (1, 3));
        assert_eq!(*bench.misfit.borrow(), None);
    });
}

#[test]
fn what_the_database_will_never_take_is_refused() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let alone = report(&[1], "3012.45", unix_now());
        let outcome = bench.write(&certify(&alone)).await;
        assert!(matches!(outcome, WriteOutcome::Refused { .. }), "{outcome:?}");
        assert_eq!(rows(&database).await, (0, 0));
    });
}

#[test]
fn while_the_server_is_stopped_it_is_unavailable_and_writes_after_its_return() {
    in_real_time(async {
        let mut server = start_server();
        let database = Database::migrated_on(&server, LONG).await;
        let bench = Bench::new(&database.node);
        assert_eq!(
            bench.last_record().await.answer.map(|last| last.is_none()),
            Ok(true)
        );

        server.stop().unwrap();
        let certificate = certificate();
        for _ in 0..2 {
            let outcome = bench.write(&certificate).await;
            assert!(matches!(outcome, WriteOutcome::Unavailable { .. }), "{outcome:?}");
        }
        assert!(bench.last_record().await.answer.is_err());

        server.start_again().unwrap();
        let outcome = bench.write(&certificate).await;
        assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
        assert_eq!(rows(&database).await, (1, 3));
    });
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_waited_for() {
    in_real_time(async {
        let mut server = start_server();
        let database = Database::migrated_on(&server, LONG).await;
        server.stop().unwrap();
        let bench = Bench::new(&database.node);
        assert!(bench.last_record().await.answer.is_err());
        assert_eq!(*bench.misfit.borrow(), None, "no reason to end the process");
        server.start_again().unwrap();
        assert!(bench.last_record().await.answer.is_ok());
    });
}

#[test]
fn a_panic_in_the_middle_of_a_write_makes_its_outcome_unknown_and_a_retry_writes_no_second_row() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let held = hold_writes(&database).await;
        let certificate = certificate();
        bench.hand_over(&certificate).await;
        bench
            .writer
            .send(DbWriterMessage::Request(StoreRequest::LastRecord(feed())))
            .await
            .unwrap();
        bench.neighbours.hears::<LastRecordIs>(1).await;
        has_a_write_waiting(&database).await;

        panic_and_restart(&bench.supervisor, "DbWriter").await;
        let lost: Wrote = bench.neighbours.hears(1).await;
        assert_eq!((lost.feed, lost.digest), (feed(), certificate.digest()));
        assert_eq!(
            lost.outcome,
            WriteOutcome::Unavailable {
                reason: "the writer was restarted".to_owned()
            }
        );
        assert_eq!(
            bench.neighbours.all::<LastRecordIs>().len(),
            1,
            "what was answered is not answered again"
        );

        held.batch_execute("COMMIT").await.unwrap();
        let outcome = bench.write(&certificate).await;
        let stands = matches!(
            outcome,
            WriteOutcome::Written { .. } | WriteOutcome::Duplicate { last: Some(_) }
        );
        assert!(stands, "{outcome:?}");
        assert_eq!(rows(&database).await, (1, 3));
    });
}

#[test]
fn a_question_that_a_panic_cut_off_is_answered_too() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        // Handled in one turn: the question has left and cannot be answered yet.
        bench
            .writer
            .send(DbWriterMessage::Request(StoreRequest::LastRecord(feed())))
            .await
            .unwrap();
        bench.supervisor.inject("DbWriter", Fault::Panic).unwrap();
        let answered: LastRecordIs = bench.neighbours.hears(1).await;
        assert_eq!(
            answered.answer.unwrap_err(),
            "the writer was restarted",
            "its outcome is unknown"
        );
        assert!(bench.last_record().await.answer.is_ok());
    });
}

#[test]
fn settings_that_are_not_the_nodes_are_told_with_both_values() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let terms = Terms {
            write_interval: Duration::from_secs(30),
            min_signatures: 2,
        };
        let bench = Bench::with_terms(&database.node, terms);
        let outcome = bench.write(&certificate()).await;
        let told = eventually("the misfit", async || bench.misfit.borrow().clone()).await;
        for value in ["30s", "3600s", "minimum is 2", "requires 3"] {
            assert!(told.contains(value), "{value} in {told}");
        }
        assert_eq!(outcome, WriteOutcome::Unavailable { reason: told });
        assert_eq!(rows(&database).await, (0, 0), "nothing is written on other terms");
    });
}

#[test]
fn a_change_of_settings_is_noticed_after_a_restart() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        assert!(bench.last_record().await.answer.is_ok());
        database.migrate(LONG / 2).await;
        panic_and_restart(&bench.supervisor, "DbWriter").await;
        assert!(bench.last_record().await.answer.is_err());
        assert!(bench.misfit.borrow().is_some());
    });
}

#[test]
fn a_database_without_a_schema_says_what_to_run_and_works_after_that() {
    in_real_time(async {
        // The role must be able to log in before its database is set up.
        Database::migrated(LONG).await;
        let database = Database::empty().await;
        let bench = Bench::new(&database.node);
        let certificate = certificate();
        let WriteOutcome::Unavailable { reason } = bench.write(&certificate).await else {
            panic!("{:?}", bench.neighbours.everything());
        };
        assert!(reason.contains("run `quorate migrate`"), "{reason}");
        let reason = bench.last_record().await.answer.unwrap_err();
        assert!(reason.contains("run `quorate migrate`"), "{reason}");
        assert_eq!(*bench.misfit.borrow(), None, "it is waited for");

        database.migrate(LONG).await;
        let outcome = bench.write(&certificate).await;
        assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
    });
}

#[test]
fn a_shutdown_waits_for_the_write_on_its_way() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let held = hold_writes(&database).await;
        let certificate = certificate();
        bench.hand_over(&certificate).await;
        let shutdown = bench.supervisor.shutdown(&["DbWriter"], Duration::from_secs(10));
        let release = async {
            has_a_write_waiting(&database).await;
            assert!(bench.neighbours.all::<Wrote>().is_empty());
            held.batch_execute("COMMIT").await.unwrap();
        };
        let (report, ()) = tokio::join!(shutdown, release);
        assert_eq!(report.steps, [("DbWriter", StepOutcome::Drained)]);
        let wrote: Wrote = bench.neighbours.hears(1).await;
        assert!(matches!(wrote.outcome, WriteOutcome::Written { .. }), "{wrote:?}");
        assert_eq!(rows(&database).await, (1, 3));
        assert!(!bench.writer.connected());
    });
}

#[test]
fn a_shutdown_with_nothing_on_its_way_ends_at_once() {
    in_real_time(async {
        let database = Database::migrated(LONG).await;
        let bench = Bench::new(&database.node);
        let outcome = bench.write(&certificate()).await;
        assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
        let grace = Duration::from_secs(10);
        let begun = tokio::time::Instant::now();
        assert!(bench.supervisor.shutdown(&["DbWriter"], grace).await.is_clean());
        assert!(begun.elapsed() < grace / 2);
    });
}
