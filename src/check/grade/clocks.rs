//! Whether a clock is right, told by others whose answers say when they were sent.

use std::time::Duration;

use quorate_protocol::judge::JudgeConfig;

use super::{Check, Grade, Verdict, up_to};

/// Clocks kept by NTP differ by milliseconds, and a node takes half a second for the network's.
const GOOD: Duration = Duration::from_millis(500);
/// Beyond it, a price looks older or younger than it is by a part of the window that shows.
const FAIR: Duration = Duration::from_secs(2);
/// Beyond it, peers take what this node states for a statement from the future, or theirs looks so here.
const POOR: Duration = JudgeConfig::FUTURE_TOLERANCE;

/// By how many milliseconds our clock is ahead of another: certainly from the one to the other number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Ahead {
    pub(in super::super) least_ms: i64,
    pub(in super::super) most_ms: i64,
}

impl Ahead {
    /// By an answer that came between two times of ours and was sent between two times of the other clock.
    pub(in super::super) fn new(ours: [u64; 2], theirs: [u64; 2]) -> Self {
        let apart = |ours: u64, theirs: u64| {
            let apart = i64::try_from(ours.abs_diff(theirs)).unwrap_or(i64::MAX);
            if ours < theirs { -apart } else { apart }
        };
        Self {
            least_ms: apart(ours[0], theirs[1]),
            most_ms: apart(ours[1], theirs[0]),
        }
    }

    /// What several say together. Where they contradict each other, the middle one is believed.
    pub(in super::super) fn of_all(mut all: Vec<Self>) -> Option<Self> {
        let least_ms = all.iter().map(|ahead| ahead.least_ms).max()?;
        let most_ms = all.iter().map(|ahead| ahead.most_ms).min()?;
        if least_ms <= most_ms {
            return Some(Self { least_ms, most_ms });
        }
        all.sort_by_key(|ahead| ahead.middle());
        all.get(all.len() / 2).copied()
    }

    fn middle(self) -> i64 {
        self.least_ms.midpoint(self.most_ms)
    }

    /// By how much the two differ at least.
    fn for_certain(self) -> Duration {
        let apart = self.least_ms.max(0).max(-self.most_ms.min(0));
        Duration::from_millis(apart.unsigned_abs())
    }
}

/// Our clock against that of `whom`.
pub(in super::super) fn clock(check: Check, whom: &str, ahead: Option<Ahead>) -> Verdict {
    let Some(ahead) = ahead else {
        return Verdict::not_checked(check, whom, "nobody said what time it is");
    };
    let grade = up_to(ahead.for_certain(), [GOOD, FAIR, POOR]);
    let (middle, half) = (ahead.middle(), (ahead.most_ms - ahead.least_ms) / 2);
    let side = if middle < 0 { "behind" } else { "ahead" };
    let measured = format!("{} ms {side}, to ± {half} ms", middle.unsigned_abs());
    let verdict = Verdict::new(check, whom, grade, measured);
    let verdict = verdict.with("ahead_ms", middle).with("uncertain_ms", half);
    match grade {
        Grade::Good => verdict,
        _ => verdict.with("off_for_certain_ms", ahead.for_certain().as_millis() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(least_ms: i64, most_ms: i64) -> Ahead {
        Ahead { least_ms, most_ms }
    }

    #[test]
    fn an_answer_bounds_the_difference_from_both_sides() {
        // Asked at 10.0, answered at 10.2; sent in the second that begins at 9.
        assert_eq!(Ahead::new([10_000, 10_200], [9_000, 9_999]), ahead(1, 1_200));
        assert_eq!(Ahead::new([5_000, 5_100], [9_000, 9_999]), ahead(-4_999, -3_900));
    }

    #[test]
    fn several_together_know_it_better_and_the_middle_one_is_believed_when_they_differ() {
        assert_eq!(Ahead::of_all(vec![]), None);
        let agreeing = vec![ahead(-900, 300), ahead(-100, 1_000)];
        assert_eq!(Ahead::of_all(agreeing), Some(ahead(-100, 300)));
        let one_liar = vec![ahead(-500, 500), ahead(60_000, 61_000), ahead(-400, 600)];
        assert_eq!(Ahead::of_all(one_liar), Some(ahead(-400, 600)));
    }

    #[test]
    fn what_counts_is_what_is_certain() {
        let grade = |least, most| clock(Check::ClockSources, "", Some(ahead(least, most))).grade;
        assert_eq!(grade(-600, 600), Grade::Good);
        assert_eq!(grade(400, 1_600), Grade::Good);
        assert_eq!(grade(600, 1_600), Grade::Fair);
        assert_eq!(grade(-4_000, -3_000), Grade::Poor);
        assert_eq!(grade(5_001, 6_000), Grade::Fail);
        assert_eq!(clock(Check::ClockSources, "", None).grade, Grade::NotChecked);
    }

    #[test]
    fn the_measure_is_told_with_its_uncertainty() {
        let verdict = clock(Check::ClockDatabase, "db", Some(ahead(-61_000, -60_000)));
        assert_eq!(verdict.measured, "60500 ms behind, to ± 500 ms");
        assert_eq!(verdict.values["off_for_certain_ms"], 60_000);
    }
}
