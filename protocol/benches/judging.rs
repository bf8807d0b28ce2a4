//! What judging costs, beside the recovery of its signatures that no judge can do without; and how merging and ranking grow with the
//! quorum. `cargo bench -p quorate-protocol`; what each allocates is printed first.

use std::{collections::BTreeSet, hint::black_box, time::Duration};

use allocation_counter::measure;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use quorate_protocol::{
    Message, UnixMillis, VerifiedReport,
    judge::{Finding, Judge, JudgeConfig},
};
use quorate_testkit::builders::{feed, key, network, open, report};

const WINDOW: Duration = Duration::from_secs(30);
const NOON: UnixMillis = UnixMillis::new(1_763_985_600_000);
/// The node that judges, and signs nothing here.
const ME: u8 = 200;

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

fn judging(criterion: &mut Criterion) {
    for signers in [1, 3, 67] {
        let report = signed_by(signers);
        let (message, digest) = (bytes(&report), report.digest());
        let mut group = criterion.benchmark_group(format!("{signers} signatures"));
        let signatures: Vec<_> = report.signatures().values().copied().collect();
        group.bench_function("recovered alone", |bench| {
            bench.iter(|| {
                for signature in &signatures {
                    black_box(signature.recover(black_box(digest)).ok());
                }
            });
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
        let mut fresh = judge();
        let new = measure(|| drop(black_box(fresh.judge(&message, NOON))));
        let repeated = measure(|| drop(black_box(knowing.judge(&message, NOON))));
        println!(
            "{signers} signatures: a new report allocates {} times, {} bytes; a repeated one {} times, {} bytes",
            new.count_total, new.bytes_total, repeated.count_total, repeated.bytes_total
        );
    }
}

/// As many reports come as make the quorum, each with one signature more than the last: merging them all.
fn merging(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a quorum comes together");
    for quorum in [3, 17, 67] {
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

criterion_group!(benches, judging, merging);
criterion_main!(benches);
