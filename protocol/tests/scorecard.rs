//! Who had a part in a window, who had none and why, as a node hears it.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

use std::time::Duration;

use quorate_protocol::{
    Address, Committee, Digest, Heartbeat, Instant, Link, Members, QuorumRule, Signature, UnixMillis,
    VerifiedReport, cosign::Refusal, rounds::Note, scorecard::Scorecard,
};
use quorate_testkit::builders::{self, feed, key, report_for};

const WINDOW: Duration = Duration::from_secs(30);
const NOON: u64 = 1_763_820_000_000;
/// Since the start.
const ALL: Option<Duration> = None;
const MEMBERS: std::ops::RangeInclusive<u8> = 1..=4;

fn at(seconds: u64) -> Instant {
    Instant::after_start(Duration::from_secs(seconds))
}

fn unix(seconds: u64) -> UnixMillis {
    UnixMillis::new(NOON + seconds * 1000)
}

fn node(number: u8) -> Address {
    key(number).address()
}

/// What the node with the first key hears of a network of four, a record every 30 s, and the time that has passed.
struct Heard {
    scorecard: Scorecard,
    next: Link,
    seconds: u64,
}

impl Heard {
    /// From the first record on, in whose window it began to listen.
    fn new() -> Self {
        Self::of(builders::members(MEMBERS))
    }

    fn of(members: Members) -> Self {
        let rule = QuorumRule::at_least(3);
        let settings = builders::settings(node(1), Committee { members, rule });
        let mut heard = Self {
            scorecard: Scorecard::new(&settings, at(0)),
            next: Link::FIRST,
            seconds: 10,
        };
        heard.written(&heard.stated(1, "3000"));
        heard
    }

    /// What a node states for the next record.
    fn stated(&self, by: u8, price: &str) -> VerifiedReport {
        report_for(self.next, &[by], price, unix(self.seconds))
    }

    fn report(&mut self, report: &VerifiedReport) {
        let next = Some(self.next.sequence());
        self.scorecard.on_report(report, next, at(self.seconds));
    }

    fn note(&mut self, note: &Note) {
        self.scorecard.on_note(note, at(self.seconds));
    }

    /// These state 3000 for the next record, which the first of them observed and the first three sign; it is written a window after
    /// the last.
    fn record_by(&mut self, nodes: &[u8]) -> VerifiedReport {
        self.seconds += 29;
        for by in nodes {
            self.report(&self.stated(*by, "3000"));
        }
        let record = report_for(self.next, &nodes[..3], "3000", unix(self.seconds));
        self.report(&record);
        self.seconds += 1;
        self.written(&record);
        record
    }

    fn written(&mut self, record: &VerifiedReport) {
        let observation = record.observation();
        self.note(&Note::Written {
            sequence: observation.link().sequence(),
            digest: record.digest(),
            writer: observation.observer(),
            price: observation.price(),
            signatures: record.signatures().len(),
            age: Duration::ZERO,
            took: None,
            late: None,
        });
        self.next = builders::after(record);
    }

    fn refuses(&mut self, by: u8, report: &VerifiedReport, reason: &'static str) {
        self.note(&Note::RefusedElsewhere {
            digest: report.digest(),
            observer: report.observation().observer(),
            node: node(by),
            reason,
        });
    }

    fn beats(&mut self, by: u8, uptime_s: u64, last_observation: UnixMillis) {
        let heartbeat = Heartbeat {
            node: node(by),
            version: "0.1.0".to_owned(),
            feeds: vec![feed()],
            sent_at: unix(self.seconds),
            last_observation,
            last_record: Digest::new([0; 32]),
            uptime_s,
            signature: Signature::new([0; 65]),
        };
        self.scorecard.on_heartbeat(&heartbeat, at(self.seconds));
    }

