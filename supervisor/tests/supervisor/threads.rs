use std::sync::mpsc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use quorate_supervisor::{ActorSpec, Fault, Phase, RestartPolicy, StepOutcome, Supervisor, SupervisorConfig};

use crate::subject::{Diary, Say, Subject, act, eventually, status};

const MILLI: Duration = Duration::from_millis(1);

/// Short, but long against what a busy machine takes to schedule a thread.
fn supervisor() -> Supervisor {
    Supervisor::new(SupervisorConfig {
        heartbeat: 50 * MILLI,
        hang_after: 500 * MILLI,
        blocked_after: 1000 * MILLI,
        exit_after: Duration::from_secs(3600),
        restart: RestartPolicy {
            first_delay: 20 * MILLI,
            ..RestartPolicy::default()
        },
        fault_injection: true,
    })
    .unwrap()
}

fn start(supervisor: &Supervisor, name: &'static str, diary: &Diary) -> Addr<Subject> {
    let diary = diary.clone();
    supervisor
        .start(ActorSpec::new(name), move |_| {
            Subject::new(&diary).tick(10 * MILLI)
        })
        .unwrap()
}

#[test]
fn of_five_actors_only_the_one_that_fails_restarts() {
    const NAMES: [&str; 5] = ["One", "Two", "Three", "Four", "Five"];
    System::new().block_on(async {
        let supervisor = supervisor();
        let diaries: Vec<Diary> = NAMES.iter().map(|_| Diary::default()).collect();
        let addrs: Vec<_> = NAMES
            .iter()
            .zip(&diaries)
            .map(|(name, diary)| start(&supervisor, name, diary))
            .collect();
        let mut expected = [0; 5];
        for fault in [Fault::Panic, Fault::Stop, Fault::Hang] {
            for (index, name) in NAMES.iter().enumerate() {
                eventually("all run", || {
                    supervisor
                        .statuses()
                        .iter()
                        .all(|status| status.phase == Phase::Running)
                })
                .await;
                supervisor.inject(name, fault).unwrap();
                expected[index] += 1;
                eventually("the restart", || {
                    status(&supervisor, name).restarts == expected[index]
                })
                .await;
                let restarts: Vec<_> = supervisor
                    .statuses()
                    .iter()
                    .map(|status| status.restarts)
                    .collect();
                assert_eq!(restarts, expected, "{fault} of {name}");
            }
        }
        for (addr, diary) in addrs.iter().zip(&diaries) {
            assert_eq!(addr.send(Say(1)).await, Ok(1));
            let ticks = diary.count("tick");
            eventually("the timer", || diary.count("tick") > ticks).await;
        }
        assert!(supervisor.is_live());
        let report = supervisor.shutdown(&NAMES, Duration::from_secs(10)).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(report.steps.len(), 5);
    });
}

#[test]
fn a_blocked_thread_turns_liveness_false_until_it_moves_again() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let (diary, other_diary) = (Diary::default(), Diary::default());
        let addr = start(&supervisor, "Blocked", &diary);
        let other = start(&supervisor, "Other", &other_diary);
        let (release, released) = mpsc::channel::<()>();
        addr.do_send(act(move |_, _| released.recv().unwrap()));
        eventually("the block", || !supervisor.is_live()).await;
        assert!(status(&supervisor, "Blocked").blocked);
        assert!(!status(&supervisor, "Other").blocked);
        assert_eq!(other.send(Say(1)).await, Ok(1), "the others carry on");
        release.send(()).unwrap();
        eventually("the release", || supervisor.is_live()).await;
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert_eq!(
            status(&supervisor, "Blocked").restarts,
            0,
            "it was the thread, not the actor"
        );
    });
}

