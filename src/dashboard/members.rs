//! The members, or in an open network the nodes that were heard of: how they are, and their part in the last records.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_protocol::{Address, Record, rounds::NodeStatus};

use super::{
    figures::{Moment, duration, short_time},
    page::Facts,
};

/// Records in which a member's part is shown, one tick each.
pub(super) const PRESENCE: usize = 40;
/// From one tick to the next.
pub(super) const TICK: usize = 4;
/// A clock that is off by this much is worth a look: half of what messages may be.
const CLOCK_OFF_MS: u64 = 1000;

pub(super) struct Member {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) short: String,
    pub(super) is_me: bool,
    pub(super) validator: bool,
    pub(super) class: &'static str,
    pub(super) state: String,
    pub(super) heard: Option<Moment>,
    pub(super) clock: String,
    pub(super) clock_class: &'static str,
    pub(super) ticks: Vec<Tick>,
    pub(super) signed: String,
    pub(super) observed: usize,
    pub(super) wrote: usize,
    pub(super) findings: Vec<String>,
}

pub(super) struct Tick {
    pub(super) class: &'static str,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) height: usize,
}

impl Facts<'_> {
    pub(super) fn members(&self) -> Vec<Member> {
        let considered = &self.recent.records[..self.recent.records.len().min(PRESENCE)];
        let signers: Vec<BTreeSet<Address>> = considered
            .iter()
            .map(|record| record.signatures.iter().map(|by| by.signer).collect())
            .collect();
        let nodes = self
            .status
            .map(|status| status.nodes.as_slice())
            .unwrap_or_default();
        let mut members: Vec<Member> = nodes
            .iter()
            .map(|node| self.member(node, considered, &signers))
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        members
    }

    fn member(&self, node: &NodeStatus, considered: &[Record], signers: &[BTreeSet<Address>]) -> Member {
        let (_, now) = self.now;
        let is_me = node.address == self.me;
        let own = self.status.and_then(|status| status.tally.last_observation);
        let heard = if is_me { own } else { node.last_observation };
        let quarantined = node.quarantined_ms.map(Duration::from_millis);
        let (class, mut state) = match (quarantined, node.alive) {
            (Some(left), _) => ("bad", format!("in quarantine for {}", duration(left))),
            (None, true) => ("good", "heard".to_owned()),
            (None, false) => ("off", "not heard".to_owned()),
        };
        if !is_me {
            state += &self.connection(node.address).unwrap_or_default();
        }
        let other = node
            .version
            .as_deref()
            .filter(|version| *version != env!("CARGO_PKG_VERSION"));
        let version = other.map(|version| format!(", version {version}"));
        let signed = signers.iter().filter(|of| of.contains(&node.address)).count();
        let tick = |(index, signers): (usize, &BTreeSet<Address>)| {
            let x = (considered.len() - 1 - index) * TICK;
            match signers.contains(&node.address) {
                true => Tick {
                    class: "in",
                    x,
                    y: 0,
                    height: 16,
                },
                false => Tick {
                    class: "out",
                    x,
                    y: 11,
                    height: 5,
                },
            }
        };
        let (clock, clock_class) = match node.clock_offset_ms {
            _ if is_me => ("this clock".to_owned(), "quiet"),
            None => ("—".to_owned(), "quiet"),
            Some(ahead) => {
                let sign = if ahead < 0 { "−" } else { "+" };
                let class = if ahead.unsigned_abs() >= CLOCK_OFF_MS {
                    "bad"
                } else {
                    ""
                };
                (
                    format!(
                        "{sign}{}",
                        short_time(Duration::from_millis(ahead.unsigned_abs()))
                    ),
                    class,
                )
            }
        };
        Member {
            name: self.name(node.address),
            address: node.address.to_string(),
            short: node.address.short(),
            is_me,
            validator: node.validator,
            class,
            state: state + &version.unwrap_or_default(),
            heard: heard.map(|at| Moment::of(at, now)),
            clock,
            clock_class,
            ticks: signers.iter().enumerate().map(tick).collect(),
            signed: match considered.len() {
                0 => "—".to_owned(),
                all => format!("{signed}/{all}"),
            },
            observed: considered
                .iter()
                .filter(|record| record.observer == node.address)
                .count(),
            wrote: considered
                .iter()
                .filter(|record| record.written_by == node.address)
                .count(),
            findings: findings(node),
        }
    }
}

impl Facts<'_> {
    /// How this node is connected to another; `None` if nobody tells.
    fn connection(&self, address: Address) -> Option<String> {
        let (now, _) = self.now;
        let Some(peer) = self.connected?.iter().find(|peer| peer.address == address) else {
            return Some(", not connected to this node".to_owned());
        };
        let ping = peer.ping.map(|took| {
            let tenths = took.as_micros() / 100;
            format!(", ping {}.{} ms", tenths / 10, tenths % 10)
        });
        let since = duration(now.since(peer.since));
        Some(format!(", connected for {since}{}", ping.unwrap_or_default()))
    }
}

/// What was found about a node, here and elsewhere, the most frequent first.
fn findings(node: &NodeStatus) -> Vec<String> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (label, count) in &node.findings {
        *counts.entry(label).or_default() += count;
    }
    let mut counts: Vec<(&str, u64)> = counts.into_iter().collect();
    counts.sort_by_key(|(label, count)| (std::cmp::Reverse(*count), *label));
    counts
        .into_iter()
        .map(|(label, count)| format!("{} × {count}", label.replace('_', " ")))
        .collect()
}
