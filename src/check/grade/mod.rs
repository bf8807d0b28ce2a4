//! What a measurement means: a verdict with its grade, what was measured, and what to do. Pure: measurements in, verdicts out.
//!
//! Each check is declared here, with the limits of its grades in words; docs/check.md has the same table. The files beside this one
//! hold the limits as numbers, and the rules.

pub(super) mod clocks;
pub(super) mod database;
pub(super) mod files;
pub(super) mod network;
pub(super) mod prices;

use serde_json::{Map, Value, json};
use strum::{IntoStaticStr, VariantArray};

/// How good a finding is, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Grade {
    /// It cannot be told from here, or something before it failed.
    NotChecked,
    /// As it should be.
    Good,
    /// It works, and could be better.
    Fair,
    /// It works, or may soon, and somebody should look at it.
    Poor,
    /// A node with it would not run, not count, or not write.
    Fail,
}

impl Grade {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotChecked => "not checked",
            named => named.into(),
        }
    }
}

/// What is checked, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Check {
    Settings,
    ClockSources,
    ClockDatabase,
    Source,
    Price,
    Database,
    DatabaseRole,
    DatabaseSchema,
    DatabaseSettings,
    DatabaseMembers,
    DatabaseTls,
    DatabaseReplication,
    Key,
    SecretFile,
    Members,
    Peer,
    Peers,
    Listen,
    Api,
    Reachable,
    Descriptors,
    Memory,
}

/// A check in words: what it looks at, what earns each grade, and what helps.
pub(super) struct Rule {
    pub(super) looks_at: &'static str,
    pub(super) good: &'static str,
    pub(super) fair: &'static str,
    pub(super) poor: &'static str,
    pub(super) fail: &'static str,
    /// Said with every verdict below good that knows nothing better.
    pub(super) remedy: &'static str,
}

