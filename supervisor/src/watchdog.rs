//! Sees what no actor can: that a thread stands still. Runs on a thread of its own and touches nothing that an actor could hold.

use std::{
    io,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use log::{Level, LevelFilter, Record};

use crate::{
    failure::EXIT_GAVE_UP,
    status::SharedStatus,
    supervisor::{Registry, SupervisorConfig},
};

/// The process's exit code after a thread was blocked: `EX_TEMPFAIL` of sysexits.h, run it again.
pub const EXIT_BLOCKED: u8 = 75;
/// A log line that cannot be written in this time (stderr is a pipe that nobody reads, which may be why a thread stands still) is
/// given up: the process must end all the same.
const LAST_LINE_PATIENCE: Duration = Duration::from_secs(1);

/// For how long there was no sign of life, added up look by look. A look that comes late counts for little, so that a pause of the
/// whole process (a frozen container, a closed lid) is not held against who was paused with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Silence {
    longest_gap: Duration,
    last_look: Instant,
    lasted: Duration,
}

impl Silence {
    /// Begins at `now`; somebody means to look every `interval`.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self {
            longest_gap: interval * 2,
            last_look: now,
            lasted: Duration::ZERO,
        }
    }

    /// One look: whether there was a sign of life since the last. Returns how long there has been none.
    pub(crate) fn look(&mut self, now: Instant, alive: bool) -> Duration {
        let gap = now
            .saturating_duration_since(self.last_look)
            .min(self.longest_gap);
        self.last_look = now;
        self.lasted = if alive { Duration::ZERO } else { self.lasted + gap };
        self.lasted
    }
}

/// Starts the watchdog's thread. It ends when the registry is closed.
pub(crate) fn spawn(registry: Arc<Registry>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || watch(&registry))
}

/// Eight looks a limit find it at most a quarter late.
fn look_interval(config: &SupervisorConfig) -> Duration {
    (config.blocked_after / 8).max(Duration::from_millis(5))
}

fn watch(registry: &Registry) {
    let config = &registry.config;
    let interval = look_interval(config);
    let mut threads: Vec<WatchedThread> = Vec::new();
    let mut ending = Silence::new(interval, Instant::now());
    while !registry.is_closed() {
        thread::sleep(interval);
        let now = Instant::now();
        for (index, actor) in registry.actors().iter().enumerate() {
            if index == threads.len() {
                threads.push(WatchedThread::new(interval, now));
            }
            let silent = threads[index].look(&actor.status, now, config);
            if silent >= config.exit_after {
                let actor = actor.status.name();
                end_process(
                    EXIT_BLOCKED,
                    format!(
                        "fatal: thread blocked, nothing inside the process can free it: actor={actor} silent={silent:.1?} \
                         exit_code={EXIT_BLOCKED}"
                    ),
                );
            }
        }
        let given_up = registry.given_up().borrow().clone();
        if ending.look(now, given_up.is_none()) >= config.exit_after
            && let Some(given_up) = given_up
        {
            end_process(
                EXIT_GAVE_UP,
                format!("fatal: {given_up}; the process did not end by itself: exit_code={EXIT_GAVE_UP}"),
            );
        }
    }
}

/// One actor's thread.
struct WatchedThread {
    ticks: u64,
    silence: Silence,
}

impl WatchedThread {
    fn new(interval: Duration, now: Instant) -> Self {
        Self {
            ticks: 0,
            silence: Silence::new(interval, now),
        }
    }

    /// Notes in the status whether the thread is blocked; returns for how long it has not moved.
    fn look(&mut self, status: &SharedStatus, now: Instant, config: &SupervisorConfig) -> Duration {
        let ticks = status.ticks();
        let moves = ticks != self.ticks || !status.is_watched();
        self.ticks = ticks;
        let silent = self.silence.look(now, moves);
        let blocked = silent >= config.blocked_after;
        if blocked != status.is_blocked() {
            status.set_blocked(blocked);
            let actor = status.name();
            log_bounded(if blocked {
                format!("thread blocked, no longer live: actor={actor} silent={silent:.1?}")
            } else {
                format!("thread moves again: actor={actor}")
            });
        }
        silent
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
    use crate::status::Phase;

    const SECOND: Duration = Duration::from_secs(1);

    fn running() -> (SupervisorConfig, Instant, SharedStatus) {
        let status = SharedStatus::new("Actor");
        status.enter(Phase::Running);
        (SupervisorConfig::default(), Instant::now(), status)
    }

    #[test]
    fn silence_is_added_up_from_the_last_sign_of_life_and_forgiven_at_the_next() {
        let start = Instant::now();
        let mut silence = Silence::new(SECOND, start);
        let mut look = |at: u32, alive| silence.look(start + at * SECOND, alive);
        assert_eq!(look(1, true), Duration::ZERO);
        assert_eq!(look(2, false), SECOND);
        assert_eq!(look(3, false), 2 * SECOND);
        assert_eq!(look(4, true), Duration::ZERO);
        assert_eq!(look(5, false), SECOND);
    }

    #[test]
    fn a_pause_of_the_whole_process_counts_as_two_looks_and_not_as_its_length() {
        let start = Instant::now();
        let mut silence = Silence::new(SECOND, start);
        assert_eq!(silence.look(start + 3600 * SECOND, false), 2 * SECOND);
    }

    #[test]
    fn a_thread_is_blocked_after_ten_seconds_and_not_before_and_is_forgiven_when_it_moves() {
        let (config, start, status) = running();
        let mut thread = WatchedThread::new(SECOND, start);
        let mut blocked_at = |second: u32| {
            thread.look(&status, start + second * SECOND, &config);
            status.is_blocked()
        };
        assert_eq!((1..30).find(|second| blocked_at(*second)), Some(10));
        status.tick();
        assert!(!blocked_at(11));
    }

    #[test]
    fn fifteen_seconds_without_a_tick_are_too_long() {
        let (config, start, status) = running();
        let mut thread = WatchedThread::new(SECOND, start);
        let mut silent_at = |second: u32| thread.look(&status, start + second * SECOND, &config);
        assert_eq!(
            (1..).find(|&second| silent_at(second) >= config.exit_after),
            Some(15)
        );
    }

    #[test]
    fn a_thread_that_need_not_run_is_never_blocked() {
        let (config, start) = (SupervisorConfig::default(), Instant::now());
        let status = SharedStatus::new("Actor");
        let mut thread = WatchedThread::new(SECOND, start);
        for second in 1..30 {
            thread.look(&status, start + second * SECOND, &config);
            assert!(!status.is_blocked());
        }
    }

    #[test]
    fn a_blocked_process_ends_within_20_s_even_if_the_silence_is_noticed_late_and_no_line_can_be_written() {
        let config = SupervisorConfig::default();
        let noticed_late = 2 * look_interval(&config);
        let lines_unwritten = 2 * LAST_LINE_PATIENCE;
        assert!(config.exit_after + noticed_late + lines_unwritten <= 20 * SECOND);
    }
}
