//! The private server itself.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    path::Path,
    process::{Command, Stdio},
};

use quorate_store::{PrivateOptions, PrivatePostgres};
use quorate_testkit::wait::{DEADLINE, eventually_within};

use crate::support::{connect, empty_database, server, store};

/// Names the test that is run in a process of its own, to be killed.
const HOLDER: &str = "private_server::holds_a_server_until_killed";

fn is_reachable(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually_within(what, DEADLINE, || condition().then_some(()));
}

#[test]
fn dropping_it_stops_it_and_removes_its_folder() {
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let (port, log) = (server.port(), server.log_file());
    assert!(is_reachable(port));
    drop(server);
    assert!(!is_reachable(port));
    assert!(!log.parent().unwrap().exists());
}

#[test]
fn dropping_it_when_stopped_removes_its_folder() {
    let mut server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let log = server.log_file();
    server.stop().unwrap();
    server.stop().unwrap();
    assert!(log.exists());
    drop(server);
    assert!(!log.parent().unwrap().exists());
}

/// Not a test of its own: [`a_killed_process_leaves_nothing_behind`] runs it and kills it.
#[test]
#[ignore = "held by another test"]
fn holds_a_server_until_killed() {
    let server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    println!("\nholding {} {}", server.port(), server.log_file().display());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_process_leaves_nothing_behind() {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([HOLDER, "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let line = lines
        .map(Result::unwrap)
        .find(|line| line.starts_with("holding "))
        .unwrap();
    let mut words = line.split(' ').skip(1);
    let port: u16 = words.next().unwrap().parse().unwrap();
    let folder = Path::new(words.next().unwrap()).parent().unwrap().to_owned();
    assert!(is_reachable(port) && folder.exists());

    // SIGKILL: no code of that process runs any more.
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the server has survived its owner", || !is_reachable(port));
    wait_until("the folder has survived its owner", || !folder.exists());
}

#[test]
fn a_server_that_ends_by_itself_is_noticed_and_can_be_started_again() {
    let mut server = PrivatePostgres::start(&PrivateOptions::default()).unwrap();
    let port = server.port();
    let data = server.log_file().parent().unwrap().join("data");
    let pid = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    // SIGQUIT: an immediate shutdown, as after a crash.
    assert!(
        Command::new("sh")
            .args(["-c", "kill -QUIT \"$0\"", &pid])
            .status()
            .unwrap()
            .success()
    );
    wait_until("the server has survived its crash", || !is_reachable(port));
    wait_until("no new start", || {
        server.start_again().unwrap();
        is_reachable(port)
    });
}

#[tokio::test]
async fn the_unix_socket_works_as_a_host_in_both_spellings() {
    let database = empty_database().await;
    let folder = server().socket_folder().unwrap();
    let folder = folder.to_str().unwrap();
    let url = database.owner.reveal();
    let in_place = url.replace("127.0.0.1", &folder.replace('/', "%2F"));
    let (before, after) = url.split_once("@127.0.0.1:").unwrap();
    let (port, name) = after.split_once('/').unwrap();
    let as_option = format!("{before}@/{name}?host={folder}&port={port}&sslmode=require");
    for url in [in_place, as_option] {
        let error = store(&url.parse().unwrap()).settings().await.unwrap_err();
        assert!(
            matches!(error, quorate_store::StoreError::NotMigrated { .. }),
            "{error}"
        );
    }
}

#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let url = server().owner_url().reveal();
    let (_, rest) = url.split_once('@').unwrap();
    let error = store(&format!("postgres://postgres@{rest}").parse().unwrap())
        .settings()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("password"), "{error}");
}

#[tokio::test]
async fn durability_is_a_choice() {
    let durable = PrivatePostgres::start(&PrivateOptions {
        durable: true,
        ..PrivateOptions::default()
    })
    .unwrap();
    for (server, fsync) in [(&durable, "on"), (server(), "off")] {
        let client = connect(&server.owner_url()).await;
        let row = client.query_one("SHOW fsync", &[]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), fsync);
    }
}
