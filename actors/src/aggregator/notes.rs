//! A line for each thing that an operator cares about.

use std::time::Duration;

use quorate_protocol::{
    Feed,
    rounds::{ClockFault, Note},
};

/// Records need clocks that agree: who is off states prices that others ignore, and signs nothing of theirs.
pub(super) fn warn_of_clock(fault: &ClockFault) {
    match fault {
        ClockFault::Ours { ahead_ms, .. } => log::warn!(
            "clock is off: whose=ours ahead_ms={ahead_ms} reason=\"{fault}\" remedy=\"keep this machine's clock by ntp\""
        ),
        ClockFault::Theirs { node, ahead_ms } => log::warn!(
            "clock is off: whose={node} ahead_ms={ahead_ms} reason=\"{fault}\" \
             remedy=\"have that machine's clock kept by ntp, and look at this one's\""
        ),
    }
}

/// How long a database may take to start before it is an error that it is not there.
const LATE: Duration = Duration::from_secs(30);

pub(super) fn log(feed: &Feed, note: &Note) {
    match note {
        Note::CoSigned {
            digest,
            observer,
            price,
            signatures,
            required,
        } => log::info!(
            "report co-signed: feed={feed} report={} observer={} price={price} signatures={signatures}/{required}",
            digest.short(),
            observer.short()
        ),
        // A node that is a little slower than its peers abstains for a moment in every window.
        Note::Refused {
            digest,
            observer,
            refusal,
        } if refusal.is_abstention() => log::debug!(
            "abstained for now: feed={feed} report={} observer={} reason={} detail=\"{refusal}\"",
            digest.short(),
            observer.short(),
            refusal.label()
        ),
        Note::Refused {
            digest,
            observer,
            refusal,
        } => log::warn!(
            "report refused: feed={feed} report={} observer={observer} reason={} detail=\"{refusal}\"",
            digest.short(),
            refusal.label()
        ),
        Note::Withheld { reason } => {
            log::warn!(
                "own price withheld: feed={feed} reason={} detail=\"{reason}\"",
                reason.label()
            );
        }
        Note::RefusedElsewhere {
            digest,
            observer,
            node,
            reason,
        } => log::info!(
            "report refused by a peer: feed={feed} report={} observer={observer} by={} reason={reason}",
            digest.short(),
            node.short()
        ),
        Note::Equivocated {
            observer,
            first,
            second,
            quarantine,
        } => log::warn!(
            "observer equivocated: feed={feed} observer={observer} reports={},{} quarantine={quarantine:?} \
             proof=\"quorate evidence --observer {observer}\"",
            first.short(),
            second.short()
        ),
        Note::Quorum {
            digest,
            price,
            signatures,
            required,
            ..
        } => log::info!(
            "quorum: feed={feed} report={} price={price} signatures={signatures}/{required}",
            digest.short()
        ),
        Note::CertificateRefused {
            digest,
            price,
            signers,
            refusal,
        } => {
            let signers: Vec<String> = signers.iter().map(ToString::to_string).collect();
            log::warn!(
                "certificate refused: feed={feed} report={} price={price} reason=\"{refusal}\" signers={}",
                digest.short(),
                signers.join(",")
            );
        }
        Note::Waiting {
            signatures,
            required,
            live,
            validators_missing,
            is_early,
        } => {
            let lack = lack(*signatures, *required, *live, *validators_missing);
            if *is_early {
                log::info!("no quorum yet: feed={feed} {lack} live={live}");
            } else {
                log::warn!("no quorum: feed={feed} {lack} live={live}");
            }
        }
        Note::Written {
            digest,
            writer,
            price,
            signatures,
            age,
            ..
        } => log::info!(
            "record written: feed={feed} record={} price={price} signatures={signatures} by={} age_ms={}",
            digest.short(),
            writer.short(),
            age.as_millis()
        ),
        Note::TooSoon { digest, last_age } => log::debug!(
            "write too soon: feed={feed} record={} last_record_age_ms={}",
            digest.short(),
            last_age.as_millis()
        ),
        Note::Superseded { digest } => log::info!(
            "certificate superseded: feed={feed} record={} reason=\"a fresher one takes its place\"",
            digest.short()
        ),
        Note::WriteRefused { digest, reason } => {
            log::error!(
                "write refused by the database: feed={feed} record={} reason=\"{reason}\"",
                digest.short()
            );
        }
        Note::DatabaseLost {
            reason,
            retry_in,
            was_there: false,
            since,
        } if *since < LATE => {
            log::info!("waiting for the database: feed={feed} reason=\"{reason}\" retry_in={retry_in:?}");
        }
        Note::DatabaseLost {
            reason,
            was_there,
            since,
            ..
        } => {
            let what = match (was_there, since.is_zero()) {
                (true, true) => "database gone",
                // Another reason than before.
                (true, false) => "database still gone",
                (false, _) => "database not there yet",
            };
            log::error!(
                "{what}: feed={feed} reason=\"{reason}\" for_s={}",
                since.as_secs()
            );
        }
        Note::DatabaseBack { outage, was_there } => {
            let what = if *was_there {
                "database back"
            } else {
                "database there"
            };
            log::info!("{what}: feed={feed} after_ms={}", outage.as_millis());
        }
        Note::FalseWritten { digest, writer } => log::warn!(
            "false news: feed={feed} record={} writer={writer} reason=\"the database does not have it\"",
            digest.short()
        ),
    }
}

/// Says in words what a report lacks: `2 of 3 signatures: waiting for 1 more node`.
fn lack(signatures: usize, required: usize, live: usize, validators_missing: usize) -> String {
    let missing = required.saturating_sub(signatures);
    let absent = required.saturating_sub(live);
    let nodes = |n: usize| {
        if n == 1 {
            "1 more node".to_owned()
        } else {
            format!("{n} more nodes")
        }
    };
    let so_far = format!("{signatures} of {required} signatures");
    match (missing, absent) {
        (0, _) if validators_missing == 1 => format!("{so_far}: waiting for a validator's"),
        (0, _) if validators_missing > 1 => {
            format!("{so_far}: waiting for those of {validators_missing} validators")
        }
        (_, 0) => format!("{so_far}: enough nodes are here, but {missing} did not vouch for it"),
        (_, absent) => format!("{so_far}: waiting for {}", nodes(absent)),
    }
}

#[cfg(test)]
mod tests {
    use super::lack;

    #[test]
    fn says_how_many_nodes_are_missing() {
        assert_eq!(lack(2, 3, 2, 0), "2 of 3 signatures: waiting for 1 more node");
        assert_eq!(lack(1, 3, 1, 0), "1 of 3 signatures: waiting for 2 more nodes");
    }

    #[test]
    fn says_when_nodes_are_here_but_do_not_sign() {
        assert_eq!(
            lack(2, 3, 4, 0),
            "2 of 3 signatures: enough nodes are here, but 1 did not vouch for it"
        );
        assert_eq!(lack(3, 3, 4, 1), "3 of 3 signatures: waiting for a validator's");
    }
}
