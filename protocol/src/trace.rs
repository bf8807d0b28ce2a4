//! What happened in the last rounds of a feed: who stated what when, who signed or refused and why, when it was quorate, who wrote, and
//! why a window passed without a record. It only listens, to reports and notes, and decides nothing.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

use crate::{
    address::Address, digest::Digest, price::Price, report::VerifiedReport, rounds::Note, time::UnixMillis,
};

/// Rounds of a feed that are kept, at most: 50 minutes with a window of 30 s.
pub const KEPT_ROUNDS: usize = 100;
/// Rounds of all feeds that are kept: some 3 kB each among five nodes.
const ROUNDS_OF_ALL_FEEDS: usize = 1600;
/// Statements of one round that are kept, those that were heard first. The best-ranked of a large network are among them.
const MAX_STATEMENTS: usize = 32;
/// Refusals of one statement that are kept: a large network says the same many times.
const MAX_REFUSALS: usize = 32;

/// The work on one record, as this node saw it. All times by its calendar, in Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoundTrace {
    /// The number of the record.
    pub sequence: u64,
    /// When its first statement was heard.
    pub began_at: Option<UnixMillis>,
    /// In the order in which they were heard.
    pub statements: Vec<Statement>,
    /// The first certificate.
    pub quorum: Option<QuorumReached>,
    /// What was written.
    pub record: Option<RecordSeen>,
    /// Write windows that passed without it.
    pub missed_windows: u64,
    /// Why they did, in one sentence.
    pub reason: Option<String>,
    #[serde(skip)]
    troubles: Troubles,
}

/// One node's price for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// What was signed.
    pub digest: Digest,
    /// Who states it.
    pub observer: Address,
    /// The price.
    pub price: Price,
    /// When it was observed, by the observer's clock.
    pub observed_at: UnixMillis,
    /// When this node first had it.
    pub heard_at: UnixMillis,
    /// Who signed, and when this node knew.
    pub signers: Vec<Signed>,
    /// Who did not, and why.
    pub refusals: Vec<RefusedBy>,
}

/// A signature under a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signed {
    /// Whose.
    pub node: Address,
    /// When this node knew of it.
    pub at: UnixMillis,
}

/// A refusal of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedBy {
    /// Who refused.
    pub node: Address,
    /// The reason's name.
    pub reason: &'static str,
    /// Whether it only lacks what it would judge by, and may sign as soon as it has it.
    pub abstains: bool,
}

/// A statement became a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuorumReached {
    /// Which.
    pub digest: Digest,
    /// When this node had it.
    pub at: UnixMillis,
    /// Its signatures then.
    pub signatures: usize,
    /// Signatures that make a quorum.
    pub required: usize,
}

/// The record, as it was heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordSeen {
    /// Which.
    pub digest: Digest,
    /// Who wrote it.
    pub writer: Address,
    /// Its price.
    pub price: Price,
    /// Its signatures.
    pub signatures: usize,
    /// When this node heard.
    pub at: UnixMillis,
    /// How long after its window had opened; `None` if this node did not know that.
    pub late_ms: Option<u64>,
}

/// What stood in the way, the latest of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Troubles {
    database: Option<String>,
    write_refused: Option<String>,
    certificate_refused: Option<String>,
    withheld: Option<String>,
    /// Signatures, those required, and nodes alive.
    waiting: Option<(usize, usize, usize)>,
}

/// The last rounds of one feed on one node.
#[derive(Debug)]
pub struct Trace {
    me: Address,
    write_interval: Duration,
    /// How many rounds are kept.
    kept: usize,
    /// In the order of their numbers.
    rounds: VecDeque<RoundTrace>,
    last_written: Option<UnixMillis>,
    /// While it does not answer.
    database: Option<String>,
}

impl Trace {
    /// Nothing has happened yet. The more `feeds` a node has, the fewer rounds of each it keeps.
    pub fn new(me: Address, write_interval: Duration, feeds: usize) -> Self {
        let kept = ROUNDS_OF_ALL_FEEDS / feeds.max(1);
        Self {
            me,
            write_interval,
            kept: kept.min(KEPT_ROUNDS),
            rounds: VecDeque::new(),
            last_written: None,
            database: None,
        }
    }

