//! Whether a node can help to bring records about: four conditions, each with its reason and since when.

use crate::{names::Feed, rounds::FeedStatus, time::UnixMillis};

/// What must hold, in the order in which it comes about after a start.
pub const CONDITIONS: [&str; 4] = ["listening", "database", "price", "peers"];

/// What is wrong with each of [`CONDITIONS`]; nothing: it holds.
pub type Problems = [Option<String>; CONDITIONS.len()];

/// One condition at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which of [`CONDITIONS`].
    pub name: &'static str,
    /// Whether it holds.
    pub ok: bool,
    /// Since when it has been so.
    pub since: UnixMillis,
    /// Why it does not hold; the latest of the reasons since then.
    pub reason: Option<String>,
}

/// All conditions, and since when each is as it is.
#[derive(Debug, Clone)]
pub struct Readiness([Condition; CONDITIONS.len()]);

impl Readiness {
    /// Before the first look nothing holds.
    pub fn at(now: UnixMillis) -> Self {
        Self(CONDITIONS.map(|name| Condition {
            name,
            ok: false,
            since: now,
            reason: Some("not looked at yet".to_owned()),
        }))
    }

    /// Takes over what was found now.
    pub fn update(&mut self, problems: Problems, now: UnixMillis) {
        for (condition, reason) in self.0.iter_mut().zip(problems) {
            if condition.ok != reason.is_none() {
                (condition.ok, condition.since) = (reason.is_none(), now);
            }
            condition.reason = reason;
        }
    }

    /// The conditions, in the order of [`CONDITIONS`].
    pub fn conditions(&self) -> &[Condition] {
        &self.0
    }

    /// Whether all hold.
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|condition| condition.ok)
    }

    /// Why not, a line each.
    pub fn reasons(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter_map(|condition| condition.reason.as_deref())
            .collect()
    }
}

/// What keeps this node from records. `None`: the Aggregator does not answer.
pub fn problems(listening: i64, feeds: Option<&[FeedStatus]>) -> Problems {
    let of_feeds = |problem: fn(&FeedStatus) -> Option<String>| match feeds {
        None => Some("the Aggregator does not answer: see /api/v1/actors".to_owned()),
        Some(feeds) => together(feeds.iter().filter_map(|of| Some((&of.feed, problem(of)?)))),
    };
    let not_listening = (listening == 0).then(|| "no address is listened on for peers".to_owned());
    [
        not_listening,
        of_feeds(database),
        of_feeds(price),
        of_feeds(peers),
    ]
}

/// In one line: feeds that have the same problem are named together, and no more of them than a line has room for.
fn together<'a>(problems: impl Iterator<Item = (&'a Feed, String)>) -> Option<String> {
    let mut of_feeds: Vec<(String, Vec<&str>)> = vec![];
    for (feed, problem) in problems {
        match of_feeds.iter_mut().find(|(other, _)| *other == problem) {
            Some((_, feeds)) => feeds.push(feed.as_str()),
            None => of_feeds.push((problem, vec![feed.as_str()])),
        }
    }
    let lines: Vec<String> = of_feeds
        .iter()
        .map(|(problem, feeds)| match feeds.get(NAMED..) {
            None | Some([]) => format!("{}: {problem}", feeds.join(", ")),
            Some(more) => format!("{} and {} more: {problem}", feeds[..NAMED].join(", "), more.len()),
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// Feeds that are named of those that have the same problem.
const NAMED: usize = 3;

fn database(of: &FeedStatus) -> Option<String> {
    match (&of.tally.database_problem, of.knows_window) {
        (Some(problem), _) => Some(format!("the database does not answer: {problem}")),
        (None, false) => Some("the database has not answered yet".to_owned()),
        (None, true) => None,
    }
}

fn price(of: &FeedStatus) -> Option<String> {
    match of.own_price_age_ms {
        None => Some("no price yet".to_owned()),
        Some(age) if age >= of.price_overdue_ms => Some(format!("the last price is {} s old", age / 1000)),
        Some(_) => None,
    }
}

fn peers(of: &FeedStatus) -> Option<String> {
    (of.live < of.required).then(|| format!("{} of {} nodes for a quorum", of.live, of.required))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> UnixMillis {
        UnixMillis::new(1_700_000_000_000 + second * 1000)
    }

    fn all_well() -> Problems {
        [None, None, None, None]
    }

    #[test]
    fn a_condition_tells_since_when_it_is_as_it_is() {
        let mut readiness = Readiness::at(at(0));
        assert!(!readiness.is_ready());
        readiness.update(all_well(), at(1));
        readiness.update(all_well(), at(2));
        assert!(readiness.is_ready());
        assert_eq!(readiness.0[1].since, at(1), "it has held since then");

        let gone = |reason: &str| [None, Some(reason.to_owned()), None, None];
        readiness.update(gone("refused"), at(3));
        readiness.update(gone("timeout"), at(4));
        assert!(!readiness.is_ready());
        assert_eq!(readiness.reasons(), ["timeout"], "the latest reason");
        assert_eq!(readiness.0[1].since, at(3), "of the same trouble");
        assert_eq!(readiness.0[0].since, at(1), "the others are as they were");
    }

    #[test]
    fn feeds_with_the_same_problem_are_named_together() {
        let feeds: Vec<Feed> = ["ETH/USD", "BTC/USD", "SOL/USD", "LTC/USD", "XRP/USD"]
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        let of = |problems: &[&str]| {
            let problems = problems.iter().map(|problem| (*problem).to_owned());
            together(feeds.iter().zip(problems)).unwrap_or_default()
        };
        assert_eq!(of(&[]), "");
        assert_eq!(of(&["refused"]), "ETH/USD: refused");
        assert_eq!(
            of(&["refused", "away", "refused"]),
            "ETH/USD, SOL/USD: refused; BTC/USD: away"
        );
        assert_eq!(
            of(&["refused"; 5]),
            "ETH/USD, BTC/USD, SOL/USD and 2 more: refused"
        );
    }

    #[test]
    fn an_aggregator_that_does_not_answer_leaves_only_listening_known() {
        let problems = problems(1, None);
        assert_eq!(
            problems.each_ref().map(Option::is_none),
            [true, false, false, false]
        );
        assert!(super::problems(0, Some(&[]))[0].is_some());
    }
}
