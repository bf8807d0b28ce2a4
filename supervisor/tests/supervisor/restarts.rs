use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use actix::prelude::*;
use quorate_supervisor::{
    ActorSpec, Cause, Fault, InjectError, Phase, StartError, Supervisor, SupervisorConfig,
};
use tokio::time::Instant;

use crate::subject::{
    Diary, PanicBeside, PanicLater, Say, Subject, act, eventually, in_paused_time, status, supervisor,
};

const SECOND: Duration = Duration::from_secs(1);

/// Fails the subject in one way, as its own code would.
type Failure = (&'static str, &'static str, fn(&Addr<Subject>));

const FAILURES: [Failure; 7] = [
    ("a panic in a handler", "panic", |addr| {
        addr.do_send(act(|_, _| panic!("in a handler")));
    }),
    ("a panic in a timer", "panic", |addr| {
        addr.do_send(act(|_, ctx| {
            ctx.run_later(Duration::from_millis(1), |_, _| panic!("in a timer"));
        }));
    }),
    ("a panic in a ResponseActFuture", "panic", |addr| {
        addr.do_send(PanicLater)
    }),
    ("a stop", "stop", |addr| addr.do_send(act(|_, ctx| ctx.stop()))),
    ("a termination", "stop", |addr| {
        addr.do_send(act(|_, ctx| ctx.terminate()))
    }),
    ("a wait that never ends", "hang", |addr| {
        addr.do_send(act(|subject, ctx| {
            ctx.wait(std::future::pending::<()>().into_actor(subject));
        }));
    }),
    ("a panic while a timer is being cancelled", "panic", |addr| {
        addr.do_send(act(|_, ctx| {
            // The first future of the next run gets this number again in actix's own restart.
            for number in 1..=4 {
                let handle = (0..number).fold(actix::SpawnHandle::default(), |handle, _| handle.next());
                ctx.cancel_future(handle);
            }
            panic!("with cancellations pending")
        }));
    }),
];

#[test]
fn after_any_failure_the_actor_is_as_new_and_keeps_its_address_and_its_mail() {
    for (failure, kind, fail) in FAILURES {
        in_paused_time(async {
            let supervisor = supervisor();
            let diary = Diary::default();
            let slot = supervisor.reserve(ActorSpec::new("Subject")).unwrap();
            let addr = slot.address();
            let subject = Subject::new(&diary);
            assert!(addr == slot.run_here(move |_| subject));

            assert_eq!(addr.send(Say(5)).await, Ok(5));
            fail(&addr);
            tokio::time::sleep(Duration::from_millis(2)).await;
            let behind = addr.send(Say(1));
            addr.do_send(Say(2));

            assert_eq!(behind.await, Ok(1), "{failure}: the state was rebuilt");
            eventually("the second message behind the failure", || diary.has("said 2")).await;
            assert_eq!(diary.count("restarting"), 1, "{failure}");
            assert_eq!(diary.count("started"), 2, "{failure}");
            assert!(addr.connected(), "{failure}");

            let ticks_before = diary.count("tick");
            tokio::time::sleep(10 * SECOND + Duration::from_millis(5)).await;
            assert_eq!(
                diary.count("tick") - ticks_before,
                10,
                "{failure}: one timer stays one timer"
            );

            let status = status(&supervisor, "Subject");
            assert_eq!(status.phase, Phase::Running, "{failure}");
            assert_eq!(status.restarts, 1, "{failure}");
            assert_eq!(status.last_failure.unwrap().kind, kind, "{failure}");
        });
    }
}

#[test]
fn the_cause_of_a_panic_names_its_message_and_its_line() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        addr.do_send(act(|subject, _| panic!("state is {}", subject.state)));
        eventually("the restart", || diary.count("started") == 2).await;
        let cause = status(&supervisor, "Subject").last_failure.unwrap().cause;
        assert!(cause.contains("state is 0"), "{cause}");
        assert!(cause.contains("restarts.rs:"), "{cause}");
    });
}

#[test]
fn the_message_in_flight_is_answered_with_an_error_and_not_handled_twice() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        let in_flight = addr.send(act(|subject, _| {
            subject.diary.note("handled");
            panic!("half-way");
        }));
        assert_eq!(in_flight.await, Err(MailboxError::Closed));
        eventually("the restart", || diary.count("started") == 2).await;
        assert_eq!(diary.count("handled"), 1);
    });
}

#[test]
fn a_panic_beside_the_actor_costs_one_call_and_no_restart() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        assert_eq!(addr.send(PanicBeside).await, Err(MailboxError::Closed));
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert_eq!(status(&supervisor, "Subject").restarts, 0);
    });
}

