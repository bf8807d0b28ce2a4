//! The executable as a user or a script meets it.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

const COMMANDS: [&[&str]; 8] = [
    &["node"],
    &["devnet"],
    &["prices"],
    &["evidence"],
    &["migrate"],
    &["keys"],
    &["keys", "new"],
    &["keys", "show"],
];

fn quorate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    // Only what the test says counts, wherever it runs.
    command.env_clear().args(arguments);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = quorate(arguments).output().unwrap();
    (status.code(), text(&stdout), text(&stderr))
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn every_command_explains_itself_with_examples() {
    for command in COMMANDS {
        let (code, stdout, stderr) = run(&[command, &["--help"]].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command:?}");
        assert!(stdout.contains("Examples:"), "{stdout}");
        assert!(
            stdout.contains(&format!("Usage: quorate {}", command.join(" "))),
            "{stdout}"
        );
    }
    let (code, stdout, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in [
        "node",
        "devnet",
        "prices",
        "evidence",
        "migrate",
        "keys",
        "QUORATE_WRITE_INTERVAL",
    ] {
        assert!(stdout.contains(word), "{stdout}");
    }
}

#[test]
fn every_option_says_its_variable_and_its_default() {
    let (_, stdout, _) = run(&["node", "--help"]);
    let one_line = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "[default: 30s] [env: QUORATE_WRITE_INTERVAL]",
        "[default: /ip4/0.0.0.0/tcp/5000] [env: QUORATE_LISTEN]",
        "[env: QUORATE_DATABASE_URL_FILE]",
        "[env: QUORATE_CONFIG]",
    ] {
        assert!(one_line.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn the_version_is_one_line() {
    for arguments in [vec!["--version"], vec!["node", "--version"]] {
        let (code, stdout, _) = run(&arguments);
        assert_eq!(code, Some(0));
        assert!(stdout.trim_end().ends_with(env!("CARGO_PKG_VERSION")), "{stdout}");
        assert_eq!(stdout.lines().count(), 1);
    }
}

#[test]
fn five_wrong_values_are_five_problems_and_exit_code_2() {
    let (code, stdout, stderr) = run(&[
        "node",
        "--write-interval",
        "30",
        "--min-signatures",
        "none",
        "--feed",
        "eth-usd",
        "--api-listen",
        "8080",
        "--database-url-file",
        "/nowhere/url",
    ]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert_eq!(
        stderr,
        "error: 5 problems with the configuration of `quorate node`
  --write-interval: \"30\" is not a duration: write a unit, like 30s
  --feed: \"eth-usd\" is not a feed: expected two codes of 2 to 10 capital letters or digits with a slash between, like ETH/USD
  --min-signatures: \"none\" is not a whole number: write a number from 1 to 128
  --database-url-file: \"/nowhere/url\" cannot be read (No such file or directory (os error 2)): name a file that this user can read and that holds the secret alone
  --api-listen: \"8080\" is not an address to listen on: write IP:PORT, like 127.0.0.1:8080, or off
`quorate node --help` explains every option
"
    );
}

#[test]
fn flag_then_variable_then_file() {
    let folder = tempfile::tempdir().unwrap();
    let config = path(folder.path(), "quorate.toml");
    fs::write(
        &config,
        "nodes = 'file'\nwrite-interval = 'file'\nfetch-interval = 'file'\n",
    )
    .unwrap();
    let output = quorate(&["devnet", "--config", &config, "--nodes", "flag"])
        .env("QUORATE_NODES", "variable")
        .env("QUORATE_WRITE_INTERVAL", "variable")
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    for part in [
        "--nodes: \"flag\"".to_owned(),
        "--write-interval (from QUORATE_WRITE_INTERVAL): \"variable\"".to_owned(),
        format!("--fetch-interval (from {config}): \"file\""),
    ] {
        assert!(stderr.contains(&part), "{part}: {stderr}");
    }
}

#[test]
fn a_secret_is_in_no_error() {
    const URL: &str = "mysql://quorate:hunter2@db/prices";
    let folder = tempfile::tempdir().unwrap();
    let url_file = path(folder.path(), "url");
    fs::write(&url_file, URL).unwrap();
    let config = path(folder.path(), "quorate.toml");
    fs::write(&config, format!("database-url = {URL:?}\n")).unwrap();
    let broken = path(folder.path(), "broken.toml");
    fs::write(&broken, format!("database-url = {URL}\n")).unwrap();
    for arguments in [
        &["node", "--database-url", URL][..],
        &["node", "--database-url-file", &url_file],
        &["node", "--database-url-file", URL],
        &["node", "--config", &config],
        &["node", "--config", &broken],
        &["node", "--key-file", URL],
        &["node", URL],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(
            !format!("{stdout}{stderr}").contains("hunter2"),
            "{arguments:?}: {stderr}"
        );
    }
    let output = quorate(&["node"])
        .env("QUORATE_DATABASE_URL", URL)
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("--database-url (from QUORATE_DATABASE_URL): the hidden value is not"),
        "{stderr}"
    );
}

#[test]
fn a_new_key_is_private_shown_alike_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let password = path(folder.path(), "password");
    fs::write(&password, "correct horse battery staple\n").unwrap();
    let with_password = ["--key-password-file", &password];
    for (name, format, password) in [("hex", "hex", &[][..]), ("json", "keystore", &with_password)] {
        let key = path(folder.path(), name);
        let new = [&["keys", "new", "--out", &key, "--format", format], password].concat();
        let (code, made, stderr) = run(&new);
        assert_eq!((code, stderr.as_str()), (Some(0), ""));
        assert!(
            made.starts_with("address  0x") && made.contains("\npeer_id  16Uiu2HA"),
            "{made}"
        );
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);

        let (code, shown, stderr) = run(&[&["keys", "show", "--key-file", &key], password].concat());
        assert_eq!((code, shown, stderr.as_str()), (Some(0), made, ""));

        let before = fs::read(&key).unwrap();
        let (code, stdout, stderr) = run(&new);
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.contains("exists already"), "{stderr}");
        assert_eq!(fs::read(&key).unwrap(), before);
    }
    let hex = fs::read_to_string(folder.path().join("hex")).unwrap();
    let (_, shown, _) = run(&["keys", "show", "--key-file", &path(folder.path(), "hex")]);
    assert!(!shown.contains(hex.trim().trim_start_matches("0x")));
}