    /// The state machine that notes what happens begins anew: if the database is still away, it will say so.
    pub fn on_restart(&mut self) {
        self.database = None;
    }

    /// A report came in, while `next` was the number of the next record. What is settled or far ahead is left out: anybody can make up
    /// a number.
    pub fn on_report(&mut self, report: &VerifiedReport, next: Option<u64>, now: UnixMillis) {
        let observation = report.observation();
        let sequence = observation.link().sequence();
        if next.is_none_or(|next| sequence != next && Some(sequence) != next.checked_add(1)) {
            return;
        }
        let round = self.round(sequence);
        round.began_at.get_or_insert(now);
        let digest = report.digest();
        let is_known = round.statements.iter().any(|known| known.digest == digest);
        if !is_known && round.statements.len() < MAX_STATEMENTS {
            round.statements.push(Statement {
                digest,
                observer: observation.observer(),
                price: observation.price(),
                observed_at: observation.observed_at(),
                heard_at: now,
                signers: vec![],
                refusals: vec![],
            });
        }
        if let Some(statement) = round.statements.iter_mut().find(|known| known.digest == digest) {
            for node in report.signatures().keys() {
                statement.signed(*node, now);
            }
        }
    }

    /// Something was noted, while `next` was the number of the next record.
    pub fn on_note(&mut self, note: &Note, next: Option<u64>, now: UnixMillis) {
        match note {
            Note::CoSigned { digest, .. } => {
                let me = self.me;
                if let Some((round, index)) = self.statement(*digest) {
                    round.statements[index].signed(me, now);
                }
            }
            Note::Refused { digest, refusal, .. } => {
                self.refused(
                    *digest,
                    RefusedBy {
                        node: self.me,
                        reason: refusal.label(),
                        abstains: refusal.is_abstention(),
                    },
                );
            }
            Note::RefusedElsewhere {
                digest, node, reason, ..
            } => self.refused(
                *digest,
                RefusedBy {
                    // Who abstains does not say so.
                    node: *node,
                    reason,
                    abstains: false,
                },
            ),
            Note::Quorum {
                digest,
                signatures,
                required,
                ..
            } => {
                let reached = QuorumReached {
                    digest: *digest,
                    at: now,
                    signatures: *signatures,
                    required: *required,
                };
                if let Some((round, _)) = self.statement(*digest) {
                    round.quorum.get_or_insert(reached);
                }
            }
            Note::Written {
                sequence,
                digest,
                writer,
                price,
                signatures,
                late,
                ..
            } => {
                let seen = RecordSeen {
                    digest: *digest,
                    writer: *writer,
                    price: *price,
                    signatures: *signatures,
                    at: now,
                    late_ms: late.map(|late| u64::try_from(late.as_millis()).unwrap_or(u64::MAX)),
                };
                self.written(*sequence, seen, *late);
            }
            Note::DatabaseLost { reason, .. } => {
                self.database = Some(reason.clone());
                self.trouble(next, |troubles| troubles.database = Some(reason.clone()));
            }
            Note::DatabaseBack { .. } => self.database = None,
            Note::WriteRefused { reason, .. } => {
                self.trouble(next, |troubles| troubles.write_refused = Some(reason.clone()));
            }
            Note::CertificateRefused { price, refusal, .. } => {
                let words = format!("a quorum signed {price}, and this node would not: {refusal}");
                self.trouble(next, |troubles| troubles.certificate_refused = Some(words));
            }
            Note::Withheld { reason } => {
                self.trouble(next, |troubles| troubles.withheld = Some(reason.to_string()));
            }
            Note::Waiting {
                signatures,
                required,
                live,
                ..
            } => {
                let waiting = Some((*signatures, *required, *live));
                self.trouble(next, |troubles| troubles.waiting = waiting);
            }
            _ => {}
        }
    }

