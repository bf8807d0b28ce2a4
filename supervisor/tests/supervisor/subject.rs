//! The actor under test: does what it is told, and writes down what happened to it.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix::prelude::*;
use quorate_supervisor::{ActorSpec, ActorStatus, Fault, SupervisedActor, Supervisor, SupervisorConfig};

/// What happened to a subject, in order.
#[derive(Debug, Default, Clone)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.events().iter().filter(|noted| *noted == event).count()
    }

    pub(crate) fn has(&self, event: &str) -> bool {
        self.count(event) > 0
    }
}

type Hook = Box<dyn FnMut(&mut Context<Subject>) + Send>;

/// A supervised actor with a timer of one second (or [`Subject::tick`]) whose state is one number.
pub(crate) struct Subject {
    pub(crate) diary: Diary,
    pub(crate) state: u32,
    pub(crate) tick: Duration,
    pub(crate) on_started: Hook,
    pub(crate) on_restarting: Hook,
    pub(crate) drain_for: Duration,
}

impl Subject {
    pub(crate) fn new(diary: &Diary) -> Self {
        Self {
            diary: diary.clone(),
            state: 0,
            tick: Duration::from_secs(1),
            on_started: Box::new(|_| {}),
            on_restarting: Box::new(|_| {}),
            drain_for: Duration::ZERO,
        }
    }

    pub(crate) fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    pub(crate) fn on_started(mut self, hook: impl FnMut(&mut Context<Self>) + Send + 'static) -> Self {
        self.on_started = Box::new(hook);
        self
    }

    pub(crate) fn on_restarting(mut self, hook: impl FnMut(&mut Context<Self>) + Send + 'static) -> Self {
        self.on_restarting = Box::new(hook);
        self
    }

    pub(crate) fn drain_for(mut self, drain_for: Duration) -> Self {
        self.drain_for = drain_for;
        self
    }
}

impl Actor for Subject {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.diary.note("started");
        (self.on_started)(ctx);
        ctx.run_interval(self.tick, |subject, _| subject.diary.note("tick"));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.diary.note("stopped");
    }
}

impl Supervised for Subject {
    fn restarting(&mut self, ctx: &mut Self::Context) {
        self.diary.note("restarting");
        self.state = 0;
        (self.on_restarting)(ctx);
    }
}

impl SupervisedActor for Subject {
    fn drain(&mut self, _: &mut Self::Context) -> ResponseFuture<()> {
        self.diary.note("drain");
        let (diary, drain_for) = (self.diary.clone(), self.drain_for);
        Box::pin(async move {
            tokio::time::sleep(drain_for).await;
            diary.note("drained");
        })
    }
}

/// Adds to the state and notes the number.
#[derive(Debug, Message)]
#[rtype(result = "u32")]
pub(crate) struct Say(pub(crate) u32);

impl Handler<Say> for Subject {
    type Result = u32;

    fn handle(&mut self, Say(number): Say, _: &mut Self::Context) -> u32 {
        self.state += number;
        self.diary.note(format!("said {number}"));
        self.state
    }
}

/// Runs a closure as a message handler.
#[derive(Message)]
#[rtype(result = "()")]
#[allow(clippy::type_complexity, reason = "named once")]
pub(crate) struct Do(pub(crate) Box<dyn FnOnce(&mut Subject, &mut Context<Subject>) + Send>);

pub(crate) fn act(work: impl FnOnce(&mut Subject, &mut Context<Subject>) + Send + 'static) -> Do {
    Do(Box::new(work))
}

impl Handler<Do> for Subject {
    type Result = ();

    fn handle(&mut self, Do(work): Do, ctx: &mut Self::Context) {
        work(self, ctx);
    }
}

/// Panics inside a `ResponseActFuture`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct PanicLater;

impl Handler<PanicLater> for Subject {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: PanicLater, _: &mut Self::Context) -> Self::Result {
        Box::pin(
            tokio::time::sleep(Duration::from_millis(1))
                .into_actor(self)
                .map(|(), _, _| panic!("in an actor future")),
        )
    }
}

/// Panics inside a `ResponseFuture`: one call's problem.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct PanicBeside;

impl Handler<PanicBeside> for Subject {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: PanicBeside, _: &mut Self::Context) -> Self::Result {
        Box::pin(async { panic!("beside the actor") })
    }
}

/// A supervisor and one actor under it, on the test's own thread.
pub(crate) struct Bench {
    pub(crate) supervisor: Supervisor,
    pub(crate) diary: Diary,
    pub(crate) addr: Addr<Subject>,
}

impl Bench {
    /// Runs an actor of the name "Subject".
    pub(crate) fn start(adjust: impl FnOnce(Subject) -> Subject) -> Self {
        Self::start_as(ActorSpec::new("Subject"), adjust)
    }

    pub(crate) fn start_as(spec: ActorSpec, adjust: impl FnOnce(Subject) -> Subject) -> Self {
        let (supervisor, diary) = (supervisor(), Diary::default());
        let subject = adjust(Subject::new(&diary));
        let addr = supervisor.reserve(spec).unwrap().run_here(move |_| subject);
        Self {
            supervisor,
            diary,
            addr,
        }
    }

    pub(crate) fn inject(&self, name: &str, fault: Fault) {
        self.supervisor.inject(name, fault).unwrap();
    }
}

/// Runs a test on one thread whose time is paused: it jumps to the next timer whenever nothing else is to be done.
pub(crate) fn in_paused_time<T>(test: impl Future<Output = T>) -> T {
    System::new().block_on(async {
        tokio::time::pause();
        test.await
    })
}

/// A supervisor with the product's figures that allows faults.
pub(crate) fn supervisor() -> Supervisor {
    Supervisor::new(SupervisorConfig {
        fault_injection: true,
        ..SupervisorConfig::default()
    })
    .unwrap()
}

/// Waits for a condition for at most five minutes (of paused time).
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came to be: {what}");
}

pub(crate) fn status(supervisor: &Supervisor, name: &str) -> ActorStatus {
    supervisor
        .statuses()
        .into_iter()
        .find(|status| status.name == name)
        .expect("the actor is registered")
}
