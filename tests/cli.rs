//! The executable as a user or a script meets it.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use quorate_testkit::wait::{DEADLINE, eventually_within};

const COMMANDS: [&[&str]; 15] = [
    &["node"],
    &["check"],
    &["devnet"],
    &["prices"],
    &["evidence"],
    &["verify"],
    &["archive"],
    &["migrate"],
    &["keys"],
    &["keys", "new"],
    &["keys", "show"],
    &["keys", "members"],
    &["keys", "secret"],
    &["completions"],
    &["man"],
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
fn completions_and_man_pages_know_every_command() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, _) = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(
            script.contains("min-sources") && script.contains("migrate"),
            "{shell}: {script}"
        );
    }
    let (code, _, told) = run(&["completions", "tcsh"]);
    assert_eq!(code, Some(2));
    assert!(
        told.contains("write bash, elvish, fish, powershell, zsh"),
        "{told}"
    );
    assert!(run(&["completions"]).2.contains("SHELL: is missing"));
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--out", &path(folder.path(), "man1")]).0, Some(0));
    for command in COMMANDS {
        let page = path(folder.path(), &format!("man1/quorate-{}.1", command.join("-")));
        assert!(fs::read_to_string(&page).unwrap().contains(".SH SYNOPSIS"));
    }
    assert!(run(&["man"]).1.starts_with(".ie"), "a page in roff");
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
        "check",
        "devnet",
        "prices",
        "evidence",
        "verify",
        "archive",
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
  --feed: \"eth-usd\" is not a feed: expected two codes of 2 to 10 capital letters or digits with a slash between, like ETH/USD
  --write-interval: \"30\" is not a duration: write a unit, like 30s
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

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The first line of what `keys` says that begins so, without the beginning.
fn line<'a>(text: &'a str, beginning: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(beginning));
    line.unwrap_or_else(|| panic!("{beginning}: {text}")).trim()
}

#[test]
fn a_keystores_password_comes_from_a_file_or_a_variable_and_is_asked_for_at_a_terminal_only() {
    let folder = tempfile::tempdir().unwrap();
    let key = path(folder.path(), "key.json");
    let new = ["keys", "new", "--out", &key, "--format", "keystore"];
    let without = quorate(&new).stdin(Stdio::null()).output().unwrap();
    assert_eq!(without.status.code(), Some(2));
    let told = text(&without.stderr);
    for way in ["--key-password-file", "QUORATE_KEY_PASSWORD", "terminal"] {
        assert!(told.contains(way), "{way}: {told}");
    }
    assert!(!Path::new(&key).exists());

    let password = ("QUORATE_KEY_PASSWORD", "correct horse battery staple");
    let made = quorate(&new).env(password.0, password.1).output().unwrap();
    assert_eq!((made.status.code(), text(&made.stderr)), (Some(0), String::new()));
    assert_eq!(mode(&key), 0o600);
    let show = ["keys", "show", "--key-file", &key];
    let shown = quorate(&show).env(password.0, password.1).output().unwrap();
    assert_eq!(text(&shown.stdout), text(&made.stdout));
    let wrong = quorate(&show).env(password.0, "wrong hunter2").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(!text(&wrong.stderr).contains("hunter2"));

    let file = path(folder.path(), "password");
    fs::write(&file, password.1).unwrap();
    let both = quorate(&[&show[..], &["--key-password-file", &file]].concat())
        .env(password.0, password.1)
        .output()
        .unwrap();
    let told = text(&both.stderr);
    assert!(
        told.contains("given together with --key-password-file") && !told.contains("horse"),
        "{told}"
    );
    assert_eq!(
        run(&["keys", "new", "--key-password", "x"]).0,
        Some(2),
        "there is no such flag"
    );
}

