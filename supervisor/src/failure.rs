//! Why an actor failed. A panic becomes a value that names its message and place: nothing is printed twice and nothing is lost.

use std::{
    any::Any,
    backtrace::{Backtrace, BacktraceStatus},
    cell::{Cell, RefCell},
    fmt,
    panic::{self, AssertUnwindSafe, PanicHookInfo},
    sync::Once,
    time::Duration,
};

use crate::contained;

/// The process's exit code after an actor was given up: `EX_SOFTWARE` of sysexits.h, a fault inside the program.
pub const EXIT_GAVE_UP: u8 = 70;
/// A panic's message may carry a whole payload (`unwrap` prints the error's Debug): a log line may not.
const MAX_MESSAGE_CHARS: usize = 300;

/// One actor's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It panicked: in a handler, a timer, a future of its context, or while it was started or rebuilt.
    Panicked(PanicReport),
    /// It stopped its context without being asked to.
    Stopped,
    /// Its context waited in front of the mailbox for this long, while its thread ran.
    Hung(Duration),
    /// Its value could not be made at all; there is nothing to restart.
    NotBuilt(PanicReport),
    /// Its thread ended under it: the runtime was stopped before the actors were.
    ThreadEnded,
}

impl Cause {
    /// One word for a metric's label.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Panicked(_) | Self::NotBuilt(_) => "panic",
            Self::Stopped => "stop",
            Self::Hung(_) => "hang",
            Self::ThreadEnded => "thread_ended",
        }
    }

    /// The frames of the panic behind it, if there was one and `RUST_BACKTRACE` asks for them.
    pub(crate) fn backtrace(&self) -> Option<&str> {
        match self {
            Self::Panicked(report) | Self::NotBuilt(report) => report.backtrace.as_deref(),
            Self::Stopped | Self::Hung(_) | Self::ThreadEnded => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(report) => write!(f, "{report}"),
            Self::Stopped => f.write_str("stopped unexpectedly"),
            Self::Hung(silent) => write!(f, "hung: its mailbox stood still for {silent:.1?}"),
            Self::NotBuilt(report) => write!(f, "could not be built: {report}"),
            Self::ThreadEnded => f.write_str("its thread ended while it was supervised"),
        }
    }
}

/// An actor that cannot be kept running: the process has to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its name.
    pub actor: &'static str,
    /// How many restarts did not help.
    pub restarts: u32,
    /// In how much time.
    pub within: Duration,
    /// Its last failure.
    pub cause: Cause,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            actor,
            restarts,
            within,
            cause,
        } = self;
        let within_s = within.as_secs();
        write!(
            f,
            "actor={actor} restarts={restarts} within={within_s}s cause=\"{cause}\""
        )
    }
}

/// What is known of one panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanicReport {
    /// Its message on one line, cut at 300 characters.
    pub message: String,
    /// `file:line:column`, if the hook saw it.
    pub location: Option<String>,
    /// Only when `RUST_BACKTRACE` asks for it.
    pub backtrace: Option<String>,
}

impl PanicReport {
    fn from_payload(payload: &(dyn Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(a payload that is no text)");
        Self {
            message: one_line(message),
            location: None,
            backtrace: None,
        }
    }

    fn from_hook(info: &PanicHookInfo<'_>) -> Self {
        let backtrace = Backtrace::capture();
        Self {
            location: info.location().map(ToString::to_string),
            backtrace: (backtrace.status() == BacktraceStatus::Captured)
                .then(|| frames_of_the_actor(&backtrace.to_string())),
            ..Self::from_payload(info.payload())
        }
    }
}

impl fmt::Display for PanicReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "panicked at {location}: {}", self.message),
            None => write!(f, "panicked: {}", self.message),
        }
    }
}

fn one_line(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}

/// Of a backtrace's hundred frames the twenty between the panic machinery and the supervision, which are always the same; all of
/// them where the build has inlined those away.
fn frames_of_the_actor(backtrace: &str) -> String {
    let lines: Vec<&str> = backtrace.lines().collect();
    let at = |part: &str| lines.iter().position(|line| line.contains(part));
    // Each frame has a second line with its place.
    let first = at("rust_begin_unwind").map_or(0, |line| line + 2);
    let last = at(contained::MODULE).unwrap_or(lines.len());
    lines.get(first..last).unwrap_or(&lines).join("\n")
}

