//! A line for each thing that an operator cares about.

use std::time::Duration;

use quorate_protocol::{
    Address, Feed,
    rounds::{ClockFault, Missing, Note},
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
            missing,
            is_early,
        } => {
            let lack = lack(*signatures, *required, *live, *validators_missing, missing);
            if *is_early {
                log::info!("no quorum yet: feed={feed} {lack} live={live}");
            } else {
                log::warn!("no quorum: feed={feed} {lack} live={live}");
            }
        }
        Note::Written {
            sequence,
            digest,
            writer,
            price,
            signatures,
            age,
            ..
        } => log::info!(
            "record written: feed={feed} sequence={sequence} record={} price={price} signatures={signatures} by={} age_ms={}",
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
        Note::HistoryRewound {
            sequence,
            digest,
            is_held,
        } => {
            let next = match is_held {
                true => "it is written again before anything else",
                false => "a node that has its certificate writes it again",
            };
            log::warn!(
                "the database has lost its last record: feed={feed} sequence={sequence} record={} next=\"{next}\"",
                digest.short()
            );
        }
        Note::HistoryHealed { sequence, digest } => log::info!(
            "the lost record stands again: feed={feed} sequence={sequence} record={}",
            digest.short()
        ),
        Note::Forked {
            sequence,
            digest,
            last_record,
            is_held,
        } => log::error!(
            "history forked: feed={feed} sequence={sequence} lost={digest} goes_on_from={} kept={is_held} \
             reason=\"the database no longer has a record that it had, as after a failover to a replica that lagged\"",
            last_record.short()
        ),
        Note::FalseWritten { digest, writer } => log::warn!(
            "false news: feed={feed} record={} writer={writer} reason=\"the database does not have it\"",
            digest.short()
        ),
    }
}

/// Nodes named in one line.
const MOST_NAMED: usize = 3;

/// Says in words what a report lacks: `2 of 3 signatures: waiting for 1 more node: 0x19eF4eA6 is away`.
fn lack(
    signatures: usize,
    required: usize,
    live: usize,
    validators_missing: usize,
    missing: &[(Address, Missing)],
) -> String {
    let lacking = match (signatures < required, required.saturating_sub(live)) {
        (false, _) if validators_missing == 1 => "waiting for a validator's".to_owned(),
        (false, _) => format!("waiting for those of {validators_missing} validators"),
        (true, 0) => String::new(),
        (true, 1) => "waiting for 1 more node".to_owned(),
        (true, absent) => format!("waiting for {absent} more nodes"),
    };
    let named = missing.iter().take(MOST_NAMED);
    let mut named: Vec<String> = named.map(|(node, why)| in_words(*node, *why)).collect();
    if missing.len() > MOST_NAMED {
        named.push(format!("and {} more", missing.len() - MOST_NAMED));
    }
    let parts = [
        format!("{signatures} of {required} signatures"),
        lacking,
        named.join(", "),
    ];
    let said: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    said.join(": ")
}

/// What is known of a node whose signature is missing.
fn in_words(node: Address, why: Missing) -> String {
    let node = node.short();
    match why {
        Missing::Refused(reason) => format!("{node} refused it ({reason})"),
        Missing::ClockOff(ahead_ms) => {
            let seconds = (ahead_ms.unsigned_abs() + 500) / 1000;
            let side = if ahead_ms < 0 { "behind" } else { "ahead" };
            format!("the clock of {node} is {seconds} s {side}")
        }
        Missing::Silent(silence) => format!("{node} is silent for {} s", silence.as_secs()),
        Missing::Away => format!("{node} is away"),
        Missing::Late => format!("{node} did not sign in time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> Address {
        Address::new([byte; 20])
    }

    #[test]
    fn says_how_many_nodes_are_missing_and_which_members_are_away() {
        assert_eq!(
            lack(2, 3, 2, 0, &[]),
            "2 of 3 signatures: waiting for 1 more node"
        );
        assert_eq!(
            lack(
                1,
                3,
                1,
                0,
                &[(node(0x11), Missing::Away), (node(0x22), Missing::Away)]
            ),
            "1 of 3 signatures: waiting for 2 more nodes: 0x11111111 is away, 0x22222222 is away"
        );
    }

    #[test]
    fn says_of_each_node_that_is_here_and_does_not_sign_what_is_known_of_why() {
        let silence = Missing::Silent(Duration::from_millis(28_400));
        let lacks = |why| lack(2, 3, 4, 0, &[(node(0x11), why)]);
        assert_eq!(lacks(silence), "2 of 3 signatures: 0x11111111 is silent for 28 s");
        assert_eq!(
            lacks(Missing::ClockOff(-10_050)),
            "2 of 3 signatures: the clock of 0x11111111 is 10 s behind"
        );
        assert_eq!(
            lacks(Missing::Refused("price_deviates")),
            "2 of 3 signatures: 0x11111111 refused it (price_deviates)"
        );
        assert_eq!(
            lacks(Missing::Late),
            "2 of 3 signatures: 0x11111111 did not sign in time"
        );
        assert_eq!(
            lack(3, 3, 4, 1, &[(node(0x11), silence)]),
            "3 of 3 signatures: waiting for a validator's: 0x11111111 is silent for 28 s"
        );
        let many: Vec<_> = (1..=6).map(|byte| (node(byte), Missing::Late)).collect();
        assert!(lack(1, 7, 7, 0, &many).ends_with(", and 3 more"));
    }
}
