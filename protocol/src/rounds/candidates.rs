//! The reports of the running round: each observation with the signatures that are known, until one is a certificate.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Settings,
    effect::{Note, Outbox},
    own_price::OwnPrice,
    turns,
};
use crate::{
    address::Address,
    digest::Digest,
    evidence::AgreedPrice,
    link::Link,
    price::Price,
    report::{Certificate, VerifiedReport},
    time::{Instant, UnixMillis},
};

/// Candidates kept: one for each live observer and its certificates. Beyond it the oldest gives way.
const MAX_CANDIDATES: usize = 256;

/// One observation that may become the next record.
#[derive(Debug)]
pub(super) struct Candidate {
    report: VerifiedReport,
    /// Its place among those for the same record, hashed once: it is looked at with every message.
    rank: Digest,
    first_seen: Instant,
    certified: Option<Certified>,
    /// Whether it has a quorum and this node would not sign it, and that was noted.
    is_unacceptable: bool,
}

/// What a candidate becomes with a quorum. Later signatures are not added to it.
#[derive(Debug)]
pub(super) struct Certified {
    certificate: Certificate,
    backing: Backing,
    at: Instant,
}

/// On whose word a node takes a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Backing {
    /// The members': this node has no fresh price to compare with.
    Others,
    /// This node's: it has signed it, or its own price would let it.
    Own,
    /// The database's: it was the last record, and the database has lost it. Nothing competes with it.
    Record,
}

impl Candidate {
    fn new(report: VerifiedReport, certified: Option<Certified>, now: Instant) -> Self {
        let observation = report.observation();
        Self {
            rank: turns::rank_of_observation(observation.link().previous(), observation.observer()),
            report,
            first_seen: now,
            certified,
            is_unacceptable: false,
        }
    }

    /// The lowest is tried first.
    pub(super) fn rank(&self) -> Digest {
        self.rank
    }

    pub(super) fn report(&self) -> &VerifiedReport {
        &self.report
    }

    pub(super) fn observer(&self) -> Address {
        self.report.observation().observer()
    }

    /// The place that it was stated for.
    pub(super) fn link(&self) -> Link {
        self.report.observation().link()
    }

    pub(super) fn observed_at(&self) -> UnixMillis {
        self.report.observation().observed_at()
    }

    /// When this node first heard of the observation.
    pub(super) fn first_seen(&self) -> Instant {
        self.first_seen
    }

    pub(super) fn certified(&self) -> Option<&Certified> {
        self.certified.as_ref()
    }

    fn is_record(&self) -> bool {
        self.certified()
            .is_some_and(|certified| certified.backing == Backing::Record)
    }
}

impl Certified {
    pub(super) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    pub(super) fn backing(&self) -> Backing {
        self.backing
    }

    /// When it became one here.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    pub(super) fn observed_at(&self) -> UnixMillis {
        self.certificate.report().observation().observed_at()
    }

    /// Whether it has waited for so long that those who stated a price then may state another, which should take its place. A record that
    /// the database has lost stays what it was.
    pub(super) fn is_old(&self, settings: &Settings, now: Instant) -> bool {
        self.backing != Backing::Record && now.since(self.at) >= settings.one_window()
    }
}

/// The observations of the running round, and those that are stated for other places in the history than this node knows: at
/// most one of each observer besides certificates.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_digest: BTreeMap<Digest, Candidate>,
    /// What each observer stated last, for which place, and when that was first seen; also if the observation itself gave way to another's
    /// certificate.
    stated: BTreeMap<Address, Statement>,
    /// Nothing here was first seen before: with most messages there is nothing to forget.
    oldest: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Statement {
    link: Link,
    price: Price,
    seen: Instant,
}

impl Candidates {
    pub(super) fn len(&self) -> usize {
        self.by_digest.len()
    }

    pub(super) fn get(&self, digest: &Digest) -> Option<&Candidate> {
        self.by_digest.get(digest)
    }

    /// Those for the next record that are no certificates yet.
    pub(super) fn open(&self, next: Link) -> impl Iterator<Item = (Digest, &Candidate)> {
        let all = self.by_digest.iter();
        let open = all.filter(move |(_, c)| c.certified.is_none() && c.link() == next);
        open.map(|(digest, candidate)| (*digest, candidate))
    }

