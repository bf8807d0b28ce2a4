//! How the process comes to its end: a signal or an actor that was given up, then the ordered shutdown, then the system's stop.

use std::fmt;
use std::io;
use std::time::Duration;

use actix::System;

use super::Supervisor;
use super::fatal::{EXIT_GAVE_UP, Fatal};

/// What the whole shutdown may take: below the 30 s after which Kubernetes kills, and bearable at a terminal.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// The exit code of a process that was told twice: 128 + SIGINT, as shells have it.
const EXIT_CUT_SHORT: u8 = 130;

/// Who asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminationSignal {
    /// An orchestrator, or `kill`.
    Sigterm,
    /// Ctrl-C.
    Sigint,
}

impl fmt::Display for TerminationSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sigterm => "SIGTERM",
            Self::Sigint => "SIGINT",
        })
    }
}

/// Waits for SIGTERM or Ctrl-C. From the first poll on neither kills the process by itself.
///
/// # Errors
/// The operating system refused the handler.
pub async fn termination() -> io::Result<TerminationSignal> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut sigterm = signal(SignalKind::terminate())?;
        let mut sigint = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = sigterm.recv() => Ok(TerminationSignal::Sigterm),
            _ = sigint.recv() => Ok(TerminationSignal::Sigint),
        }
    }
    #[cfg(not(unix))]
    {
        tokio::signal::ctrl_c().await?;
        Ok(TerminationSignal::Sigint)
    }
}

/// Why the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was asked to, and drained.
    Asked(TerminationSignal),
    /// It was asked twice, and did not finish draining.
    CutShort,
    /// An actor was given up.
    Failed(Fatal),
}

impl Ending {
    /// The process's exit code: 0, 130 or [`EXIT_GAVE_UP`].
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Asked(_) => 0,
            Self::CutShort => EXIT_CUT_SHORT,
            Self::Failed(_) => EXIT_GAVE_UP,
        }
    }
}

impl Supervisor {
    /// Waits until the process is to end, then shuts down in `order` within `grace`, stops the actix system, and writes the last
    /// line. A second signal cuts the shutdown short.
    ///
    /// # Errors
    /// No handler for signals could be installed; nothing was stopped.
    pub async fn run_until_end(&self, order: &[&str], grace: Duration) -> io::Result<Ending> {
        let ending = tokio::select! {
            signal = termination() => Ending::Asked(signal?),
            fatal = self.failed() => Ending::Failed(fatal),
        };
        match &ending {
            Ending::Asked(signal) => log::info!("shutdown begins: reason={signal} grace={grace:?}"),
            Ending::Failed(fatal) => {
                log::error!("shutdown begins: reason=\"actor given up\" {fatal} grace={grace:?}")
            }
            Ending::CutShort => {}
        }
        let ending = tokio::select! {
            report = self.shutdown(order, grace) => {
                if !report.is_clean() {
                    log::warn!("shutdown was not clean: see its steps");
                }
                ending
            }
            _again = termination() => match ending {
                Ending::Asked(_) | Ending::CutShort => Ending::CutShort,
                Ending::Failed(fatal) => Ending::Failed(fatal),
            },
        };
        let code = ending.exit_code();
        match &ending {
            Ending::Asked(_) => log::info!("shutdown done: exit_code={code}"),
            Ending::CutShort => log::warn!("shutdown cut short by a second signal: exit_code={code}"),
            Ending::Failed(fatal) => log::error!("fatal: {fatal} exit_code={code}"),
        }
        if let Some(system) = System::try_current() {
            system.stop_with_code(i32::from(code));
        }
        Ok(ending)
    }
}
