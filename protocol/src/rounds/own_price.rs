//! This node's own price: when one is wanted, and when it is stated.

use std::time::Duration;

use super::lead::Lead;
use super::{
    Settings, Timing,
    effect::{Effect, FetchRequest, Note, Outbox, SignRequest},
};
use crate::{
    cosign::{AGREEING_SOURCES, PATIENT_WINDOWS, Refusal, move_limit_bps, time_to_move},
    evidence::AgreedPrice,
    link::Link,
    price::Price,
    record::LastRecord,
    time::{Instant, UnixMillis},
};

/// A price of one's own that is as young as this is fresh enough to take the place of one that has waited.
const FRESH_FOR: Duration = Duration::from_secs(2);

/// The last price, and what became of it.
#[derive(Debug, Default)]
pub(super) struct OwnPrice {
    latest: Option<AgreedPrice>,
    /// Whether the latest may still be stated.
    is_unstated: bool,
    /// For which place the last statement was made, and when it was observed.
    stated: Option<(Link, UnixMillis)>,
    /// For when a price was asked for since the last one came.
    asked_for: Option<Instant>,
    /// How long before the window opens the next one is asked for.
    lead: Lead,
    /// Whether the wish is for a window that was still to open; and whether the latest price came of such a wish.
    is_opening_asked_for: bool,
    is_for_opening: bool,
    /// Until when a price for newcomers, which was asked for, may still come.
    anew_until: Option<Instant>,
    /// The last record's price, and when it was written.
    record: Option<(Price, Instant)>,
    /// While this node's prices lie far from the last record.
    away: Option<Away>,
    /// Whether the latest was not believed for that when last looked at.
    is_doubted: bool,
    /// Prices since the last record.
    in_vain: u32,
}

/// Prices that lie far from the last record, and near each other.
#[derive(Debug, Clone, Copy)]
struct Away {
    first: Price,
    since: Instant,
    is_noted: bool,
}

/// What a statement depends on besides the price.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occasion {
    /// The place of the next record.
    pub(super) next: Link,
    /// When prices begin to serve the coming window; unknown while the window is.
    pub(super) counts_from: Option<Instant>,
    /// No statement before this moment.
    pub(super) not_before: Instant,
    /// Whether enough nodes for a quorum are there to hear it.
    pub(super) is_heard: bool,
}

/// What a new price would be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// For the window that opens at this moment.
    Window(Instant),
    /// The window is open, and only a new price can bring the next record.
    Now,
    /// The window is open, and a certificate that has waited is to be replaced by a fresh one.
    Renewal,
    /// Nothing.
    None,
}

impl OwnPrice {
    /// The last price.
    pub(super) fn latest(&self) -> Option<&AgreedPrice> {
        self.latest.as_ref()
    }

