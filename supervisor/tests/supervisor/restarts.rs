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
    Bench, Diary, PanicBeside, PanicLater, Say, Subject, act, eventually, in_paused_time, status, supervisor,
};

const SECOND: Duration = Duration::from_secs(1);

/// One way to fail: its name, the kind of the failure, and how it comes about.
type Failure = (&'static str, &'static str, fn(&Bench));

const FAILURES: [Failure; 10] = [
    ("a panic in a handler", "panic", |bench| {
        bench.addr.do_send(act(|_, _| panic!("in a handler")));
    }),
    ("a panic in a timer", "panic", |bench| {
        bench.addr.do_send(act(|_, ctx| {
            ctx.run_later(Duration::from_millis(1), |_, _| panic!("in a timer"));
        }));
    }),
    ("a panic in a ResponseActFuture", "panic", |bench| {
        bench.addr.do_send(PanicLater)
    }),
    ("a stop", "stop", |bench| {
        bench.addr.do_send(act(|_, ctx| ctx.stop()))
    }),
    ("a termination", "stop", |bench| {
        bench.addr.do_send(act(|_, ctx| ctx.terminate()))
    }),
    ("a wait that never ends", "hang", |bench| {
        bench.addr.do_send(act(|subject, ctx| {
            ctx.wait(std::future::pending::<()>().into_actor(subject));
        }));
    }),
    ("a panic while a timer is being cancelled", "panic", |bench| {
        bench.addr.do_send(act(|_, ctx| {
            // The first future of the next run gets this number again in actix's own restart.
            for number in 1..=4 {
                let handle = (0..number).fold(actix::SpawnHandle::default(), |handle, _| handle.next());
                ctx.cancel_future(handle);
            }
            panic!("with cancellations pending")
        }));
    }),
    ("an injected panic", "panic", |bench| {
        bench.inject("Subject", Fault::Panic)
    }),
    ("an injected stop", "stop", |bench| {
        bench.inject("subject", Fault::Stop)
    }),
    ("an injected hang", "hang", |bench| {
        bench.inject("SUBJECT", Fault::Hang)
    }),
];

#[test]
fn after_any_failure_the_actor_is_as_new_and_keeps_its_address_and_its_mail() {
    for (failure, kind, fail) in FAILURES {
        in_paused_time(async {
            let bench = Bench::start(|subject| subject);
            let Bench {
                supervisor,
                diary,
                addr,
            } = &bench;
            assert_eq!(addr.send(Say(5)).await, Ok(5));
            fail(&bench);
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

            let status = status(supervisor, "Subject");
            assert_eq!(status.phase, Phase::Running, "{failure}");
            assert_eq!(status.restarts, 1, "{failure}");
            assert_eq!(status.last_failure.unwrap().kind, kind, "{failure}");
        });
    }
}

#[test]
fn the_cause_of_a_panic_names_its_message_and_its_line() {
    in_paused_time(async {
        let Bench {
            supervisor,
            diary,
            addr,
        } = Bench::start(|subject| subject);
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
        let Bench { diary, addr, .. } = Bench::start(|subject| subject);
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
        let Bench { supervisor, addr, .. } = Bench::start(|subject| subject);
        assert_eq!(addr.send(PanicBeside).await, Err(MailboxError::Closed));
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert_eq!(status(&supervisor, "Subject").restarts, 0);
    });
}

#[test]
fn an_actor_that_never_starts_is_retried_with_doubling_pauses_and_given_up_after_eight_restarts() {
    in_paused_time(async {
        let starts = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&starts);
        let Bench { supervisor, addr, .. } = Bench::start(|subject| {
            subject.on_started(move |_| {
                noted.lock().unwrap().push(Instant::now());
                panic!("no port");
            })
        });
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
        let Bench { addr, .. } = Bench::start(|subject| subject);
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
        let mut restarts = 0;
        let Bench {
            supervisor,
            diary,
            addr,
        } = Bench::start(|subject| {
            subject.on_restarting(move |_| {
                restarts += 1;
                assert!(restarts > 2, "not yet free");
            })
        });
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
fn an_actor_hangs_after_ten_seconds_and_not_before_and_it_is_noticed_within_fifteen() {
    in_paused_time(async {
        let Bench { supervisor, addr, .. } = Bench::start(|subject| subject);
        let wait = |time| {
            act(move |subject: &mut Subject, ctx: &mut Context<Subject>| {
                ctx.wait(tokio::time::sleep(time).into_actor(subject));
            })
        };
        addr.do_send(wait(Duration::from_millis(9_900)));
        assert_eq!(addr.send(Say(1)).await, Ok(1));
        assert_eq!(status(&supervisor, "Subject").restarts, 0);

        let begun = Instant::now();
        addr.do_send(wait(60 * SECOND));
        addr.send(Say(1)).await.unwrap();
        let took = begun.elapsed();
        assert!(
            (10 * SECOND..=15 * SECOND + SECOND / 2).contains(&took),
            "{took:?}"
        );
        assert_eq!(status(&supervisor, "Subject").restarts, 1);
    });
}

#[test]
fn an_actor_may_have_a_patience_of_its_own() {
    in_paused_time(async {
        let spec = ActorSpec::new("Subject").hang_after(30 * SECOND);
        let Bench { supervisor, addr, .. } = Bench::start_as(spec, |subject| subject);
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
        let given = Arc::new(Mutex::new(Vec::new()));
        let giving = Arc::clone(&given);
        let Bench { addr, .. } =
            Bench::start(|subject| subject.on_started(move |ctx| giving.lock().unwrap().push(ctx.address())));
        addr.do_send(act(|_, ctx| ctx.stop()));
        addr.send(Say(1)).await.unwrap();
        let given = given.lock().unwrap().clone();
        assert_eq!(given.len(), 2);
        assert!(given.iter().all(|given| *given == addr));
        assert_eq!(given[0].send(Say(1)).await, Ok(2));
    });
}

#[test]
fn a_fault_is_refused_with_the_remedy() {
    in_paused_time(async {
        let strict = Supervisor::new(SupervisorConfig::default()).unwrap();
        assert_eq!(strict.inject("Subject", Fault::Panic), Err(InjectError::Disabled));

        let supervisor = supervisor();
        let _reserved = supervisor.reserve::<Subject>(ActorSpec::new("Subject")).unwrap();
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
        let Bench { diary, addr, .. } = Bench::start(|subject| subject.tick(3600 * SECOND));
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
        let Bench { supervisor, addr, .. } = Bench::start(|subject| subject);
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
    let _reserved = supervisor.reserve::<Subject>(ActorSpec::new("Subject")).unwrap();
    let second = supervisor.reserve::<Subject>(ActorSpec::new("Subject"));
    assert!(matches!(second, Err(StartError::DuplicateName("Subject"))));
}

#[test]
fn outside_an_actix_system_a_start_is_an_error_and_no_panic() {
    let supervisor = supervisor();
    let started = supervisor.start(ActorSpec::new("Subject"), |_| Subject::new(&Diary::default()));
    assert!(matches!(started, Err(StartError::NoSystem("Subject"))));
}