#[test]
fn an_actor_that_never_starts_is_retried_with_doubling_pauses_and_given_up_after_eight_restarts() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&starts);
        let subject = Subject::new(&diary).on_started(move |_| {
            noted.lock().unwrap().push(Instant::now());
            panic!("no port");
        });
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        let pending = addr.send(Say(1));

        let fatal = supervisor.failed().await;
        assert_eq!(fatal.actor, "Subject");
        assert_eq!(fatal.restarts, 8);
        assert!(matches!(fatal.cause, Cause::Panicked(_)));
        assert!(fatal.to_string().contains("no port"), "{fatal}");

        let starts = starts.lock().unwrap().clone();
        assert_eq!(starts.len(), 9);
        for (index, pair) in starts.windows(2).enumerate() {
            let full = Duration::from_millis(250 << index).min(30 * SECOND);
            let pause = pair[1] - pair[0];
            assert!(pause * 4 >= full * 3, "restart {index} after {pause:?}");
            assert!(
                pause <= full + Duration::from_millis(2),
                "restart {index} after {pause:?}"
            );
        }
        assert_eq!(pending.await, Err(MailboxError::Closed));
        assert!(!addr.connected());
        assert!(!supervisor.is_live());
        assert_eq!(status(&supervisor, "Subject").phase, Phase::GaveUp);
    });
}

#[test]
fn the_first_pause_returns_after_a_minute_of_health() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        let mut pauses = Vec::new();
        for healthy_s in [1, 1, 61] {
            tokio::time::sleep(healthy_s * SECOND).await;
            let failed_at = Instant::now();
            addr.do_send(act(|_, _| panic!("now and then")));
            addr.send(Say(1)).await.unwrap();
            pauses.push(failed_at.elapsed());
        }
        assert!(pauses[1] > pauses[0], "{pauses:?}");
        assert!(pauses[2] <= Duration::from_millis(260), "{pauses:?}");
    });
}

#[test]
fn a_panic_while_restarting_is_one_more_failure() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let mut restarts = 0;
        let subject = Subject::new(&diary).on_restarting(move |_| {
            restarts += 1;
            assert!(restarts > 2, "not yet free");
        });
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        addr.do_send(act(|_, ctx| ctx.stop()));
        assert_eq!(addr.send(Say(3)).await, Ok(3));
        assert_eq!(diary.count("restarting"), 3);
        assert_eq!(diary.count("started"), 2);
        assert!(
            status(&supervisor, "Subject")
                .last_failure
                .unwrap()
                .cause
                .contains("not yet free")
        );
    });
}

#[test]
fn an_actor_that_cannot_be_built_is_given_up_at_once() {
    in_paused_time(async {
        let supervisor = supervisor();
        let addr: Addr<Subject> = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(|_| panic!("no key"));
        let fatal = supervisor.failed().await;
        assert!(matches!(fatal.cause, Cause::NotBuilt(_)), "{fatal}");
        assert!(!addr.connected());
    });
}

#[test]
fn an_actor_hangs_after_five_seconds_and_not_before() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        let wait = |time| {
            act(move |subject: &mut Subject, ctx: &mut Context<Subject>| {
                ctx.wait(tokio::time::sleep(time).into_actor(subject));
            })
        };
        addr.do_send(wait(Duration::from_millis(4_900)));
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert_eq!(status(&supervisor, "Subject").restarts, 0);

        let begun = Instant::now();
        addr.do_send(wait(60 * SECOND));
        addr.send(Say(1)).await.unwrap();
        let took = begun.elapsed();
        assert!((5 * SECOND..7 * SECOND).contains(&took), "{took:?}");
        assert_eq!(status(&supervisor, "Subject").restarts, 1);
    });
}

#[test]
fn an_actor_may_have_a_patience_of_its_own() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let spec = ActorSpec::new("Subject").hang_after(30 * SECOND);
        let addr = supervisor.reserve(spec).unwrap().run_here(move |_| subject);
        addr.do_send(act(|subject, ctx| {
            ctx.wait(tokio::time::sleep(20 * SECOND).into_actor(subject));
        }));
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert_eq!(status(&supervisor, "Subject").restarts, 0);
    });
}

#[test]
fn an_address_that_the_actor_gave_away_itself_outlives_its_restarts() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let given = Arc::new(Mutex::new(Vec::new()));
        let giving = Arc::clone(&given);
        let subject = Subject::new(&diary).on_started(move |ctx| giving.lock().unwrap().push(ctx.address()));
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        addr.do_send(act(|_, ctx| ctx.stop()));
        addr.send(Say(1)).await.unwrap();
        let given = given.lock().unwrap().clone();
        assert_eq!(given.len(), 2);
        assert!(given.iter().all(|given| *given == addr));
        assert_eq!(given[0].send(Say(1)).await, Ok(2));
    });
}

#[test]
fn a_full_mailbox_refuses_and_is_full_again_after_a_restart() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let slot = supervisor.reserve(ActorSpec::new("Subject").mailbox(3)).unwrap();
        let addr = slot.address();
        let accepted = |addr: &Addr<Subject>| (0..20).filter(|_| addr.try_send(Say(1)).is_ok()).count();
        assert_eq!(accepted(&addr), 3, "before the actor runs");
        let subject = Subject::new(&diary);
        slot.run_here(move |_| subject);
        eventually("the mail", || diary.count("said 1") == 3).await;
        addr.do_send(act(|_, ctx| ctx.stop()));
        eventually("the failure", || {
            status(&supervisor, "Subject").phase.label() == "backing_off"
        })
        .await;
        assert_eq!(accepted(&addr), 3, "while it backs off");
        eventually("the mail", || diary.count("said 1") == 6).await;
    });
}