impl Check {
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    pub(super) fn rule(self) -> Rule {
        let rule = |looks_at, [good, fair, poor, fail]: [&'static str; 4], remedy| Rule {
            looks_at,
            good,
            fair,
            poor,
            fail,
            remedy,
        };
        match self {
            Self::Settings => rule(
                "options, variables and file, as `quorate node` would take them",
                [
                    "nothing to say",
                    "the node would warn of something",
                    "",
                    "the node would not start",
                ],
                "change the setting that is named",
            ),
            Self::ClockSources => rule(
                "this machine's clock against the `Date` of all answers, which are whole seconds",
                [
                    "at most 0.5 s off for certain",
                    "at most 2 s",
                    "at most 5 s",
                    "more: peers refuse what it states",
                ],
                "keep the clock by NTP (timedatectl set-ntp true, or chrony), here or on the machine below",
            ),
            Self::ClockDatabase => rule(
                "this machine's clock against the database's, to half a round trip",
                [
                    "at most 0.5 s off for certain",
                    "at most 2 s",
                    "at most 5 s",
                    "more",
                ],
                "keep both clocks by NTP; the sources' dates say which of the two is wrong",
            ),
            Self::Source => rule(
                "each source for each feed: name, connection, TLS, answer, price; how long it took and how far it is from the median",
                [
                    "within 1 s and --max-deviation-bps",
                    "within 2 s, or counted and farther from the median",
                    "slower, no price (with the step at which it was lost), or farther than --max-source-spread-bps",
                    "",
                ],
                "see to the way to that exchange (name servers, firewall, HTTPS_PROXY, SSL_CERT_FILE), or name other sources",
            ),
            Self::Price => rule(
                "for each feed, whether so many sources agree as --min-sources asks for",
                ["with one to spare", "with none to spare", "", "no price"],
                "name more sources, or see to those that gave none",
            ),
            Self::Database => rule(
                "the way in: name, connection, TLS, log-in; then a round trip",
                [
                    "at most 20 ms",
                    "at most 100 ms",
                    "longer",
                    "no way in, or PostgreSQL before 13",
                ],
                "start it, or correct its address, user or password",
            ),
            Self::DatabaseRole => rule(
                "as whom the node logs in",
                [
                    "quorate_node",
                    "another role with the same rights",
                    "an owner: whoever steals the password rewrites history",
                    "it may not add records",
                ],
                "log in as quorate_node: quorate migrate --node-password-file FILE lets it",
            ),
            Self::DatabaseSchema => rule(
                "the migrations that are applied",
                ["those of this version", "", "", "older, newer or none"],
                "run quorate migrate with this version as the database's owner",
            ),
            Self::DatabaseSettings => rule(
                "the rules that the database holds all nodes to: write interval, signatures, validators, network",
                [
                    "this node's",
                    "",
                    "fewer signatures or another number of validators than this node asks for",
                    "another write interval or network, or more signatures: the node would not run",
                ],
                "give the node and quorate migrate the same",
            ),
            Self::DatabaseMembers => rule(
                "the members that the database knows",
                [
                    "this node's list",
                    "none, while this node has a list",
                    "others than this node's list",
                    "this node's key is not among them",
                ],
                "run quorate migrate --members with the nodes' file",
            ),
            Self::DatabaseTls => rule(
                "whether somebody on the way could read or change what is said",
                [
                    "TLS with a verified certificate, or a database on this machine",
                    "TLS with any certificate, or none",
                    "",
                    "",
                ],
                "sslmode=verify-full in the URL, with sslrootcert=FILE for an authority of your own",
            ),
            Self::DatabaseReplication => rule(
                "whether a failover could lose records",
                [
                    "commits wait for a standby, or there is none",
                    "standbys follow and commits do not wait",
                    "synchronous_commit is off",
                    "the server itself is a standby: nothing can be written",
                ],
                "connect to the primary (target_session_attrs=read-write with several hosts); name the standbys in synchronous_standby_names",
            ),
            Self::Key => rule(
                "the key file: readable, its mode, its address and PeerId",
                [
                    "private",
                    "its group can read it, or the key is not made yet",
                    "",
                    "missing, open to others, or no key",
                ],
                "chmod 600, or quorate keys new --out FILE",
            ),
            Self::SecretFile => rule(
                "the other files with secrets",
                [
                    "private",
                    "their group can read them",
                    "others can read or change them",
                    "missing, or not what they should be",
                ],
                "chmod 600",
            ),
            Self::Members => rule(
                "the members file: readable, this key in it, enough of them for a quorum",
                [
                    "as it should be, or no list and a network secret",
                    "neither: whoever connects counts",
                    "",
                    "this node would not start, or no record could ever be written",
                ],
                "list every node's address: quorate keys members prints such a file",
            ),
            Self::Peer => rule(
                "each peer that is named: name, connection, identity, network, round trip",
                [
                    "at most 100 ms; or it drops strangers, as it should",
                    "at most 500 ms",
                    "slower, not there (yet), or it lets this node not in",
                    "another identity or network than expected, or no node",
                ],
                "see that it runs and listens, and that nothing drops TCP between",
            ),
            Self::Peers => rule(
                "whether so many peers answer as a quorum takes",
                ["yes", "", "fewer: the others may be starting too", ""],
                "start the others, or name them with --peer, --dns-peers or an endpoint in the members file",
            ),
            Self::Listen => rule(
                "each address of --listen",
                [
                    "free, or this node itself has it",
                    "the system chooses the port: nobody can be told it before",
                    "",
                    "taken by somebody else, or not this machine's",
                ],
                "stop who has it, or listen elsewhere",
            ),
            Self::Api => rule(
                "the address of --api-listen",
                [
                    "free, off, or this node itself has it",
                    "",
                    "",
                    "taken by somebody else, or not this machine's",
                ],
                "stop who has it, or use another port",
            ),
            Self::Reachable => rule(
                "whether peers reach this node: only somebody else can tell",
                ["", "", "", ""],
                "from another machine: quorate check --peer /ip4/THIS_HOST/tcp/PORT/p2p/PEER_ID, with this node running",
            ),
            Self::Descriptors => rule(
                "how many files and connections this process may open",
                [
                    "1024 or more: all connections that a node holds",
                    "512",
                    "128",
                    "fewer",
                ],
                "ulimit -n 4096, LimitNOFILE= of a systemd unit, or --ulimit nofile= of a container",
            ),
            Self::Memory => rule(
                "memory that is left, by the machine and by the container's limit; a node takes some 25 MiB",
                ["64 MiB or more", "40 MiB", "25 MiB", "less"],
                "give it more memory",
            ),
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) check: Check,
    /// Of what: a source, a peer, a file; empty where there is one only.
    pub(super) subject: String,
    pub(super) grade: Grade,
    /// What was found, in a line.
    pub(super) measured: String,
    /// What to do, if it is not good.
    pub(super) remedy: Option<String>,
    /// The same for programs.
    pub(super) values: Map<String, Value>,
}

impl Verdict {
    /// With the check's own remedy, if it is not good.
    pub(super) fn new(
        check: Check,
        subject: impl Into<String>,
        grade: Grade,
        measured: impl Into<String>,
    ) -> Self {
        let needs_a_remedy = grade != Grade::Good;
        Self {
            check,
            subject: subject.into(),
            grade,
            measured: measured.into(),
            remedy: needs_a_remedy.then(|| check.rule().remedy.to_owned()),
            values: Map::new(),
        }
    }

