//! What a machine is told once: limits and waits.

use std::time::Duration;

use crate::{
    address::Address, committee::Committee, cosign::CosignPolicy, equivocation, heartbeat::ALIVE_FOR,
    names::Feed, time::Instant,
};

/// Waits within one window, in the order in which they come into play.
///
/// A price that is asked for `lead` before the window opens must be settled, co-signed and certified by then:
/// `settle + turn + give_up` stays below `lead`, so that even the second-ranked observation makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The longest time before the window opens for which a price is asked. A node that knows its network asks later; see
    /// `lead.rs`. Shorter: fresher records at the start, less time for slow peers.
    pub lead: Duration,
    /// How much earlier than `lead` an observation may come and still belong to the coming window.
    pub early: Duration,
    /// How long a price may wait for enough nodes to hear it, before it is stated all the same. Nodes that start together
    /// find each other within this.
    pub hold: Duration,
    /// How long to collect observations before one is chosen: long enough to hear most nodes, so that all choose alike. When
    /// all live nodes have stated, there is nothing to wait for.
    pub settle: Duration,
    /// How long each further group of co-signers waits for those ranked before it.
    pub turn: Duration,
    /// How long to wait for signatures of one observation before the next-ranked gets its chance.
    pub give_up: Duration,
    /// How long each further writer waits for those ranked before it: a commit, and the news of it across the network. A commit
    /// takes about 20 ms, in which the database recovers the signers, and 5 ms more for each signature beyond three; see
    /// `turns.rs`. Shorter, and writes are tried in vain; longer, and a writer that died costs more.
    pub stagger: Duration,
    /// No writer waits longer than this for its turn, however large the network.
    pub max_stagger: Duration,
    /// In an open window without a certificate: how long after the last price to ask for a new one.
    pub refetch: Duration,
    /// How long after news of a record the database is asked whether it is true. Bounds what a false one can delay; the writer
    /// tells it after the commit, so there is nothing to wait for.
    pub confirm: Duration,
    /// How long to wait for a write's outcome before it counts as unknown: longer than the statement timeout.
    pub write_timeout: Duration,
    /// Without a sign of life for this long, a node is not counted as alive.
    pub roster_ttl: Duration,
}

impl Timing {
    /// The waits for a window of this length: those measured for 30 s, less where the window is short.
    pub fn for_interval(write_interval: Duration) -> Self {
        let at_most = |wanted: u64, share: u32| Duration::from_millis(wanted).min(write_interval / share);
        Self {
            lead: at_most(1000, 4),
            early: at_most(2000, 4),
            hold: at_most(1000, 4),
            settle: at_most(150, 20),
            turn: at_most(100, 30),
            give_up: at_most(400, 10),
            stagger: at_most(75, 100),
            max_stagger: at_most(1000, 10),
            refetch: at_most(5000, 2),
            confirm: at_most(100, 20),
            write_timeout: Duration::from_secs(10),
            roster_ttl: ALIVE_FOR,
        }
    }

    /// When observations begin to count for the window that opens at `opens`; those from before are the last window's.
    pub(super) fn counts_from(&self, opens: Instant) -> Instant {
        opens.before(self.lead + self.early)
    }
}

/// What a machine is told once.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The feed that it aggregates.
    pub feed: Feed,
    /// This node.
    pub me: Address,
    /// Who counts at the start, and what makes a certificate.
    pub committee: Committee,
    /// The length of the write window.
    pub write_interval: Duration,
    /// How often this node asks for prices.
    pub fetch_interval: Duration,
    /// How far its own price may lie from the last record, in basis points a window, before it asks for more than the word of
    /// few sources ([`crate::cosign::move_limit_bps`]).
    pub max_move_bps: u32,
    /// What this node vouches for.
    pub policy: CosignPolicy,
    /// The waits.
    pub timing: Timing,
    /// How long an observer that equivocated, or a writer that announced what it had not written, is not believed.
    pub quarantine: Duration,
    /// When the process started, if one before it may have made statements with the same key.
    pub predecessor_ended: Option<Instant>,
}

impl Settings {
    /// Oldest observation to vouch for, in a window of this length: half of it, and never more than 15 s, in which the
    /// price of ETH seldom moves by the 50 basis points that co-signers tolerate.
    pub fn max_age(write_interval: Duration) -> Duration {
        equivocation::one_window(write_interval)
    }

    /// From this age on, the next price is overdue: fetches that change their phase are up to one and a half intervals apart,
    /// and one takes up to 5 s.
    pub fn price_overdue(&self) -> Duration {
        self.fetch_interval * 3 / 2 + Duration::from_secs(5)
    }

    /// Within this time of its last statement, an observer states nothing else.
    pub(super) fn one_window(&self) -> Duration {
        equivocation::one_window(self.write_interval)
    }
}
