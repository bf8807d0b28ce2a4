//! What the outside sees of the process's end. Each test runs this executable again with one of the `child_` functions.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use actix::prelude::*;
use log::{LevelFilter, Log, Metadata, Record};
use quorate_supervisor::{
    ActorSpec, EXIT_BLOCKED, EXIT_GAVE_UP, ExitReason, Fault, Phase, RestartPolicy, SHUTDOWN_GRACE,
    Supervisor, SupervisorConfig,
};

use crate::subject::{Diary, Subject, eventually};

const MILLI: Duration = Duration::from_millis(1);

struct ToStderr;

impl Log for ToStderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "{} {}", record.level(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

fn log_to_stderr() {
    log::set_logger(&ToStderr).unwrap();
    log::set_max_level(LevelFilter::Info);
}

fn config() -> SupervisorConfig {
    SupervisorConfig {
        heartbeat: 50 * MILLI,
        hang_after: 500 * MILLI,
        blocked_after: 500 * MILLI,
        exit_after: 1500 * MILLI,
        restart: RestartPolicy {
            first_delay: 5 * MILLI,
            max_restarts: 3,
            ..RestartPolicy::default()
        },
        fault_injection: true,
    }
}

fn supervisor() -> Supervisor {
    log_to_stderr();
    Supervisor::new(config()).unwrap()
}

fn start(
    supervisor: &Supervisor,
    name: &'static str,
    subject: impl FnOnce(Subject) -> Subject + Send + 'static,
) {
    supervisor
        .start(ActorSpec::new(name), move |_| {
            subject(Subject::new(&Diary::default()))
        })
        .unwrap();
}

fn child(function: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            &format!("process::{function}"),
        ])
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Its output, once it ended; killed and failed if it does not within 20 s.
fn ended(mut child: Child) -> Output {
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the process did not end: {:?}", child.wait_with_output());
        }
        std::thread::sleep(5 * MILLI);
    }
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stderr)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn assert_end(output: &Output, code: u8, last_line: &[&str]) {
    let lines = lines(output);
    assert_eq!(output.status.code(), Some(i32::from(code)), "{lines:#?}");
    let last = lines.last().expect("it logged");
    for part in last_line {
        assert!(last.contains(part), "no {part:?} in the last line of {lines:#?}");
    }
}

#[test]
fn a_thread_that_stays_blocked_ends_the_process_with_its_own_code_and_a_last_line() {
    let output = ended(child("child_that_is_blocked").spawn().unwrap());
    assert_end(
        &output,
        EXIT_BLOCKED,
        &["fatal: thread blocked", "actor=Blocked", "exit_code=75"],
    );
    assert!(
        lines(&output)
            .iter()
            .any(|line| line.contains("thread blocked, no longer live: actor=Blocked"))
    );
}

#[test]
#[ignore = "run by the test above in a process of its own"]
fn child_that_is_blocked() {
    System::new().block_on(async {
        let supervisor = supervisor();
        start(&supervisor, "Blocked", |subject| subject);
        start(&supervisor, "Other", |subject| subject);
        eventually("it runs", || supervisor.statuses()[0].phase == Phase::Running).await;
        supervisor.inject("Blocked", Fault::Block).unwrap();
        std::future::pending::<()>().await;
    });
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_a_blocked_process_alive() {
    let output = ended(child("child_that_cannot_log").spawn().unwrap());
    assert_eq!(output.status.code(), Some(i32::from(EXIT_BLOCKED)));
}

#[test]
#[ignore = "run by the test above in a process of its own"]
fn child_that_cannot_log() {
    struct Stuck;
    impl Log for Stuck {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &Record<'_>) {
            std::thread::sleep(Duration::from_secs(60));
        }
        fn flush(&self) {}
    }
    System::new().block_on(async {
        let supervisor = Supervisor::new(config()).unwrap();
        start(&supervisor, "Blocked", |subject| subject);
        eventually("it runs", || supervisor.statuses()[0].phase == Phase::Running).await;
        log::set_logger(&Stuck).unwrap();
        log::set_max_level(LevelFilter::Info);
        supervisor.inject("Blocked", Fault::Panic).unwrap();
        std::future::pending::<()>().await;
    });
}

