//! Keeps every actor alive on its own, and ends the process when that is impossible.
//!
//! Each actor runs on a thread of its own, in a supervision (`supervised.rs`) that turns a panic, an unexpected stop and a hang
//! into a restart: the address and the mailbox stay, timers and futures go, `restarting()` frees, a back-off passes, `started()`
//! acquires anew. Of the messages only the one being handled is lost; its sender sees `MailboxError::Closed` and must take that for
//! "outcome unknown". The other actors notice nothing.
//!
//! Two ends are left to the process. An actor that fails again and again is given up: [`Supervisor::failed`] resolves, the others
//! are drained, the exit code is [`EXIT_GAVE_UP`]. A thread that is blocked cannot be freed from inside: a watchdog on a thread of
//! its own makes [`Supervisor::is_live`] false, and if it lasts ends the process with [`EXIT_BLOCKED`] and a last line.
//!
//! What a supervisor cannot see: a future beside the mailbox (`ctx.spawn`, `ResponseFuture`) that never ends. The actor still
//! answers, so it does not hang; every remote call has to have a timeout of its own.

mod body;
mod cause;
mod config;
mod ending;
mod fatal;
mod fault;
mod heartbeat;
mod mailbox;
mod panics;
pub mod policy;
mod pump;
mod shutdown;
mod sink;
mod slot;
mod status;
mod supervised;
mod vitals;
mod watchdog;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use actix::dev::channel::channel;
use actix::{Addr, Context};
use tokio::sync::{mpsc, watch};

pub use body::SupervisedActor;
pub use cause::Cause;
pub use config::{ActorSpec, SupervisorConfig};
pub use ending::{Ending, SHUTDOWN_GRACE, TerminationSignal, termination};
pub use fatal::{EXIT_BLOCKED, EXIT_GAVE_UP, Fatal};
pub use fault::{Fault, InjectError, ParseFaultError};
pub use mailbox::Mailbox;
pub(crate) use mailbox::Tally;
pub use panics::PanicReport;
pub use shutdown::{ShutdownReport, StepOutcome};
pub use sink::{Sink, pass_on};
pub use slot::{Slot, StartError};
pub use status::{ActorStatus, LastFailure, Phase};

use supervised::{COMMANDS, Command, Terms};
use vitals::Vitals;
use watchdog::Watched;

/// The one supervisor of a process; clones are handles of it, usable from any thread. When the last handle is dropped, the watchdog
/// ends and the actors run on.
#[derive(Clone)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

struct Inner {
    config: SupervisorConfig,
    watched: Arc<Watched>,
    watchdog: JoinHandle<()>,
    commands: Mutex<Vec<(&'static str, mpsc::Sender<Command>)>>,
    fatal: watch::Sender<Option<Fatal>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.watched.close();
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("config", &self.inner.config)
            .field("actors", &self.names())
            .finish_non_exhaustive()
    }
}