    /// It could not be checked, and why; nothing is to be done about that alone.
    pub(super) fn not_checked(check: Check, subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            remedy: None,
            ..Self::new(check, subject, Grade::NotChecked, why)
        }
    }

    /// Something better to do than the check's own remedy; of no use with what is good.
    pub(super) fn advise(mut self, remedy: impl Into<String>) -> Self {
        if self.grade != Grade::Good {
            self.remedy = Some(remedy.into());
        }
        self
    }

    /// A value for programs.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let said = |words: &'static str| (!words.is_empty()).then_some(words);
        let (verdict, rule): (&str, Rule) = (self.grade.into(), self.check.rule());
        json!({
            "check": self.check.name(),
            "looks_at": rule.looks_at,
            "limits": { "good": said(rule.good), "fair": said(rule.fair), "poor": said(rule.poor), "fail": said(rule.fail) },
            "subject": self.subject,
            "verdict": verdict,
            "measured": self.measured,
            "remedy": self.remedy,
            "values": self.values,
        })
    }
}

/// The grade of a number by the most that is good, fair and poor.
fn up_to<T: PartialOrd>(measured: T, [good, fair, poor]: [T; 3]) -> Grade {
    if measured <= good {
        Grade::Good
    } else if measured <= fair {
        Grade::Fair
    } else if measured <= poor {
        Grade::Poor
    } else {
        Grade::Fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of docs/check.md, as it is declared here.
    fn table() -> String {
        let mut table =
            "| check | looks at | good | fair | poor | fail | what to do |\n|---|---|---|---|---|---|---|\n"
                .to_owned();
        for check in Check::VARIANTS {
            let rule = check.rule();
            let cells = [
                rule.looks_at,
                rule.good,
                rule.fair,
                rule.poor,
                rule.fail,
                rule.remedy,
            ];
            table += &format!("| `{}` | {} |\n", check.name(), cells.join(" | "));
        }
        table
    }

    #[test]
    fn the_documented_checks_are_these() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once("| check |").unwrap();
        let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
        let expected = format!("{before}{}\n{after}", table());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, expected).unwrap();
        } else {
            assert!(
                text == expected,
                "run this with UPDATE=1; the table is\n{}",
                table()
            );
        }
    }

    #[test]
    fn a_grade_is_the_first_whose_limit_holds() {
        let grades = [1, 2, 3, 4].map(|measured| up_to(measured, [1, 2, 3]));
        assert_eq!(grades, [Grade::Good, Grade::Fair, Grade::Poor, Grade::Fail]);
        assert!(grades.is_sorted(), "the worst is the greatest");
    }

    #[test]
    fn what_is_not_good_says_what_to_do() {
        for check in Check::VARIANTS {
            assert!(!check.rule().remedy.is_empty());
            assert!(Verdict::new(*check, "", Grade::Poor, "").remedy.is_some());
            assert_eq!(Verdict::new(*check, "", Grade::Good, "").advise("x").remedy, None);
        }
    }
}