    /// Those of the open ones that are worth signatures: all, or, while a certificate waits, those that were observed clearly later.
    pub(super) fn contenders(
        &self,
        next: Link,
        settings: &Settings,
    ) -> impl Iterator<Item = (Digest, &Candidate)> {
        let later = u64::try_from(settings.one_window().as_millis()).unwrap_or(u64::MAX);
        let best = self.best(next);
        let not_before = best.map_or(0, |best| best.observed_at().get().saturating_add(later));
        self.open(next)
            .filter(move |(_, candidate)| candidate.observed_at().get() >= not_before)
    }

    /// Those that are stated for another place than the next record's.
    pub(super) fn strays(&self, next: Link) -> impl Iterator<Item = (Digest, &Candidate)> {
        let strays = self.by_digest.iter().filter(move |(_, c)| c.link() != next);
        strays.map(|(digest, candidate)| (*digest, candidate))
    }

    /// The certificate to write: one that the database has lost, or that this node backs itself, if there is any, and of these
    /// the freshest.
    pub(super) fn best(&self, next: Link) -> Option<&Certified> {
        self.by_digest
            .values()
            .filter(|candidate| candidate.link() == next)
            .filter_map(Candidate::certified)
            .max_by_key(|certified| {
                let digest = certified.certificate.digest();
                (certified.backing, certified.observed_at(), digest)
            })
    }

    /// Whether this observer has stated a price for this place.
    pub(super) fn has_stated(&self, link: Link, observer: &Address) -> bool {
        self.stated
            .get(observer)
            .is_some_and(|stated| stated.link == link)
    }

    /// When so many observers had stated a price for this place; or, if there are fewer, when the last of them had.
    pub(super) fn stated_by(&self, link: Link, count: usize) -> Option<Instant> {
        let stated = self.stated.values().filter(|stated| stated.link == link);
        let mut seen: Vec<Instant> = stated.map(|stated| stated.seen).collect();
        seen.sort_unstable();
        seen.get(count.saturating_sub(1)).or(seen.last()).copied()
    }

    /// Who has stated a price near this node's own for this place, and so shown that it could sign what this node would.
    pub(super) fn able(&self, link: Link, own: &OwnPrice, settings: &Settings) -> BTreeSet<Address> {
        let Some(own) = own.latest().map(AgreedPrice::price) else {
            return BTreeSet::new();
        };
        let max_bps = settings.policy.max_deviation_bps;
        let is_near = |theirs: &Statement| theirs.link == link && theirs.price.deviation_bps(own) <= max_bps;
        let near = self.stated.iter().filter(|(_, stated)| is_near(stated));
        near.map(|(observer, _)| *observer).collect()
    }

    /// Whether the observer of this report has said something newer: messages overtake each other.
    pub(super) fn has_newer(&self, report: &VerifiedReport) -> bool {
        let observation = report.observation();
        self.by_digest
            .values()
            .any(|c| c.observer() == observation.observer() && c.observed_at() > observation.observed_at())
    }

    /// Takes a report in. Signatures of a known observation are merged; a new observation replaces its observer's older one,
    /// unless that is a certificate. Whether it is new.
    pub(super) fn add(&mut self, report: VerifiedReport, now: Instant) -> bool {
        let digest = report.digest();
        if let Some(known) = self.by_digest.get_mut(&digest) {
            known.report.merge(&report);
            return false;
        }
        let observer = report.observation().observer();
        let statement = Statement {
            link: report.observation().link(),
            price: report.observation().price(),
            seen: now,
        };
        self.forget_observer(observer);
        if self.stated.len() >= MAX_CANDIDATES
            && let Some(oldest) = self.stated.iter().min_by_key(|(_, stated)| stated.seen)
        {
            let oldest = *oldest.0;
            self.stated.remove(&oldest);
        }
        self.stated.insert(observer, statement);
        if self.by_digest.len() >= MAX_CANDIDATES {
            let oldest = self.by_digest.iter().min_by_key(|(_, c)| c.first_seen);
            if let Some(oldest) = oldest.map(|(digest, _)| *digest) {
                self.by_digest.remove(&oldest);
            }
        }
        self.oldest.get_or_insert(now);
        self.by_digest.insert(digest, Candidate::new(report, None, now));
        true
    }

