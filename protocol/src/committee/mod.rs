//! Who counts: the members, the rule that makes a quorum of their signatures, and how long a replaced committee stays in
//! force.

mod quorum;

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

pub(crate) use quorum::Headcount;
pub use quorum::{Fraction, ParseFractionError, QuorumRule};

use crate::{
    address::Address,
    report::{Certificate, VerifiedReport},
    signing::Attestation,
    time::UnixMillis,
};

/// The signers that count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Anybody with a key: for a trusted local network only, since keys are free.
    Open,
    /// The listed addresses.
    Closed(BTreeSet<Address>),
}

impl Members {
    /// Whether this signer counts.
    pub fn admit(&self, signer: &Address) -> bool {
        match self {
            Self::Open => true,
            Self::Closed(members) => members.contains(signer),
        }
    }

    /// How many there are; `None` when the network is open.
    pub fn count(&self) -> Option<usize> {
        match self {
            Self::Open => None,
            Self::Closed(members) => Some(members.len()),
        }
    }
}

/// The members and the rule that makes a certificate of their signatures. They change together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committee {
    /// Whose signatures count.
    pub members: Members,
    /// How many of them, and of whom.
    pub rule: QuorumRule,
}

/// Why no report of this committee could ever be quorate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NeverQuorate {
    /// More signatures than there are members.
    #[error("{required} signatures are required of {members} members")]
    TooFewMembers {
        /// Signatures that the rule asks for.
        required: usize,
        /// Members there are.
        members: usize,
    },
    /// More validators' signatures than there are validators.
    #[error("signatures of {required} validators are required, and there are {validators}")]
    TooFewValidators {
        /// Validators' signatures that the rule asks for.
        required: usize,
        /// Validators there are.
        validators: usize,
    },
}

impl Committee {
    /// Checks that a quorum is possible at all.
    ///
    /// # Errors
    /// Both numbers that do not fit. Nothing was wrong on the way: the operator must change one of them.
    pub fn check(&self) -> Result<(), NeverQuorate> {
        let QuorumRule {
            validators,
            min_validators,
            ..
        } = &self.rule;
        if !validators.is_empty() && validators.len() < *min_validators {
            let (required, validators) = (*min_validators, validators.len());
            return Err(NeverQuorate::TooFewValidators { required, validators });
        }
        match self.members.count() {
            Some(members) if self.rule.required(members) > members => {
                let required = self.rule.required(members);
                Err(NeverQuorate::TooFewMembers { required, members })
            }
            _ => Ok(()),
        }
    }

    /// Signatures that make a quorum: of the members, or of the `live` nodes when the network is open.
    pub fn required(&self, live: usize) -> usize {
        self.rule.required(self.members.count().unwrap_or(live))
    }

    /// Whether these distinct signers are a quorum. Those who are no members do not count.
    pub fn is_quorum<'a>(&self, signers: impl Iterator<Item = &'a Address> + Clone, live: usize) -> bool {
        let members = signers.filter(|signer| self.members.admit(signer));
        members.clone().count() >= self.required(live) && self.rule.validators_missing(members) == 0
    }
}

/// Committees before the current one that may still be in force: more changes in one window are not sensible.
const MAX_RETIRED: usize = 4;

/// The current committee, and those that it replaced a moment ago.
///
/// A report that was in flight when the members changed is good by the old committee for a while (one write window); a
/// report that was observed afterwards never is.
#[derive(Debug, Clone)]
pub(crate) struct Committees {
    current: Committee,
    /// Newest first, each with the time at which it was replaced.
    retired: VecDeque<(Committee, UnixMillis)>,
    overlap: Duration,
}

impl Committees {
    /// Only `current`; what it is replaced by leaves it in force for `overlap`.
    pub(crate) fn new(current: Committee, overlap: Duration) -> Self {
        Self {
            current,
            retired: VecDeque::new(),
            overlap,
        }
    }

    /// From `now` on, another one is current.
    pub(crate) fn replace(&mut self, committee: Committee, now: UnixMillis) {
        if committee == self.current {
            return;
        }
        let replaced = std::mem::replace(&mut self.current, committee);
        self.retired.push_front((replaced, now));
        self.retired.truncate(MAX_RETIRED);
    }

    /// The one that counts for what is observed from now on.
    pub(crate) fn current(&self) -> &Committee {
        &self.current
    }