#[test]
fn a_key_that_others_can_read_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let key = path(folder.path(), "key");
    run(&["keys", "new", "--out", &key]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let (code, _, stderr) = run(&["keys", "show", "--key-file", &key]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains(&format!("run `chmod 600 {key}`")), "{stderr}");
}

#[test]
fn a_reader_that_has_gone_away_is_no_error_and_no_panic() {
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    assert_eq!(
        quorate(&["node", "--help"])
            .stdout(gone())
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
    assert_eq!(
        quorate(&["node"]).stderr(gone()).status().unwrap().code(),
        Some(2)
    );
}

#[test]
fn a_mistyped_variable_is_logged_as_text_or_json_without_its_value() {
    let folder = tempfile::tempdir().unwrap();
    let logged = |name: &str, format: &str| {
        let key = path(folder.path(), name);
        let mut command = quorate(&["keys", "new", "--out", &key, "--log-format", format]);
        let output = command.env("QUORATE_DATABASE_ULR", "hunter2").output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        text(&output.stderr)
    };
    const MESSAGE: &str =
        "unknown variable ignored: name=QUORATE_DATABASE_ULR, did you mean QUORATE_DATABASE_URL?";
    let line = logged("a", "text");
    assert!(
        line.ends_with(&format!(" WARN  quorate: {MESSAGE}\n")),
        "{line:?}"
    );
    let line: serde_json::Value = serde_json::from_str(&logged("b", "json")).unwrap();
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"warn".into(), &MESSAGE.into())
    );
}

#[test]
fn rust_log_wins_over_the_level() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = |name: &str, rust_log: &str| {
        let key = path(folder.path(), name);
        let mut command = quorate(&["keys", "new", "--out", &key, "--log-level", "info"]);
        let output = command
            .env("QUORATE_X", "1")
            .env("RUST_LOG", rust_log)
            .output()
            .unwrap();
        text(&output.stderr)
    };
    assert_eq!(stderr("a", "error"), "");
    assert_ne!(stderr("b", "warn"), "");
}
