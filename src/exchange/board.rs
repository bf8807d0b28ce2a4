//! Which source fails how, now.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use quorate_actors::price_fetcher::SourceKind;

use super::fault::{Fault, FaultRule};

/// Shared by all requests; at most one fault a source.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<BTreeMap<SourceKind, Fault>>);

impl Board {
    /// A board with these faults; a later rule replaces an earlier one.
    pub(crate) fn new(rules: &[FaultRule]) -> Self {
        let board = Self::default();
        for rule in rules {
            board.set(&rule.sources, rule.fault);
        }
        board
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<SourceKind, Fault>> {
        // A map of plain values is whole even if a thread died with it in hand.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sources fail like this from now on.
    pub(crate) fn set(&self, sources: &[SourceKind], fault: Fault) {
        self.faults().extend(sources.iter().map(|kind| (*kind, fault)));
    }

    /// The sources answer rightly from now on.
    pub(crate) fn clear(&self, sources: &[SourceKind]) {
        self.faults().retain(|kind, _| !sources.contains(kind));
    }

    /// How a source fails.
    pub(crate) fn of(&self, kind: SourceKind) -> Option<Fault> {
        self.faults().get(&kind).copied()
    }

    /// All faults, by the source's name, as they are written.
    pub(crate) fn list(&self) -> BTreeMap<&'static str, String> {
        self.faults()
            .iter()
            .map(|(kind, fault)| (kind.name(), fault.to_string()))
            .collect()
    }
}