    /// Those by which an observation of `observed_at` may be judged at `now`, the current one first.
    pub(crate) fn in_force(
        &self,
        observed_at: UnixMillis,
        now: UnixMillis,
    ) -> impl Iterator<Item = &Committee> + Clone {
        let still = move |(_, replaced_at): &&(Committee, UnixMillis)| {
            observed_at <= *replaced_at && now.since(*replaced_at) <= self.overlap
        };
        let retired = self.retired.iter().filter(still).map(|(committee, _)| committee);
        std::iter::once(&self.current).chain(retired)
    }

    /// The first signer who is a member in no committee in force.
    pub(crate) fn stranger(
        &self,
        attestations: &[Attestation],
        observed_at: UnixMillis,
        now: UnixMillis,
    ) -> Option<Address> {
        let admitted = |signer: &Address| self.in_force(observed_at, now).any(|e| e.members.admit(signer));
        attestations
            .iter()
            .map(|a| a.signer)
            .find(|signer| !admitted(signer))
    }

    /// The certificate, if this report is quorate in a committee in force; `live` nodes count in an open network.
    pub(crate) fn certify(
        &self,
        report: &VerifiedReport,
        live: usize,
        now: UnixMillis,
    ) -> Option<Certificate> {
        let observed_at = report.observation().observed_at();
        self.in_force(observed_at, now)
            .find_map(|committee| report.certify(committee, live))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    fn node(n: u8) -> Address {
        Address::new([n; 20])
    }

    fn nodes(numbers: std::ops::RangeInclusive<u8>) -> BTreeSet<Address> {
        numbers.map(node).collect()
    }

    fn committee(numbers: std::ops::RangeInclusive<u8>) -> Committee {
        Committee {
            members: Members::Closed(nodes(numbers)),
            rule: QuorumRule::at_least(3),
        }
    }

    #[test]
    fn only_members_signatures_make_a_quorum() {
        let committee = committee(1..=5);
        assert!(committee.is_quorum(nodes(1..=3).iter(), 99));
        assert!(
            !committee.is_quorum(nodes(4..=9).iter(), 99),
            "two members and four strangers"
        );
    }

    #[test]
    fn a_validator_is_required_besides_the_number() {
        let mut committee = committee(1..=4);
        committee.rule.validators.insert(node(4));
        assert!(
            !committee.is_quorum(nodes(1..=3).iter(), 0),
            "three signatures, none a validator's"
        );
        assert!(committee.is_quorum(nodes(2..=4).iter(), 0));
        assert!(
            !committee.is_quorum(nodes(3..=4).iter(), 0),
            "a validator's signature, but only two"
        );
    }

    #[test]
    fn what_can_never_be_quorate_is_told_with_both_numbers() {
        let mut four = committee(1..=4);
        four.rule.min_signatures = 5;
        assert_eq!(
            four.check(),
            Err(NeverQuorate::TooFewMembers {
                required: 5,
                members: 4
            })
        );
        assert_eq!(
            four.check().unwrap_err().to_string(),
            "5 signatures are required of 4 members"
        );
        let mut one = committee(1..=4);
        one.rule.validators.insert(node(1));
        one.rule.min_validators = 2;
        assert_eq!(
            one.check(),
            Err(NeverQuorate::TooFewValidators {
                required: 2,
                validators: 1
            })
        );
        assert_eq!(committee(1..=3).check(), Ok(()));
    }

    fn at(ms: u64) -> UnixMillis {
        UnixMillis::new(1_700_000_000_000 + ms)
    }

    #[test]
    fn a_report_in_flight_keeps_the_old_committee_for_one_window() {
        let mut committees = Committees::new(committee(1..=5), WINDOW);
        committees.replace(committee(2..=6), at(1000));
        let in_force = |observed_at, now| committees.in_force(observed_at, now).count();
        assert_eq!(
            in_force(at(1000), at(31_000)),
            2,
            "observed before the change, within a window of it"
        );
        assert_eq!(in_force(at(1001), at(1002)), 1, "observed after the change");
        assert_eq!(in_force(at(1000), at(31_001)), 1, "the window is over");
        assert_eq!(committees.current(), &committee(2..=6));
    }

    #[test]
    fn the_same_committee_again_is_no_change() {
        let mut committees = Committees::new(committee(1..=5), WINDOW);
        committees.replace(committee(1..=5), at(0));
        assert_eq!(committees.in_force(at(0), at(0)).count(), 1);
    }

    #[test]
    fn however_often_it_changes_few_are_remembered() {
        let mut committees = Committees::new(committee(1..=5), WINDOW);
        for n in 6..=40 {
            committees.replace(committee(1..=n), at(n.into()));
        }
        assert_eq!(committees.in_force(at(0), at(50)).count(), 1 + MAX_RETIRED);
    }
}