    /// The rounds, the newest first: the one under way, and those before it.
    pub fn rounds(&self, next: Option<u64>, now: UnixMillis) -> Vec<RoundTrace> {
        let mut rounds: Vec<RoundTrace> = self.rounds.iter().rev().cloned().collect();
        let Some(next) = next else { return rounds };
        // One that is heard of before the news of the record before it is not under way yet.
        rounds.retain(|round| round.sequence <= next);
        if rounds.first().is_none_or(|newest| newest.sequence < next) {
            rounds.insert(0, RoundTrace::new(next));
        }
        if let Some(open) = rounds.first_mut().filter(|round| round.record.is_none()) {
            let opened = self.last_written.map(|last| now.since(last));
            let late = opened.and_then(|since| since.checked_sub(self.write_interval));
            open.missed_windows = late.map_or(0, |late| self.windows(late));
            if open.missed_windows > 0 {
                open.troubles.database = self.database.clone();
                open.reason = Some(open.why());
            }
        }
        rounds
    }

    fn windows(&self, late: Duration) -> u64 {
        let windows = late.as_millis() / self.write_interval.as_millis().max(1);
        u64::try_from(windows).unwrap_or(u64::MAX)
    }

    /// The round with this number.
    fn round(&mut self, sequence: u64) -> &mut RoundTrace {
        let index = match self
            .rounds
            .binary_search_by_key(&sequence, |round| round.sequence)
        {
            Ok(index) => index,
            Err(index) => {
                self.rounds.insert(index, RoundTrace::new(sequence));
                let is_full = self.rounds.len() > self.kept;
                if is_full {
                    self.rounds.pop_front();
                }
                index.saturating_sub(is_full.into())
            }
        };
        &mut self.rounds[index]
    }

    fn statement(&mut self, digest: Digest) -> Option<(&mut RoundTrace, usize)> {
        self.rounds.iter_mut().rev().find_map(|round| {
            let index = round.statements.iter().position(|known| known.digest == digest)?;
            Some((round, index))
        })
    }

    fn refused(&mut self, digest: Digest, refused: RefusedBy) {
        let Some((round, index)) = self.statement(digest) else {
            return;
        };
        let refusals = &mut round.statements[index].refusals;
        if let Some(known) = refusals.iter_mut().find(|known| known.node == refused.node) {
            *known = refused;
        } else if refusals.len() < MAX_REFUSALS {
            refusals.push(refused);
        }
    }

    fn trouble(&mut self, next: Option<u64>, take: impl FnOnce(&mut Troubles)) {
        if let Some(next) = next {
            take(&mut self.round(next).troubles);
        }
    }

    fn written(&mut self, sequence: u64, seen: RecordSeen, late: Option<Duration>) {
        // After a failover the history goes on from an earlier record: what came after it is another history's.
        self.rounds
            .retain(|round| round.sequence <= sequence.saturating_add(1));
        self.last_written = Some(seen.at);
        let missed = late.map_or(0, |late| self.windows(late));
        let round = self.round(sequence);
        round.missed_windows = missed;
        round.reason = (missed > 0).then(|| round.why());
        round.record = Some(seen);
    }
}

impl Statement {
    fn signed(&mut self, node: Address, at: UnixMillis) {
        if self.signers.iter().all(|signed| signed.node != node) {
            self.signers.push(Signed { node, at });
            // It had no price to compare with, and then it had.
            self.refusals.retain(|refused| refused.node != node);
        }
    }
}

impl RoundTrace {
    fn new(sequence: u64) -> Self {
        Self {
            sequence,
            began_at: None,
            statements: vec![],
            quorum: None,
            record: None,
            missed_windows: 0,
            reason: None,
            troubles: Troubles::default(),
        }
    }

