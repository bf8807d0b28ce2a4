//! What judging costs, beside the recovery of its signatures that no judge can do without; and how merging and ranking grow with the
//! network. `cargo bench -p quorate-protocol --bench judging`; with `-- ratios` only what is compared within this run, and counted.

use std::{
    collections::BTreeSet,
    hint::black_box,
    time::{Duration, Instant},
};

use allocation_counter::measure;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use quorate_protocol::{
    AgreedPrice, Committee, Digest, Message, QuorumRule, UnixMillis, VerifiedReport,
    judge::{Finding, Judge, JudgeConfig},
    keccak256,
    rounds::{Now, Rounds},
};
use quorate_testkit::builders::{self, evidence, feed, key, members, network, open, report};

const WINDOW: Duration = Duration::from_secs(30);
const NOON: UnixMillis = UnixMillis::new(1_763_985_600_000);
/// The node that judges, and signs nothing here.
const ME: u8 = 250;

fn judge() -> Judge {
    let feeds = BTreeSet::from([feed()]);
    let config = JudgeConfig::new(network(), feeds, key(ME).address(), open(3), WINDOW);
    Judge::new(config, NOON)
}

fn bytes(report: &VerifiedReport) -> Vec<u8> {
    Message::Report(report.to_report()).encode(&network())
}

fn signed_by(signers: u8) -> VerifiedReport {
    report(&(1..=signers).collect::<Vec<_>>(), "3000.12", NOON)
}