#[test]
fn a_blocked_thread_does_not_hold_up_the_shutdown_of_the_others() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let (diary, other_diary) = (Diary::default(), Diary::default());
        start(&supervisor, "Blocked", &diary);
        start(&supervisor, "Other", &other_diary);
        eventually("both run", || {
            supervisor
                .statuses()
                .iter()
                .all(|status| status.phase == Phase::Running)
        })
        .await;
        supervisor.inject("Blocked", Fault::Block).unwrap();
        eventually("the block", || !supervisor.is_live()).await;
        let report = supervisor.shutdown(&["Blocked", "Other"], 2000 * MILLI).await;
        assert_eq!(
            report.steps,
            [
                ("Blocked", StepOutcome::Unresponsive),
                ("Other", StepOutcome::Drained)
            ]
        );
        assert!(other_diary.has("stopped"));
    });
}

#[test]
fn an_actor_that_is_flooded_is_neither_hung_nor_blocked_and_its_timers_run() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = start(&supervisor, "Flooded", &diary);
        // Every message is replaced by two until the mailbox is never empty again; each takes a millisecond.
        fn flood(addr: Addr<Subject>) -> crate::subject::Do {
            act(move |_, _| {
                std::thread::sleep(MILLI);
                addr.do_send(flood(addr.clone()));
            })
        }
        for _ in 0..200 {
            addr.do_send(flood(addr.clone()));
        }
        let begun = Instant::now();
        eventually("a flood that is longer than both limits", || {
            assert!(supervisor.is_live());
            begun.elapsed() > 2500 * MILLI
        })
        .await;
        let status = status(&supervisor, "Flooded");
        assert_eq!(status.restarts, 0, "{status:?}");
        assert!(status.messages > 500, "{status:?}");
        assert!(
            diary.count("tick") > 5,
            "timers have their turn: {}",
            diary.count("tick")
        );
    });
}

#[test]
fn one_slow_message_after_the_other_is_progress() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = start(&supervisor, "Slow", &diary);
        // Longer than the limit in one pass of the mailbox, so only the messages themselves show life.
        for _ in 0..15 {
            addr.do_send(act(|_, _| std::thread::sleep(100 * MILLI)));
        }
        let done = addr.send(Say(1));
        let watched = async {
            loop {
                assert!(supervisor.is_live());
                tokio::time::sleep(20 * MILLI).await;
            }
        };
        tokio::select! {
            said = done => assert_eq!(said, Ok(1)),
            () = watched => {}
        }
        assert_eq!(status(&supervisor, "Slow").restarts, 0);
    });
}

#[test]
fn each_actor_has_a_thread_of_its_own() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let here = std::thread::current().id();
        let mut threads = vec![here];
        for name in ["One", "Two"] {
            let addr = start(&supervisor, name, &diary);
            let (tell, told) = tokio::sync::oneshot::channel();
            addr.do_send(act(move |_, _| tell.send(std::thread::current().id()).unwrap()));
            threads.push(told.await.unwrap());
        }
        threads.dedup();
        assert_eq!(threads.len(), 3);
    });
}

#[test]
fn actors_can_know_each_other_in_a_circle() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let one = supervisor.reserve::<Subject>(ActorSpec::new("One")).unwrap();
        let two = supervisor.reserve::<Subject>(ActorSpec::new("Two")).unwrap();
        let (to_one, to_two) = (one.address(), two.address());
        let diary = Diary::default();
        let (diary_one, diary_two) = (diary.clone(), diary.clone());
        one.run(move |_| Subject::new(&diary_one).on_started(move |_| to_two.do_send(Say(2))))
            .unwrap();
        two.run(move |_| Subject::new(&diary_two).on_started(move |_| to_one.do_send(Say(1))))
            .unwrap();
        eventually("both heard", || diary.has("said 1") && diary.has("said 2")).await;
    });
}

#[test]
fn a_runtime_that_ends_under_an_actor_is_no_silent_end() {
    System::new().block_on(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let addr = start(&supervisor, "Subject", &diary);
        addr.do_send(act(|_, _| {
            Arbiter::current().stop();
        }));
        let fatal = supervisor.failed().await;
        assert!(fatal.to_string().contains("its thread ended"), "{fatal}");
        assert!(!supervisor.is_live());
    });
}
