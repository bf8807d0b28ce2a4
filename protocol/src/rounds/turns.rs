//! Whose turn it is: orders that every node computes alike and nobody can choose. Hashes decide, no election is held.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::Timing;
use crate::{
    address::Address,
    digest::{Digest, keccak256},
};

/// The place of an observer's observation in the round that follows the record `last_record`: the lowest is tried first.
pub(super) fn rank_of_observation(last_record: Digest, observer: Address) -> Digest {
    keccak256([last_record.as_bytes(), observer.as_bytes()])
}

/// The places of nodes in co-signing or writing an observation. Each is hashed once: a node looks at its turn with every message.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The observation that they are for.
    digest: Option<Digest>,
    by_node: BTreeMap<Address, Digest>,
}

impl Places {
    fn place(&mut self, digest: Digest, node: Address) -> Digest {
        let hashed = || keccak256([digest.as_bytes(), node.as_bytes()]);
        *self.by_node.entry(node).or_insert_with(hashed)
    }

    /// How many of `nodes` have their turn before `me`, in co-signing or writing the observation `digest`.
    pub(super) fn nodes_before<'a>(
        &mut self,
        digest: Digest,
        me: Address,
        nodes: impl Iterator<Item = &'a Address>,
    ) -> u32 {
        if self.digest.replace(digest) != Some(digest) {
            self.by_node.clear();
        }
        let mine = self.place(digest, me);
        let before = nodes.filter(|node| **node != me && self.place(digest, **node) < mine);
        u32::try_from(before.count()).unwrap_or(u32::MAX)
    }

    /// How many nodes have their turn before `me`: first those who are `able`, having stated a price near this node's own in this
    /// round, which proves that they could sign; then the `others`. A sign of life proves nothing, and is free to make up.
    pub(super) fn turns_before<'a>(
        &mut self,
        digest: Digest,
        me: Address,
        able: &BTreeSet<Address>,
        others: impl Iterator<Item = &'a Address>,
    ) -> u32 {
        if able.contains(&me) {
            return self.nodes_before(digest, me, able.iter());
        }
        let others = others.filter(|node| !able.contains(*node));
        let ahead = u32::try_from(able.len()).unwrap_or(u32::MAX);
        ahead.saturating_add(self.nodes_before(digest, me, others))
    }
}

/// How many turns a co-signer waits that has `before` others before it: none for the first `needed`, whose signatures make a
/// quorum, then one for each further group of a quarter of that, in case that some of them do not sign.
pub(super) fn cosigners_turn(before: u32, needed: usize) -> u32 {
    let at_once = u32::try_from(needed).unwrap_or(u32::MAX).max(1);
    match before.checked_sub(at_once) {
        None => 0,
        Some(late) => 1 + late / (at_once / 4).max(1),
    }
}

/// How many turns a validator waits that has `before` other validators before it. Validators come last, so that they see whom
/// they vouch for; one turn each, in case that the others do not come.
pub(super) fn validators_turn(before: u32) -> u32 {
    before.saturating_add(1)
}

/// How long a co-signer waits for its turn. All that remain sign before the observation is given up.
pub(super) fn cosigners_wait(timing: &Timing, turn: u32) -> Duration {
    timing.turn.saturating_mul(turn).min(timing.give_up * 3 / 4)
}

/// How long a writer waits that has `before` others before it, when the certificate has so many signatures: the more there
/// are, the longer the database recovers their signers.
pub(super) fn writers_wait(timing: &Timing, before: u32, signatures: usize) -> Duration {
    const SIGNATURES_A_STAGGER: usize = 16;
    let staggers = u32::try_from(1 + signatures / SIGNATURES_A_STAGGER).unwrap_or(u32::MAX);
    let wait = timing.stagger.saturating_mul(before).saturating_mul(staggers);
    wait.min(timing.max_stagger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_are_needed_sign_at_once_and_the_others_in_groups_of_a_quarter() {
        let turns = |needed| {
            (0..8)
                .map(|before| cosigners_turn(before, needed))
                .collect::<Vec<_>>()
        };
        assert_eq!(turns(2), [0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(turns(0), [0, 1, 2, 3, 4, 5, 6, 7], "somebody always begins");
        let of_a_hundred = |before| cosigners_turn(before, 66);
        assert_eq!([65, 66, 81, 82, 98].map(of_a_hundred), [0, 1, 1, 2, 3]);
    }

    #[test]
    fn all_nodes_see_the_same_order_and_each_has_a_place_of_its_own_in_it() {
        let nodes: Vec<Address> = (1..=9).map(|n| Address::new([n; 20])).collect();
        let digest = keccak256([b"an observation"]);
        let mut places: Vec<u32> = nodes
            .iter()
            .map(|me| Places::default().nodes_before(digest, *me, nodes.iter()))
            .collect();
        places.sort_unstable();
        assert_eq!(places, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn who_has_stated_a_near_price_goes_before_all_who_have_not_however_many_seem_alive() {
        let node = |n| Address::new([n; 20]);
        let digest = keccak256([b"an observation"]);
        let able: BTreeSet<Address> = (1..=3).map(node).collect();
        let alive: Vec<Address> = (1..=100).map(node).collect();
        let mut places = Places::default();
        let mut before = |n| places.turns_before(digest, node(n), &able, alive.iter());
        let mut first: Vec<u32> = (1..=3).map(&mut before).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2]);
        assert!((4..=100).map(before).all(|before| before >= 3));
    }

    #[test]
    fn every_cosigner_has_its_turn_before_an_observation_is_given_up() {
        let timing = Timing::for_interval(Duration::from_secs(30));
        assert_eq!(cosigners_wait(&timing, 1), timing.turn);
        assert!(cosigners_wait(&timing, u32::MAX) < timing.give_up);
    }

    #[test]
    fn writers_wait_longer_for_more_signatures_and_never_too_long() {
        let timing = Timing::for_interval(Duration::from_secs(30));
        assert_eq!(writers_wait(&timing, 0, 67), Duration::ZERO);
        assert_eq!(writers_wait(&timing, 2, 3), timing.stagger * 2);
        assert_eq!(writers_wait(&timing, 2, 67), timing.stagger * 10);
        assert_eq!(writers_wait(&timing, 99, 67), timing.max_stagger);
    }
}