    /// Why a window passed without this record: what weighs most of all that stood in the way.
    fn why(&self) -> String {
        let troubles = &self.troubles;
        if let Some(reason) = &troubles.database {
            return format!("the database did not answer: {reason}");
        }
        if let Some(reason) = &troubles.write_refused {
            return format!("the database refused the certificate: {reason}");
        }
        if let Some(words) = &troubles.certificate_refused {
            return words.clone();
        }
        if let Some(quorum) = &self.quorum {
            let QuorumReached { signatures, .. } = quorum;
            return format!(
                "a certificate with {signatures} signatures was there, and nobody had written it"
            );
        }
        let Some(best) = self
            .statements
            .iter()
            .max_by_key(|statement| statement.signers.len())
        else {
            return match &troubles.withheld {
                Some(reason) => format!("nobody stated a price; this node withheld its own: {reason}"),
                None => "nobody stated a price".to_owned(),
            };
        };
        let signatures = best.signers.len();
        let so_far = match troubles.waiting {
            Some((_, required, live)) if live < required => {
                return format!("{signatures} of {required} signatures: only {live} nodes were heard of");
            }
            Some((_, required, _)) => format!("{signatures} of {required} signatures"),
            None => format!("{signatures} signatures, which were not enough"),
        };
        match self.commonest_refusal() {
            Some((reason, 1)) => format!("{so_far}: one refusal, {reason}"),
            Some((reason, times)) => format!("{so_far}: {reason} was the reason of {times} refusals"),
            None => format!("{so_far}: the others did not sign, and did not say why"),
        }
    }

