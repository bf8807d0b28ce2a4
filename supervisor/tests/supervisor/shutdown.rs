use std::time::Duration;

use actix::prelude::*;
use quorate_supervisor::{ActorSpec, Phase, StepOutcome, Supervisor};
use tokio::time::Instant;

use crate::subject::{Diary, Say, Subject, act, eventually, in_paused_time, status, supervisor};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(10);

fn run(supervisor: &Supervisor, name: &'static str, subject: Subject) -> Addr<Subject> {
    supervisor
        .reserve(ActorSpec::new(name))
        .unwrap()
        .run_here(move |_| subject)
}

#[test]
fn mail_is_handled_before_the_drain_and_the_drain_ends_before_the_stop() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = run(&supervisor, "Subject", Subject::new(&diary).drain_for(SECOND / 2));
        addr.send(Say(0)).await.unwrap();
        for number in 1..=3 {
            addr.do_send(Say(number));
        }
        let report = supervisor.shutdown(&["Subject"], GRACE).await;
        assert_eq!(report.steps, [("Subject", StepOutcome::Drained)]);
        assert!(report.is_clean());
        assert_eq!(
            diary.events(),
            [
                "started", "said 0", "said 1", "said 2", "said 3", "drain", "drained", "stopped"
            ]
        );
        assert!(!addr.connected());
        assert_eq!(status(&supervisor, "Subject").phase, Phase::Stopped);
    });
}

#[test]
fn an_actor_that_is_stopped_before_its_first_step_still_handles_its_mail() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = run(&supervisor, "Subject", Subject::new(&diary));
        addr.do_send(Say(1));
        assert!(supervisor.shutdown(&["Subject"], GRACE).await.is_clean());
        assert_eq!(
            diary.events(),
            ["started", "said 1", "drain", "drained", "stopped"]
        );
    });
}

#[test]
fn the_order_is_the_stated_one_and_then_the_reverse_of_the_reservation() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        for name in ["Consumer", "Middle", "Producer", "Side"] {
            run(&supervisor, name, Subject::new(&diary));
        }
        let report = supervisor
            .shutdown(&["Producer", "Nobody", "Producer", "Middle"], GRACE)
            .await;
        let order: Vec<_> = report.steps.into_iter().map(|(name, _)| name).collect();
        assert_eq!(order, ["Producer", "Middle", "Side", "Consumer"]);
    });
}

#[test]
fn what_a_draining_producer_hands_on_still_reaches_the_consumer() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (producer_diary, consumer_diary) = (Diary::default(), Diary::default());
        let consumer = run(&supervisor, "Consumer", Subject::new(&consumer_diary));
        let producer = run(&supervisor, "Producer", Subject::new(&producer_diary));
        producer.do_send(act(move |_, _| consumer.do_send(Say(9))));
        let report = supervisor.shutdown(&["Producer", "Consumer"], GRACE).await;
        assert!(report.is_clean());
        assert!(consumer_diary.has("said 9"));
    });
}

#[test]
fn messages_are_taken_while_draining() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = run(&supervisor, "Subject", Subject::new(&diary).drain_for(2 * SECOND));
        let late = async {
            eventually("the drain", || diary.has("drain")).await;
            assert_eq!(status(&supervisor, "Subject").phase, Phase::Draining);
            addr.send(Say(4)).await
        };
        let (report, late) = tokio::join!(supervisor.shutdown(&["Subject"], GRACE), late);
        assert_eq!(late, Ok(4));
        assert!(report.is_clean());
    });
}

#[test]
fn a_slow_drain_is_cut_at_its_share_and_the_last_step_still_has_its_own() {
    in_paused_time(async {
        let supervisor = supervisor();
        let (slow, last) = (Diary::default(), Diary::default());
        run(&supervisor, "Slow", Subject::new(&slow).drain_for(3600 * SECOND));
        run(&supervisor, "Last", Subject::new(&last).drain_for(4 * SECOND));
        let begun = Instant::now();
        let report = supervisor.shutdown(&["Slow", "Last"], GRACE).await;
        assert_eq!(
            report.steps,
            [("Slow", StepOutcome::OutOfTime), ("Last", StepOutcome::Drained)]
        );
        assert!(!report.is_clean());
        assert!(begun.elapsed() <= GRACE, "{:?}", begun.elapsed());
        assert_eq!(
            slow.events(),
            ["started", "drain", "tick", "tick", "tick", "tick", "stopped"]
        );
    });
}

#[test]
fn an_actor_in_back_off_is_started_at_once_to_finish_its_mail() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = run(&supervisor, "Subject", Subject::new(&diary));
        for _ in 0..6 {
            addr.do_send(act(|_, _| panic!("again")));
        }
        addr.do_send(Say(7));
        eventually("the long pause", || {
            matches!(
                status(&supervisor, "Subject").phase,
                Phase::BackingOff { attempt: 6, .. }
            )
        })
        .await;
        let begun = Instant::now();
        let report = supervisor.shutdown(&["Subject"], GRACE).await;
        assert!(report.is_clean());
        assert!(diary.has("said 7"));
        assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    });
}

#[test]
fn a_panic_while_draining_is_recovered_and_the_drain_asked_again() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = run(&supervisor, "Subject", Subject::new(&diary).drain_for(SECOND));
        let failing = async {
            eventually("the drain", || diary.has("drain")).await;
            addr.do_send(act(|_, _| panic!("while draining")));
            addr.do_send(Say(2));
        };
        let (report, ()) = tokio::join!(supervisor.shutdown(&["Subject"], GRACE), failing);
        assert!(report.is_clean());
        assert_eq!(diary.count("drain"), 2);
        assert!(diary.has("said 2"));
    });
}

#[test]
fn a_hang_does_not_hold_up_the_shutdown() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = run(&supervisor, "Subject", Subject::new(&diary));
        addr.do_send(act(|subject, ctx| {
            ctx.wait(std::future::pending::<()>().into_actor(subject));
        }));
        let begun = Instant::now();
        let report = supervisor.shutdown(&["Subject"], 2 * SECOND).await;
        assert_eq!(report.steps, [("Subject", StepOutcome::OutOfTime)]);
        assert!(begun.elapsed() <= 2 * SECOND);
        assert!(diary.has("stopped"));
    });
}

#[test]
fn actors_that_never_ran_or_were_given_up_are_no_obstacle() {
    in_paused_time(async {
        let supervisor = supervisor();
        let _reserved = supervisor.reserve::<Subject>(ActorSpec::new("Reserved")).unwrap();
        supervisor
            .reserve::<Subject>(ActorSpec::new("Broken"))
            .unwrap()
            .run_here(|_| panic!("no key"));
        supervisor.failed().await;
        let report = supervisor.shutdown(&["Broken", "Reserved"], GRACE).await;
        assert_eq!(
            report.steps,
            [
                ("Broken", StepOutcome::GaveUp),
                ("Reserved", StepOutcome::NotRunning)
            ]
        );
    });
}
