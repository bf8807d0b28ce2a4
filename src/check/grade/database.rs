//! What a look at the database means for this node.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::{Address, Committee, Members, Network};
use quorate_store::{Inspection, Member, NODE_ROLE, Settings, SettingsMismatch, StoreError, Unreached};

use super::{Check, Grade, Verdict, clocks::Ahead, up_to};

/// A database nearby.
const GOOD: Duration = Duration::from_millis(20);
/// One elsewhere on the continent: a record's commit takes some of these, in a window of seconds.
const FAIR: Duration = Duration::from_millis(100);

/// What this node is set to.
#[derive(Debug, Clone)]
pub(in super::super) struct Wanted {
    pub(in super::super) write_interval: Duration,
    pub(in super::super) network: Network,
    pub(in super::super) committee: Committee,
    /// Whether a list of members is named and cannot be used, so that the committee is not the node's.
    pub(in super::super) lacks_members: bool,
    /// This node's address; `None`: its key cannot be read, or is not made yet.
    pub(in super::super) me: Option<Address>,
    /// The last migration of this program.
    pub(in super::super) migration: String,
}

/// All that was seen.
pub(in super::super) fn database(
    subject: &str,
    seen: &Result<Inspection, Unreached>,
    wanted: &Wanted,
) -> Vec<Verdict> {
    let seen = match seen {
        Ok(seen) => seen,
        Err(unreached) => return vec![unreachable(subject, unreached)],
    };
    let mut verdicts = vec![reached(subject, seen), role(seen), schema(seen, wanted)];
    if let Ok(settings) = seen.settings {
        verdicts.push(rules(settings, seen, wanted));
        verdicts.push(if wanted.lacks_members {
            Verdict::not_checked(Check::DatabaseMembers, "", "this node's list cannot be used")
        } else {
            members(&seen.members, wanted)
        });
    }
    verdicts.extend([tls(seen), replication(seen)]);
    verdicts
}

/// By how much our clock is ahead of the database's.
pub(in super::super) fn ahead_of_database(seen: &Inspection) -> Ahead {
    let half = i64::try_from(seen.round_trip.as_millis() / 2)
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    Ahead {
        least_ms: -seen.clock_ahead_ms - half,
        most_ms: -seen.clock_ahead_ms + half,
    }
}

fn unreachable(subject: &str, unreached: &Unreached) -> Verdict {
    let verdict = Verdict::new(Check::Database, subject, Grade::Fail, unreached.to_string());
    match unreached {
        Unreached::Away(_) => verdict.with("reason", "away").advise(
            "start it, or correct host and port in the URL; see that nothing between drops TCP to it",
        ),
        Unreached::Denied(_) => verdict.with("reason", "denied").advise(
            "correct user, password or database; quorate migrate --node-password-file FILE sets the nodes' password",
        ),
        Unreached::TooOld(_) => verdict.with("reason", "too_old").advise("use PostgreSQL 13 or later"),
        Unreached::File(_) => verdict
            .with("reason", "file")
            .advise("correct the file that is named, or the option that names it"),
    }
}

fn reached(subject: &str, seen: &Inspection) -> Verdict {
    let (round_trip, log_in) = (seen.round_trip.as_micros(), seen.log_in.as_millis() as u64);
    let pooler = if seen.is_pooled { ", behind a pooler" } else { "" };
    let measured = format!(
        "PostgreSQL {}, round trip {}.{} ms, log-in {log_in} ms{pooler}",
        seen.server_version,
        round_trip / 1000,
        round_trip % 1000 / 100,
    );
    let grade = up_to(seen.round_trip, [GOOD, FAIR, Duration::MAX]);
    Verdict::new(Check::Database, subject, grade, measured)
        .advise("run the nodes nearer to it: each window has time for a few round trips")
        .with("round_trip_us", round_trip as u64)
        .with("log_in_ms", log_in)
        .with("version", seen.server_version.as_str())
        .with("is_pooled", seen.is_pooled)
}

fn role(seen: &Inspection) -> Verdict {
    let is_migrated = seen.settings.is_ok();
    let (grade, what) = match seen {
        seen if seen.is_owner => (Grade::Poor, "an owner"),
        seen if is_migrated && !seen.can_write => (Grade::Fail, "may not add records"),
        seen if seen.role == NODE_ROLE => (Grade::Good, "may read and add records, and nothing else"),
        _ => (Grade::Fair, "another role than the nodes'"),
    };
    let measured = format!("{}: {what}", seen.role);
    Verdict::new(Check::DatabaseRole, "", grade, measured).with("role", seen.role.as_str())
}

