//! The protocol: how the prices of many nodes become one record after the other.
//!
//! [`Rounds`] is a pure state machine for one feed on one node. The shell tells it what happened and when, passes on the
//! [`Effect`]s that come back, and calls [`Rounds::on_tick`] at [`Rounds::next_wakeup`]. A round is the work on the next
//! record, and its steps are:
//!
//! 1. **Ask.** A price is wanted just before the write window opens, as long before as it lately took to a quorum (`lead`); while
//!    the window is open and nothing is certified, every few seconds (`own_price`).
//! 2. **State.** A node states one price for a window, when enough nodes are there to hear it (`own_price`).
//! 3. **Collect.** Reports come together, and their signatures are merged. With a quorum a report is a certificate: nobody
//!    adds to it (`candidates`).
//! 4. **Co-sign.** All nodes rank the observations alike. After a short settling time a node vouches for the best-ranked that it
//!    can; if that is no certificate in time, for the next. Co-signers take turns: as many as are needed sign at once, the
//!    others only while signatures are missing (`cosigning`, `turns`).
//! 5. **Write.** The freshest certificate is written at the moment the window opens, or at once while it is open. Writers
//!    take turns too (`writer`). A node writes, and stops looking for another, only what it has signed or its own price
//!    would let it sign; without a price it trusts the members of a closed committee, and writes after all others.
//! 6. **Confirm.** News of a record closes the window at once and begins the next round; the database is asked right
//!    afterwards whether it was true (`writer`).
//!
//! What happens in between, an answer to everything that a node hears, is in `events`.
//!
//! Beside these: who is alive and so counts and has turns (`peers`), and what is held against whom. An observer that is
//! proven to have stated two prices for one window is in quarantine; a writer that lied is not believed again for a while
//! (`conduct`).

mod candidates;
mod clocks;
mod conduct;
mod cosigning;
mod effect;
mod events;
mod history;
mod lead;
mod own_price;
mod peers;
mod records;
mod settings;
mod status;
mod turns;
mod writer;

use candidates::{Backing, Candidates, Certified};
pub use clocks::ClockFault;
use conduct::Conduct;
use cosigning::{Cosigning, View};
use effect::Outbox;
pub use effect::{Effect, FetchRequest, Missing, Note, SignRequest, StoreRequest};
use history::History;
use own_price::{Need, Occasion, OwnPrice};
use peers::Peers;
pub use settings::{Settings, Timing};
pub use status::{FeedStatus, NodeStatus, Tally};
use writer::Writer;

