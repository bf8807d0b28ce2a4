//! The records of a feed are one line, whatever happens to messages, nodes and the database.

use std::{collections::BTreeSet, time::Duration};

use quorate_protocol::{Digest, Link, rounds::Note};

use crate::network::{Scenario, Simulation, WINDOW};

const SECOND: Duration = Duration::from_secs(1);

/// *No gap*, *linked*: records are numbered from 1, and each names the one before it. *No fork*: a number stands once.
fn is_one_line(simulation: &Simulation) {
    let mut next = Link::FIRST;
    for record in &simulation.records {
        assert_eq!(record.link, next);
        next = Link::after(next.sequence(), record.digest);
    }
}

/// *Healed*: not even a database that has gone back ever held two records with one number.
fn never_forked(simulation: &Simulation) {
    let forks = simulation.ever.iter().filter(|(_, records)| records.len() > 1);
    assert_eq!(forks.count(), 0, "{:?}", simulation.ever);
    assert_eq!(
        who_noted(simulation, |note| matches!(note, Note::Forked { .. })),
        [].into()
    );
    assert!(simulation.lost.is_empty());
}

/// The nodes that noted such a thing.
fn who_noted(simulation: &Simulation, is_such: impl Fn(&Note) -> bool) -> BTreeSet<usize> {
    let such = simulation.notes.iter().filter(|(_, _, note)| is_such(note));
    such.map(|(_, node, _)| *node).collect()
}

/// The longest time between two records that follow each other.
fn longest_gap(simulation: &Simulation) -> Duration {
    let gaps = simulation.records.windows(2);
    gaps.map(|pair| pair[1].written - pair[0].written).max().unwrap()
}

const MS_60: Duration = Duration::from_millis(60);

#[test]
fn lost_messages_restarts_and_nodes_that_hear_nobody_leave_one_line() {
    for seed in 1..=8 {
        let mut simulation = Simulation::new(Scenario {
            seed,
            lost_percent: 5 + 2 * seed,
            // One after the other, for some windows and a part of one.
            cut_off: (0..5)
                .map(|node| {
                    (
                        node,
                        WINDOW * (2 + 2 * node as u32),
                        WINDOW * (4 + 2 * node as u32) + SECOND * 11,
                    )
                })
                .collect(),
            ..Scenario::new(5, 3)
        });
        for window in 1..=24u32 {
            simulation.run_until(WINDOW * window - SECOND * (window % 7));
            simulation.restart((window as usize * 3 + 1) % 5);
        }
        simulation.run_until(WINDOW * 26);
        is_one_line(&simulation);
        never_forked(&simulation);
        let written = simulation.records.len();
        assert!(
            written >= 22,
            "of 26 windows {written} were used, with seed {seed}"
        );
    }
}

#[test]
fn a_node_that_was_cut_off_states_for_the_record_that_is_next_as_soon_as_it_hears_the_others() {
    let back = WINDOW * 8 - SECOND * 5;
    let mut simulation = Simulation::new(Scenario {
        cut_off: vec![(4, WINDOW * 2, back)],
        // All five must sign.
        ..Scenario::new(5, 5)
    });
    simulation.run_until(WINDOW * 12);
    is_one_line(&simulation);
    let after = simulation.records.iter().filter(|record| record.written >= back);
    assert!(after.count() >= 4);
}

#[test]
fn whoever_makes_up_a_history_costs_no_window_and_few_questions() {
    let windows = 10;
    let quiet = {
        let mut simulation = Simulation::new(Scenario::new(5, 3));
        simulation.run_until(WINDOW * windows);
        simulation.questions
    };
    let mut simulation = Simulation::new(Scenario::new(5, 3));
    for tenth in 1..=windows * 10 {
        simulation.run_until(WINDOW / 10 * tenth - SECOND);
        let next = simulation.next().sequence();
        // Each of them is another one, so that it does not contradict itself.
        let made_up = Digest::new([tenth as u8; 32]);
        let before = [next.saturating_sub(2), next - 1, next, next + 1000][(tenth + tenth / 10) as usize % 4];
        if before > 0 {
            simulation.state_for(4, Link::after(before, made_up));
        }
    }
    is_one_line(&simulation);
    never_forked(&simulation);
    assert!(longest_gap(&simulation) < WINDOW + MS_60);
    let more = simulation.questions - quiet;
    assert!(more <= 4 * 3 * windows as usize, "{more} questions more");
    let is_other =
        |note: &Note| matches!(note, Note::Refused { refusal, .. } if refusal.label() == "other_history");
    assert_eq!(who_noted(&simulation, is_other), [0, 1, 2, 3].into());
    // One that has missed something says the same: it is held against nobody.
    let status = simulation.status(0);
    assert!(
        status.nodes.iter().all(|node| node.findings.is_empty()),
        "{:?}",
        status.nodes
    );
}

/// Five nodes, of which three must sign, after some windows.
fn after_five_records(seed: u64) -> Simulation {
    let mut simulation = Simulation::new(Scenario {
        seed,
        ..Scenario::new(5, 3)
    });
    simulation.run_until(WINDOW * 4 + SECOND * 10);
    assert_eq!(simulation.records.len(), 5);
    simulation
}