/// The median time of each of two ways, taken in turns, so that what else the machine does slows both alike.
fn side_by_side(
    mut one: impl FnMut() -> Duration,
    mut other: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    const TURNS: usize = 501;
    let (mut ones, mut others): (Vec<_>, Vec<_>) = (0..TURNS).map(|_| (one(), other())).unzip();
    ones.sort_unstable();
    others.sort_unstable();
    (ones[TURNS / 2], others[TURNS / 2])
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

/// Prints what judging a new report takes, in units of recovering its signatures, and what both kinds allocate.
fn ratios() {
    for signers in [1, 3, 10, 67] {
        let report = signed_by(signers);
        let (message, digest) = (bytes(&report), report.digest());
        let (bare, new) = side_by_side(
            || timed(|| recover_all(&report, digest)),
            || {
                let mut judge = judge();
                let took = timed(|| judge.judge(black_box(&message), NOON).is_ok());
                assert_eq!(judge.recovered(), u64::from(signers));
                took
            },
        );
        let mut fresh = judge();
        let of_new = measure(|| drop(black_box(fresh.judge(&message, NOON))));
        let of_repeated = measure(|| drop(black_box(fresh.judge(&message, NOON))));
        let (_, repeated) = side_by_side(
            || Duration::ZERO,
            || timed(|| fresh.judge(black_box(&message), NOON).is_err()),
        );
        println!(
            "{signers} signatures: recovered in {bare:.1?}, a new report judged in {new:.1?} ({:.2} of that), a repeated one in \
             {repeated:.1?}; allocated {} times, {} bytes and {} times, {} bytes",
            new.div_duration_f64(bare),
            of_new.count_total,
            of_new.bytes_total,
            of_repeated.count_total,
            of_repeated.bytes_total
        );
    }
}

fn recover_all(report: &VerifiedReport, digest: Digest) {
    for signature in report.signatures().values() {
        black_box(signature.recover(black_box(digest)).ok());
    }
}

fn judging(criterion: &mut Criterion) {
    ratios();
    for signers in [1, 3, 67] {
        let report = signed_by(signers);
        let (message, digest) = (bytes(&report), report.digest());
        let mut group = criterion.benchmark_group(format!("{signers} signatures"));
        group.bench_function("recovered alone", |bench| {
            bench.iter(|| recover_all(&report, digest))
        });
        group.bench_function("judged, new", |bench| {
            bench.iter_batched_ref(
                judge,
                |judge| assert!(judge.judge(black_box(&message), NOON).is_ok()),
                BatchSize::SmallInput,
            );
        });
        let mut knowing = judge();
        assert!(knowing.judge(&message, NOON).is_ok());
        group.bench_function("judged, repeated", |bench| {
            bench.iter(|| {
                let answer = knowing.judge(black_box(&message), NOON);
                assert!(matches!(answer, Err(Finding::Duplicate)));
            });
        });
        group.finish();
    }
}

/// As many reports come as make the quorum, each with one signature more than the last: merging them all.
fn merging(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a quorum comes together");
    for quorum in [3, 10, 67, 128] {
        let alone: Vec<VerifiedReport> = (2..=quorum)
            .map(|other| report(&[1, other], "3000.12", NOON))
            .collect();
        group.bench_function(format!("of {quorum}"), |bench| {
            bench.iter_batched_ref(
                || signed_by(1),
                |first| {
                    for other in &alone {
                        first.merge(black_box(other));
                    }
                    assert_eq!(first.signatures().len(), usize::from(quorum));
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// What a node computes for the record of a network of so many nodes: each states a price, all co-sign the best-ranked one, and it
/// is written and announced. Printed for each message, which shows what grows with the network beyond the number of messages.
fn rounds_of_networks() {
    let mut first = None;
    for nodes in [3, 10, 67, 200] {
        let signed: Vec<VerifiedReport> = (1..=nodes).map(|node| report(&[node], "3000.12", NOON)).collect();
        // The others' signatures come one by one, on the observation that all rank first.
        let best = signed.iter().min_by_key(|report| {
            let observer = report.observation().observer();
            keccak256([&[0; 32], observer.as_bytes()])
        });
        let Some(best) = best else { continue };
        let cosigned: Vec<VerifiedReport> = (1..=nodes)
            .map(|node| best.clone().cosigned_by(&key(node)))
            .collect();
        let messages = signed.len() + cosigned.len();
        let mut took: Vec<Duration> = (0..21)
            .map(|_| {
                let mut rounds = ready(nodes);
                let (signed, cosigned) = (signed.clone(), cosigned.clone());
                timed(|| {
                    for report in signed {
                        black_box(rounds.on_report(report, at(10)));
                    }
                    let effects = rounds.on_tick(at(400));
                    for report in cosigned {
                        black_box(rounds.on_report(report, at(400)));
                    }
                    effects
                })
            })
            .collect();
        took.sort_unstable();
        let each = took[took.len() / 2] / u32::try_from(messages).unwrap_or(u32::MAX);
        let first = *first.get_or_insert(each);
        println!(
            "a round of {nodes} nodes: {each:.2?} a message, {messages} messages ({:.1} of that with 3 nodes)",
            each.div_duration_f64(first)
        );
    }
}

fn at(ms: u64) -> Now {
    Now {
        instant: quorate_protocol::Instant::after_start(Duration::from_millis(ms)),
        unix: UnixMillis::new(NOON.get() + ms),
    }
}

/// A node of so many, with a price of its own, before the first record.
fn ready(nodes: u8) -> Rounds {
    let committee = Committee {
        members: members((1..=nodes).chain([ME])),
        rule: QuorumRule::at_least(usize::from(nodes) * 2 / 3 + 1),
    };
    let settings = builders::settings(key(ME).address(), committee);
    let (mut rounds, _) = Rounds::start(settings, at(0));
    rounds.on_last_record(Ok(None), at(1));
    rounds.on_own_price(
        AgreedPrice {
            feed: feed(),
            evidence: evidence("3000.12", NOON),
            observed_at: NOON,
            observed: at(0).instant,
        },
        at(2),
    );
    rounds
}

fn networks(_: &mut Criterion) {
    rounds_of_networks();
}

criterion_group!(benches, judging, merging, networks);
criterion_main!(benches);