#[test]
fn an_actor_that_loops_in_failure_ends_the_process_after_the_others_were_drained() {
    let output = ended(child("child_that_loops").spawn().unwrap());
    assert_end(
        &output,
        EXIT_GAVE_UP,
        &["fatal: actor=Looping restarts=3", "no port", "exit_code=70"],
    );
    let lines = lines(&output);
    let of = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!(
        of("actor failed: actor=Looping cause=\"panicked at "),
        3,
        "{lines:#?}"
    );
    assert_eq!(of("attempt=3 delay="), 1, "{lines:#?}");
    assert_eq!(of("actor=Other outcome=drained"), 1, "{lines:#?}");
    assert_eq!(of("stack backtrace"), 0, "{lines:#?}");
    assert_eq!(of("thread '"), 0, "no dump beside the log: {lines:#?}");
}

#[test]
#[ignore = "run by the test above in a process of its own"]
fn child_that_loops() {
    System::new().block_on(async {
        let supervisor = supervisor();
        start(&supervisor, "Other", |subject| subject);
        start(&supervisor, "Looping", |subject| {
            subject.on_started(|_| panic!("no port"))
        });
        let ending = supervisor
            .run_until_end(&["Looping", "Other"], SHUTDOWN_GRACE)
            .await
            .unwrap();
        std::process::exit(i32::from(ending.exit_code()));
    });
}

#[test]
fn a_process_that_does_not_end_by_itself_after_an_actor_was_given_up_is_ended() {
    let output = ended(child("child_that_does_not_listen").spawn().unwrap());
    assert_end(
        &output,
        EXIT_GAVE_UP,
        &["fatal: actor=Looping", "did not end by itself", "exit_code=70"],
    );
}

#[test]
#[ignore = "run by the test above in a process of its own"]
fn child_that_does_not_listen() {
    System::new().block_on(async {
        let supervisor = supervisor();
        start(&supervisor, "Looping", |subject| {
            subject.on_started(|_| panic!("no port"))
        });
        std::thread::sleep(Duration::from_secs(60));
        drop(supervisor);
    });
}

#[cfg(unix)]
fn signalled(signals: &[&str]) -> Output {
    use std::io::{BufRead, BufReader};
    let mut child = child("child_that_is_asked").spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    let mut read_until = |part: &str| {
        while !seen.contains(part) {
            assert_ne!(
                stderr.read_line(&mut seen).unwrap(),
                0,
                "ended before {part:?}: {seen}"
            );
        }
    };
    read_until("ready for signals");
    for signal in signals {
        // The shell's own: not every machine has the program.
        let killed = Command::new("sh")
            .args(["-c", "kill \"$0\" \"$1\"", *signal, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        read_until("shutdown begins");
    }
    let mut output = ended(child);
    std::io::Read::read_to_end(&mut stderr, &mut output.stderr).unwrap();
    output.stderr = [seen.into_bytes(), output.stderr].concat();
    output
}

#[cfg(unix)]
#[test]
fn sigterm_and_ctrl_c_drain_in_order_and_end_with_zero() {
    for (signal, name) in [("-TERM", "SIGTERM"), ("-INT", "SIGINT")] {
        let output = signalled(&[signal]);
        assert_end(&output, 0, &["shutdown done: exit_code=0"]);
        let lines = lines(&output);
        let at = |part: &str| lines.iter().position(|line| line.contains(part)).expect(part);
        assert!(
            at(&format!("shutdown begins: reason={name}"))
                < at("shutdown step 1/2: actor=Producer outcome=drained")
        );
        assert!(at("shutdown step 1/2") < at("shutdown step 2/2: actor=Consumer outcome=drained"));
    }
}

#[cfg(unix)]
#[test]
fn a_second_signal_cuts_the_shutdown_short() {
    let output = signalled(&["-TERM", "-INT"]);
    assert_end(&output, 130, &["cut short by a second signal"]);
}

#[test]
#[ignore = "run by the tests above in a process of its own"]
fn child_that_is_asked() {
    System::new().block_on(async {
        let supervisor = supervisor();
        start(&supervisor, "Consumer", |subject| subject);
        start(&supervisor, "Producer", |subject| subject.drain_for(400 * MILLI));
        eventually("both run", || {
            supervisor
                .statuses()
                .iter()
                .all(|status| status.phase == Phase::Running)
        })
        .await;
        let end = supervisor.run_until_end(&["Producer", "Consumer"], SHUTDOWN_GRACE);
        let ready = async {
            // `end` is polled first, so its handlers are installed.
            log::info!("ready for signals");
            std::future::pending::<ExitReason>().await
        };
        let ending = tokio::select! {
            biased;
            ending = end => ending.unwrap(),
            ending = ready => ending,
        };
        std::process::exit(i32::from(ending.exit_code()));
    });
}