impl Supervisor {
    /// Starts the watchdog and has panics of actors logged as one line.
    ///
    /// # Errors
    /// The operating system refused a thread.
    pub fn new(config: SupervisorConfig) -> io::Result<Self> {
        panics::install_hook();
        let watched = Arc::new(Watched::new(config));
        let (fatal, given_up) = watch::channel(None);
        let watchdog = watchdog::spawn(Arc::clone(&watched), given_up)?;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                watched,
                watchdog,
                commands: Mutex::new(Vec::new()),
                fatal,
            }),
        })
    }

    /// An address for an actor that is run later, so that actors can know each other in a circle.
    ///
    /// # Errors
    /// [`StartError::DuplicateName`].
    pub fn reserve<A: SupervisedActor>(&self, spec: ActorSpec) -> Result<Slot<A>, StartError> {
        let mut all = self.all_commands();
        if all.iter().any(|(name, _)| *name == spec.name) {
            return Err(StartError::DuplicateName(spec.name));
        }
        let vitals = Arc::new(Vitals::new(spec.name));
        let (sender, receiver) = channel(spec.mailbox);
        let (command, commands) = mpsc::channel(COMMANDS);
        all.push((spec.name, command));
        self.inner.watched.vitals().push(Arc::clone(&vitals));
        Ok(Slot {
            addr: Addr::new(sender),
            receiver,
            terms: Terms {
                spec,
                config: self.inner.config,
                vitals,
                fatal: self.inner.fatal.clone(),
                commands,
            },
        })
    }

    /// Reserves and runs an actor that nobody has to know before.
    ///
    /// # Errors
    /// Those of [`Self::reserve`] and [`Slot::run`].
    pub fn start<A: SupervisedActor>(
        &self,
        spec: ActorSpec,
        build: impl FnOnce(&mut Context<A>) -> A + Send + 'static,
    ) -> Result<Addr<A>, StartError> {
        self.reserve(spec)?.run(build)
    }

    /// All actors in the order of their reservation.
    pub fn statuses(&self) -> Vec<ActorStatus> {
        let all = self.inner.watched.vitals().clone();
        all.iter().map(|vitals| vitals.status()).collect()
    }

    /// Whether the process can still help itself: no thread is blocked, no actor was given up, the watchdog watches. For
    /// `/healthz`. An actor in back-off is no reason: ending the process would not be better.
    pub fn is_live(&self) -> bool {
        let watched_over = self.inner.watched.is_closed() || !self.inner.watchdog.is_finished();
        let nobody_blocked = self
            .inner
            .watched
            .vitals()
            .iter()
            .all(|vitals| !vitals.is_blocked());
        watched_over && nobody_blocked && self.inner.fatal.borrow().is_none()
    }

    /// Resolves when an actor was given up; never otherwise. The process is to drain and end with [`EXIT_GAVE_UP`]; if it does not
    /// within [`SupervisorConfig::exit_after`], the watchdog ends it.
    pub fn failed(&self) -> impl Future<Output = Fatal> + 'static {
        let mut fatal = self.inner.fatal.subscribe();
        async move {
            if let Ok(fatal) = fatal.wait_for(Option::is_some).await
                && let Some(fatal) = fatal.clone()
            {
                return fatal;
            }
            std::future::pending().await
        }
    }

    /// Makes an actor fail, to see what follows. The name's case does not matter.
    ///
    /// # Errors
    /// [`InjectError`]; the fault itself happens a moment later.
    pub fn inject(&self, name: &str, fault: Fault) -> Result<(), InjectError> {
        if !self.inner.config.fault_injection {
            return Err(InjectError::Disabled);
        }
        let names = self.names();
        let Some(&name) = names.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return Err(InjectError::UnknownActor {
                name: name.to_owned(),
                known: names.join(", "),
            });
        };
        let phase = self.phase(name).unwrap_or(Phase::Stopped);
        let not_running = |state| InjectError::NotRunning { name, state };
        if phase != Phase::Running {
            return Err(not_running(phase.label()));
        }
        self.commands(name)
            .and_then(|commands| commands.try_send(Command::Inject(fault)).ok())
            .ok_or_else(|| not_running("busy with earlier faults"))
    }

    fn all_commands(&self) -> MutexGuard<'_, Vec<(&'static str, mpsc::Sender<Command>)>> {
        self.inner.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commands(&self, name: &str) -> Option<mpsc::Sender<Command>> {
        self.all_commands()
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, commands)| commands.clone())
    }

    fn names(&self) -> Vec<&'static str> {
        self.all_commands().iter().map(|(name, _)| *name).collect()
    }

    fn phase(&self, name: &str) -> Option<Phase> {
        let watched = self.inner.watched.vitals();
        watched
            .iter()
            .find(|vitals| vitals.name() == name)
            .map(|vitals| vitals.phase())
    }

    fn close(&self) {
        self.inner.watched.close();
    }
}