fn schema(seen: &Inspection, wanted: &Wanted) -> Verdict {
    match &seen.settings {
        Ok(_) => {
            let measured = format!("migrated to {}", wanted.migration);
            Verdict::new(Check::DatabaseSchema, "", Grade::Good, measured)
                .with("migration", wanted.migration.as_str())
        }
        Err(error) => {
            let verdict = Verdict::new(Check::DatabaseSchema, "", Grade::Fail, error.to_string());
            match error {
                StoreError::SchemaNewer { .. } => verdict.advise("run a newer version of quorate here"),
                _ => verdict,
            }
        }
    }
}

/// The rules that all nodes must share.
fn rules(settings: Settings, seen: &Inspection, wanted: &Wanted) -> Verdict {
    let rule = &wanted.committee.rule;
    let node_validators = if rule.validators.is_empty() {
        0
    } else {
        rule.min_validators
    };
    // A minimum of validators binds only where there are some.
    let has_validators = seen.members.iter().any(|member| member.validator);
    let validators = if has_validators {
        settings.min_validators
    } else {
        0
    };
    let verdict = |grade, measured: String| {
        Verdict::new(Check::DatabaseSettings, "", grade, measured)
            .with("write_interval_ms", settings.write_interval.as_millis() as u64)
            .with("min_signatures", settings.min_signatures)
            .with("min_validators", validators)
            .with("network", seen.network.clone())
    };
    let of_another = (seen.network.as_ref()).filter(|network| *network != wanted.network.as_str());
    if let Some(network) = of_another {
        let measured = format!(
            "holds records of network {network}, this node is of {}",
            wanted.network
        );
        return verdict(Grade::Fail, measured)
            .advise("give the node the same --network, or a database of its own");
    }
    if let Err(mismatch) = settings.check(wanted.write_interval, rule.min_signatures) {
        return verdict(Grade::Fail, in_short(&mismatch)).advise(mismatch.to_string());
    }
    let mut weaker = Vec::new();
    if settings.min_signatures < rule.min_signatures {
        weaker.push(format!(
            "{} signatures, this node asks for {}",
            settings.min_signatures, rule.min_signatures
        ));
    }
    if validators != node_validators {
        weaker.push(format!(
            "{validators} validators, this node asks for {node_validators}"
        ));
    }
    if !weaker.is_empty() {
        return verdict(Grade::Poor, format!("records may have {}", weaker.join("; ")));
    }
    let measured = format!(
        "write interval {:?}, {} signatures",
        settings.write_interval, settings.min_signatures
    );
    verdict(Grade::Good, measured)
}

fn in_short(mismatch: &SettingsMismatch) -> String {
    let interval = mismatch
        .write_interval
        .map(|(node, database)| format!("write interval {database:?}, this node's is {node:?}"));
    let signatures = mismatch
        .min_signatures
        .map(|(node, database)| format!("{database} signatures, this node's minimum is {node}"));
    interval
        .into_iter()
        .chain(signatures)
        .collect::<Vec<_>>()
        .join("; ")
}

