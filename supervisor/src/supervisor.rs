//! The supervisor's handle: what a program does with its actors and may know of them, from any thread.

use std::{
    fmt,
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use actix::{Addr, Context};
use tokio::sync::{mpsc, watch};

use crate::{
    contained::SupervisedActor,
    failure::{self, GivenUp},
    reserved::{ActorSpec, Reserved, StartError},
    restart_policy::RestartPolicy,
    status::{ActorStatus, SharedStatus},
    supervision::Command,
    watchdog,
};

/// Each look wakes a thread that may have had nothing else to do: a second in its place was a fifth of what a node at rest took.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Two looks: a hang is noticed within 15 s. Longer than any pause of a healthy actor, whose remote calls run beside its mailbox and
/// not in front of it; short enough that its senders have lost seconds and not minutes.
const HANG_AFTER: Duration = Duration::from_secs(10);
/// The same patience for a thread, which must be longer than the time between two looks: a thread at rest shows no other sign of
/// life. Liveness turns false then; an orchestrator probes it every few seconds.
const BLOCKED_AFTER: Duration = Duration::from_secs(10);
/// How long a thread may be blocked until the process ends: late enough that a burst of slow disk or swap passes, and with all
/// that may delay the end still within 20 s.
const EXIT_AFTER: Duration = Duration::from_secs(15);

/// All figures of the supervisor. The defaults suit a server; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// How often each actor is looked at: whether its mailbox still moves.
    pub heartbeat: Duration,
    /// An actor whose mailbox stands still for this long hangs and is restarted.
    pub hang_after: Duration,
    /// A thread that stands still for this long is blocked: the process is no longer live.
    pub blocked_after: Duration,
    /// A thread that stands still for this long ends the process; also how long the process may take to end after an actor was
    /// given up.
    pub exit_after: Duration,
    /// When to restart, when to give up.
    pub restart: RestartPolicy,
    /// Whether [`Supervisor::inject`] is allowed.
    pub fault_injection: bool,
}

impl Default for SupervisorConfig {
    fn default() -> Self {
        Self {
            heartbeat: HEARTBEAT,
            hang_after: HANG_AFTER,
            blocked_after: BLOCKED_AFTER,
            exit_after: EXIT_AFTER,
            restart: RestartPolicy::default(),
            fault_injection: false,
        }
    }
}

/// Keeps the actors of a process. Clones are handles of the same supervisor, usable from any thread. When the last is dropped, the
/// watchdog ends; the actors run on and are still restarted.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<Registry>,
    watchdog: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.registry.close();
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.statuses().iter().map(|status| status.name).collect();
        f.debug_struct("Supervisor")
            .field("actors", &names)
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Starts the watchdog, and has panics of actors logged as one line instead of dumped to stderr.
    ///
    /// # Errors
    /// The operating system refused a thread.
    pub fn new(config: SupervisorConfig) -> io::Result<Self> {
        failure::install_panic_hook();
        let registry = Arc::new(Registry::new(config));
        let watchdog = watchdog::spawn(Arc::clone(&registry))?;
        Ok(Self {
            inner: Arc::new(Inner { registry, watchdog }),
        })
    }

    /// An address for an actor that is run later, so that actors can know each other in a circle.
    ///
    /// # Errors
    /// [`StartError::DuplicateName`].
    pub fn reserve<A: SupervisedActor>(&self, spec: ActorSpec) -> Result<Reserved<A>, StartError> {
        Reserved::new(spec, self.registry())
    }

    /// Reserves and runs an actor that nobody has to know before.
    ///
    /// # Errors
    /// Those of [`Self::reserve`] and [`Reserved::run`].
    pub fn start<A: SupervisedActor>(
        &self,
        spec: ActorSpec,
        build: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
    ) -> Result<Addr<A>, StartError> {
        self.reserve(spec)?.run(build)
    }

    /// All actors in the order of their reservation.
    pub fn statuses(&self) -> Vec<ActorStatus> {
        let actors = self.registry().actors();
        actors.iter().map(|actor| actor.status.read()).collect()
    }

    /// Whether the process can still help itself: no thread is blocked, no actor was given up, the watchdog watches. For a liveness
    /// probe. An actor that waits for its restart is no reason: ending the process would not be better.
    pub fn is_live(&self) -> bool {
        let registry = self.registry();
        let watched_over = registry.is_closed() || !self.inner.watchdog.is_finished();
        let nobody_blocked = registry.actors().iter().all(|actor| !actor.status.is_blocked());
        watched_over && nobody_blocked && registry.given_up.borrow().is_none()
    }

    /// Resolves when an actor was given up; never otherwise. The process is to end with [`EXIT_GAVE_UP`](crate::EXIT_GAVE_UP), as
    /// [`Self::run_until_end`] does; if it does not within [`SupervisorConfig::exit_after`], the watchdog ends it.
    pub fn failed(&self) -> impl Future<Output = GivenUp> + 'static {
        let mut given_up = self.registry().given_up.subscribe();
        async move {
            if let Ok(first) = given_up.wait_for(Option::is_some).await
                && let Some(first) = first.clone()
            {
                return first;
            }
            // The supervisor is gone, and with it who could tell.
            std::future::pending().await
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }
}

/// What the handle and the watchdog know: the actors in the order of their reservation, and the first that was given up.
pub(crate) struct Registry {
    pub(crate) config: SupervisorConfig,
    actors: Mutex<Vec<Registered>>,
    given_up: watch::Sender<Option<GivenUp>>,
    closed: AtomicBool,
}

/// One actor as others see it.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) status: Arc<SharedStatus>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Registry {
    fn new(config: SupervisorConfig) -> Self {
        Self {
            config,
            actors: Mutex::default(),
            given_up: watch::Sender::new(None),
            closed: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Registered>> {
        // Nothing that can panic runs under the lock.
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy: no lock is held while anything is awaited, logged or called.
    pub(crate) fn actors(&self) -> Vec<Registered> {
        self.lock().clone()
    }

    /// Adds an actor, unless its name is taken.
    pub(crate) fn add(&self, actor: Registered) -> Result<(), StartError> {
        let name = actor.status.name();
        let mut actors = self.lock();
        if actors.iter().any(|known| known.status.name() == name) {
            return Err(StartError::DuplicateName(name));
        }
        actors.push(actor);
        Ok(())
    }

    /// Where an actor that cannot be kept is told.
    pub(crate) fn given_up(&self) -> &watch::Sender<Option<GivenUp>> {
        &self.given_up
    }

    /// Sends the watchdog home.
    pub(crate) fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }
}