#[test]
fn what_waits_in_a_mailbox_and_what_did_not_fit_is_counted() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let slot = supervisor.reserve(ActorSpec::new("Subject").mailbox(3)).unwrap();
        let say = slot.mailbox().sink::<Say>();
        for _ in 0..20 {
            let _full = say.try_send(Say(1));
        }
        let counted = |supervisor: &Supervisor| {
            let status = status(supervisor, "Subject");
            (status.messages, status.waiting, status.dropped)
        };
        assert_eq!(counted(&supervisor), (0, 3, 17));
        let subject = Subject::new(&diary);
        slot.run_here(move |_| subject);
        eventually("the mail", || diary.count("said 1") == 3).await;
        assert_eq!(counted(&supervisor), (3, 0, 17));
    });
}

#[test]
fn every_fault_can_be_injected_and_is_recovered_from() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        for (restarts, (fault, kind)) in (1..).zip([
            (Fault::Panic, "panic"),
            (Fault::Stop, "stop"),
            (Fault::Hang, "hang"),
        ]) {
            addr.send(Say(1)).await.unwrap();
            supervisor.inject("subject", fault).unwrap();
            eventually("the restart", || {
                let status = status(&supervisor, "Subject");
                status.restarts == restarts && status.phase == Phase::Running
            })
            .await;
            assert_eq!(status(&supervisor, "Subject").last_failure.unwrap().kind, kind);
        }
    });
}

#[test]
fn a_fault_is_refused_with_the_remedy() {
    in_paused_time(async {
        let strict = Supervisor::new(SupervisorConfig::default()).unwrap();
        assert_eq!(strict.inject("Subject", Fault::Panic), Err(InjectError::Disabled));

        let supervisor = supervisor();
        let _slot = supervisor.reserve::<Subject>(ActorSpec::new("Subject")).unwrap();
        let unknown = supervisor.inject("Singer", Fault::Stop).unwrap_err();
        assert_eq!(unknown.to_string(), "actor is \"Singer\": use one of Subject");
        let reserved = supervisor.inject("Subject", Fault::Stop).unwrap_err();
        assert_eq!(
            reserved.to_string(),
            "actor Subject is reserved, not running: try again when it is"
        );
    });
}

/// Like a swarm that handlers feed: nobody wakes it, it relies on being polled after every message.
struct Watcher(u32);

impl ActorFuture<Subject> for Watcher {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        subject: &mut Subject,
        _: &mut Context<Subject>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        if subject.state != self.0 {
            self.0 = subject.state;
            subject.diary.note(format!("seen {}", self.0));
        }
        Poll::Pending
    }
}

#[test]
fn a_future_of_the_context_sees_what_a_handler_changed_even_if_it_has_its_turn_first() {
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary).tick(3600 * SECOND);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        addr.send(act(|_, ctx| {
            ctx.spawn(Watcher(0));
        }))
        .await
        .unwrap();
        // A wait makes actix change the order of the context's futures.
        addr.do_send(act(|subject, ctx| {
            ctx.wait(tokio::time::sleep(SECOND).into_actor(subject));
        }));
        for number in 1..=3 {
            let begun = Instant::now();
            let state = addr.send(Say(number)).await.unwrap();
            let seen = format!("seen {state}");
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(diary.has(&seen), "{seen} after {:?}", begun.elapsed());
        }
    });
}

#[test]
fn a_future_that_panics_when_it_is_dropped_does_not_prevent_the_restart() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    in_paused_time(async {
        let supervisor = supervisor();
        let diary = Diary::default();
        let subject = Subject::new(&diary);
        let addr = supervisor
            .reserve(ActorSpec::new("Subject"))
            .unwrap()
            .run_here(move |_| subject);
        addr.do_send(act(|subject, ctx| {
            let bomb = Bomb;
            let never = async move {
                std::future::pending::<()>().await;
                drop(bomb);
            };
            ctx.spawn(never.into_actor(subject));
        }));
        addr.do_send(act(|_, ctx| ctx.stop()));
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert!(
            status(&supervisor, "Subject")
                .last_failure
                .unwrap()
                .cause
                .contains("in a drop")
        );
    });
}

#[test]
fn two_actors_cannot_have_one_name() {
    let supervisor = supervisor();
    let _slot = supervisor.reserve::<Subject>(ActorSpec::new("Subject")).unwrap();
    let second = supervisor.reserve::<Subject>(ActorSpec::new("Subject"));
    assert!(matches!(second, Err(StartError::DuplicateName("Subject"))));
}

#[test]
fn outside_an_actix_system_a_start_is_an_error_and_no_panic() {
    let supervisor = supervisor();
    let diary = Diary::default();
    let started = supervisor.start(ActorSpec::new("Subject"), move |_| Subject::new(&diary));
    assert!(matches!(started, Err(StartError::NoSystem("Subject"))));
}