thread_local! {
    /// The actor whose thread this is.
    static THREAD_OF: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// Whether a [`catch`] is on the stack.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// What the hook saw since that [`catch`] began.
    static SEEN: RefCell<Option<PanicReport>> = const { RefCell::new(None) };
}

/// Runs `work` and turns a panic in it into a report.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, PanicReport> {
    let outer_was_catching = CATCHING.replace(true);
    let outer_seen = SEEN.take();
    // What the panic left half-done is not looked at again: the actor's context is rebuilt and the actor told to rebuild its state.
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    let seen = SEEN.replace(outer_seen);
    CATCHING.set(outer_was_catching);
    match outcome {
        Ok(value) => {
            if let Some(report) = seen {
                log_caught_inside(&report);
            }
            Ok(value)
        }
        Err(payload) => {
            let report = seen.unwrap_or_else(|| PanicReport::from_payload(payload.as_ref()));
            // A payload of an unknown type might panic when dropped; leaking one per such panic is the lesser evil.
            std::mem::forget(payload);
            Err(report)
        }
    }
}

fn log_caught_inside(report: &PanicReport) {
    log::error!("panic inside an actor, caught by the actor: cause=\"{report}\"");
}

/// From now on a panic on this thread, outside the actor itself, is logged with the actor's name.
pub(crate) fn name_this_thread(actor: &'static str) {
    THREAD_OF.set(Some(actor));
    // The thread is the arbiter's, named by actix; on Linux the name that `top -H` and debuggers show can be set from inside.
    let _best_effort = std::fs::write("/proc/thread-self/comm", actor);
}

/// Makes panics of actors, and of tasks on their threads, one log line instead of a dump on stderr; other threads keep the hook
/// that was there before. Idempotent.
pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                let report = PanicReport::from_hook(info);
                // An earlier one in the same run was caught by the actor, or this one would not have come.
                if let Some(earlier) = SEEN.replace(Some(report)) {
                    log_caught_inside(&earlier);
                }
            } else if let Some(actor) = THREAD_OF.get() {
                let report = PanicReport::from_hook(info);
                log::error!("task of an actor lost, the actor runs on: actor={actor} cause=\"{report}\"");
                if let Some(backtrace) = report.backtrace {
                    log::error!("backtrace of the panic: actor={actor}\n{backtrace}");
                }
            } else {
                before(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_the_message_and_the_place() {
        install_panic_hook();
        let report = catch(|| panic!("no more {}", "coins")).unwrap_err();
        assert_eq!(report.message, "no more coins");
        assert!(report.location.unwrap().contains("failure.rs:"));
    }

    #[test]
    fn a_literal_message_and_one_that_is_no_text_are_both_reported() {
        install_panic_hook();
        assert_eq!(catch(|| panic!("plain")).unwrap_err().message, "plain");
        let report = catch(|| panic::panic_any(7_u8)).unwrap_err();
        assert_eq!(report.message, "(a payload that is no text)");
    }

    #[test]
    fn a_panic_that_was_caught_inside_is_not_taken_for_the_next_one() {
        install_panic_hook();
        let caught_inside = catch(|| panic::catch_unwind(|| panic!("inner")).is_err());
        assert_eq!(caught_inside, Ok(true));
        assert_eq!(catch(|| panic!("outer")).unwrap_err().message, "outer");
    }

    #[test]
    fn a_backtrace_is_cut_to_the_actors_frames_or_left_whole() {
        let supervision = contained::MODULE;
        let backtrace = format!(
            "0: hook\n at a\n1: rust_begin_unwind\n at b\n2: my::actor\n at c\n3: {supervision}::Contained::poll\n at d"
        );
        assert_eq!(frames_of_the_actor(&backtrace), "2: my::actor\n at c");
        assert_eq!(frames_of_the_actor("0: a\n1: b"), "0: a\n1: b");
    }

    #[test]
    fn a_message_is_one_bounded_line() {
        let report = PanicReport::from_payload(&format!("a\n b\t{}", "x".repeat(1000)));
        assert!(report.message.starts_with("a b x"));
        assert!(report.message.chars().count() <= MAX_MESSAGE_CHARS + 3);
    }
}
