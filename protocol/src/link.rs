//! The place of a record in its feed's history: what makes a missing record visible to everybody.

use crate::digest::Digest;

/// What an observation follows: its number and the digest of the record before it. Both are signed.
///
/// The first record of a feed has the number 1 and follows nothing: its `previous` is all zeros. Every other one names the
/// record before it, so that records of a feed form one chain without gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    sequence: u64,
    previous: Digest,
}

/// Why a number and a digest are no place in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Records are counted from 1, up to [`Link::MAX_SEQUENCE`].
    #[error("the sequence is {0}, records are numbered from 1 to {max}", max = Link::MAX_SEQUENCE)]
    Sequence(u64),
    /// The first record follows nothing, and only the first.
    #[error(
        "record {sequence} names {previous} as the record before it; the first names none, and only the first"
    )]
    Previous {
        /// The record's number.
        sequence: u64,
        /// What it names.
        previous: Digest,
    },
}

impl Link {
    /// The highest number: what a `bigint` of the database holds. A record a second would reach it in 292 billion years.
    pub const MAX_SEQUENCE: u64 = i64::MAX as u64;

    const NOTHING: Digest = Digest::new([0; 32]);

    /// The place of a feed's first record.
    pub const FIRST: Self = Self {
        sequence: 1,
        previous: Self::NOTHING,
    };

    /// Record `sequence`, which follows the record `previous`.
    ///
    /// # Errors
    /// There can be no such record.
    pub fn new(sequence: u64, previous: Digest) -> Result<Self, LinkError> {
        match sequence {
            0 => Err(LinkError::Sequence(sequence)),
            _ if sequence > Self::MAX_SEQUENCE => Err(LinkError::Sequence(sequence)),
            _ if (sequence == 1) != (previous == Self::NOTHING) => {
                Err(LinkError::Previous { sequence, previous })
            }
            _ => Ok(Self { sequence, previous }),
        }
    }

    /// The place right behind the record `sequence` with this digest.
    pub fn after(sequence: u64, record: Digest) -> Self {
        Self {
            sequence: sequence.saturating_add(1),
            previous: record,
        }
    }

    /// The record's number, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The digest of the record before it; zeros for the first.
    pub fn previous(&self) -> Digest {
        self.previous
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_record_follows_nothing() {
        let (nothing, record) = (Digest::new([0; 32]), Digest::new([7; 32]));
        assert_eq!(Link::new(1, nothing), Ok(Link::FIRST));
        assert_eq!(Link::new(2, record), Ok(Link::after(1, record)));
        for (sequence, previous) in [(1, record), (2, nothing)] {
            let error = LinkError::Previous { sequence, previous };
            assert_eq!(Link::new(sequence, previous), Err(error));
        }
        for sequence in [0, Link::MAX_SEQUENCE + 1, u64::MAX] {
            assert_eq!(Link::new(sequence, record), Err(LinkError::Sequence(sequence)));
        }
    }
}
