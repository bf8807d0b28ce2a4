//! `quorate migrate` and `quorate prices` as an orchestrator meets them: a server that is not there yet, one that says no, a
//! network that has fallen silent.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Output, Stdio},
};

use quorate_store::{DatabaseUrl, PrivateOptions, PrivatePostgres, Secret};

/// Says its logs to standard error, and has the password from a file of its own.
fn quorate(command: &str, url: &DatabaseUrl, folder: &Path) -> Command {
    let password = folder.join("password");
    fs::write(&password, url.password().unwrap().reveal()).unwrap();
    let secret = url.password().unwrap().reveal();
    let mut quorate = Command::new(env!("CARGO_BIN_EXE_quorate"));
    quorate
        .env_clear()
        .args([
            command,
            "--database-url",
            &url.reveal().replace(&format!(":{secret}@"), "@"),
        ])
        .arg("--database-password-file")
        .arg(password)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    quorate
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_migration_waits_for_a_server_that_is_being_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let url = server.owner_url();
    server.stop().unwrap();

    let at_once = quorate("migrate", &url, folder.path()).output().unwrap();
    let (code, _, error) = told(&at_once);
    assert_eq!(code, Some(1));
    assert!(
        error.starts_with("error: the database is unavailable: "),
        "{error}"
    );

    let mut waiting = quorate("migrate", &url, folder.path());
    let mut waiting = waiting.args(["--wait", "60s"]).spawn().unwrap();
    let mut log = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    assert!(line.contains("database not there yet: "), "{line}");
    assert!(
        line.contains("Connection refused"),
        "the cause is not cut off: {line}"
    );
    server.start_again().unwrap();
    let mut text = String::new();
    waiting.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(waiting.wait().unwrap().success());
    assert!(text.contains("migrated: "), "{text}");
}

#[test]
fn a_server_that_says_no_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let url = server.owner_url();
    let wrong = [
        (
            url.with_password(Secret::new("another")),
            "password authentication failed",
        ),
        (
            url.with_database("nowhere"),
            "database \"nowhere\" does not exist",
        ),
    ];
    for (url, reason) in wrong {
        let mut command = quorate("migrate", &url, folder.path());
        let (code, _, error) = told(&command.args(["--wait", "1h"]).output().unwrap());
        assert_eq!(code, Some(1));
        assert!(
            error.contains("the database does not let us in: ") && error.contains(reason),
            "{error}"
        );
    }
}

#[test]
fn a_network_that_writes_nothing_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let url = server.owner_url();
    assert!(
        quorate("migrate", &url, folder.path())
            .output()
            .unwrap()
            .status
            .success()
    );
    for (feed, error) in [
        (None, "error: there is no record\n"),
        (Some("ETH/USD"), "error: there is no record of ETH/USD\n"),
    ] {
        let mut command = quorate("prices", &url, folder.path());
        command.args(["--max-age", "90s"]);
        command.args(feed.map(|feed| ["--feed", feed]).into_iter().flatten());
        let (code, _, told) = told(&command.output().unwrap());
        assert_eq!((code, told.as_str()), (Some(1), error));
    }
    let (code, text, _) = told(&quorate("prices", &url, folder.path()).output().unwrap());
    assert_eq!(
        (code, text.as_str()),
        (Some(0), "no records\n"),
        "nobody asked for their age"
    );
    let mut command = quorate("prices", &url, folder.path());
    let (code, _, told) = told(&command.args(["--ready", "127.0.0.1:1"]).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(
        told.starts_with("error: node 127.0.0.1:1 does not answer: "),
        "{told}"
    );
}

#[test]
fn a_database_that_was_never_migrated_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    for command in ["prices", "evidence"] {
        let (code, _, error) = told(
            &quorate(command, &server.owner_url(), folder.path())
                .output()
                .unwrap(),
        );
        assert_eq!(code, Some(1));
        assert!(
            error.contains("the database lacks quorate's tables: run `quorate migrate`"),
            "{error}"
        );
    }
}