#[test]
fn a_members_file_is_made_of_keys_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let (hex, json) = (
        path(folder.path(), "node-1.key"),
        path(folder.path(), "node-2.json"),
    );
    let (_, first, _) = run(&["keys", "new", "--out", &hex]);
    let second = quorate(&["keys", "new", "--out", &json, "--format", "keystore"])
        .env("QUORATE_KEY_PASSWORD", "correct horse")
        .output()
        .unwrap();
    let second = text(&second.stdout);
    let third = "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf";
    // No password for the keystore: its address stands in it.
    let (code, stdout, stderr) = run(&["keys", "members", &hex, &json, third]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let expected = format!(
        "[[member]]\nname = \"node-1\"\naddress = \"{}\"\n# peer_id = \"{}\"\n\n\
         [[member]]\nname = \"node-2\"\naddress = \"{}\"\n\n\
         [[member]]\naddress = \"{third}\"\n",
        line(&first, "address"),
        line(&first, "peer_id"),
        line(&second, "address"),
    );
    assert_eq!(stdout, expected);

    let (code, stdout, stderr) = run(&["keys", "members", &hex, "/nowhere/key", line(&first, "address")]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    for part in [
        "2 problems",
        "\"/nowhere/key\" does not exist",
        "again: name each member once",
    ] {
        assert!(stderr.contains(part), "{part}: {stderr}");
    }
}

#[test]
fn a_network_secret_is_private_named_by_its_id_and_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let secret = path(folder.path(), "secret");
    let new = ["keys", "secret", "--out", &secret, "--network", "test"];
    let (code, stdout, stderr) = run(&new);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.starts_with("key_id   0x") && stdout.ends_with("network  test\n"),
        "{stdout}"
    );
    assert_eq!(mode(&secret), 0o600);
    let before = fs::read_to_string(&secret).unwrap();
    assert_eq!(before.trim().len(), 64);
    assert!(!stdout.contains(before.trim()));
    let (code, _, stderr) = run(&new);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("exists"), "{stderr}");
    assert_eq!(fs::read_to_string(&secret).unwrap(), before);
}

#[test]
fn a_wrong_network_secret_is_named_and_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let secret = path(folder.path(), "secret");
    let node = [
        "node",
        "--database-url",
        "postgres://db",
        "--network-secret-file",
        &secret,
    ];
    let (code, _, stderr) = run(&node);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("quorate keys secret"), "{stderr}");
    fs::write(&secret, "ab".repeat(31)).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    let (_, _, stderr) = run(&node);
    assert!(stderr.contains(&format!("run `chmod 600 {secret}`")), "{stderr}");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let (_, _, stderr) = run(&node);
    assert!(
        stderr.contains("line 1 is not 64 hex digits") && !stderr.contains("abab"),
        "{stderr}"
    );
}

/// A node without a database, which runs and waits for one. It ends when it is dropped.
struct Node {
    child: Child,
    log: String,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            println!("the log in {}:\n{}", self.log, self.log());
        }
    }
}

