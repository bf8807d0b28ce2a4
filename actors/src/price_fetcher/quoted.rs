//! A price as one exchange states it, and whether its time can be believed.

use std::time::Duration;

use quorate_protocol::{Price, UnixMillis};

use super::quote_error::QuoteError;

/// What one answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The last traded price.
    pub price: Price,
    /// The exchange's own time, where its answer has one.
    pub at: Option<UnixMillis>,
}

/// How far an exchange's clock may be ahead of ours: more than clocks that are kept by NTP ever differ, and little
/// enough that a time in the wrong unit or zone is found.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

impl Quoted {
    /// Refuses a price that its exchange dates before `max_age` ago or in the future. `coarseness` is by how much
    /// the exchange's time may lag by design ([`super::SourceKind::time_coarseness`]).
    pub fn check_time(
        &self,
        now: UnixMillis,
        max_age: Duration,
        coarseness: Duration,
    ) -> Result<(), QuoteError> {
        let Some(at) = self.at else { return Ok(()) };
        let (age, ahead) = (now.since(at), at.since(now));
        let limit = max_age.saturating_add(coarseness);
        if age > limit {
            return Err(QuoteError::Stale { age, limit });
        }
        if ahead > MAX_AHEAD {
            return Err(QuoteError::Future {
                ahead,
                limit: MAX_AHEAD,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);
    const FIVE_MINUTES: Duration = Duration::from_secs(300);

    fn check(at_millis: Option<u64>, coarseness_secs: u64) -> Result<(), QuoteError> {
        let quoted = Quoted {
            price: Price::ONE,
            at: at_millis.map(UnixMillis::new),
        };
        quoted.check_time(NOW, FIVE_MINUTES, Duration::from_secs(coarseness_secs))
    }

    #[test]
    fn a_price_is_refused_when_older_than_allowed_and_not_a_millisecond_before() {
        assert_eq!(check(Some(NOW.get() - 300_000), 0), Ok(()));
        assert!(matches!(
            check(Some(NOW.get() - 300_001), 0),
            Err(QuoteError::Stale { .. })
        ));
        assert_eq!(
            check(Some(NOW.get() - 300_001), 1),
            Ok(()),
            "what is coarse by design is granted that"
        );
    }

    #[test]
    fn a_price_from_further_ahead_than_clocks_differ_is_refused() {
        assert_eq!(check(Some(NOW.get() + 60_000), 0), Ok(()));
        assert!(matches!(
            check(Some(NOW.get() + 60_001), 0),
            Err(QuoteError::Future { .. })
        ));
        assert!(
            matches!(check(Some(u64::MAX), 0), Err(QuoteError::Future { .. })),
            "milliseconds taken for seconds"
        );
    }

    #[test]
    fn without_a_time_there_is_nothing_to_refuse() {
        assert_eq!(check(None, 0), Ok(()));
    }
}
