//! `quorate check` as an operator meets it: one healthy set-up among running nodes, and sick ones.
#![expect(clippy::unwrap_used, reason = "in tests a panic is the verdict")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use quorate_protocol::NodeKey;
use quorate_store::{Member, MigrateOptions, Secret, migrate};
use quorate_testkit::{
    port,
    postgres::{Database, LONG, NODE_PASSWORD},
    wait::{DEADLINE, eventually_within},
};
use serde_json::Value;
use tempfile::TempDir;

/// Nodes that run, and the one that is checked: the last.
const NODES: usize = 3;
const BOUND: Duration = Duration::from_secs(15);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn quorate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A database, an exchange, and a closed network of three of which two run.
struct Scene {
    folder: TempDir,
    keys: Vec<NodeKey>,
    ports: Vec<u16>,
    exchange: String,
    database: Database,
    _processes: Vec<Running>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<NodeKey> = (0..NODES).map(|_| NodeKey::generate()).collect();
        let at = |name: &str| folder.path().join(name);
        let mut members = String::new();
        for (index, key) in keys.iter().enumerate() {
            private(
                &at(&format!("key-{index}")),
                &const_hex::encode(key.secret_bytes()),
            );
            members += &format!(
                "[[member]]\nname = \"node-{index}\"\naddress = \"{}\"\n",
                key.address()
            );
        }
        fs::write(at("members"), members).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let database = runtime.block_on(async {
            let database = Database::migrated(LONG).await;
            let member = |(index, key): (usize, &NodeKey)| Member {
                address: key.address(),
                name: format!("node-{index}"),
                validator: false,
            };
            let options = MigrateOptions {
                members: Some(keys.iter().enumerate().map(member).collect()),
                ..MigrateOptions::default()
            };
            Box::pin(migrate(&database.owner, options)).await.unwrap();
            database
        });
        private(&at("url"), &database.node.reveal());
        let (exchange, process) = start_exchange();
        let mut scene = Self {
            ports: (0..NODES).map(|_| port::free()).collect(),
            folder,
            keys,
            exchange,
            database,
            _processes: vec![process],
        };
        for index in 0..NODES - 1 {
            let mut node = quorate();
            node.arg("node")
                .args(scene.options(index))
                .args(["--log-level", "off", "--stop-with-stdin=true"])
                .stdin(Stdio::piped());
            scene._processes.push(Running(node.spawn().unwrap()));
        }
        for port in &scene.ports[..NODES - 1] {
            eventually_within("the node listens", DEADLINE, || {
                TcpStream::connect(("127.0.0.1", *port)).ok()
            });
        }
        scene
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The options of a node, each as `--name=value`.
    fn options(&self, index: usize) -> Vec<String> {
        let mut options = vec![
            format!("--key-file={}", self.path(&format!("key-{index}"))),
            format!("--members={}", self.path("members")),
            format!("--database-url-file={}", self.path("url")),
            format!("--listen=/ip4/127.0.0.1/tcp/{}", self.ports[index]),
            "--write-interval=1h".to_owned(),
            "--api-listen=off".to_owned(),
            "--mdns=false".to_owned(),
        ];
        let peers = (0..NODES).filter(|other| *other != index);
        options.extend(peers.map(|other| format!("--peer={}", self.address(other))));
        let sources = ["coinbase", "kraken", "bitstamp", "gemini", "coingecko"];
        options.extend(sources.map(|source| format!("--source={source}={}", self.exchange)));
        options
    }

    fn address(&self, index: usize) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.ports[index])
    }

    /// Checks the node that does not run, with these options instead of those of the same name.
    fn check(&self, instead: &[String]) -> Checked {
        self.check_node(NODES - 1, instead)
    }

    fn check_node(&self, index: usize, instead: &[String]) -> Checked {
        let name = |option: &str| option.split('=').next().unwrap().to_owned();
        let mut options = self.options(index);
        options.retain(|option| !instead.iter().any(|other| name(other) == name(option)));
        let began = Instant::now();
        let mut command = quorate();
        command
            .args(["check", "--output=json", "--log-level=warn"])
            .args(options)
            .args(instead);
        let output = command.output().unwrap();
        assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
        let (text, error) = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .into();
        for secret in self.secrets() {
            assert!(
                !text.contains(&secret) && !error.contains(&secret),
                "{text}{error}"
            );
        }
        assert_eq!(error, "");
        Checked {
            code: output.status.code(),
            report: serde_json::from_str(&text).unwrap(),
        }
    }

    fn secrets(&self) -> Vec<String> {
        let keys = self.keys.iter().map(|key| const_hex::encode(key.secret_bytes()));
        keys.chain([NODE_PASSWORD.to_owned(), "hunter2".to_owned()])
            .collect()
    }
}

/// One for all tests: to set it takes seconds, and nobody changes it.
fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(Scene::new)
}

/// What a run has said.
struct Checked {
    code: Option<i32>,
    report: Value,
}

