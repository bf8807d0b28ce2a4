//! The supervisor as its users see it. `restarts`, `mailboxes` and `shutdown` run in paused time on one thread; `threads` in real time with short
//! figures; `process` in child processes, whose exit code and last line are what an orchestrator and an operator see.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may, and it sends a counted number of messages"
)]

mod mailboxes;
mod process;
mod restarts;
mod shutdown;
mod subject;
mod threads;