    /// Marks a candidate as a certificate, and drops the older certificates that it supersedes, but not the one `in_flight`
    /// to the database.
    pub(super) fn certify(
        &mut self,
        certificate: Certificate,
        backing: Backing,
        required: usize,
        in_flight: Option<Digest>,
        now: Instant,
        out: &mut Outbox,
    ) {
        let digest = certificate.digest();
        let Some(candidate) = self.by_digest.get_mut(&digest) else {
            return;
        };
        let (link, observed_at) = (candidate.link(), candidate.observed_at());
        out.note(Note::Quorum {
            digest,
            price: candidate.report.observation().price(),
            signatures: candidate.report.signatures().len(),
            required,
            took: now.since(candidate.first_seen),
        });
        candidate.certified = Some(Certified {
            certificate,
            backing,
            at: now,
        });
        let superseded = self.by_digest.iter().filter(|(other, c)| {
            let is_weaker = |certified: &Certified| certified.backing <= backing;
            c.certified.as_ref().is_some_and(is_weaker)
                && c.link() == link
                && c.observed_at() < observed_at
                && Some(**other) != in_flight
        });
        let superseded: Vec<Digest> = superseded.map(|(digest, _)| *digest).collect();
        for digest in superseded {
            self.by_digest.remove(&digest);
            out.note(Note::Superseded { digest });
        }
    }

    /// Certificates that are taken on the members' word alone.
    pub(super) fn backed_by_others(&self) -> Vec<Digest> {
        let is_such = |certified: &Certified| certified.backing == Backing::Others;
        let such = self.by_digest.iter();
        such.filter(|(_, c)| c.certified.as_ref().is_some_and(is_such))
            .map(|(digest, _)| *digest)
            .collect()
    }

    /// This node has a price now that lets it back a certificate itself.
    pub(super) fn back(&mut self, digest: &Digest) {
        if let Some(candidate) = self.by_digest.get_mut(digest)
            && let Some(certified) = &mut candidate.certified
        {
            certified.backing = Backing::Own;
        }
    }

    /// A certificate is a candidate again.
    pub(super) fn reopen(&mut self, digest: &Digest) {
        if let Some(candidate) = self.by_digest.get_mut(digest) {
            candidate.certified = None;
        }
    }

    /// A candidate has a quorum and this node would not sign it: it is no certificate here. Whether that is news.
    pub(super) fn refuse_certificate(&mut self, digest: &Digest) -> bool {
        let candidate = self.by_digest.get_mut(digest);
        candidate.is_some_and(|candidate| !std::mem::replace(&mut candidate.is_unacceptable, true))
    }

    /// Takes back a certificate whose record was announced, or stood, and does not stand: good all the same, and to be written.
    pub(super) fn restore(&mut self, certificate: Certificate, backing: Backing, now: Instant) {
        let report = certificate.report().clone();
        let certified = Certified {
            certificate,
            backing,
            at: now,
        };
        let candidate = Candidate::new(report, Some(certified), now);
        self.oldest.get_or_insert(now);
        self.by_digest.insert(candidate.report.digest(), candidate);
    }

    /// Forgets what an observer said, but for certificates.
    pub(super) fn forget_observer(&mut self, observer: Address) {
        self.by_digest
            .retain(|_, c| c.certified.is_some() || c.observer() != observer);
    }

    /// Forgets what was first seen before a window's observations began to count, but for a record that the database has lost.
    pub(super) fn forget_before(&mut self, counts_from: Instant) {
        if !self.has_older(counts_from) {
            return;
        }
        self.by_digest
            .retain(|_, c| c.first_seen >= counts_from || c.is_record());
        self.stated.retain(|_, stated| stated.seen >= counts_from);
        self.find_oldest();
    }

    /// Forgets what nobody would sign any more, being first seen before `oldest`; a certificate stays until it is written or
    /// superseded.
    pub(super) fn forget_lapsed(&mut self, oldest: Instant) {
        if !self.has_older(oldest) {
            return;
        }
        self.by_digest
            .retain(|_, c| c.certified.is_some() || c.first_seen >= oldest);
        self.stated.retain(|_, stated| stated.seen >= oldest);
        self.find_oldest();
    }

    fn has_older(&self, limit: Instant) -> bool {
        self.oldest.is_some_and(|oldest| oldest < limit)
    }

    fn find_oldest(&mut self) {
        let candidates = self.by_digest.values().map(|candidate| candidate.first_seen);
        self.oldest = candidates
            .chain(self.stated.values().map(|stated| stated.seen))
            .min();
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        self.by_digest.remove(digest);
    }

    /// Forgets what is stated for places before that of the next record.
    pub(super) fn forget_settled(&mut self, next: Link) {
        let is_settled = |link: Link| link.sequence() < next.sequence();
        self.by_digest.retain(|_, c| !is_settled(c.link()));
        self.stated.retain(|_, stated| !is_settled(stated.link));
    }
}
