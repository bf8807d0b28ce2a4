//! Whose clock is wrong, as far as it can be told: by what nodes say of theirs, also in messages that are ignored for it.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{address::Address, judge::JudgeConfig, time::Instant};

/// What a node last told of its clock counts for so long: three times as long as a node says nothing.
const KNOWN_FOR: Duration = Duration::from_secs(120);
/// Clocks remembered. A network has far fewer nodes.
const MAX_NODES: usize = 1024;

/// A clock that is off by more than messages may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockFault {
    /// This node's, for most others are off by as much, all to one side.
    Ours {
        /// How far it is ahead, in milliseconds; behind, if negative.
        ahead_ms: i64,
        /// Nodes whose clocks say so.
        agree: usize,
        /// Nodes whose clocks are known.
        of: usize,
    },
    /// Another node's.
    Theirs {
        /// Whose.
        node: Address,
        /// How far it is ahead of this node's, in milliseconds; behind, if negative.
        ahead_ms: i64,
    },
}

impl fmt::Display for ClockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours { ahead_ms, agree, of } => write!(
                f,
                "this node's clock is {} those of {agree} of {of} nodes",
                by(*ahead_ms)
            ),
            Self::Theirs { node, ahead_ms } => {
                write!(f, "the clock of {node} is {} this node's", by(*ahead_ms))
            }
        }
    }
}

fn is_off(ahead_ms: i64) -> bool {
    u128::from(ahead_ms.unsigned_abs()) > JudgeConfig::FUTURE_TOLERANCE.as_millis()
}

/// Like "10.0 s ahead of".
fn by(ahead_ms: i64) -> String {
    let tenths = ahead_ms.unsigned_abs() / 100;
    let side = if ahead_ms < 0 { "behind" } else { "ahead of" };
    format!("{}.{} s {side}", tenths / 10, tenths % 10)
}

/// How far the clocks of others are ahead of this node's.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    nodes: BTreeMap<Address, (i64, Instant)>,
}

impl Clocks {
    /// A node told its time: `ahead_ms` less the time that the message took.
    pub(super) fn note(&mut self, node: Address, ahead_ms: i64, now: Instant) {
        if self.nodes.len() < MAX_NODES || self.nodes.contains_key(&node) {
            self.nodes.insert(node, (ahead_ms, now));
        }
    }

    /// How far a node's clock is ahead, in milliseconds.
    pub(super) fn ahead_ms(&self, node: &Address) -> Option<i64> {
        self.nodes.get(node).map(|(ahead_ms, _)| *ahead_ms)
    }

    /// By how much a node's clock is off, if by more than is tolerated.
    pub(super) fn fault_of(&self, node: &Address) -> Option<i64> {
        self.ahead_ms(node).filter(|ahead_ms| is_off(*ahead_ms))
    }

    /// Forgets what was told too long ago.
    pub(super) fn expire(&mut self, now: Instant) {
        self.nodes
            .retain(|_, (_, told_at)| now.since(*told_at) <= KNOWN_FOR);
    }

    /// Forgets who does not count any more.
    pub(super) fn retain(&mut self, keep: impl Fn(&Address) -> bool) {
        self.nodes.retain(|node, _| keep(node));
    }

    /// The clocks that are off by more than is tolerated; if it is ours, that alone. With one other node nobody can tell whose it is,
    /// so it is the other's.
    pub(super) fn faults(&self) -> Vec<ClockFault> {
        let off: Vec<(Address, i64)> = self
            .nodes
            .iter()
            .map(|(node, (ahead_ms, _))| (*node, *ahead_ms))
            .filter(|(_, ahead_ms)| is_off(*ahead_ms))
            .collect();
        for is_ahead in [true, false] {
            let side = off.iter().map(|(_, ahead_ms)| *ahead_ms);
            let mut side: Vec<i64> = side.filter(|ahead_ms| (*ahead_ms > 0) == is_ahead).collect();
            if side.len() >= 2 && side.len() * 2 > self.nodes.len() {
                side.sort_unstable();
                return vec![ClockFault::Ours {
                    ahead_ms: side[side.len() / 2].saturating_neg(),
                    agree: side.len(),
                    of: self.nodes.len(),
                }];
            }
        }
        let theirs = off.into_iter();
        theirs
            .map(|(node, ahead_ms)| ClockFault::Theirs { node, ahead_ms })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(offsets: &[i64]) -> Vec<String> {
        let mut clocks = Clocks::default();
        for (index, ahead_ms) in (1..).zip(offsets) {
            clocks.note(
                Address::new([index; 20]),
                *ahead_ms,
                Instant::after_start(Duration::ZERO),
            );
        }
        clocks.faults().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_clock_that_is_off_is_named_with_by_how_much() {
        let node = Address::new([2; 20]);
        for (ahead_ms, by) in [(10_049, "10.0 s ahead of"), (-6_100, "6.1 s behind")] {
            assert_eq!(
                faults(&[3, ahead_ms, -20]),
                [format!("the clock of {node} is {by} this node's")]
            );
        }
        assert!(faults(&[5_000, -5_000]).is_empty(), "that much is tolerated");
    }

    #[test]
    fn if_most_are_off_to_one_side_it_is_ours() {
        assert_eq!(
            faults(&[-9_900, -10_000, -10_100]),
            ["this node's clock is 10.0 s ahead of those of 3 of 3 nodes"]
        );
        assert_eq!(
            faults(&[20_000, 20_500, 0]),
            ["this node's clock is 20.5 s behind those of 2 of 3 nodes"]
        );
        assert_eq!(
            faults(&[20_000, -20_000, 0]).len(),
            2,
            "two that differ say nothing of ours"
        );
        assert_eq!(faults(&[10_000]).len(), 1);
        assert!(faults(&[10_000])[0].contains("the clock of"));
    }

    #[test]
    fn what_was_told_long_ago_is_forgotten() {
        let (mut clocks, node) = (Clocks::default(), Address::new([1; 20]));
        let at = |seconds| Instant::after_start(Duration::from_secs(seconds));
        clocks.note(node, 10_000, at(0));
        clocks.expire(at(120));
        assert_eq!(clocks.ahead_ms(&node), Some(10_000));
        clocks.expire(at(121));
        assert!(clocks.faults().is_empty());
    }
}