use crate::{
    committee::{Committees, Members},
    digest::Digest,
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

/// The state of one feed on one node.
#[derive(Debug)]
pub struct Rounds {
    settings: Settings,
    started: Instant,
    committees: Committees,
    peers: Peers,
    conduct: Conduct,
    own_price: OwnPrice,
    history: History,
    candidates: Candidates,
    cosigning: Cosigning,
    writer: Writer,
    tally: Tally,
    out: Outbox,
}

impl Rounds {
    /// A machine that knows nothing; its first effects ask the database for the last record.
    pub fn start(settings: Settings, now: Now) -> (Self, Vec<Effect>) {
        let mut machine = Self {
            committees: Committees::new(settings.committee.clone(), settings.write_interval),
            settings,
            started: now.instant,
            peers: Peers::none(now.instant),
            conduct: Conduct::default(),
            own_price: OwnPrice::default(),
            history: History::default(),
            candidates: Candidates::default(),
            cosigning: Cosigning::default(),
            writer: Writer::default(),
            tally: Tally::default(),
            out: Outbox::default(),
        };
        machine
            .writer
            .ask_last_record(&machine.settings, now.instant, &mut machine.out);
        let effects = machine.advance(now);
        (machine, effects)
    }

    /// Goes through the steps of a round: each does what is due now, and says when it is to be looked at again.
    fn advance(&mut self, now: Now) -> Vec<Effect> {
        self.out.forget_wakeup();
        self.peers.expire(now.instant, self.settings.timing.roster_ttl);
        self.peers.count(now.instant, self.settings.write_interval);
        self.conduct.release(now.instant);
        if self
            .own_price
            .is_no_more_doubted(&self.settings, now.instant, &mut self.out)
        {
            self.cosigning.reconsider();
            self.reconsider_certificates(now);
        }
        if self.committees.current().members.admit(&self.settings.me) {
            self.state(now);
            self.cosign(now);
        }
        self.inquire(now);
        self.write(now);
        self.ask(now);
        let effects = self.out.take();
        self.tally.take_notes(&effects, now.unix);
        effects
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        self.advance(now)
    }

    /// Whether the last record is lost and to be written again: nothing else is worth a signature.
    fn is_healing(&self) -> bool {
        self.best().is_some_and(|best| best.backing() == Backing::Record)
    }

    /// The certificate to write.
    fn best(&self) -> Option<&Certified> {
        self.candidates.best(self.history.next()?)
    }

    fn state(&mut self, now: Now) {
        let Some(next) = self.history.next().filter(|_| !self.is_healing()) else {
            return;
        };
        // Until the database is back, another price would come to nothing; and who states none now may state one then.
        let is_waiting = self.best().is_some() && !self.history.is_closed(now.instant);
        if is_waiting && !self.is_renewal(now) {
            return;
        }
        let occasion = Occasion {
            next,
            counts_from: self.counts_from(),
            not_before: self.history.no_statement_before(&self.settings),
            is_heard: self.peers.live() >= self.required(),
        };
        self.own_price
            .state(occasion, &self.settings, now.instant, &mut self.out);
    }

    fn cosign(&mut self, now: Now) {
        if let Some(counts_from) = self.counts_from() {
            if now.instant < counts_from {
                return self.out.wake_at(counts_from);
            }
            self.candidates.forget_before(counts_from);
        }
        let lapsed = now.instant.before(self.settings.policy.max_age * 2);
        self.candidates.forget_lapsed(lapsed);
        let Some(next) = self.history.next().filter(|_| !self.is_healing()) else {
            return;
        };
        let view = View {
            settings: &self.settings,
            committee: self.committees.current(),
            required: self.required(),
            next,
            own_price: &self.own_price,
            is_price_coming: self.own_price.is_coming_anew(now.instant),
            candidates: &self.candidates,
            peers: &self.peers,
            conduct: &self.conduct,
            started: self.started,
            opens: self.history.opens(),
            now,
        };
        let (refused, then) = self.cosigning.advance(&view, &mut self.out);
        for refusal in refused {
            self.on_refused(refusal, now);
        }
        if let Some(effect) = then {
            self.out.push(effect);
        }
    }

    fn write(&mut self, now: Now) {
        let view = writer::View {
            history: &self.history,
            candidates: &self.candidates,
            own_price: &self.own_price,
            peers: &self.peers,
            settings: &self.settings,
        };
        self.writer.write(&view, now.instant, &mut self.out);
    }

    fn inquire(&mut self, now: Now) {
        let strays = self.history.next().and_then(|next| {
            let strays = self.candidates.strays(next);
            strays.map(|(_, candidate)| candidate.first_seen()).max()
        });
        self.writer
            .inquire(&self.history, strays, &self.settings, now.instant, &mut self.out);
    }

    fn ask(&mut self, now: Now) {
        let need = match self.history.opens() {
            Some(opens) if now.instant < opens => Need::Window(opens),
            _ if self.lacks_only_prices(now) => Need::Now,
            _ if self.is_renewal(now) => Need::Renewal,
            _ => Need::None,
        };
        self.own_price
            .ask(need, &self.settings, now.instant, &mut self.out);
    }

    /// Whether a fresh certificate is to take the place of one that has waited for the database: this node has found that back, or another
    /// has and states a price.
    fn is_renewal(&self, now: Now) -> bool {
        let Some(next) = self.history.next() else {
            return false;
        };
        self.candidates
            .best(next)
            .is_some_and(|best| best.is_old(&self.settings, now.instant))
            && !self.history.is_closed(now.instant)
            && (self.writer.is_renewal(now.instant)
                || self.candidates.contenders(next, &self.settings).next().is_some())
    }

    /// Whether a new price is the way to the next record: the window is not closed, no certificate is at hand, and enough
    /// nodes for a quorum are there.
    fn lacks_only_prices(&self, now: Now) -> bool {
        !self.history.is_closed(now.instant) && self.best().is_none() && self.peers.live() >= self.required()
    }

    /// When the coming window's observations begin to count.
    fn counts_from(&self) -> Option<Instant> {
        let timing = &self.settings.timing;
        self.history.opens().map(|opens| timing.counts_from(opens))
    }

    /// When to call [`Rounds::on_tick`] at the latest, if nothing else happens before.
    pub fn next_wakeup(&self) -> Option<Instant> {
        self.out.wakeup()
    }

    /// How the feed is, for people and for the readiness probe.
    pub fn status(&self, now: Now) -> FeedStatus {
        let (committee, me) = (self.committees.current(), self.settings.me);
        FeedStatus {
            feed: self.settings.feed.clone(),
            open: committee.members == Members::Open,
            live: self.peers.live(),
            required: self.required(),
            required_validators: match committee.rule.validators.len() {
                0 => 0,
                _ => committee.rule.min_validators,
            },
            nodes: NodeStatus::of_all(committee, me, &self.peers, &self.conduct, now),
            own_price_age_ms: self.own_price.age(now.instant).map(status::whole_ms),
            price_overdue_ms: status::whole_ms(self.settings.price_overdue()),
            knows_window: self.history.opens().is_some(),
            clock_faults: self.clock_faults(),
            tally: Tally {
                // The reason that is true now, whatever was told.
                database_problem: self.writer.database_problem().map(str::to_owned),
                ..self.tally.clone()
            },
        }
    }

    /// Clocks that are off by more than messages may be.
    pub fn clock_faults(&self) -> Vec<ClockFault> {
        self.peers.clocks().faults()
    }

    /// When this node last had a price.
    pub fn last_observation(&self) -> Option<UnixMillis> {
        self.tally.last_observation
    }

    /// The last record known, zeros if none.
    pub fn last_record(&self) -> Digest {
        self.history.last_record()
    }

    /// The number of the next record; `None` until the last one is known.
    pub fn next_sequence(&self) -> Option<u64> {
        self.history.next().map(|next| next.sequence())
    }

    /// How many observations are on their way to a quorum; never more than a fixed number.
    pub fn candidates(&self) -> usize {
        self.candidates.len()
    }

    /// How many nodes are known to be alive, this one among them.
    pub fn live(&self) -> usize {
        self.peers.live()
    }

    /// Signatures that make a quorum now.
    pub fn required(&self) -> usize {
        self.committees.current().required(self.peers.counted())
    }
}
