//! `quorate verify` and `quorate archive` as a user meets them: on histories that nobody has touched, on each kind of damage, and
//! on a database from which records were archived.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use quorate_protocol::{Link, Record, WriteOutcome, history::Fault};
use quorate_store::{DatabaseUrl, Store, StoreConfig};
use quorate_testkit::{
    archive::{self, object},
    builders::{certify, feed, key, network, report_for, unix_now},
    history::{Chronicle, history},
    postgres::{Database, connect},
    wait::eventually,
};
use serde_json::{Value, json};

/// Code, standard output and standard error.
type Said = (Option<i32>, String, String);

fn quorate(arguments: &[&str], url: Option<&DatabaseUrl>, stdin: &[u8]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.env_clear().args(arguments);
    if let Some(url) = url {
        command.env("QUORATE_DATABASE_URL", url.reveal());
    }
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // Who refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn objects(records: &[Record]) -> Vec<Value> {
    records.iter().map(object).collect()
}

fn archive(records: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    archive::write(&mut bytes, records.to_vec()).unwrap();
    bytes
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(text).unwrap();
    out.finish().unwrap()
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn verify(file: &Path, more: &[&str]) -> Said {
    quorate(&[&["verify", file.to_str().unwrap()], more].concat(), None, b"")
}

/// The members file of the nodes 1 to `count`.
fn members(folder: &Path, count: u8) -> PathBuf {
    let member = |n| {
        format!(
            "[[member]]\nname = \"node-{n}\"\naddress = \"{}\"\n",
            key(n).address()
        )
    };
    let text: String = (1..=count).map(member).collect();
    write(folder, &format!("members-{count}.toml"), text.as_bytes())
}

#[test]
fn what_nobody_has_touched_holds_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let members = members(folder.path(), 3);
    let trusted = ["--members", members.to_str().unwrap()];
    let records = objects(&history(12));
    let file = write(folder.path(), "a.jsonl.gz", &archive(&records));
    let (code, stdout, stderr) = verify(&file, &trusted);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(
        stdout,
        format!(
            "read        12 records of {}\n\
             network     test\n\
             ETH/USD     1 to 12 from its first record on\n\
             members     3, {}\n\
             signatures  3 or more of each record\n\
             apart       30s or more\n\
             verdict     every record holds, and none is missing among them\n",
            file.display(),
            members.display(),
        )
    );
    // As `quorate prices` prints it: a list, the newest first.
    let newest_first: Value = records.iter().rev().cloned().collect();
    let (code, stdout, _) = quorate(
        &["verify", "-", "--output", "json", "--write-interval", "30s"],
        None,
        format!("{newest_first:#}").as_bytes(),
    );
    assert_eq!(code, Some(0), "{stdout}");
    let said: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(said["verified"], true);
    assert_eq!(
        said["feeds"],
        json!([{ "feed": "ETH/USD", "first": 1, "last": 12, "begins": "with_the_first" }])
    );
    let not = said["not_checked"].as_array().unwrap();
    assert!(
        not.len() == 1 && not[0].as_str().unwrap().contains("--members"),
        "{not:?}"
    );
}

/// One way to damage ten records.
type Damage<'a> = (&'a str, &'a dyn Fn(&mut Vec<Value>), &'a str);