#[test]
fn a_record_that_the_database_has_lost_is_written_again_before_anything_new() {
    for (seed, outage) in [(1, 0), (2, 8), (3, 15), (4, 60)] {
        let mut simulation = after_five_records(seed);
        let lost = simulation.lose_records(1).remove(0);
        simulation.outage(SECOND * outage);
        simulation.run_until(WINDOW * 9);
        is_one_line(&simulation);
        never_forked(&simulation);
        assert_eq!(simulation.records[4].digest, lost.digest);
        let back = simulation.records[4].written - lost.written;
        let limit = WINDOW.max(SECOND * (10 + outage)) + SECOND * 5;
        assert!(back < limit, "after {back:?}, the limit is {limit:?}");
        let next = simulation.records[5].written - simulation.records[4].written;
        assert!(next < WINDOW + MS_60, "{next:?}");
        let is_rewound = |note: &Note| matches!(note, Note::HistoryRewound { is_held: true, .. });
        let is_healed = |note: &Note| matches!(note, Note::HistoryHealed { .. });
        let healed = who_noted(&simulation, is_healed);
        assert!(!healed.is_empty() && healed == who_noted(&simulation, is_rewound));
        assert_eq!(
            who_noted(&simulation, |note| matches!(note, Note::FalseWritten { .. })),
            [].into()
        );
        assert_eq!(simulation.status(0).tally.forks, 0);
    }
}

#[test]
fn a_record_that_is_lost_in_the_outage_right_after_it_is_written_again_and_nobody_is_blamed() {
    let mut simulation = after_five_records(1);
    let mut now = simulation.now;
    while simulation.records.len() == 5 {
        now += Duration::from_millis(1);
        simulation.run_until(now);
    }
    // The writer may have its answer and its news be on their way, but the database was not asked.
    simulation.run_until(now + Duration::from_millis(10));
    let lost = simulation.lose_records(1).remove(0);
    simulation.outage(SECOND * 12);
    simulation.run_until(WINDOW * 9);
    is_one_line(&simulation);
    never_forked(&simulation);
    assert_eq!(simulation.records[5].digest, lost.digest);
    assert_eq!(
        who_noted(&simulation, |note| matches!(note, Note::FalseWritten { .. })),
        [].into()
    );
}

#[test]
fn a_lost_record_stands_again_as_long_as_one_quorum_of_nodes_has_not_been_restarted() {
    let mut simulation = after_five_records(1);
    let lost = simulation.lose_records(1).remove(0);
    simulation.restart(0);
    simulation.restart(1);
    simulation.run_until(WINDOW * 9);
    is_one_line(&simulation);
    never_forked(&simulation);
    assert_eq!(simulation.records[4].digest, lost.digest);
}

#[test]
fn what_nobody_can_write_again_is_seen_counted_and_kept_and_the_history_goes_on() {
    let mut simulation = after_five_records(1);
    // The last one cannot be written without the one before it, which nobody has any more.
    let lost = simulation.lose_records(2);
    simulation.run_until(WINDOW * 9);
    is_one_line(&simulation);
    let all: BTreeSet<usize> = (0..5).collect();
    assert_eq!(
        who_noted(&simulation, |note| matches!(note, Note::Forked { .. })),
        all
    );
    let last = lost[1].digest;
    assert!(simulation.lost.iter().all(|(_, kept)| *kept == last));
    assert_eq!(
        simulation
            .lost
            .iter()
            .map(|(node, _)| *node)
            .collect::<BTreeSet<_>>(),
        all
    );
    for index in 0..5 {
        let tally = simulation.status(index).tally;
        assert!(tally.forks == 1 && tally.forked_at.is_some());
    }
    let gap = simulation.records[3].written - lost[1].written;
    assert!(gap < WINDOW + SECOND * 5, "{gap:?}");
    assert_eq!(simulation.ever[&4].len(), 2, "the fork");
    assert_eq!(
        who_noted(&simulation, |note| matches!(note, Note::FalseWritten { .. })),
        [].into()
    );
}

#[test]
fn nodes_that_all_began_after_a_loss_go_on_from_what_the_database_has() {
    let mut simulation = after_five_records(1);
    simulation.lose_records(1);
    for index in 0..5 {
        simulation.restart(index);
    }
    simulation.run_until(WINDOW * 9);
    is_one_line(&simulation);
    assert!(simulation.records.len() >= 8);
    assert_eq!(simulation.ever[&5].len(), 2, "none of them knew");
}

#[test]
fn a_database_that_has_lost_all_is_filled_from_the_beginning() {
    let mut simulation = Simulation::new(Scenario::new(3, 3));
    simulation.run_until(SECOND * 10);
    let lost = simulation.lose_records(1).remove(0);
    simulation.run_until(WINDOW * 4);
    is_one_line(&simulation);
    never_forked(&simulation);
    assert_eq!(simulation.records[0].digest, lost.digest);
}
