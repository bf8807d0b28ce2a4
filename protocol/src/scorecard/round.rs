//! The work on one record, as far as it tells who had a part in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::counts::Miss;
use crate::{address::Address, digest::Digest, price::Price, report::VerifiedReport, time::Instant};

/// Statements of one round that are kept, two of each node: an older one can still become the record.
const MAX_STATEMENTS: usize = 256;
const STATEMENTS_OF_ONE: usize = 2;
/// Refusals of one statement that are kept, and words that came late.
const MAX_NODES: usize = 256;

/// What was said for one record.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// In the order in which they were heard.
    statements: Vec<Stated>,
    /// Who spoke only when the record stood.
    late: BTreeSet<Address>,
    /// How it ended, once it has.
    pub(super) record: Option<Closed>,
}

/// The record, and the window that it closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) digest: Digest,
    pub(super) price: Price,
    /// When this node heard of it.
    pub(super) at: Instant,
    /// When the window before it ended.
    pub(super) began: Instant,
    /// Whether this node listened from there on.
    pub(super) is_whole: bool,
}

#[derive(Debug)]
struct Stated {
    digest: Digest,
    observer: Address,
    price: Price,
    previous: Digest,
    signers: BTreeMap<Address, Instant>,
    refused: BTreeMap<Address, &'static str>,
}

/// What a round is judged by.
pub(super) struct Judging<'r> {
    round: &'r Round,
    /// Words from before this moment are another window's.
    counts_from: Instant,
    me: Address,
    max_deviation_bps: u32,
    price: Option<Price>,
    /// The record's statement, or in a window without a record the one that most have signed.
    lead: Option<&'r Stated>,
}

impl Round {
    /// A report came in.
    pub(super) fn hear(&mut self, report: &VerifiedReport, now: Instant) {
        let digest = report.digest();
        let signers = report.signatures().keys();
        // What stands is not added to, but the record's own signatures may be heard of after it.
        if let Some(record) = &self.record
            && record.digest != digest
        {
            for node in signers {
                if self.late.len() < MAX_NODES {
                    self.late.insert(*node);
                }
            }
            return;
        }
        if self.statement(&digest).is_none() {
            self.add(report);
        }
        if let Some(statement) = self.statement(&digest) {
            for node in signers {
                statement.signers.entry(*node).or_insert(now);
            }
        }
    }

    fn add(&mut self, report: &VerifiedReport) {
        let observation = report.observation();
        let observer = observation.observer();
        let is_theirs = |stated: &Stated| stated.observer == observer;
        if self.statements.iter().filter(|stated| is_theirs(stated)).count() >= STATEMENTS_OF_ONE
            && let Some(oldest) = self.statements.iter().position(is_theirs)
        {
            self.statements.remove(oldest);
        }
        if self.statements.len() < MAX_STATEMENTS {
            self.statements.push(Stated {
                digest: report.digest(),
                observer,
                price: observation.price(),
                previous: observation.link().previous(),
                signers: BTreeMap::new(),
                refused: BTreeMap::new(),
            });
        }
    }

    fn statement(&mut self, digest: &Digest) -> Option<&mut Stated> {
        self.statements.iter_mut().find(|stated| stated.digest == *digest)
    }

    /// A node signed.
    pub(super) fn signed(&mut self, digest: &Digest, node: Address, now: Instant) {
        if let Some(statement) = self.statement(digest) {
            statement.signers.entry(node).or_insert(now);
        }
    }

    /// A node said that it does not sign.
    pub(super) fn refused(&mut self, digest: &Digest, node: Address, reason: &'static str) {
        if let Some(statement) = self.statement(digest)
            && (statement.refused.len() < MAX_NODES || statement.refused.contains_key(&node))
        {
            statement.refused.insert(node, reason);
        }
    }