/// The table of docs/verifying.md: the damage, and what is found.
#[test]
fn each_kind_of_damage_is_found_named_and_exit_code_1() {
    let other = || object(&Chronicle::new(feed(), &[1, 2, 3], 31_000).nth(4).unwrap());
    let flip = |text: &mut Value| {
        let old = text.as_str().unwrap().to_owned();
        let last = if old.ends_with('0') { "1" } else { "0" };
        *text = json!(format!("{}{last}", &old[..old.len() - 1]));
    };
    let stranger = key(9).address().to_string();
    let damages: [Damage<'_>; 20] = [
        ("the price", &|r| r[4]["price"] = json!("1.5"), "price"),
        ("the digest", &|r| flip(&mut r[4]["digest"]), "digest"),
        ("the previous digest", &|r| flip(&mut r[4]["previous"]), "digest"),
        ("the number", &|r| r[4]["sequence"] = json!(50), "digest"),
        (
            "the number, to one that cannot be",
            &|r| r[4]["sequence"] = json!(0),
            "place",
        ),
        (
            "the time of observation",
            &|r| r[4]["observed_at_ms"] = json!(1),
            "digest",
        ),
        (
            "a quote's time",
            &|r| r[4]["evidence"][0]["at"] = json!(1),
            "digest",
        ),
        (
            "a quote's price",
            &|r| r[4]["evidence"][0]["price"] = json!("1"),
            "digest",
        ),
        ("the network", &|r| r[4]["network"] = json!("other"), "digest"),
        (
            "a signature",
            &|r| flip(&mut r[4]["signatures"][1]["signature"]),
            "signature",
        ),
        (
            "a signer",
            &|r| r[4]["signatures"][1]["signer"] = json!(stranger),
            "signature",
        ),
        (
            "a signature taken away",
            &|r| drop(r[4]["signatures"].as_array_mut().unwrap().remove(0)),
            "quorum",
        ),
        (
            "a validator put in",
            &|r| r[4]["validators"] = json!([stranger]),
            "validator",
        ),
        ("a record removed", &|r| drop(r.remove(4)), "gap"),
        (
            "a record put in, made up",
            &|r| {
                r.insert(5, {
                    let mut made = r[4].clone();
                    made["sequence"] = json!(6);
                    made
                })
            },
            "digest",
        ),
        ("a record doubled", &|r| r.insert(5, r[4].clone()), "doubled"),
        (
            "a number doubled, by a genuine record",
            &|r| r.insert(5, other()),
            "fork",
        ),
        ("a record replaced, by a genuine one", &|r| r[4] = other(), "link"),
        (
            "a record moved",
            &|r| {
                let moved = r.remove(4);
                r.insert(8, moved);
            },
            "gap",
        ),
        (
            "the time of writing",
            &|r| r[4]["written_at"] = r[3]["written_at"].clone(),
            "spacing",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut table = String::new();
    for (what, damage, label) in damages {
        let mut records = objects(&history(10));
        damage(&mut records);
        let (code, stdout, stderr) = verify(&write(folder.path(), "damaged", &archive(&records)), &[]);
        assert_eq!(code, Some(1), "{what}: {stdout}");
        let found = stdout
            .lines()
            .find(|line| line.starts_with("first fault"))
            .unwrap();
        assert!(found.contains(&format!("  {label}: record ")), "{what}: {stdout}");
        let counted = stdout.lines().find(|line| line.starts_with("faults")).unwrap();
        assert!(counted.contains(label), "{what}: {stdout}");
        assert!(
            stderr.starts_with("error: ") && stderr.contains(" fault"),
            "{what}: {stderr}"
        );
        table += &format!("| {what} | `{label}` | 1 |\n");
    }
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verifying.md")).unwrap();
    assert!(docs.contains(&table), "docs/verifying.md needs the rows\n{table}");
}

#[test]
fn docs_explain_every_reason() {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verifying.md")).unwrap();
    for label in Fault::LABELS {
        assert!(docs.contains(&format!("\n| `{label}` |")), "no row for {label}");
    }
}

#[test]
fn a_file_without_its_end_or_of_something_else_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let whole = archive(&objects(&history(10)));
    let cut = write(folder.path(), "cut", &whole[..whole.len() - 20]);
    let (code, stdout, _) = verify(&cut, &[]);
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("truncated: at number 10 of ") && stdout.contains("compressed data stop"),
        "{stdout}"
    );
    let mut text = String::new();
    GzDecoder::new(&whole[..]).read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let without_end = write(
        folder.path(),
        "lines",
        &gzip((lines[..9].join("\n") + "\n").as_bytes()),
    );
    let (code, stdout, _) = verify(&without_end, &[]);
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("truncated: at number 8") && stdout.contains("without the last line"),
        "{stdout}"
    );

    let (code, stdout, stderr) = quorate(&["verify", "-"], None, b"feed,price\n");
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("unreadable: at number 0 of standard input"),
        "{stdout}"
    );
    assert_eq!(stderr, "error: 1 fault in 0 records\n");
    let (code, _, stderr) = quorate(&["verify", "-"], None, b"[]");
    assert_eq!(
        (code, stderr.as_str()),
        (Some(1), "error: there is no record to verify\n")
    );
    let (code, stdout, stderr) = quorate(&["verify"], None, b"");
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
}