impl Node {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_as("log", folder, arguments)
    }

    /// Logs to the file with this name.
    fn start_as(name: &str, folder: &Path, arguments: &[&str]) -> Self {
        let log = path(folder, name);
        let alone = [
            "node",
            "--database-url",
            "postgres://127.0.0.1:1/none",
            "--api-listen",
            "off",
            "--log-level",
            "debug",
        ];
        let here = ["--listen", "/ip4/127.0.0.1/tcp/0", "--mdns", "false"];
        let child = quorate(&[&alone[..], &here, arguments].concat())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let node = Self { child, log };
        node.has_logged("listening: address=");
        node
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn has_logged(&self, part: &str) {
        eventually_within(part, DEADLINE, || self.log().contains(part).then_some(()));
    }

    fn logged(&self, part: &str) -> usize {
        self.log().matches(part).count()
    }

    fn proc(&self, name: &str) -> String {
        let bytes = fs::read(format!("/proc/{}/{name}", self.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[test]
fn a_node_makes_its_key_once_keeps_it_and_writes_no_core_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (key, secret) = (path(folder.path(), "node.key"), path(folder.path(), "secret"));
    run(&["keys", "secret", "--out", &secret]);
    let arguments = ["--key-file", &key, "--network-secret-file", &secret];

    let (code, _, stderr) = run(&[&["node", "--database-url", "postgres://db"], &arguments[..]].concat());
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("`quorate keys new --out") && stderr.contains("--create-key"),
        "{stderr}"
    );

    let arguments = [&arguments[..], &["--create-key"]].concat();
    let node = Node::start(folder.path(), &arguments);
    assert_eq!(mode(&key), 0o600);
    let (_, shown, _) = run(&["keys", "show", "--key-file", &key]);
    let address = line(&shown, "address");
    assert!(
        node.log()
            .contains(&format!("new key made and kept: address={address}"))
    );
    let limits = node.proc("limits");
    let core: Vec<&str> = line(&limits, "Max core file size").split_whitespace().collect();
    assert_eq!(core[..2], ["0", "0"]);
    let seen = node.log() + &node.proc("cmdline");
    drop(node);

    let again = Node::start(folder.path(), &arguments);
    assert!(again.log().contains(&format!("address={address}")) && !again.log().contains("new key made"));
    let seen = seen + &again.log();
    for file in [&key, &secret] {
        let digits = fs::read_to_string(file).unwrap();
        assert!(
            !seen.contains(digits.trim().trim_start_matches("0x")),
            "{file} is shown"
        );
    }
}

#[test]
fn a_node_says_when_its_key_is_for_this_run_only() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    assert!(
        node.log()
            .contains(" WARN  quorate: key made for this run only: address=0x"),
        "{}",
        node.log()
    );
}

#[test]
fn a_secret_that_is_changed_is_taken_over_and_a_wrong_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, other) = (path(folder.path(), "secret"), path(folder.path(), "other"));
    let (_, first, _) = run(&["keys", "secret", "--out", &secret]);
    let (_, second, _) = run(&["keys", "secret", "--out", &other]);
    let node = Node::start(folder.path(), &["--network-secret-file", &secret]);
    let (old, new) = (
        fs::read_to_string(&secret).unwrap(),
        fs::read_to_string(&other).unwrap(),
    );
    fs::write(&secret, &old[1..]).unwrap();
    node.has_logged("network secret file not taken over, the last good one still counts");
    fs::write(&secret, format!("{new}{old}")).unwrap();
    let ids = format!("{},{}", line(&second, "key_id"), line(&first, "key_id"));
    node.has_logged(&format!("network secret changed: key_ids={ids}"));
    assert!(!node.log().contains(old[1..].trim()));
}

#[test]
fn who_is_no_member_is_refused_and_both_sides_say_so_once() {
    let folder = tempfile::tempdir().unwrap();
    let (key, members) = (path(folder.path(), "key"), path(folder.path(), "members"));
    let (_, made, _) = run(&["keys", "new", "--out", &key]);
    let address = line(&made, "address");
    let (_, listed, _) = run(&["keys", "members", &key]);
    fs::write(&members, listed).unwrap();
    let member = Node::start_as(
        "member",
        folder.path(),
        &["--key-file", &key, "--members", &members, "--min-signatures", "1"],
    );
    let log = member.log();
    let listens = log
        .split("listening: address=")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let stranger = Node::start_as("stranger", folder.path(), &["--peer", listens]);
    stranger.has_logged(&format!("peer refuses us: address={address}"));
    member.has_logged("remedy=\"no member: add it to --members\"");
    // It goes on trying.
    eventually_within("four attempts", DEADLINE, || {
        (stranger.logged(" connected: address=") >= 4).then_some(())
    });
    assert_eq!(
        (
            stranger.logged("peer refuses us"),
            member.logged("remedy=\"no member: add it to --members")
        ),
        (1, 1)
    );
}