    fn commonest_refusal(&self) -> Option<(&'static str, usize)> {
        let mut reasons: BTreeMap<&'static str, usize> = BTreeMap::new();
        for refused in self.statements.iter().flat_map(|statement| &statement.refusals) {
            *reasons.entry(refused.reason).or_default() += 1;
        }
        reasons.into_iter().max_by_key(|(_, times)| *times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        evidence::{Evidence, Quote},
        link::Link,
        names::{Feed, Network},
        observation::Observation,
        signing::NodeKey,
    };

    const WINDOW: Duration = Duration::from_secs(30);

    fn key(byte: u8) -> NodeKey {
        NodeKey::from_bytes([byte; 32]).unwrap()
    }

    fn at(millis: u64) -> UnixMillis {
        UnixMillis::new(1_700_000_000_000 + millis)
    }

    /// The first record's place, or one behind a made-up record.
    fn report(sequence: u64, by: u8) -> VerifiedReport {
        let link = match sequence {
            1 => Link::FIRST,
            _ => Link::new(sequence, Digest::new([7; 32])).unwrap(),
        };
        let quote = Quote {
            source: "kraken".parse().unwrap(),
            price: "3000.5".parse().unwrap(),
            at: at(0),
        };
        let observation = Observation::new(
            "ETH/USD".parse::<Feed>().unwrap(),
            link,
            at(0),
            key(by).address(),
            Evidence::new(vec![quote]).unwrap(),
        );
        let network: Network = "local".parse().unwrap();
        VerifiedReport::sign_own(observation, &network, &key(by)).unwrap()
    }

    fn trace() -> Trace {
        Trace::new(key(1).address(), WINDOW, 1)
    }

    fn written(sequence: u64, late: Duration) -> Note {
        let report = report(sequence, 2);
        Note::Written {
            sequence,
            digest: report.digest(),
            writer: key(2).address(),
            price: report.observation().price(),
            signatures: 3,
            age: Duration::from_secs(1),
            took: None,
            late: Some(late),
        }
    }

    #[test]
    fn a_round_tells_who_stated_signed_and_wrote_and_when() {
        let mut trace = trace();
        let stated = report(1, 2);
        trace.on_report(&stated, Some(1), at(100));
        trace.on_report(&stated.clone().cosigned_by(&key(3)), Some(1), at(180));
        let quorum = Note::Quorum {
            digest: stated.digest(),
            price: stated.observation().price(),
            signatures: 2,
            required: 2,
            took: Duration::from_millis(80),
        };
        trace.on_note(&quorum, Some(1), at(180));
        trace.on_note(&written(1, Duration::from_millis(20)), Some(2), at(900));

        let rounds = trace.rounds(Some(2), at(1000));
        assert_eq!(
            rounds.iter().map(|round| round.sequence).collect::<Vec<_>>(),
            [2, 1]
        );
        let round = &rounds[1];
        assert_eq!(round.began_at, Some(at(100)));
        let signed = |by, millis| Signed {
            node: key(by).address(),
            at: at(millis),
        };
        assert_eq!(round.statements[0].signers, [signed(2, 100), signed(3, 180)]);
        assert_eq!(round.quorum.as_ref().map(|quorum| quorum.at), Some(at(180)));
        let record = round.record.as_ref().unwrap();
        assert_eq!((record.writer, record.late_ms), (key(2).address(), Some(20)));
        assert_eq!((round.missed_windows, round.reason.as_ref()), (0, None));
    }

    #[test]
    fn a_window_without_a_record_has_its_reason() {
        let mut trace = trace();
        trace.on_note(&written(1, Duration::ZERO), Some(2), at(0));
        let reason = |trace: &Trace, millis| trace.rounds(Some(2), at(millis))[0].reason.clone();
        assert_eq!(reason(&trace, 59_999), None, "its window is still open");
        assert_eq!(reason(&trace, 60_000).unwrap(), "nobody stated a price");

        let stated = report(2, 2);
        trace.on_report(&stated, Some(2), at(30_000));
        let waiting = |live| Note::Waiting {
            signatures: 1,
            required: 3,
            live,
            validators_missing: 0,
            missing: vec![],
            is_early: false,
        };
        trace.on_note(&waiting(2), Some(2), at(31_000));
        assert_eq!(
            reason(&trace, 60_000).unwrap(),
            "1 of 3 signatures: only 2 nodes were heard of"
        );

        trace.on_note(&waiting(3), Some(2), at(31_000));
        let refused = Note::RefusedElsewhere {
            digest: stated.digest(),
            observer: key(2).address(),
            node: key(3).address(),
            reason: "price_deviates",
        };
        trace.on_note(&refused, Some(2), at(32_000));
        assert_eq!(
            reason(&trace, 60_000).unwrap(),
            "1 of 3 signatures: one refusal, price_deviates"
        );

        let lost = Note::DatabaseLost {
            reason: "Connection refused".to_owned(),
            retry_in: Duration::from_secs(1),
            was_there: true,
            since: Duration::ZERO,
        };
        trace.on_note(&lost, Some(2), at(33_000));
        let gone = "the database did not answer: Connection refused";
        assert_eq!(reason(&trace, 60_000).unwrap(), gone);
        // A window later nobody has said that it is back, but who would know has been restarted.
        trace.on_restart();
        trace.on_note(&written(2, Duration::from_secs(61)), Some(3), at(91_000));
        assert_eq!(
            trace.rounds(Some(3), at(200_000))[0].reason.as_deref(),
            Some("nobody stated a price")
        );
        let round = &trace.rounds(Some(3), at(91_000))[1];
        assert_eq!((round.missed_windows, round.reason.as_deref()), (2, Some(gone)));
    }

    #[test]
    fn what_is_settled_or_made_up_makes_no_round_and_the_oldest_give_way() {
        let mut trace = trace();
        trace.on_report(&report(1, 2), Some(2), at(0));
        trace.on_report(&report(9, 2), Some(2), at(0));
        trace.on_report(&report(3, 2), None, at(0));
        assert_eq!(trace.rounds(None, at(0)), []);
        for sequence in 1..=150 {
            trace.on_note(
                &written(sequence, Duration::ZERO),
                Some(sequence + 1),
                at(sequence),
            );
        }
        let rounds = trace.rounds(Some(151), at(150));
        assert_eq!(rounds.len(), KEPT_ROUNDS + 1, "and the one under way");
        assert_eq!(rounds.last().map(|round| round.sequence), Some(51));

        let mut of_many = Trace::new(key(1).address(), WINDOW, 100);
        for sequence in 1..=150 {
            let next = Some(sequence + 1);
            of_many.on_note(&written(sequence, Duration::ZERO), next, at(sequence));
        }
        assert_eq!(
            of_many.rounds(Some(151), at(150)).len(),
            16 + 1,
            "fewer of each of many feeds"
        );
    }
}