#[test]
fn whose_signatures_count_is_the_readers_word() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a", &archive(&objects(&history(3))));
    let two = members(folder.path(), 2);
    let (code, stdout, _) = verify(&file, &["--members", two.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("3 signer") && stdout.contains("who is not among the members"),
        "{stdout}"
    );
    for more in [
        ["--min-signatures", "4"],
        ["--network", "production"],
        ["--write-interval", "31s"],
    ] {
        let (code, stdout, _) = verify(&file, &more);
        assert_eq!(code, Some(1), "{more:?}: {stdout}");
    }
    let four = members(folder.path(), 4);
    let share = ["--members", four.to_str().unwrap(), "--quorum-fraction", "3/4"];
    assert!(
        verify(&file, &share)
            .1
            .contains("3 distinct signatures, 4 are required")
    );
}

#[test]
fn archives_join_or_it_is_told_that_they_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let records = objects(&history(30));
    let part = |range: std::ops::Range<usize>| {
        let name = format!("{}.jsonl.gz", range.start);
        write(folder.path(), &name, &archive(&records[range]))
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (one, two, three) = (part(0..10), part(10..20), part(20..30));
    let (code, stdout, _) = quorate(&["verify", &one, &two, &three], None, b"");
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.contains("ETH/USD      1 to 30 from its first record on"),
        "{stdout}"
    );
    let (code, stdout, _) = quorate(&["verify", &one, &three], None, b"");
    assert_eq!(code, Some(1));
    assert!(stdout.contains("records 11 to 20 are missing"), "{stdout}");
    let (code, stdout, _) = quorate(&["verify", &two, &one], None, b"");
    assert_eq!(code, Some(1));
    assert!(stdout.contains("record 1 stands behind record 20"), "{stdout}");
    let (code, stdout, _) = quorate(&["verify", &two, &three], None, b"");
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("not checked  what came before record 11 of ETH/USD"),
        "{stdout}"
    );
}

