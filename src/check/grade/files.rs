//! What the configuration and the files that it names are worth.

use std::path::{Path, PathBuf};

use super::{Check, Grade, Verdict};
use crate::{
    config::{agreement::AgreementConfig, keys::KeyConfig, problems::Problem},
    keys::{Exposure, peer_id},
    secret::shown,
};

/// Problems by their settings, and the check that tells them. All others are of the settings.
const KEY: [&str; 3] = ["key-file", "key-password-file", "create-key"];
const SECRETS: [&str; 4] = [
    "network-secret-file",
    "coingecko-key-file",
    "database-url-file",
    "database-password-file",
];
const MEMBERS: [&str; 5] = [
    "members",
    "validator",
    "min-validators",
    "min-signatures",
    "quorum-fraction",
];

/// How warnings begin of which a check of its own says more.
const TOLD_ELSEWHERE: [&str; 3] = [
    "the key file can be read",
    "key made for this run",
    "the network secret file can be read",
];

/// A file with a secret: the setting that names it, where it is, and who can get at it.
pub(in super::super) type SecretFile = (&'static str, PathBuf, Result<Exposure, String>);

fn check_of(setting: &str) -> Check {
    match setting {
        setting if KEY.contains(&setting) => Check::Key,
        setting if SECRETS.contains(&setting) => Check::SecretFile,
        setting if MEMBERS.contains(&setting) => Check::Members,
        _ => Check::Settings,
    }
}

/// What would keep the node from starting, and what it would warn of.
pub(in super::super) fn settings(problems: &[(String, Problem)], warnings: &[String]) -> Vec<Verdict> {
    let failed = problems.iter().map(|(setting, problem)| {
        let verdict = Verdict::new(
            check_of(setting),
            problem.field.as_str(),
            Grade::Fail,
            problem.finding(),
        );
        verdict.advise(problem.wrong.remedy.as_str())
    });
    let is_new = |warning: &&String| {
        !TOLD_ELSEWHERE
            .iter()
            .any(|beginning| warning.starts_with(beginning))
    };
    let warned = warnings.iter().filter(is_new).map(|line| {
        // As the log has it: the remedy comes last, in quotes.
        match line.split_once(" remedy=\"") {
            Some((what, remedy)) => {
                Verdict::new(Check::Settings, "", Grade::Fair, what).advise(remedy.trim_end_matches('"'))
            }
            None => Verdict::new(Check::Settings, "", Grade::Fair, line.as_str()),
        }
    });
    let mut verdicts: Vec<Verdict> = failed.chain(warned).collect();
    if verdicts.iter().all(|verdict| verdict.check != Check::Settings) {
        verdicts.push(Verdict::new(Check::Settings, "", Grade::Good, "nothing to say"));
    }
    verdicts
}

/// The key, unless a problem with it is told already.
pub(in super::super) fn key(key: &KeyConfig, exposure: Option<&Result<Exposure, String>>) -> Verdict {
    let (address, peer_id) = (key.key.address(), peer_id(&key.key));
    let subject = key.file.as_deref().map(path).unwrap_or_default();
    let verdict = |grade, measured| Verdict::new(Check::Key, subject.as_str(), grade, measured);
    match (&key.file, exposure) {
        (None, _) => verdict(
            Grade::Fair,
            "none: a new one at each start, unknown to all lists".to_owned(),
        )
        .advise("quorate keys new --out node.key, then --key-file node.key"),
        (Some(_), _) if key.is_new => verdict(
            Grade::Fair,
            "not there yet: the node makes it at its first start".to_owned(),
        )
        .advise("read its address in the node's log then, for the members' lists"),
        (Some(_), exposure) => {
            let grade = match exposure {
                Some(Ok(Exposure::GroupCanRead)) => Grade::Fair,
                _ => Grade::Good,
            };
            let whose = if grade == Grade::Fair {
                "its group can read it"
            } else {
                "private"
            };
            verdict(grade, format!("{whose}; address {address}, PeerId {peer_id}"))
                .advise("chmod 600")
                .with("address", address.to_string())
                .with("peer_id", peer_id.to_string())
        }
    }
}

/// The other files with secrets, but for those of which a problem is told already.
pub(in super::super) fn secrets(files: &[SecretFile], problems: &[(String, Problem)]) -> Vec<Verdict> {
    let is_wrong = |setting: &str| problems.iter().any(|(wrong, _)| wrong == setting);
    let others = files
        .iter()
        .filter(|(setting, ..)| *setting != "key-file" && !is_wrong(setting));
    let one = |(setting, file, exposure): &SecretFile| {
        let (grade, measured) = match exposure {
            Ok(Exposure::Private) => (Grade::Good, "private"),
            Ok(Exposure::GroupCanRead) => (Grade::Fair, "its group can read it"),
            Ok(Exposure::Open) => (Grade::Poor, "other users can read or change it"),
            Err(error) => (Grade::Fail, error.as_str()),
        };
        Verdict::new(Check::SecretFile, format!("--{setting}"), grade, measured)
            .advise(format!("chmod 600 {}", path(file)))
            .with("path", path(file))
    };
    others.map(one).collect()
}

/// The members, unless a problem with them is told already.
pub(in super::super) fn members(
    agreement: &AgreementConfig,
    is_sealed: bool,
    key: Option<&KeyConfig>,
) -> Verdict {
    let Some((file, list)) = &agreement.members else {
        if is_sealed {
            let measured = "no list: whoever has the network's secret counts";
            return Verdict::new(Check::Members, "", Grade::Good, measured);
        }
        let measured = "no list: whoever connects counts";
        return Verdict::new(Check::Members, "", Grade::Fair, measured)
            .advise("name the members with --members, unless everybody who can connect is trusted");
    };
    let committee = agreement.committee();
    let (count, required) = (list.iter().count(), committee.required(0));
    let verdict = |grade, measured: String| {
        let verdict = Verdict::new(Check::Members, path(file), grade, measured);
        verdict.with("members", count).with("required", required)
    };
    let me = key.filter(|key| !key.is_new).map(|key| key.key.address());
    match (me, list.iter().find(|member| Some(member.address) == me)) {
        (None, _) if key.is_some() => verdict(
            Grade::Fail,
            "this node's key is not made yet, so that no list can hold it".to_owned(),
        )
        .advise("make it with quorate keys new --out FILE, and list its address"),
        (_, Some(member)) => verdict(
            Grade::Good,
            format!(
                "{count} members, this node is {}; a record takes {required} signatures",
                member.name
            ),
        ),
        _ => verdict(
            Grade::Good,
            format!("{count} members; a record takes {required} signatures"),
        ),
    }
}

fn path(path: &Path) -> String {
    shown(path).trim_matches('"').to_owned()
}

#[cfg(test)]
mod tests {
    use quorate_protocol::NodeKey;

    use super::*;
    use crate::config::{
        problems::{Origin, Shown},
        values::wrong,
    };

    fn problem(field: &str) -> Problem {
        Problem {
            field: format!("--{field}"),
            origin: Origin::Flag,
            value: Shown::Nothing,
            wrong: wrong("/x can be read by other users", "run `chmod 600 /x`"),
        }
    }

    #[test]
    fn a_problem_is_a_failure_of_the_check_that_it_belongs_to() {
        let problems = [
            ("key-file".to_owned(), problem("key-file")),
            ("source".to_owned(), problem("source")),
        ];
        let verdicts = settings(&problems, &[]);
        assert_eq!(verdicts.len(), 2);
        assert_eq!(
            (verdicts[0].check, verdicts[1].check),
            (Check::Key, Check::Settings)
        );
        assert_eq!(verdicts[0].grade, Grade::Fail);
        assert_eq!(verdicts[0].measured, "/x can be read by other users");
        assert_eq!(verdicts[0].remedy.as_deref(), Some("run `chmod 600 /x`"));
    }

    #[test]
    fn a_warning_is_fair_with_its_remedy_and_none_is_good() {
        let warnings = [
            "few: n=1 remedy=\"more\"".to_owned(),
            "key made for this run only: x".to_owned(),
        ];
        let verdicts = settings(&[], &warnings);
        assert_eq!(verdicts.len(), 1, "the other is told by the key");
        assert_eq!(
            (verdicts[0].measured.as_str(), verdicts[0].remedy.as_deref()),
            ("few: n=1", Some("more"))
        );
        assert_eq!(settings(&[], &[])[0].grade, Grade::Good);
    }

    #[test]
    fn who_can_read_a_key_or_a_secret_grades_it() {
        let key_of = |file: Option<&str>, is_new, exposure| {
            let config = KeyConfig {
                key: NodeKey::generate(),
                file: file.map(PathBuf::from),
                is_new,
            };
            key(&config, Some(&Ok(exposure))).grade
        };
        assert_eq!(key_of(Some("k"), false, Exposure::Private), Grade::Good);
        assert_eq!(key_of(Some("k"), false, Exposure::GroupCanRead), Grade::Fair);
        assert_eq!(key_of(Some("k"), true, Exposure::Private), Grade::Fair);
        assert_eq!(key_of(None, true, Exposure::Private), Grade::Fair);
        let files = [
            ("key-file", PathBuf::from("k"), Ok(Exposure::Open)),
            ("database-url-file", PathBuf::from("u"), Ok(Exposure::Open)),
            (
                "database-password-file",
                PathBuf::from("p"),
                Ok(Exposure::Private),
            ),
            ("coingecko-key-file", PathBuf::from("c"), Err("gone".to_owned())),
        ];
        let told = [("coingecko-key-file".to_owned(), problem("coingecko-key-file"))];
        let grades: Vec<Grade> = secrets(&files, &told)
            .iter()
            .map(|verdict| verdict.grade)
            .collect();
        assert_eq!(grades, [Grade::Poor, Grade::Good]);
    }
}
