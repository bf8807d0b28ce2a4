//! Who may sign, and how many make a quorum.

use crate::{address::Address, members::Members, quorum::QuorumRule};

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

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
}
