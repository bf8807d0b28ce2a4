//! From reports to records: which observation to vouch for, when a report is quorate, when to write it.
//!
//! A pure state machine for one feed. The shell tells it what happened and when, carries out the [`Effect`]s that come
//! back, and calls [`Rounds::on_tick`] at [`Rounds::next_wakeup`]. The rules:
//!
//! 1. All nodes rank the observations of a window alike. After a short settling time a node courts the best-ranked that it
//!    can vouch for; if that is no certificate in time, the next.
//! 2. Co-signers take turns. The first `required - 1` in rank sign at once, the others only while signatures are missing.
//! 3. A quorum ends it: no signature is added to, and nothing re-emitted about, a certificate.
//! 4. The freshest certificate is written at the moment the window opens, or at once while it is open. Writers take
//!    turns too; the news of a record cancels the wait.
//! 5. News of a record closes the window at once; the database is asked right afterwards whether it was true, and whoever
//!    lied is not believed again for a while.
//! 6. A node states one price for a window. An observer that is proven to have stated two is in quarantine.

mod candidate;
mod collecting;
mod courting;
mod database;
mod effect;
mod fetching;
mod ledger;
mod quarantine;
mod rank;
mod roster;
mod settings;
mod stating;
mod suspecting;
mod window;
mod writing;

use std::{collections::BTreeMap, time::Duration};

use candidate::{Candidate, Certified, Mine};
use database::Database;
pub use effect::{Effect, Note};
use ledger::Ledger;
pub use ledger::Mark;
use quarantine::Quarantine;
pub use roster::Alive;
use roster::Roster;
pub use settings::{HEARTBEAT_INTERVAL, Settings, Timing};
pub use stating::Quoted;
use suspecting::Objections;
use window::Window;

use crate::{
    address::Address,
    committee::{Committee, Committees, Headcount},
    cosign::{OwnPrice, Refusal},
    digest::Digest,
    heartbeat::Heartbeat,
    report::VerifiedReport,
    signing::Attestation,
    time::{Instant, UnixMillis},
};

/// The moment at which something is decided, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The stopwatch.
    pub instant: Instant,
    /// The calendar.
    pub unix: UnixMillis,
}

/// A record as the database last showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRecord {
    /// Its digest.
    pub digest: Digest,
    /// Its age by the database's clock.
    pub age: Duration,
}

/// What came of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The record stands, written by us at this time of the database's clock.
    Written(UnixMillis),
    /// Somebody had written it.
    Duplicate(Option<LastRecord>),
    /// The window was not open.
    TooSoon(Option<LastRecord>),
    /// Nobody knows: the database did not answer.
    Unavailable(String),
    /// The database will never take it.
    Refused(String),
}

impl WriteOutcome {
    /// Every name of [`Self::label`].
    pub const LABELS: [&'static str; 5] = ["written", "duplicate", "too_soon", "unavailable", "refused"];

    /// The name under which it is counted.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Written(_) => "written",
            Self::Duplicate(_) => "duplicate",
            Self::TooSoon(_) => "too_soon",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
        }
    }
}

/// The state of one feed on one node.
#[derive(Debug)]
pub struct Rounds {
    settings: Settings,
    committees: Committees,
    roster: Roster,
    headcount: Headcount,
    /// Observers that equivocated.
    quarantined: Quarantine,
    /// Writers that announced what they had not written.
    distrusted: Quarantine,
    ledger: Ledger,
    objections: Objections,
    own_price: Option<OwnPrice>,
    /// The last price, as long as it may still be stated.
    unstated: Option<Quoted>,
    /// When the last statement was observed.
    stated_at: Option<UnixMillis>,
    /// Whether the database had seen no record for two windows when it first answered.
    was_at_rest: Option<bool>,
    window: Window,
    database: Database,
    candidates: BTreeMap<Digest, Candidate>,
    /// When the first observation of the running round came.
    round_began: Option<Instant>,
    /// Whether the lack of a quorum in this round has been reported.
    round_lamented: bool,
    /// The write on its way, and when it was sent.
    writing: Option<(Digest, Instant)>,
    /// When the last record was asked for, if there is no answer yet.
    asking: Option<Instant>,
    /// The last [`Effect::FetchFor`] since the last price.
    fetch_for: Option<Instant>,
    /// Until when a price for newcomers, which was asked for, may still come.
    awaiting_anew: Option<Instant>,
    effects: Vec<Effect>,
    wakeup: Option<Instant>,
}