impl Checked {
    /// Verdict, measure and remedy of the check of that name, of the subject that contains this.
    fn of(&self, check: &str, subject: &str) -> (&str, &str, &str) {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks
            .iter()
            .find(|one| one["check"] == check && one["subject"].as_str().unwrap().contains(subject));
        let found = found.unwrap_or_else(|| panic!("no {check} of {subject}: {:#}", self.report));
        let text = |name: &str| found[name].as_str().unwrap_or_default();
        (text("verdict"), text("measured"), text("remedy"))
    }

    /// It failed, at this check, in these words; and says what to do.
    fn failed(&self, check: &str, subject: &str, words: &str) {
        let (verdict, measured, remedy) = self.of(check, subject);
        assert_eq!((self.code, verdict), (Some(1), "fail"), "{:#}", self.report);
        assert!(measured.contains(words), "{measured}");
        assert!(!remedy.is_empty());
    }

    /// The checks with that verdict.
    fn all(&self, verdict: &str) -> Vec<&str> {
        let checks = self.report["checks"].as_array().unwrap().iter();
        let meant = checks.filter(|one| one["verdict"] == verdict);
        meant.map(|one| one["check"].as_str().unwrap()).collect()
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn start_exchange() -> (String, Running) {
    // It ends with this process, which the scene outlives: nobody drops what is static.
    let ends_with_stdin = r#""$0" exchange --listen 127.0.0.1:0 & read -r _; kill $!"#;
    let mut command = Command::new("sh");
    command
        .args(["-c", ends_with_stdin, env!("CARGO_BIN_EXE_quorate")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    log.read_line(&mut line).unwrap();
    // It goes on to log what nobody reads.
    thread::spawn(move || log.read_to_end(&mut Vec::new()));
    let url = line.split("url=").nth(1).unwrap().split(' ').next().unwrap();
    (url.to_owned(), Running(child))
}

/// Answers like Coinbase, with that date.
fn exchange_of_another_time(date: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _asked = stream.read(&mut [0; 4096]);
            let body = r#"{"data":{"amount":"3000.5","base":"ETH","currency":"USD"}}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let _told = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

fn options(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[test]
fn a_healthy_set_up_fails_nowhere() {
    let healthy = scene().check(&[]);
    assert_eq!(
        (healthy.code, healthy.all("fail")),
        (Some(0), vec![]),
        "{:#}",
        healthy.report
    );
    assert_eq!(healthy.all("not_checked"), ["reachable"]);
    // Not by how long something took: the machine may be busy.
    for check in [
        "settings",
        "clock_sources",
        "clock_database",
        "price",
        "database_role",
        "database_schema",
        "database_settings",
        "database_members",
        "database_tls",
        "key",
        "secret_file",
        "members",
        "peers",
        "listen",
        "api",
    ] {
        assert_eq!(healthy.of(check, "").0, "good", "{check}: {:#}", healthy.report);
    }
    // The server of the tests need not survive a crash, and that is noticed.
    assert!(
        healthy
            .of("database_replication", "")
            .1
            .contains("synchronous_commit is off")
    );
    let (_, measured, _) = healthy.of("peer", "");
    assert!(measured.contains("(node-0): quorate/"), "{measured}");
    assert!(
        healthy
            .of("peers", "")
            .1
            .ends_with("dialled with this node's key")
    );
}

#[test]
fn a_node_that_runs_has_its_port_itself_and_is_not_dialled_with_its_own_key() {
    let running = scene().check_node(0, &[]);
    assert_eq!(running.of("listen", "").1, "this node runs and has it");
    assert!(
        running
            .of("peers", "")
            .1
            .ends_with("dialled with a key made for this")
    );
    assert_eq!(
        running.of("peer", &scene().address(1)).0,
        "good",
        "it drops strangers, as it should"
    );
    assert!(
        running
            .of("peer", &scene().address(1))
            .1
            .ends_with("and drops strangers")
    );
}

#[test]
fn sick_1_a_clock_that_is_off() {
    let exchange = exchange_of_another_time("Sun, 06 Nov 1994 08:49:37 GMT");
    let instead = [
        format!("--source=coinbase={exchange}"),
        "--min-sources=1".to_owned(),
    ];
    let checked = scene().check(&instead);
    checked.failed("clock_sources", "", "ms ahead");
    assert_eq!(checked.of("clock_database", "").0, "good");
}

#[test]
fn sick_2_sources_that_are_lost_each_at_its_own_step() {
    let scene = scene();
    let good = &scene.exchange;
    let checked = scene.check(&[
        format!("--source=coinbase={good}"),
        "--source=kraken=http://nobody.invalid".to_owned(),
        format!("--source=bitstamp=http://127.0.0.1:{}", port::free()),
        format!("--source=gemini={}", good.replace("http:", "https:")),
    ]);
    checked.failed("price", "ETH/USD", "1 sources answered, 3 are required");
    for (source, step) in [("kraken", "name"), ("bitstamp", "connection"), ("gemini", "tls")] {
        let (verdict, measured, _) = checked.of("source", source);
        assert_eq!(verdict, "poor");
        assert!(measured.starts_with(&format!("lost at {step}: ")), "{measured}");
    }
    assert_eq!(checked.all("fail"), ["price"]);
}

#[test]
fn sick_3_a_database_that_is_away_says_no_or_is_not_what_it_should_be() {
    let scene = scene();
    let url_file = |name: &str, url: &str| {
        private(&scene.folder.path().join(name), url);
        vec![format!("--database-url-file={}", scene.path(name))]
    };
    let away = format!("postgres://u:hunter2@127.0.0.1:{}/x", port::free());
    scene
        .check(&url_file("away", &away))
        .failed("database", "127.0.0.1", "refused");

    let wrong = scene.database.node.with_password(Secret::new("hunter2")).reveal();
    let denied = scene.check(&url_file("wrong", &wrong));
    denied.failed("database", "", "password authentication failed");

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let empty = runtime.block_on(Database::empty());
    let bare = scene.check(&url_file("empty", &empty.owner.reveal()));
    bare.failed("database_schema", "", "lacks quorate's tables");
    assert_eq!(bare.of("database_role", "").0, "poor", "an owner");

    let differs = scene.check(&options(&["--write-interval=30s", "--min-signatures=2"]));
    differs.failed(
        "database_settings",
        "",
        "write interval 3600s, this node's is 30s; 3 signatures",
    );
    assert_eq!(differs.all("fail"), ["database_settings"]);
}

#[test]
fn sick_4_a_key_that_others_can_read_and_a_secret_too() {
    let scene = scene();
    let copy = |name: &str, from: &str| {
        fs::write(scene.path(name), fs::read(scene.path(from)).unwrap()).unwrap();
        fs::set_permissions(scene.path(name), fs::Permissions::from_mode(0o644)).unwrap();
        scene.path(name)
    };
    let key = copy("open-key", "key-2");
    let url = copy("open-url", "url");
    let checked = scene.check(&[format!("--key-file={key}"), format!("--database-url-file={url}")]);
    checked.failed("key", "--key-file", "can be read or changed by other users");
    assert_eq!(checked.of("secret_file", "--database-url-file").0, "poor");
}

#[test]
fn sick_5_a_list_of_members_without_this_key_or_none_at_all() {
    let scene = scene();
    let text = fs::read_to_string(scene.path("members")).unwrap();
    let own = scene.keys[NODES - 1].address().to_string();
    let other = NodeKey::generate().address().to_string();
    fs::write(scene.path("others"), text.replace(&own, &other)).unwrap();
    let with = |name: &str| scene.check(&[format!("--members={}", scene.path(name))]);
    with("others").failed("members", "--members", "does not list this node's address");
    fs::write(scene.path("broken"), "[[member").unwrap();
    let broken = with("broken");
    broken.failed("members", "--members", "is no TOML");
    assert_eq!(
        broken.all("fail"),
        ["members"],
        "the rest is not held against nobody"
    );
}

#[test]
fn sick_6_a_peer_that_is_another_or_not_there_and_a_port_that_is_taken() {
    let scene = scene();
    let id = |key: &NodeKey| {
        let key = quorate_actors::gossip_bridge::identity::keypair(key).unwrap();
        key.public().to_peer_id()
    };
    let (first, second) = (scene.address(0), scene.address(1));
    let pinned = format!("--peer={first}/p2p/{}", id(&scene.keys[1]));
    let right = format!("--peer={second}/p2p/{}", id(&scene.keys[1]));
    let checked = scene.check(&[pinned, right]);
    checked.failed("peer", &first, &format!("expected {}", id(&scene.keys[1])));
    assert_ne!(checked.of("peer", &second).0, "fail");

    let gone = format!("--peer=/ip4/127.0.0.1/tcp/{}", port::free());
    let missing = scene.check(std::slice::from_ref(&gone));
    assert_eq!(
        (missing.code, missing.of("peer", "").0, missing.of("peers", "").0),
        (Some(0), "poor", "poor")
    );
    assert_eq!(scene.check(&[gone, "--fail-on=poor".to_owned()]).code, Some(1));

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let checked = scene.check(&[
        format!("--listen=/ip4/127.0.0.1/tcp/{port}"),
        format!("--api-listen=127.0.0.1:{port}"),
    ]);
    checked.failed("listen", "", "taken by another process");
    checked.failed("api", "", "taken by another process");
    let neighbours = scene.check(&[format!("--listen={first}")]);
    neighbours.failed("listen", "", &format!("taken by the node {}", id(&scene.keys[0])));
}

#[test]
fn people_get_a_table_and_what_is_no_value_at_all_is_misuse() {
    let mut command = quorate();
    command.arg("check").args(scene().options(NODES - 1));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("verdict "), "{text}");
    assert!(text.contains("not checked  reachable"), "{text}");
    assert!(!text.contains('\x1b'), "no colours in a pipe");
    let closing = text.lines().next_back().unwrap();
    assert!(closing.contains(" checks in "), "{closing}");

    let misused = quorate()
        .args([
            "check",
            "--database-url",
            "postgres://db",
            "--write-interval",
            "30",
        ])
        .output()
        .unwrap();
    assert_eq!((misused.status.code(), misused.stdout.len()), (Some(2), 0));
}