    /// The windows of a node that were judged by now, and why it missed some.
    fn card(&mut self, number: u8) -> (u64, Vec<(&'static str, u64)>) {
        let heard = self.scorecard.heard(ALL, at(self.seconds));
        let counts = heard.nodes.get(&node(number)).copied().unwrap_or_default();
        let misses = counts.misses().map(|(miss, count)| (miss.label(), count));
        (counts.windows, misses.collect())
    }

    /// The same for half a window later, when nobody waits for late words any more.
    fn settled(&mut self, number: u8) -> (u64, Vec<(&'static str, u64)>) {
        self.seconds += 15;
        self.card(number)
    }
}

#[test]
fn who_stated_a_price_that_others_could_sign_had_its_part_whether_it_was_needed_or_not() {
    let mut heard = Heard::new();
    heard.record_by(&[1, 2, 3, 4]);
    heard.record_by(&[2, 3, 4, 1]);
    for number in MEMBERS {
        assert_eq!(
            heard.card(number),
            (1, vec![]),
            "the second is waited for: node {number}"
        );
    }
    heard.seconds += 15;
    for number in MEMBERS {
        assert_eq!(heard.card(number), (2, vec![]), "node {number}");
    }
}

#[test]
fn of_whom_nothing_is_heard_is_absent_and_who_gives_signs_of_life_is_late_or_has_no_price() {
    let mut heard = Heard::new();
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4), (1, vec![("absent", 1)]));
    // It lives, and had a price a second ago.
    heard.beats(4, 100, unix(heard.seconds - 1));
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4), (2, vec![("absent", 1), ("late", 1)]));
    // It has none for long.
    heard.beats(4, 200, UnixMillis::new(NOON - 600_000));
    heard.record_by(&[1, 2, 3]);
    assert_eq!(
        heard.settled(4),
        (3, vec![("absent", 1), ("no_price", 1), ("late", 1)])
    );
    // Its connection is gone, and with it the sign of life.
    heard.scorecard.on_peer_down(&node(4), at(heard.seconds));
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4).1[0], ("absent", 2));
    assert_eq!(heard.card(1), (4, vec![]));
}

#[test]
fn who_speaks_when_the_record_stands_is_late_but_not_who_is_among_its_signers() {
    let mut heard = Heard::new();
    heard.seconds += 29;
    let late = heard.stated(4, "3000");
    let record = report_for(heard.next, &[1, 2], "3000", unix(heard.seconds));
    let whole = report_for(heard.next, &[1, 2, 3], "3000", unix(heard.seconds));
    heard.report(&record);
    heard.seconds += 1;
    heard.written(&record);
    heard.report(&late);
    heard.report(&whole);
    assert_eq!(heard.settled(4), (1, vec![("late", 1)]));
    assert_eq!(heard.card(3), (1, vec![]));
}

#[test]
fn a_price_away_from_the_records_is_the_reason_whoever_says_so() {
    let mut heard = Heard::new();
    heard.seconds += 29;
    let off = heard.stated(4, "3300");
    heard.report(&off);
    heard.refuses(2, &off, "price_deviates");
    heard.seconds -= 29;
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4), (1, vec![("price_deviates", 1)]));

    // One that states nothing and refuses what the others sign.
    heard.seconds += 14;
    let theirs = heard.stated(1, "3000");
    heard.report(&theirs);
    heard.refuses(4, &theirs, "price_deviates");
    heard.seconds -= 29;
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4), (2, vec![("price_deviates", 2)]));
    // Whose price was refused by the one that is off has missed nothing.
    for number in 1..=3 {
        assert_eq!(heard.card(number).1, []);
    }
}

#[test]
fn a_node_that_sees_another_price_than_all_others_finds_the_fault_with_itself() {
    let mut heard = Heard::new();
    heard.seconds += 29;
    heard.report(&heard.stated(1, "3300"));
    for by in 2..=4 {
        let theirs = heard.stated(by, "3000");
        heard.report(&theirs);
        heard.note(&Note::Refused {
            digest: theirs.digest(),
            observer: node(by),
            refusal: Refusal::Deviates {
                ours: "3300".parse().unwrap(),
                theirs: "3000".parse().unwrap(),
                deviation_bps: 909,
                limit_bps: 50,
            },
        });
    }
    heard.seconds -= 29;
    heard.record_by(&[2, 3, 4]);
    assert_eq!(heard.settled(1), (1, vec![("price_deviates", 1)]));
    for number in 2..=4 {
        assert_eq!(heard.card(number), (1, vec![]));
    }
}

#[test]
fn another_history_an_old_price_and_a_clock_that_is_off_are_told_apart() {
    let mut heard = Heard::new();
    // Its statement follows another record.
    heard.seconds += 29;
    let link = Link::after(heard.next.sequence() - 1, Digest::new([9; 32]));
    heard.report(&report_for(link, &[4], "3000", unix(heard.seconds)));
    heard.seconds -= 29;
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4).1, [("other_history", 1)]);
    // It is still at a record that has long stood.
    heard.seconds += 10;
    heard.report(&report_for(Link::FIRST, &[4], "3000", unix(heard.seconds)));
    heard.seconds -= 25;
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4).1, [("other_history", 2)]);
    // Its price was too old for this node.
    heard.seconds += 14;
    let old = heard.stated(4, "3000");
    heard.report(&old);
    let (age, limit) = (Duration::from_secs(20), Duration::from_secs(15));
    heard.note(&Note::Refused {
        digest: old.digest(),
        observer: node(4),
        refusal: Refusal::Stale { age, limit },
    });
    heard.seconds -= 29;
    heard.record_by(&[1, 2, 3]);
    assert_eq!(heard.settled(4).1, [("stale", 1), ("other_history", 2)]);
    // What it says is ignored for its time.
    heard.scorecard.on_clock(node(4), at(heard.seconds));
    heard.record_by(&[1, 2, 3]);
    assert_eq!(
        heard.settled(4).1,
        [("stale", 1), ("clock_off", 1), ("other_history", 2)]
    );
}