impl Rounds {
    /// A machine that knows nothing; its first effects ask the database for the last record.
    pub fn start(settings: Settings, now: Now) -> (Self, Vec<Effect>) {
        let mut machine = Self {
            committees: Committees::new(settings.committee.clone(), settings.write_interval),
            settings,
            roster: Roster::default(),
            headcount: Headcount::new(now.instant),
            quarantined: Quarantine::default(),
            distrusted: Quarantine::default(),
            ledger: Ledger::default(),
            objections: Objections::default(),
            own_price: None,
            unstated: None,
            stated_at: None,
            was_at_rest: None,
            window: Window::unknown(),
            database: Database::default(),
            candidates: BTreeMap::new(),
            round_began: None,
            round_lamented: false,
            writing: None,
            asking: None,
            fetch_for: None,
            awaiting_anew: None,
            effects: Vec::new(),
            wakeup: None,
        };
        machine.ask_last_record(now);
        let effects = machine.advance(now);
        (machine, effects)
    }

    /// When to call [`Rounds::on_tick`] at the latest, if nothing else happens before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.wakeup
    }

    /// This node.
    pub fn me(&self) -> Address {
        self.settings.me
    }

    /// How many nodes are known to be alive, this one among them.
    pub fn live(&self) -> usize {
        self.roster.len()
    }

    /// How many observations are on their way to a quorum; never more than a fixed number.
    pub fn candidates(&self) -> usize {
        self.candidates.len()
    }

    /// The last record known, zeros if none.
    pub fn last_record(&self) -> Digest {
        self.window.anchor
    }

    /// Whether the window is known: the database, or news of a record, has told.
    pub fn knows_window(&self) -> bool {
        self.window.opens.is_some()
    }

    /// An own price of this age is overdue: see [`Settings::price_overdue`].
    pub fn price_overdue(&self) -> Duration {
        self.settings.price_overdue()
    }

    /// How old this node's own price is; `None` before the first.
    pub fn own_price_age(&self, now: Now) -> Option<Duration> {
        self.own_price.map(|own| now.instant.since(own.observed))
    }

    /// Signatures that make a quorum now.
    pub fn required(&self) -> usize {
        self.committees.current().required(self.headcount.get())
    }

    /// Who counts now.
    pub fn committee(&self) -> &Committee {
        self.committees.current()
    }

    /// The live nodes and what is known of them, this one not among them.
    pub fn roster(&self) -> impl Iterator<Item = (&Address, &Alive)> {
        self.roster.iter()
    }

    /// What was found about nodes since the start.
    pub fn marks(&self) -> impl Iterator<Item = (&Address, &BTreeMap<Mark, u64>)> {
        self.ledger.iter()
    }

    /// How long an observer that equivocated stays in quarantine; `None` if it is not in it.
    pub fn quarantined(&self, observer: &Address, now: Now) -> Option<Duration> {
        self.quarantined.left(observer, now.instant)
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        self.advance(now)
    }

    /// From now on, others count. Reports in flight keep the old committee for one window.
    pub fn on_committee(&mut self, committee: Committee, now: Now) -> Vec<Effect> {
        self.roster.retain(|node| committee.members.admit(node));
        self.committees.replace(committee, now.unix);
        self.advance(now)
    }

    /// This node has a price of its own. The report of it, if it is stated, comes from the signer.
    pub fn on_own_price(&mut self, quoted: Quoted, now: Now) -> Vec<Effect> {
        self.own_price = Some(OwnPrice {
            price: quoted.evidence.median(),
            observed: quoted.observed,
        });
        self.unstated = Some(quoted);
        (self.fetch_for, self.awaiting_anew) = (None, None);
        self.reconsider();
        self.advance(now)
    }

    /// What was declined for a reason that may have changed is looked at again.
    fn reconsider(&mut self) {
        let open = self
            .candidates
            .values_mut()
            .filter(|c| matches!(c.mine, Mine::Declined { may_change: true }));
        open.for_each(|candidate| candidate.mine = Mine::Undecided);
    }

    /// A report, a peer's or our own.
    pub fn on_report(&mut self, report: VerifiedReport, now: Now) -> Vec<Effect> {
        for signer in report.signatures().keys() {
            self.saw(*signer, now);
        }
        let observation = report.observation();
        let (observer, observed_at) = (observation.observer(), observation.observed_at());
        if now.unix.since(observed_at) <= self.settings.policy.max_age {
            self.heard(observer, now);
            self.roster.observed(&observer, observed_at);
        }
        if report.digest() != self.window.anchor {
            self.add(report, now);
        }
        self.advance(now)
    }

    /// The signer's answer to [`Effect::CoSign`].
    pub fn on_cosigned(
        &mut self,
        digest: Digest,
        answer: Result<Attestation, Refusal>,
        now: Now,
    ) -> Vec<Effect> {
        let required = self.required();
        if let Some(candidate) = self.candidates.get_mut(&digest) {
            let observer = candidate.report.observation().observer();
            match answer {
                // A certificate in the meantime: nothing is added to it (rule 3).
                Ok(_) if candidate.certified.is_some() => candidate.mine = Mine::Signed,
                Ok(attestation) => {
                    candidate.mine = Mine::Signed;
                    if candidate.report.add(attestation) == Ok(true) {
                        let price = candidate.report.observation().price();
                        let signatures = candidate.report.signatures().len();
                        let note = Note::CoSigned {
                            digest,
                            observer,
                            price,
                            signatures,
                            required,
                        };
                        self.effects.push(Effect::Publish(candidate.report.to_report()));
                        self.effects.push(Effect::Note(note));
                        self.certify(digest, now);
                    }
                }
                Err(refusal) => self.decline(digest, observer, refusal, now),
            }
        }
        self.advance(now)
    }

    /// A peer is connected and listens.
    pub fn on_peer_up(&mut self, peer: Address, now: Now) -> Vec<Effect> {
        self.heard(peer, now);
        self.advance(now)
    }

    /// A peer is gone.
    pub fn on_peer_down(&mut self, peer: Address, now: Now) -> Vec<Effect> {
        self.roster.lost(&peer);
        self.advance(now)
    }

    /// A peer is alive, wherever it is.
    pub fn on_heartbeat(&mut self, heartbeat: &Heartbeat, now: Now) -> Vec<Effect> {
        self.heard(heartbeat.node, now);
        self.roster.heard_heartbeat(heartbeat, now.unix);
        self.advance(now)
    }

    fn saw(&mut self, node: Address, now: Now) {
        if self.counts(&node) && self.roster.saw(node, now.instant) {
            self.welcome(now);
        }
    }

    fn heard(&mut self, node: Address, now: Now) {
        if self.counts(&node) {
            let was_heard = self
                .roster
                .has_heard(&node, now.instant, self.settings.timing.roster_ttl);
            if self.roster.heard(node, now.instant) {
                self.welcome(now);
            }
            if !was_heard {
                self.reconsider();
            }
        }
    }

    fn counts(&self, node: &Address) -> bool {
        *node != self.settings.me && self.committees.current().members.admit(node)
    }

    /// What was emitted before this node listened is lost on it. With the window open and nothing certified, a new price is
    /// the way to a quorum, unless one is at hand that was not stated yet.
    fn welcome(&mut self, now: Now) {
        self.headcount
            .follow(self.roster.len(), now.instant, self.settings.write_interval);
        if self.wants_price(now) && self.unstated.is_none() && self.roster.len() >= self.required() {
            self.effects.push(Effect::FetchAnew);
            self.awaiting_anew = Some(now.instant + self.settings.timing.refetch);
        }
    }

    /// When the coming window's observations begin to count; those from before are the last window's.
    fn active_from(&self) -> Option<Instant> {
        let timing = &self.settings.timing;
        self.window
            .opens
            .map(|opens| opens.before(timing.lead + timing.early))
    }

    fn advance(&mut self, now: Now) -> Vec<Effect> {
        self.wakeup = None;
        self.roster.expire(now.instant, self.settings.timing.roster_ttl);
        self.headcount
            .follow(self.roster.len(), now.instant, self.settings.write_interval);
        self.quarantined.release(now.instant);
        self.distrusted.release(now.instant);
        if self.committees.current().members.admit(&self.settings.me) {
            self.state(now);
            self.court(now);
        }
        self.confirm(now);
        self.write(now);
        self.schedule_fetch(now);
        std::mem::take(&mut self.effects)
    }

    fn wake_at(&mut self, at: Instant) {
        self.wakeup = Some(self.wakeup.map_or(at, |earlier| earlier.min(at)));
    }

    fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }
}
