//! One node: its files, its process, its log and its API.

use std::{collections::BTreeMap, io, path::PathBuf, process::Command, time::Duration};

use quorate_protocol::{Address, NodeKey};
use serde::Deserialize;

use super::{
    SOON, http,
    process::{Process, read_log},
    wait::eventually,
};

/// Lines of a log that are told after a panic.
const TAIL: usize = 40;

pub(crate) struct Node {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) key: NodeKey,
    /// Where it listens for peers.
    pub(crate) port: u16,
    pub(super) api_port: u16,
    pub(super) config: PathBuf,
    pub(super) log: PathBuf,
    pub(super) process: Option<Process>,
}

/// What `/api/v1/actors` tells of one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ActorStatus {
    name: String,
    pub(crate) state: String,
    pub(crate) restarts: u64,
    /// Messages that it has handled.
    pub(crate) messages: u64,
}

/// Counts by name.
pub(crate) type Findings = BTreeMap<String, u64>;

/// What `/api/v1/status` tells, as far as tests ask.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) warnings: Vec<String>,
    pub(crate) feeds: Vec<FeedStatus>,
}

/// Of one feed.
#[derive(Debug, Deserialize)]
pub(crate) struct FeedStatus {
    pub(crate) open: bool,
    pub(crate) live: usize,
    pub(crate) required: usize,
    pub(crate) nodes: Vec<NodeStatus>,
}

/// Of one node, as another sees it.
#[derive(Debug, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) address: Address,
    pub(crate) name: Option<String>,
    pub(crate) alive: bool,
    pub(crate) version: Option<String>,
    pub(crate) clock_offset_ms: Option<i64>,
    findings: Findings,
    findings_of_others: Findings,
}

impl Node {
    pub(crate) fn address(&self) -> Address {
        self.key.address()
    }

    /// Starts its process with its configuration and `options`.
    pub(crate) fn start_with(&mut self, options: &[&str]) {
        let mut command = self.command();
        command.args(options);
        self.process = Some(Process::start(command, &self.log));
    }

    /// Starts it so that it and its libraries log all they can.
    pub(crate) fn start_tracing(&mut self) {
        let mut command = self.command();
        command.env("RUST_LOG", "trace");
        self.process = Some(Process::start(command, &self.log));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.args(["node", "--config"]).arg(&self.config).env_clear();
        command
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    /// Waits until its API answers.
    pub(crate) fn is_up(&self) {
        eventually(&format!("node {} is up", self.number), SOON, || {
            self.health().is_ok_and(|status| status == 200).then_some(())
        });
    }

    fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Ends it hard, without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.process().kill();
        self.process = None;
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&mut self) {
        self.process().terminate();
    }

    pub(crate) fn close_stdin(&mut self) {
        self.process().close_stdin();
    }

    /// Waits for its end by itself; its exit code, if no signal ended it.
    pub(crate) fn exit_code(&mut self, within: Duration) -> Option<i32> {
        self.process().exit_code(within)
    }

    pub(crate) fn sleeps(&self) -> u64 {
        self.process.as_ref().unwrap().sleeps()
    }

    pub(crate) fn resident_kib(&mut self) -> u64 {
        self.process().resident_kib()
    }

    pub(crate) fn log(&self) -> String {
        read_log(&self.log)
    }

    /// How many lines of its log contain all of these.
    pub(crate) fn logged(&self, parts: &[&str]) -> usize {
        let log = self.log();
        log.lines()
            .filter(|line| parts.iter().all(|part| line.contains(part)))
            .count()
    }

    /// Waits until a line of its log contains all of these.
    pub(crate) fn has_logged(&self, parts: &[&str]) {
        self.has_logged_times(parts, 1);
    }

    /// Waits until so many lines of its log contain all of these.
    pub(crate) fn has_logged_times(&self, parts: &[&str], times: usize) {
        eventually(&format!("node {} logs {parts:?}", self.number), SOON, || {
            (self.logged(parts) >= times).then_some(())
        });
    }

    /// The last lines of its log.
    pub(super) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// The status of `/healthz`.
    pub(crate) fn health(&self) -> io::Result<u16> {
        http::ask("GET", self.api_port, "/healthz", "").map(|(status, _)| status)
    }

    /// What its API answers: status and body.
    pub(crate) fn ask(&self, method: &str, path: &str) -> (u16, String) {
        http::ask(method, self.api_port, path, "").unwrap()
    }

    /// Lets an actor fail.
    pub(crate) fn inject(&self, actor: &str, fault: &str) {
        let path = format!("/api/v1/actors/{actor}/fault/{fault}");
        let (status, body) = http::ask("POST", self.api_port, &path, "").unwrap();
        assert_eq!(status, 202, "{actor} {fault}: {body}");
    }

    /// Its actors by name.
    pub(crate) fn actors(&self) -> BTreeMap<String, ActorStatus> {
        #[derive(Deserialize)]
        struct Answer {
            actors: Vec<ActorStatus>,
        }
        let (_, body) = http::ask("GET", self.api_port, "/api/v1/actors", "").unwrap();
        let answer: Answer = serde_json::from_str(&body).unwrap();
        answer
            .actors
            .into_iter()
            .map(|actor| (actor.name.clone(), actor))
            .collect()
    }

    /// What `/api/v1/status` tells.
    pub(crate) fn status(&self) -> Status {
        let (_, body) = http::ask("GET", self.api_port, "/api/v1/status", "").unwrap();
        serde_json::from_str(&body).unwrap()
    }

    /// What it found about another node, by name; and what others told it about that.
    pub(crate) fn findings(&self, of: Address) -> (Findings, Findings) {
        let nodes = self.status().feeds.remove(0).nodes;
        let found = nodes.into_iter().find(|node| node.address == of);
        found
            .map(|node| (node.findings, node.findings_of_others))
            .unwrap_or_default()
    }

    /// How many of its peers' messages were found to be so.
    pub(crate) fn found(&self, finding: &str) -> u64 {
        self.metric(&messages(finding)).unwrap_or(0)
    }

    /// Waits until so many were.
    pub(crate) fn finds(&self, finding: &str, times: u64) {
        self.counts(&messages(finding), times);
    }

    /// What `/readyz` answers.
    pub(crate) fn readiness(&self) -> (u16, serde_json::Value) {
        let (code, body) = http::ask("GET", self.api_port, "/readyz", "").unwrap();
        (code, serde_json::from_str(&body).unwrap())
    }

    /// All of `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        http::ask("GET", self.api_port, "/metrics", "").unwrap().1
    }

    /// A figure of it, if there was an occasion for it yet.
    pub(crate) fn metric(&self, sample: &str) -> Option<u64> {
        figure(&self.metrics(), sample)
    }

    /// Waits until a figure of it is so high.
    pub(crate) fn counts(&self, sample: &str, at_least: u64) {
        eventually(
            &format!("node {} counts {at_least} of {sample}", self.number),
            SOON,
            || (self.metric(sample)? >= at_least).then_some(()),
        );
    }
}

/// The sample that counts messages with this finding.
fn messages(finding: &str) -> String {
    format!("quorate_messages_total{{finding=\"{finding}\"}}")
}

/// A figure of a page of `/metrics`.
pub(crate) fn figure(page: &str, sample: &str) -> Option<u64> {
    let figure = page
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(figure.parse().unwrap())
}
