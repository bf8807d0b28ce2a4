//! Single rules of the rounds that whole networks do not reach.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the verdict")]

mod cosigning;
mod history;
mod quorum;
mod stating;
mod telling;
mod writing;

use std::{collections::BTreeMap, time::Duration};

use quorate_protocol::{
    Address, AgreedPrice, Certificate, Committee, Digest, Evidence, Fraction, Instant, LastRecord, Link,
    Members, Message, NodeKey, ProvenEquivocation, QuorumRule, RefusalNotice, UnixMillis, VerifiedReport,
    WriteOutcome, keccak256,
    rounds::{
        Effect, FetchRequest, Missing, NodeStatus, Note, Now, Rounds, Settings, SignRequest, StoreRequest,
        Timing,
    },
};
use quorate_testkit::builders::{self, certify, evidence, feed, key, observation, sign};
const WINDOW: Duration = Duration::from_secs(30);
const NOON: u64 = 1_763_820_000_000;

fn at(ms: u64) -> Now {
    Now {
        instant: Instant::after_start(Duration::from_millis(ms)),
        unix: UnixMillis::new(NOON + ms),
    }
}

fn timing() -> Timing {
    Timing::for_interval(WINDOW)
}

fn rule(min_signatures: usize) -> QuorumRule {
    QuorumRule::at_least(min_signatures)
}

fn members() -> Members {
    builders::members(1..=9)
}

/// What the database says of a last record that nobody here has seen: its number is also that of its digest.
fn last_record(digest: u8, age: Duration) -> LastRecord {
    LastRecord {
        sequence: digest.into(),
        previous: Digest::new([digest - 1; 32]),
        digest: Digest::new([digest; 32]),
        age,
        price: "3000".parse().unwrap(),
        observed_at: UnixMillis::new(NOON),
        written_by: key(2).address(),
        signatures: 3,
    }
}

fn settings(quorum: QuorumRule) -> Settings {
    let members = members();
    let committee = Committee {
        members,
        rule: quorum,
    };
    builders::settings(key(1).address(), committee)
}

/// For the feed's first record.
fn report(signers: &[u8], ms: u64) -> VerifiedReport {
    builders::report(signers, "3000", at(ms).unix)
}

/// For the one that follows the record of which the database says this.
fn report_after(last: &LastRecord, signers: &[u8], ms: u64) -> VerifiedReport {
    report_for(Link::after(last.sequence, last.digest), signers, ms)
}

fn report_for(link: Link, signers: &[u8], ms: u64) -> VerifiedReport {
    builders::report_for(link, signers, "3000", at(ms).unix)
}

/// What the database says of this certificate when it is its last record.
fn as_last(record: &Certificate, age: Duration) -> LastRecord {
    let link = record.report().observation().link();
    LastRecord {
        sequence: link.sequence(),
        previous: link.previous(),
        digest: record.digest(),
        ..last_record(1, age)
    }
}

fn agreed(ms: u64) -> AgreedPrice {
    agreed_on("3000", ms)
}

fn agreed_on(price: &str, ms: u64) -> AgreedPrice {
    let Now { instant, unix } = at(ms);
    AgreedPrice {
        feed: feed(),
        evidence: evidence(price, unix),
        observed_at: unix,
        observed: instant,
    }
}

fn certificate(signers: &[u8], ms: u64) -> Certificate {
    certify(&report(signers, ms))
}

/// A machine that has heard from an empty database.
fn ready(quorum: QuorumRule) -> Rounds {
    let (mut machine, effects) = Rounds::start(settings(quorum), at(0));
    assert_eq!(effects, [asks_last_record()]);
    machine.on_last_record(Ok(None), at(1));
    machine
}

fn asks_last_record() -> Effect {
    Effect::Store(StoreRequest::LastRecord(feed()))
}

fn has_write(effects: &[Effect]) -> bool {
    write_in(effects).is_some()
}

fn asks_to_cosign(effects: &[Effect]) -> bool {
    let is_request = |effect: &Effect| matches!(effect, Effect::Sign(SignRequest::CoSign(_)));
    effects.iter().any(is_request)
}

fn write_in(effects: &[Effect]) -> Option<Digest> {
    effects.iter().find_map(|effect| match effect {
        Effect::Store(StoreRequest::Write(certificate)) => Some(certificate.digest()),
        _ => None,
    })
}

/// Lets time pass until a write is asked for, and returns when.
fn next_write(machine: &mut Rounds, now: u64, until: u64) -> Option<(u64, Digest)> {
    (now..=until).find_map(|now| Some((now, write_in(&machine.on_tick(at(now)))?)))
}

/// Hears of a report, and lets time pass until a write is asked for.
fn write_after(machine: &mut Rounds, report: VerifiedReport, now: u64, until: u64) -> Option<(u64, Digest)> {
    let at_once = write_in(&machine.on_report(report, at(now)));
    match at_once {
        Some(digest) => Some((now, digest)),
        None => next_write(machine, now, until),
    }
}

/// A machine of an open network, or of members, that has this price of its own, or none.
fn with_price(members: Members, price: Option<&str>) -> Rounds {
    let mut settings = settings(rule(3));
    settings.committee.members = members;
    let (mut machine, _) = Rounds::start(settings, at(0));
    machine.on_last_record(Ok(None), at(1));
    if let Some(price) = price {
        machine.on_own_price(agreed_on(price, 1000), at(1000));
    }
    machine
}

/// When it states a price, among these moments in ms at which it has a new one, and the price's own moment.
fn stated(machine: &mut Rounds, prices: &[u64], until: u64) -> Vec<(u64, u64)> {
    let mut stated = vec![];
    for ms in prices[0]..until {
        let effects = match prices.contains(&ms) {
            true => machine.on_own_price(agreed(ms), at(ms)),
            false => machine.on_tick(at(ms)),
        };
        for effect in effects {
            if let Effect::Sign(SignRequest::State { price, .. }) = effect {
                stated.push((ms, price.observed_at.get() - NOON));
            }
        }
    }
    stated
}

fn with_two_peers(mut machine: Rounds, ms: u64) -> Rounds {
    for peer in [2, 3] {
        machine.on_peer_up(key(peer).address(), at(ms));
    }
    machine
}

/// A machine that knows a record of 3000, written at the start, with two peers, and what it does about a price of that many
/// sources at that moment.
fn after_a_record(price: &str, sources: &[&str], ms: u64) -> (Rounds, Vec<Effect>) {
    after_a_record_at(price, sources, 2, ms)
}

/// The same with a record of that moment.
fn after_a_record_at(price: &str, sources: &[&str], written: u64, ms: u64) -> (Rounds, Vec<Effect>) {
    let mut machine = with_two_peers(ready(rule(3)), 1);
    machine.on_last_record(Ok(Some(last_record(7, Duration::ZERO))), at(written));
    let mut machine = with_two_peers(machine, ms);
    let effects = machine.on_own_price(agreed_by(price, sources, ms), at(ms));
    (machine, effects)
}

/// The place of the next record after the one with the number 7 that nobody here has seen.
fn behind_7() -> Link {
    Link::after(7, Digest::new([7; 32]))
}

fn agreed_by(price: &str, sources: &[&str], ms: u64) -> AgreedPrice {
    let quotes = sources
        .iter()
        .map(|source| builders::quote(source, price, at(ms).unix));
    AgreedPrice {
        evidence: Evidence::new(quotes.collect()).unwrap(),
        ..agreed(ms)
    }
}

fn states(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Sign(SignRequest::State { .. })))
}
