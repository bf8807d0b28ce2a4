//! When this node needs a price of its own.

use super::{Effect, Now, Rounds};

impl Rounds {
    /// Whether only a new price can bring the next record: the window is open, and no certificate is at hand.
    pub(super) fn wants_price(&self, now: Now) -> bool {
        !self.window.is_closed(now.instant) && self.best_certificate().is_none()
    }

    /// Says when the next price is wanted: just before the window opens; while it is open and nothing is certified, every
    /// few seconds, whether the last wish brought a price that came to nothing, or none at all.
    pub(super) fn schedule_fetch(&mut self, now: Now) {
        let timing = self.settings.timing;
        let last = self.own_price.map(|own| own.observed);
        let wanted = if let Some(opens) = self.window.opens.filter(|opens| now.instant < *opens) {
            let served = last.is_some_and(|last| self.active_from().is_some_and(|active| last >= active));
            (!served).then(|| opens.before(timing.lead))
        } else if self.wants_price(now) && self.roster.len() >= self.required() {
            match self.fetch_for {
                None => Some(last.unwrap_or(now.instant) + timing.refetch),
                Some(wish) if now.instant < wish + timing.refetch => {
                    self.wake_at(wish + timing.refetch);
                    None
                }
                Some(_) => Some(now.instant),
            }
        } else {
            None
        };
        if let Some(at) = wanted
            && self.fetch_for != wanted
        {
            self.fetch_for = wanted;
            self.effects.push(Effect::FetchFor(at));
        }
    }
}