    /// How old it is.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.latest.as_ref().map(|price| now.since(price.observed))
    }

    /// What this node holds for the last record.
    pub(super) fn on_record(&mut self, record: &LastRecord, now: Instant) {
        self.record = Some((record.price, now.before(record.age)));
    }

    /// A new price is there.
    pub(super) fn take(&mut self, price: AgreedPrice, settings: &Settings) {
        self.is_for_opening = self.is_opening_asked_for;
        if let Some(asked_for) = self.asked_for {
            let (late, early) = (price.observed.since(asked_for), asked_for.since(price.observed));
            self.lead.on_price(late + early);
        }
        let (now, near_bps) = (price.observed, settings.max_move_bps);
        self.away = self.move_too_far(&price, settings, now).map(|_| match self.away {
            Some(away) if price.price().deviation_bps(away.first) <= near_bps => away,
            _ => Away {
                first: price.price(),
                since: now,
                is_noted: false,
            },
        });
        self.latest = Some(price);
        self.is_unstated = true;
        self.in_vain = self.in_vain.saturating_add(1);
        (self.asked_for, self.anew_until) = (None, None);
    }

    /// The history went on: what was stated for another place may be stated for the next.
    pub(super) fn on_new_round(&mut self) {
        self.is_unstated = self.latest.is_some();
        self.in_vain = 0;
    }

    /// The last price, if it is one to state and to hold others' against; or why not.
    pub(super) fn believed(&self, settings: &Settings, now: Instant) -> Result<&AgreedPrice, Refusal> {
        let price = self.latest.as_ref().ok_or(Refusal::NoOwnPrice)?;
        let patience = settings.write_interval * PATIENT_WINDOWS;
        let has_stood = self.away.is_some_and(|away| now.since(away.since) >= patience);
        let is_agreed = price.evidence.quotes().len() >= AGREEING_SOURCES;
        match self.move_too_far(price, settings, now) {
            Some(refusal) if !is_agreed && !has_stood => Err(refusal),
            _ => Ok(price),
        }
    }

    /// A price that is farther from the last record than one window's move for each window since, whoever agrees on it.
    fn move_too_far(&self, price: &AgreedPrice, settings: &Settings, now: Instant) -> Option<Refusal> {
        let (record, written) = self.record?;
        let limit_bps = move_limit_bps(settings.max_move_bps, now.since(written), settings.write_interval);
        let moved_bps = price.price().deviation_bps(record);
        (moved_bps > limit_bps).then(|| Refusal::MovedTooFar {
            ours: price.price(),
            record,
            moved_bps,
            limit_bps,
            sources: price.evidence.quotes().len(),
        })
    }

    /// Whether the last price was doubted for its distance from the last record, and is no more: time alone can bring that about, so
    /// the machine is called when it does.
    pub(super) fn is_no_more_doubted(&mut self, settings: &Settings, now: Instant, out: &mut Outbox) -> bool {
        let moved_bps = match self.believed(settings, now) {
            Err(Refusal::MovedTooFar { moved_bps, .. }) => Some(moved_bps),
            _ => None,
        };
        if let (Some(moved_bps), Some((_, written)), Some(away)) = (moved_bps, self.record, self.away) {
            let window = settings.write_interval;
            let is_near = written + time_to_move(settings.max_move_bps, moved_bps, window);
            out.wake_at(is_near.min(away.since + window * PATIENT_WINDOWS));
        }
        std::mem::replace(&mut self.is_doubted, moved_bps.is_some()) && moved_bps.is_none()
    }

    /// States the last price, once for a window, if it serves the coming one and somebody is there to hear it.
    pub(super) fn state(&mut self, occasion: Occasion, settings: &Settings, now: Instant, out: &mut Outbox) {
        let Some(price) = self.latest.as_ref().filter(|_| self.is_unstated) else {
            return;
        };
        let link = occasion.next;
        let is_stale = now.since(price.observed) > settings.policy.max_age;
        let is_for_no_window = occasion.counts_from.is_some_and(|from| price.observed < from);
        let is_second = self.stated.is_some_and(|(stated, at)| {
            stated == link && at.apart(price.observed_at) < settings.one_window()
        });
        if is_stale || is_for_no_window || is_second {
            self.is_unstated = false;
            return;
        }
        if let Err(reason) = self.believed(settings, now) {
            if let Some(away) = self.away.as_mut().filter(|away| !away.is_noted) {
                away.is_noted = true;
                out.note(Note::Withheld { reason });
            }
            return;
        }
        let mut due = occasion.not_before;
        if !occasion.is_heard {
            due = due.max(price.observed + settings.timing.hold);
        }
        if now < due {
            return out.wake_at(due);
        }
        self.is_unstated = false;
        self.stated = Some((link, price.observed_at));
        let price = price.clone();
        out.push(Effect::Sign(SignRequest::State { link, price }));
    }

    /// A report became a certificate at `now`; the price that it waited for was there at `could_begin`, and the window opens at
    /// `opens`, if that is known.
    pub(super) fn on_certificate(
        &mut self,
        could_begin: Instant,
        opens: Option<Instant>,
        now: Instant,
        timing: &Timing,
    ) {
        // What happens in a window that is open already tells nothing of how long its opening has to be prepared.
        if !self.is_for_opening {
            return;
        }
        let own = self.latest.as_ref().map_or(could_begin, |price| price.observed);
        let is_late = opens.is_some_and(|opens| now > opens);
        self.lead
            .on_certificate(now.since(own.max(could_begin)), is_late, timing);
    }

    /// Asks for the next price: for just before the window opens; in an open window every few seconds, whether the last
    /// wish brought a price that came to nothing, or none at all.
    pub(super) fn ask(&mut self, need: Need, settings: &Settings, now: Instant, out: &mut Outbox) {
        let timing: &Timing = &settings.timing;
        let last = self.latest.as_ref().map(|price| price.observed);
        let wanted = match (need, self.asked_for) {
            (Need::None, _) => return,
            // A price that does not come is nobody's message: at the opening it is looked whether it has.
            (Need::Window(opens), _) if last.is_some_and(|last| last >= timing.counts_from(opens)) => {
                return out.wake_at(opens);
            }
            (Need::Window(opens), _) => {
                out.wake_at(opens);
                opens.before(self.lead.current(timing))
            }
            (Need::Now, None) => last.unwrap_or(now) + self.refetch(settings),
            (Need::Now, Some(asked_for)) if now < asked_for + timing.refetch => {
                return out.wake_at(asked_for + timing.refetch);
            }
            (Need::Renewal, _) if last.is_some_and(|last| now.since(last) < FRESH_FOR) => return,
            (Need::Renewal, Some(asked_for)) if asked_for <= now && now < asked_for + timing.refetch => {
                return out.wake_at(asked_for + timing.refetch);
            }
            (Need::Now | Need::Renewal, _) => now,
        };
        if matches!(need, Need::Now | Need::Renewal) {
            out.wake_at(wanted + timing.refetch);
        }
        if self.asked_for != Some(wanted) {
            self.asked_for = Some(wanted);
            self.is_opening_asked_for = matches!(need, Need::Window(_));
            let feed = settings.feed.clone();
            out.push(Effect::Fetch(FetchRequest::By { feed, at: wanted }));
        }
    }

    /// How long after a price that came to nothing the next is asked for, in an open window: twice as long after each, up to the usual
    /// interval, so that a network that cannot agree does less and not more.
    fn refetch(&self, settings: &Settings) -> Duration {
        let doubled = settings.timing.refetch * (1 << self.in_vain.saturating_sub(1).min(8));
        doubled.min(settings.fetch_interval.max(settings.timing.refetch))
    }

    /// Asks for a price for nodes that did not listen when the last one was stated, unless one is at hand.
    pub(super) fn ask_anew(&mut self, settings: &Settings, now: Instant, out: &mut Outbox) {
        if !self.is_unstated {
            self.anew_until = Some(now + settings.timing.refetch);
            out.push(Effect::Fetch(FetchRequest::Soon(settings.feed.clone())));
        }
    }

    /// Whether a price for newcomers is on its way.
    pub(super) fn is_coming_anew(&self, now: Instant) -> bool {
        self.anew_until.is_some_and(|until| now < until)
    }
}
