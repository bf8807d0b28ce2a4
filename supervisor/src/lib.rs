//! Keeps actix actors alive one by one, and ends the process when that is impossible.
//!
//! actix's own `Supervisor` restarts an actor that stops itself; one that panics it loses, with its mailbox, in silence. This one
//! runs each actor on a thread of its own and turns a panic, an unexpected stop and a hang into a restart of that actor alone:
//!
//! 1. Timers and futures of its context are cancelled, and `restarting()` frees what it held and makes its state as new.
//! 2. A pause passes ([`RestartPolicy`]), so that a cause outside has time to go.
//! 3. `started()` acquires anew. Address, mailbox and the messages in it are the same as before.
//!
//! ```
//! use actix::prelude::*;
//! use quorate_supervisor::{ActorSpec, Mailbox, SupervisedActor, Supervisor, SupervisorConfig};
//! use tokio::sync::oneshot;
//!
//! struct Counter {
//!     sum: u64,
//! }
//! # impl Actor for Counter { type Context = Context<Self>; }
//!
//! impl Supervised for Counter {
//!     fn restarting(&mut self, _: &mut Context<Self>) {
//!         self.sum = 0;
//!     }
//! }
//!
//! impl SupervisedActor for Counter {}
//!
//! #[derive(Message)]
//! #[rtype(result = "()")]
//! enum CounterMessage {
//!     Add(u64),
//!     AskSum(oneshot::Sender<u64>),
//! }
//!
//! impl Handler<CounterMessage> for Counter {
//!     type Result = ();
//!
//!     fn handle(&mut self, message: CounterMessage, _: &mut Context<Self>) {
//!         match message {
//!             CounterMessage::Add(number) => self.sum += number,
//!             CounterMessage::AskSum(asker) => {
//!                 let _nobody_waits = asker.send(self.sum);
//!             }
//!         }
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! System::new().block_on(async {
//!     let supervisor = Supervisor::new(SupervisorConfig::default())?;
//!     let reserved = supervisor.reserve::<Counter>(ActorSpec::new("Counter"))?;
//!     let counter: Mailbox<CounterMessage> = reserved.mailbox();
//!     reserved.run(|_| Counter { sum: 0 })?;
//!
//!     counter.send_or_log("two", CounterMessage::Add(2));
//!     let (asker, sum) = oneshot::channel();
//!     counter.send_or_log("question", CounterMessage::AskSum(asker));
//!     assert_eq!(sum.await?, 2);
//!     // Then usually: supervisor.run_until_end(&["Counter"], SHUTDOWN_GRACE).await
//!     Ok(())
//! })
//! # }
//! ```
//!
//! `examples/two_actors.rs` shows a panic, a hang and the end.
//!
//! # What is lost at a restart
//!
//! The message that was being handled: who waits for its answer finds the channel closed and must take that for "outcome unknown".
//! What the actor kept in memory, as far as its `restarting()` says so. Nothing else: the other actors notice nothing.
//!
//! # When the process ends
//!
//! An actor that fails again and again is given up: [`Supervisor::failed`] resolves, the others finish what they have, and the exit
//! code is [`EXIT_GAVE_UP`]. A thread that is blocked cannot be freed from inside: a watchdog on a thread of its own makes
//! [`Supervisor::is_live`] false, and if it lasts ends the process with [`EXIT_BLOCKED`] and a last line.
//!
//! # What a supervisor cannot see
//!
//! A future beside the mailbox (`ctx.spawn`, a `ResponseFuture`) that never ends: the actor still answers, so it does not hang.
//! Every remote call needs a timeout of its own. Nor a wrong answer, nor memory that grows.
//!
//! The profile must unwind (`panic = "unwind"`): one that aborts turns each panic into the end of the process.

mod contained;
mod failure;
mod fault;
mod mailbox;
mod reserved;
mod restart_policy;
mod shutdown;
mod status;
mod supervision;
mod supervisor;
mod watchdog;

pub use contained::SupervisedActor;
pub use failure::{Cause, EXIT_GAVE_UP, GivenUp, PanicReport};
pub use fault::{Fault, InjectError, ParseFaultError};
pub use mailbox::Mailbox;
pub use reserved::{ActorSpec, Reserved, StartError};
pub use restart_policy::RestartPolicy;
pub use shutdown::{ExitReason, SHUTDOWN_GRACE, ShutdownReport, StepOutcome, TerminationSignal, termination};
pub use status::{ActorStatus, LastFailure, Phase};
pub use supervisor::{Supervisor, SupervisorConfig};
pub use watchdog::EXIT_BLOCKED;