/// Without holding up the runtime, which serves the connections.
async fn with_database(arguments: &[&str], url: &DatabaseUrl) -> Said {
    let (arguments, url): (Vec<String>, _) = (
        arguments.iter().map(|word| (*word).to_owned()).collect(),
        url.clone(),
    );
    let run = move || {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        quorate(&words, Some(&url), b"")
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// A database with so many records of `ETH/USD`, a tenth of a second apart.
async fn database_with(count: usize) -> Database {
    let database = Database::migrated(Duration::from_millis(100)).await;
    let store = Store::new(StoreConfig::new(database.node.clone()));
    let mut link = Link::FIRST;
    for nth in 0..count {
        let price = format!("{}.5", 3000 + nth);
        let report = report_for(link, &[1, 2, 3], &price, unix_now());
        link = Link::after(link.sequence(), report.digest());
        let certificate = certify(&report);
        eventually("the window opens", async || {
            let none = Default::default();
            match store
                .write(&certificate, key(1).address(), &network(), &none)
                .await
            {
                WriteOutcome::Written { .. } => Some(()),
                WriteOutcome::TooSoon { .. } => None,
                other => panic!("{other:?}"),
            }
        })
        .await;
    }
    database
}

#[tokio::test]
async fn a_database_is_verified_whatever_its_owner_does() {
    let database = database_with(8).await;
    let (code, stdout, stderr) = with_database(&["verify"], &database.node).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(
        stdout.contains("1 to 8 from its first record on") && stdout.contains("100ms or more"),
        "{stdout}"
    );
    let range = [
        "verify",
        "--from-sequence",
        "3",
        "--to-sequence",
        "5",
        "--feed",
        "ETH/USD",
    ];
    let (code, stdout, _) = with_database(&range, &database.node).await;
    assert_eq!(code, Some(0));
    assert!(
        stdout.contains("read         3 records of ") && stdout.contains("3 to 5\n"),
        "{stdout}"
    );
    let (code, stdout, _) = with_database(&["verify", "--from", "1h", "--to", "0s"], &database.node).await;
    assert_eq!(code, Some(0));
    assert!(stdout.contains("8 records"), "{stdout}");

    let owner = connect(&database.owner).await;
    for (damage, repair, label) in [
        ("BEGIN", "ROLLBACK", ""),
        (
            "UPDATE eth_prices SET digest = sha256(digest) WHERE sequence = 4",
            "",
            "digest",
        ),
    ] {
        owner.batch_execute(damage).await.unwrap();
        let (code, stdout, _) = with_database(&["verify"], &database.node).await;
        assert_eq!(code, Some(i32::from(!label.is_empty())), "{stdout}");
        assert!(
            stdout.contains(&format!("{label}: record 4")) || label.is_empty(),
            "{stdout}"
        );
        owner.batch_execute(repair).await.unwrap();
    }
    owner
        .batch_execute("DELETE FROM eth_prices WHERE sequence = 4")
        .await
        .unwrap();
    let (code, stdout, _) = with_database(&["verify"], &database.node).await;
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("gap: record 5") && stdout.contains("record 4 is missing"),
        "{stdout}"
    );
    owner
        .batch_execute("DELETE FROM eth_prices WHERE sequence < 5")
        .await
        .unwrap();
    let (code, stdout, _) = with_database(&["verify"], &database.node).await;
    assert_eq!(code, Some(1), "the first ones are missing");
    assert!(stdout.contains("records 1 to 4 are missing"), "{stdout}");
}

#[tokio::test]
async fn what_is_archived_leaves_the_database_and_both_still_join() {
    let database = database_with(8).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (one, two) = (path("1.jsonl.gz"), path("2.jsonl.gz"));
    let count = async || {
        let owner = connect(&database.owner).await;
        owner
            .query_one("SELECT count(*) FROM eth_prices", &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
    };

    let by_node = ["archive", "--before-sequence", "4", "--out", &one, "--remove"];
    let (code, _, stderr) = with_database(&by_node, &database.node).await;
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("role quorate_node may not remove records"),
        "{stderr}"
    );
    assert!(!Path::new(&one).exists());

    // Whoever can read can archive; nothing leaves the database.
    let (code, stdout, stderr) = with_database(&by_node[..5], &database.node).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(
        stdout.contains(": 3 records, ") && stdout.contains("ETH/USD: records 1 to 3, the last is 0x"),
        "{stdout}"
    );
    assert_eq!(count().await, 8);
    let (code, stdout, _) = with_database(&["verify", &one], &database.node).await;
    assert_eq!(code, Some(0), "what is in both is no fault: {stdout}");
    fs::remove_file(&one).unwrap();

    let (code, stdout, _) = with_database(&by_node, &database.owner).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.ends_with("ETH/USD: 3 records removed from the database\n"),
        "{stdout}"
    );
    assert_eq!(count().await, 5);
    let (code, stdout, _) = with_database(&["verify"], &database.node).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(
        stdout.contains("4 to 8 behind those that were archived"),
        "{stdout}"
    );

    // However much is asked for, the last record stays.
    let (code, stdout, _) = with_database(
        &["archive", "--before", "0s", "--out", &two, "--remove"],
        &database.owner,
    )
    .await;
    assert_eq!(code, Some(0), "{stdout}");
    assert_eq!(count().await, 1);
    let again = path("3.jsonl.gz");
    let (code, stdout, _) =
        with_database(&["archive", "--before", "0s", "--out", &again], &database.owner).await;
    assert_eq!(code, Some(0));
    assert!(
        stdout.starts_with("nothing to archive") && !Path::new(&again).exists(),
        "{stdout}"
    );

    let (code, stdout, _) = with_database(&["verify", &one, &two], &database.node).await;
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("1 to 8 from its first record on"), "{stdout}");
    let (code, stdout, _) = with_database(&["verify", &one], &database.node).await;
    assert_eq!(code, Some(1), "an archive is missing between");
    assert!(stdout.contains("records 4 to 7 are missing"), "{stdout}");

    // The network goes on where it was.
    let store = Store::new(StoreConfig::new(database.node.clone()));
    let last = store.last_record(&feed()).await.unwrap().unwrap();
    let report = report_for(
        Link::after(last.sequence, last.digest),
        &[1, 2, 3],
        "3000",
        unix_now(),
    );
    let outcome = store
        .write(
            &certify(&report),
            key(1).address(),
            &network(),
            &Default::default(),
        )
        .await;
    assert!(matches!(outcome, WriteOutcome::Written { .. }), "{outcome:?}");
}

#[tokio::test]
async fn what_does_not_hold_is_neither_archived_nor_removed() {
    let database = database_with(4).await;
    let owner = connect(&database.owner).await;
    owner
        .batch_execute("UPDATE eth_prices SET digest = sha256(digest) WHERE sequence = 2")
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let (code, stdout, stderr) = with_database(
        &["archive", "--before", "0s", "--out", out, "--remove"],
        &database.owner,
    )
    .await;
    assert_eq!(code, Some(1));
    assert!(stdout.contains("digest: record 2 of ETH/USD"), "{stdout}");
    assert!(
        stderr.contains("no archive was made, nothing was removed"),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let left: i64 = owner
        .query_one("SELECT count(*) FROM eth_prices", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(left, 4);
}
