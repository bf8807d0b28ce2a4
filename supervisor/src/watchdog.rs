//! Sees what no actor can: that a thread stands still. Runs on a thread of its own and touches nothing that an actor could hold.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Record};
use tokio::sync::watch;

use super::config::SupervisorConfig;
use super::fatal::{EXIT_BLOCKED, EXIT_GAVE_UP, Fatal};
use super::vitals::Vitals;

/// A log line that cannot be written in this time (stderr is a pipe that nobody reads, which may be why a thread stands still) is
/// given up: the process must end all the same.
const LAST_LINE_PATIENCE: Duration = Duration::from_secs(1);

/// What the watchdog looks at.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) config: SupervisorConfig,
    vitals: Mutex<Vec<Arc<Vitals>>>,
    closed: AtomicBool,
}

impl Watched {
    pub(super) fn new(config: SupervisorConfig) -> Self {
        Self {
            config,
            vitals: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        }
    }

    pub(super) fn vitals(&self) -> MutexGuard<'_, Vec<Arc<Vitals>>> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the watchdog was sent home.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Sends the watchdog home.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

/// What one look at a thread's ticks tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Moves,
    /// It stood still for too short a time to say.
    Quiet,
    NewlyBlocked,
    StillBlocked,
    MovesAgain,
    BlockedTooLong,
}

/// One thread's silence, added up look by look.
#[derive(Debug, Default, Clone, Copy)]
struct Silence {
    ticks: u64,
    lasted: Duration,
    blocked: bool,
}

impl Silence {
    /// `elapsed` since the last look. The caller bounds it, so that a pause of the whole process is not held against a thread.
    fn look(&mut self, ticks: u64, elapsed: Duration, config: &SupervisorConfig) -> Finding {
        if ticks != self.ticks {
            let moves_again = self.blocked;
            *self = Self {
                ticks,
                ..Self::default()
            };
            return if moves_again {
                Finding::MovesAgain
            } else {
                Finding::Moves
            };
        }
        self.lasted += elapsed;
        if self.lasted >= config.exit_after {
            return Finding::BlockedTooLong;
        }
        if self.lasted < config.blocked_after {
            return Finding::Quiet;
        }
        if std::mem::replace(&mut self.blocked, true) {
            Finding::StillBlocked
        } else {
            Finding::NewlyBlocked
        }
    }
}

/// Starts the watchdog's thread.
pub(super) fn spawn(
    watched: Arc<Watched>,
    fatal: watch::Receiver<Option<Fatal>>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || watch(&watched, &fatal))
}

/// Four looks a limit find it at most a quarter late.
fn look_pause(config: &SupervisorConfig) -> Duration {
    (config.blocked_after / 4).max(Duration::from_millis(5))
}

fn watch(watched: &Watched, fatal: &watch::Receiver<Option<Fatal>>) {
    let config = &watched.config;
    let pause = look_pause(config);
    let mut silences: Vec<Silence> = Vec::new();
    let mut last_look = Instant::now();
    let mut given_up_for = Duration::ZERO;
    while !watched.is_closed() {
        thread::sleep(pause);
        let elapsed = last_look.elapsed().min(pause * 2);
        last_look = Instant::now();
        let all = watched.vitals().clone();
        silences.resize(all.len(), Silence::default());
        for (vitals, silence) in all.iter().zip(&mut silences) {
            if vitals.is_watched() {
                let finding = silence.look(vitals.ticks(), elapsed, config);
                act_on(finding, vitals, silence.lasted);
            } else {
                *silence = Silence::default();
                vitals.set_blocked(false);
            }
        }
        let fatal = fatal.borrow().clone();
        if let Some(fatal) = fatal {
            given_up_for += elapsed;
            if given_up_for >= config.exit_after {
                end_process(
                    EXIT_GAVE_UP,
                    format!("fatal: {fatal}; the process did not end by itself: exit_code={EXIT_GAVE_UP}"),
                );
            }
        }
    }
}

fn act_on(finding: Finding, vitals: &Vitals, lasted: Duration) {
    let actor = vitals.name();
    match finding {
        Finding::Moves | Finding::Quiet | Finding::StillBlocked => {}
        Finding::NewlyBlocked => {
            vitals.set_blocked(true);
            log_bounded(format!(
                "thread blocked, no longer live: actor={actor} silent={lasted:.1?}"
            ));
        }
        Finding::MovesAgain => {
            vitals.set_blocked(false);
            log_bounded(format!("thread moves again: actor={actor}"));
        }
        Finding::BlockedTooLong => {
            vitals.set_blocked(true);
            end_process(
                EXIT_BLOCKED,
                format!(
                    "fatal: thread blocked, nothing inside the process can free it: actor={actor} silent={lasted:.1?} \
                     exit_code={EXIT_BLOCKED}"
                ),
            );
        }
    }
}

/// Logs from a thread that may get stuck in the place of this one.
fn log_bounded(line: String) {
    let (done, written) = mpsc::sync_channel(1);
    let logger = move || {
        let target = module_path!();
        let arguments = format_args!("{line}");
        // Not the macro: the last line goes out after the others were silenced.
        log::logger().log(
            &Record::builder()
                .level(Level::Error)
                .target(target)
                .module_path_static(Some(target))
                .args(arguments)
                .build(),
        );
        log::logger().flush();
        let _nobody_waits = done.send(());
    };
    if thread::Builder::new()
        .name("last-line".to_owned())
        .spawn(logger)
        .is_ok()
    {
        let _written_or_not = written.recv_timeout(LAST_LINE_PATIENCE);
    }
}

fn end_process(code: u8, last_line: String) -> ! {
    // Silences the other threads: this line is the last.
    log::set_max_level(LevelFilter::Off);
    log_bounded(last_line);
    std::process::exit(i32::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn looks(silence: &mut Silence, ticks: &[u64]) -> Vec<Finding> {
        let config = SupervisorConfig::default();
        ticks
            .iter()
            .map(|&tick| silence.look(tick, SECOND, &config))
            .collect()
    }

    #[test]
    fn a_thread_that_ticks_moves() {
        assert_eq!(looks(&mut Silence::default(), &[1, 2, 3]), [Finding::Moves; 3]);
    }

    #[test]
    fn five_seconds_without_a_tick_are_a_block_that_is_told_once() {
        let mut silence = Silence::default();
        assert_eq!(looks(&mut silence, &[1, 1, 1, 1, 1])[4], Finding::Quiet);
        assert_eq!(
            looks(&mut silence, &[1, 1]),
            [Finding::NewlyBlocked, Finding::StillBlocked]
        );
    }

    #[test]
    fn a_thread_that_returns_is_forgiven_in_full() {
        let mut silence = Silence::default();
        looks(&mut silence, &[1; 10]);
        assert_eq!(looks(&mut silence, &[2]), [Finding::MovesAgain]);
        assert_eq!(looks(&mut silence, &[2; 4]), [Finding::Quiet; 4]);
    }

    #[test]
    fn a_blocked_process_ends_within_20_s_even_if_the_silence_is_noticed_late_and_no_line_can_be_written() {
        let config = SupervisorConfig::default();
        let noticed_late = 2 * look_pause(&config);
        let lines_unwritten = 2 * LAST_LINE_PATIENCE;
        assert!(config.exit_after + noticed_late + lines_unwritten <= 20 * SECOND);
    }

    #[test]
    fn fifteen_seconds_without_a_tick_are_too_long() {
        let mut silence = Silence::default();
        assert_eq!(
            looks(&mut silence, &[1; 16]).last(),
            Some(&Finding::BlockedTooLong)
        );
    }
}