fn members(listed: &[Member], wanted: &Wanted) -> Verdict {
    let verdict = |grade, measured: &str| {
        Verdict::new(Check::DatabaseMembers, "", grade, measured).with("listed", listed.len())
    };
    let addresses: BTreeSet<Address> = listed.iter().map(|member| member.address).collect();
    let is_missing = wanted.me.is_some_and(|me| !addresses.contains(&me));
    match &wanted.committee.members {
        Members::Open if listed.is_empty() => verdict(Grade::Good, "none, and this node has no list either"),
        Members::Closed(_) if listed.is_empty() => {
            verdict(Grade::Fair, "none: it takes any signer's records")
        }
        _ if is_missing => verdict(
            Grade::Fail,
            "this node's key is not among them: its signatures are refused",
        ),
        Members::Open => verdict(Grade::Poor, "some, while this node counts everybody")
            .advise("give the node the same list with --members"),
        Members::Closed(ours) => {
            let texts = |addresses: Vec<&Address>| {
                addresses
                    .into_iter()
                    .map(Address::short)
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let only_here = texts(ours.difference(&addresses).collect());
            let only_there = texts(addresses.difference(ours).collect());
            let validators: BTreeSet<Address> = (listed.iter())
                .filter(|member| member.validator)
                .map(|member| member.address)
                .collect();
            if !only_here.is_empty() || !only_there.is_empty() {
                let measured = format!("only here: {only_here}; only there: {only_there}");
                verdict(Grade::Poor, &measured)
            } else if validators != wanted.committee.rule.validators {
                verdict(Grade::Poor, "the same, with other validators")
            } else {
                verdict(Grade::Good, &format!("the same {} as here", ours.len()))
            }
        }
    }
}

fn tls(seen: &Inspection) -> Verdict {
    let (grade, measured) = match (&seen.tls, seen.is_verified) {
        (None, _) if seen.is_local => (Grade::Good, "none: the database is on this machine".to_owned()),
        (None, _) => (
            Grade::Fair,
            "none: anybody on the way can read and change what is said".to_owned(),
        ),
        (Some(version), true) => (Grade::Good, format!("{version}, certificate and name verified")),
        (Some(version), false) if seen.is_local => (Grade::Good, format!("{version}, on this machine")),
        (Some(version), false) => (
            Grade::Fair,
            format!("{version}, with whatever host has the certificate"),
        ),
    };
    Verdict::new(Check::DatabaseTls, "", grade, measured).with("tls", seen.tls.clone())
}

fn replication(seen: &Inspection) -> Verdict {
    let waits = !seen.synchronous_standbys.is_empty();
    let standbys = seen.standbys;
    let (grade, measured) = match seen.synchronous_commit.as_str() {
        _ if seen.in_recovery => (Grade::Fail, "a standby: nothing can be written to it".to_owned()),
        "off" => (
            Grade::Poor,
            "synchronous_commit is off: a crash can lose the last records".to_owned(),
        ),
        "local" if standbys > 0 => (
            Grade::Fair,
            format!("{standbys} standbys, commits do not wait for them"),
        ),
        _ if standbys > 0 && !waits => (
            Grade::Fair,
            format!("{standbys} standbys, commits do not wait for them"),
        ),
        _ if waits => (
            Grade::Good,
            format!("commits wait for {}", seen.synchronous_standbys),
        ),
        _ => (Grade::Good, "one server, no standby".to_owned()),
    };
    let verdict = Verdict::new(Check::DatabaseReplication, "", grade, measured)
        .with("in_recovery", seen.in_recovery)
        .with("synchronous_commit", seen.synchronous_commit.as_str())
        .with("standbys", standbys);
    match grade {
        Grade::Poor => verdict.advise("ALTER SYSTEM SET synchronous_commit = on"),
        _ => verdict,
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::QuorumRule;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(byte: u8) -> Address {
        Address::new([byte; 20])
    }

    fn wanted(members: &[u8]) -> Wanted {
        let list = || members.iter().map(|byte| address(*byte)).collect();
        Wanted {
            write_interval: 30 * SECOND,
            network: "local".parse().unwrap(),
            committee: Committee {
                members: if members.is_empty() {
                    Members::Open
                } else {
                    Members::Closed(list())
                },
                rule: QuorumRule::at_least(3),
            },
            lacks_members: false,
            me: Some(address(1)),
            migration: "7".to_owned(),
        }
    }

    fn healthy() -> Inspection {
        Inspection {
            server_version: "18.6".to_owned(),
            role: NODE_ROLE.to_owned(),
            is_owner: false,
            can_write: true,
            is_pooled: false,
            tls: Some("TLSv1.3".to_owned()),
            is_verified: true,
            is_local: false,
            in_recovery: false,
            synchronous_commit: "on".to_owned(),
            synchronous_standbys: String::new(),
            standbys: 0,
            log_in: Duration::from_millis(12),
            round_trip: Duration::from_micros(1_540),
            clock_ahead_ms: 3,
            settings: Ok(Settings {
                write_interval: 30 * SECOND,
                min_signatures: 3,
                min_validators: 1,
            }),
            members: vec![],
            network: None,
        }
    }

    fn grade_of(check: Check, seen: Inspection, wanted: &Wanted) -> Grade {
        let verdicts = database("db", &Ok(seen), wanted);
        verdicts
            .iter()
            .find(|verdict| verdict.check == check)
            .unwrap()
            .grade
    }

    #[test]
    fn a_healthy_one_is_good_in_all_respects() {
        let verdicts = database("db", &Ok(healthy()), &wanted(&[]));
        assert_eq!(verdicts.len(), 7);
        assert!(
            verdicts.iter().all(|verdict| verdict.grade == Grade::Good),
            "{verdicts:?}"
        );
        assert_eq!(
            verdicts[0].measured,
            "PostgreSQL 18.6, round trip 1.5 ms, log-in 12 ms"
        );
        assert_eq!(
            ahead_of_database(&healthy()),
            Ahead {
                least_ms: -4,
                most_ms: -2
            }
        );
    }

    #[test]
    fn each_way_not_to_get_in_has_its_own_advice() {
        let reasons = [
            Unreached::Away("x".to_owned()),
            Unreached::Denied("x".to_owned()),
            Unreached::TooOld("x".to_owned()),
            Unreached::File("x".to_owned()),
        ];
        let advice = reasons.map(|reason| {
            let verdicts = database("db", &Err(reason), &wanted(&[]));
            assert_eq!((verdicts.len(), verdicts[0].grade), (1, Grade::Fail));
            verdicts[0].remedy.clone().unwrap()
        });
        assert_eq!(advice.iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn what_the_role_may_is_graded() {
        let with = |change: fn(&mut Inspection)| {
            let mut seen = healthy();
            change(&mut seen);
            grade_of(Check::DatabaseRole, seen, &wanted(&[]))
        };
        assert_eq!(with(|seen| seen.is_owner = true), Grade::Poor);
        assert_eq!(with(|seen| seen.can_write = false), Grade::Fail);
        assert_eq!(with(|seen| seen.role = "other".to_owned()), Grade::Fair);
    }

    #[test]
    fn rules_that_keep_a_node_from_running_fail_and_weaker_ones_are_poor() {
        let with = |interval, signatures, network: Option<&str>| {
            let settings = Settings {
                write_interval: interval * SECOND,
                min_signatures: signatures,
                min_validators: 1,
            };
            let seen = Inspection {
                settings: Ok(settings),
                network: network.map(str::to_owned),
                ..healthy()
            };
            grade_of(Check::DatabaseSettings, seen, &wanted(&[]))
        };
        assert_eq!(with(30, 3, Some("local")), Grade::Good);
        assert_eq!(with(30, 2, None), Grade::Poor);
        for (interval, signatures, network) in [(10, 3, None), (30, 4, None), (30, 3, Some("mainnet"))] {
            assert_eq!(with(interval, signatures, network), Grade::Fail);
        }
        let missing = "quorate's tables".to_owned();
        let bare = Inspection {
            settings: Err(StoreError::NotMigrated { missing }),
            ..healthy()
        };
        assert_eq!(
            grade_of(Check::DatabaseSchema, bare.clone(), &wanted(&[])),
            Grade::Fail
        );
        let verdicts = database("db", &Ok(bare), &wanted(&[]));
        assert!(
            verdicts
                .iter()
                .all(|verdict| verdict.check != Check::DatabaseSettings)
        );
    }

    #[test]
    fn the_members_of_both_are_held_against_each_other() {
        let with = |listed: &[u8], ours: &[u8]| {
            let member = |byte: &u8| Member {
                address: address(*byte),
                name: String::new(),
                validator: false,
            };
            let members = listed.iter().map(member).collect();
            grade_of(
                Check::DatabaseMembers,
                Inspection { members, ..healthy() },
                &wanted(ours),
            )
        };
        assert_eq!(with(&[1, 2, 3], &[1, 2, 3]), Grade::Good);
        assert_eq!(with(&[], &[1, 2, 3]), Grade::Fair);
        assert_eq!(with(&[1, 2], &[1, 2, 3]), Grade::Poor);
        assert_eq!(with(&[1, 2], &[]), Grade::Poor);
        assert_eq!(with(&[2, 3], &[1, 2, 3]), Grade::Fail);
        assert_eq!(with(&[2, 3], &[]), Grade::Fail);
    }

    #[test]
    fn what_may_be_lost_or_read_on_the_way_is_graded() {
        let graded = |check, change: fn(&mut Inspection)| {
            let mut seen = healthy();
            change(&mut seen);
            grade_of(check, seen, &wanted(&[]))
        };
        let replication = |change| graded(Check::DatabaseReplication, change);
        assert_eq!(replication(|seen| seen.in_recovery = true), Grade::Fail);
        assert_eq!(
            replication(|seen| seen.synchronous_commit = "off".to_owned()),
            Grade::Poor
        );
        assert_eq!(replication(|seen| seen.standbys = 1), Grade::Fair);
        let waits =
            |seen: &mut Inspection| (seen.standbys, seen.synchronous_standbys) = (1, "one".to_owned());
        assert_eq!(replication(waits), Grade::Good);
        let tls = |change| graded(Check::DatabaseTls, change);
        assert_eq!(tls(|seen| seen.tls = None), Grade::Fair);
        assert_eq!(tls(|seen| (seen.tls, seen.is_local) = (None, true)), Grade::Good);
        assert_eq!(tls(|seen| seen.is_verified = false), Grade::Fair);
        let slow = |seen: &mut Inspection| seen.round_trip = Duration::from_millis(101);
        assert_eq!(graded(Check::Database, slow), Grade::Poor);
    }
}