#[test]
fn a_window_without_a_record_counts_too_and_of_two_halves_nobody_knows_which_is_wrong() {
    let mut heard = Heard::new();
    // Two of four are there: no quorum. The window opens after 30 s, and is missed after 60.
    for _ in 0..4 {
        heard.seconds += 20;
        let both = report_for(heard.next, &[1, 2], "3000", unix(heard.seconds));
        heard.report(&both);
        heard.report(&heard.stated(2, "3000"));
    }
    heard.seconds += 10;
    assert_eq!(heard.card(3), (2, vec![("absent", 2)]));
    assert_eq!(heard.card(1), (2, vec![]));

    let mut halves = Heard::new();
    for _ in 0..3 {
        halves.seconds += 20;
        for (by, price) in [(1, "3000"), (2, "3000"), (3, "3300"), (4, "3300")] {
            halves.report(&halves.stated(by, price));
        }
        for (pair, price) in [([1, 2], "3000"), ([3, 4], "3300")] {
            let both = report_for(halves.next, &pair, price, unix(halves.seconds));
            halves.report(&both);
        }
    }
    for number in MEMBERS {
        assert_eq!(halves.card(number), (1, vec![]));
    }
}

#[test]
fn what_this_node_could_not_hear_is_held_against_nobody() {
    let mut heard = Heard::new();
    heard.note(&Note::DatabaseLost {
        reason: "Connection refused".to_owned(),
        retry_in: WINDOW,
        was_there: true,
        since: Duration::ZERO,
    });
    heard.seconds += 60;
    assert_eq!(heard.card(2).0, 0, "without its database nobody could write");
    heard.note(&Note::DatabaseBack {
        outage: WINDOW * 2,
        was_there: true,
    });
    heard.seconds += 30;
    assert_eq!(heard.card(2), (1, vec![("absent", 1)]));
    // The process was stopped for an hour.
    heard.seconds += 3600;
    assert_eq!(heard.card(2).0, 1);
    heard.record_by(&[1, 2, 3, 4]);
    assert_eq!(
        heard.settled(2).0,
        1,
        "the window in which it woke up is no whole one"
    );
    heard.seconds -= 15;
    heard.record_by(&[1, 2, 3, 4]);
    assert_eq!(heard.settled(2).0, 2);
}

#[test]
fn a_start_that_is_later_than_the_last_one_is_a_restart_and_a_heartbeat_told_twice_is_none() {
    let mut heard = Heard::new();
    let beats = |heard: &mut Heard, seconds, uptime_s| {
        heard.seconds = seconds;
        heard.beats(2, uptime_s, unix(seconds));
        heard
            .scorecard
            .heard(ALL, at(seconds))
            .nodes
            .get(&node(2))
            .map_or(0, |counts| counts.restarts)
    };
    assert_eq!(beats(&mut heard, 100, 90), 0, "nothing is known of before");
    assert_eq!(beats(&mut heard, 200, 190), 0);
    assert_eq!(beats(&mut heard, 260, 3), 1);
    assert_eq!(beats(&mut heard, 295, 39), 1, "whole seconds are not exact");
    assert_eq!(beats(&mut heard, 230, 220), 1, "an old one that comes late");
    // It started twice in between, and is up for longer than when it was last heard.
    assert_eq!(beats(&mut heard, 500, 60), 2);
}

#[test]
fn in_an_open_network_those_count_who_were_heard_of_lately() {
    let mut heard = Heard::of(Members::Open);
    heard.record_by(&[1, 2, 3]);
    heard.record_by(&[1, 2, 4]);
    assert_eq!(
        heard.settled(3),
        (2, vec![("absent", 1)]),
        "it was there a window ago"
    );
    heard.seconds -= 15;
    for _ in 0..4 {
        heard.record_by(&[1, 2, 4]);
    }
    assert!(heard.settled(3).0 <= 4, "it is gone, and not missed for ever");
    assert_eq!(heard.card(4).1, []);
}