    /// Looks at it as a whole: with the record, or in a window without one by what was said from `counts_from` on.
    pub(super) fn judging(&self, counts_from: Instant, me: Address, max_deviation_bps: u32) -> Judging<'_> {
        let lead = match &self.record {
            Some(record) => self
                .statements
                .iter()
                .find(|stated| stated.digest == record.digest),
            None => self.most_signed(counts_from),
        };
        Judging {
            round: self,
            counts_from,
            me,
            max_deviation_bps,
            price: self
                .record
                .map(|record| record.price)
                .or(lead.map(|lead| lead.price)),
            lead,
        }
    }

    /// What more than half of those have signed who stated a price: nobody can say who is wrong of two halves.
    fn most_signed(&self, counts_from: Instant) -> Option<&Stated> {
        let signers = |stated: &Stated| stated.signers.values().filter(|at| **at >= counts_from).count();
        let observers: BTreeSet<Address> = self
            .statements
            .iter()
            .filter(|stated| signers(stated) > 0)
            .map(|stated| stated.observer)
            .collect();
        let most = self.statements.iter().max_by_key(|stated| signers(stated))?;
        (signers(most) >= 2 && signers(most) * 2 > observers.len()).then_some(most)
    }
}

impl Judging<'_> {
    /// Why a node had no part, if it had none: it neither signed the record, nor stated a price that others could sign, without
    /// refusing the record. `silent` tells why of one that said nothing.
    pub(super) fn miss_of(&self, node: Address, silent: impl FnOnce() -> Miss) -> Option<Miss> {
        if let Some(lead) = self.lead {
            if self.has_signed(lead, node) {
                return None;
            }
            if let Some(reason) = lead
                .refused
                .get(&node)
                .filter(|reason| !is_for_want_of_a_price(reason))
            {
                return Some(Miss::of_refusal(reason));
            }
        }
        let statements = || self.round.statements.iter();
        let own = statements()
            .rev()
            .find(|stated| stated.observer == node && self.has_signed(stated, node));
        if let Some(own) = own {
            return self.fault_of(own);
        }
        if statements().any(|stated| self.has_signed(stated, node)) {
            return None;
        }
        if let Some(reason) = statements().rev().find_map(|stated| stated.refused.get(&node)) {
            return Some(Miss::of_refusal(reason));
        }
        if self.round.late.contains(&node) {
            return Some(Miss::Late);
        }
        Some(silent())
    }

    /// Why nobody who agrees with the record could have signed a statement.
    fn fault_of(&self, stated: &Stated) -> Option<Miss> {
        if self
            .price
            .is_some_and(|price| stated.price.deviation_bps(price) > self.max_deviation_bps)
        {
            return Some(Miss::PriceDeviates);
        }
        if self.lead.is_some_and(|lead| lead.previous != stated.previous) {
            return Some(Miss::OtherHistory);
        }
        // What this node finds wrong with the record too is wrong with this node.
        let refused_here = |stated: &Stated| stated.refused.get(&self.me).copied();
        let reason = refused_here(stated)?;
        let is_about_it = !is_for_want_of_a_price(reason) && reason != PRICE_DEVIATES;
        let is_about_us = self.lead.and_then(refused_here) == Some(reason);
        (is_about_it && !is_about_us).then(|| Miss::of_refusal(reason))
    }

    fn has_signed(&self, stated: &Stated, node: Address) -> bool {
        let at = stated.signers.get(&node);
        at.is_some_and(|at| self.round.record.is_some() || *at >= self.counts_from)
    }
}

/// How far the record's price, which was compared already, is from a statement's says more than a refusal.
const PRICE_DEVIATES: &str = "price_deviates";

/// Whether a node that refused for this reason may have had a price after all.
fn is_for_want_of_a_price(reason: &str) -> bool {
    matches!(Miss::of_refusal(reason), Miss::NoPrice | Miss::Late)
}

/// Where the words of a window without a record begin: half a window before it, for prices come once a window, and not at one moment
/// of it.
pub(super) fn counts_from(window_ended: Instant, write_interval: Duration) -> Instant {
    window_ended.before(write_interval * 3 / 2)
}
