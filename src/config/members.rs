//! The members file: a TOML table `[[member]]` for each, with `address`, `name`, and if wanted `endpoint` and `validator`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use libp2p::Multiaddr;
use quorate_protocol::{Address, Committee, MAX_ATTESTATIONS, Members, QuorumRule};
use serde::{Deserialize, de::IgnoredAny};
use toml::Value;

use super::{
    problems::{Problems, Shown, did_you_mean},
    values::{Wrong, peer_multiaddr, wrong},
};

/// A file of a thousand members is a tenth of this.
const MAX_BYTES: u64 = 1 << 20;

/// What members are called.
pub(crate) type Names = BTreeMap<Address, String>;

/// One member as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its address.
    pub(crate) address: Address,
    /// What its operator calls it.
    pub(crate) name: String,
    /// Where it can be dialled.
    pub(crate) endpoint: Option<Multiaddr>,
    /// Whether it is a validator.
    pub(crate) validator: bool,
}

/// Every member, in the file's order; addresses and names are distinct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberList(Vec<Listed>);

/// Something wrong with the file, and where: a line, a member, or the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    place: Option<String>,
    wrong: Wrong,
}

impl Misfit {
    fn of_file(wrong: Wrong) -> Self {
        Self { place: None, wrong }
    }

    /// For a log: `member 3: …: …`.
    pub(crate) fn in_words(&self) -> String {
        let place = self
            .place
            .as_ref()
            .map_or(String::new(), |place| format!("{place} "));
        format!("{place}{}: {}", self.wrong.rule, self.wrong.remedy)
    }
}

impl MemberList {
    /// Each member.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Listed> {
        self.0.iter()
    }

    /// What the members are called.
    pub(crate) fn names(&self) -> Names {
        self.0
            .iter()
            .map(|member| (member.address, member.name.clone()))
            .collect()
    }

    /// Where members can be dialled, `me` left out.
    pub(crate) fn endpoints(&self, me: Address) -> Vec<Multiaddr> {
        let others = self.0.iter().filter(|member| member.address != me);
        others.filter_map(|member| member.endpoint.clone()).collect()
    }

    /// The members and the rule, to which the list adds its validators.
    pub(crate) fn committee(&self, rule: &QuorumRule) -> Committee {
        let mut rule = rule.clone();
        rule.validators.extend(
            self.0
                .iter()
                .filter(|member| member.validator)
                .map(|member| member.address),
        );
        let members = self.0.iter().map(|member| member.address).collect();
        Committee {
            members: Members::Closed(members),
            rule,
        }
    }
}

/// The list in the file that `--members` names. All that is wrong is reported.
pub(crate) fn read(path: &Path, problems: &mut Problems) -> Option<MemberList> {
    let misfits = match load(path) {
        Ok(list) => return Some(list),
        Err(misfits) => misfits,
    };
    for Misfit { place, wrong } in misfits {
        let place = place.map_or(String::new(), |place| format!(": {place}"));
        problems.reject_as(
            "members",
            Shown::Text(format!("{}{place}", path.display())),
            wrong,
        );
    }
    None
}

/// Reads and parses the file.
pub(crate) fn load(path: &Path) -> Result<MemberList, Vec<Misfit>> {
    let unreadable = |error: std::io::Error| {
        let rule = format!("cannot be read ({error})");
        vec![Misfit::of_file(wrong(rule, "name a readable file of members"))]
    };
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_BYTES {
        let rule = format!("has {size} bytes, more than {MAX_BYTES}");
        return Err(vec![Misfit::of_file(wrong(rule, "name a file of members"))]);
    }
    parse(&fs::read_to_string(path).map_err(unreadable)?)
}

/// The members that a file's text lists, or everything that is wrong with it.
pub(crate) fn parse(text: &str) -> Result<MemberList, Vec<Misfit>> {
    let listing: Listing = toml::from_str(text).map_err(|error| vec![syntax_misfit(text, &error)])?;
    let mut misfits: Vec<Misfit> = (listing.unknown.keys())
        .map(|key| {
            let rule = format!("has the unknown key {key}");
            Misfit::of_file(wrong(rule, "write a [[member]] table for each member"))
        })
        .collect();
    let entries = match listing.member {
        Some(Field::Right(entries)) => entries,
        Some(Field::Other(_)) | None => Vec::new(),
    };
    if entries.is_empty() {
        misfits.push(Misfit::of_file(wrong(
            "lists no member",
            "write a [[member]] table for each, or leave --members out for an open network",
        )));
    }
    let mut members = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        let (member, wrongs) = match entry {
            Field::Right(entry) => entry.understood(),
            Field::Other(_) => {
                let wrong = wrong("is no table", "write a [[member]] table for each member");
                (None, vec![wrong])
            }
        };
        let place = format!("member {}", index + 1);
        misfits.extend(wrongs.into_iter().map(|wrong| Misfit {
            place: Some(place.clone()),
            wrong,
        }));
        members.extend(member.map(|member| (index + 1, member)));
    }
    misfits.extend(repetitions(&members));
    if misfits.is_empty() {
        Ok(MemberList(
            members.into_iter().map(|(_, member)| member).collect(),
        ))
    } else {
        Err(misfits)
    }
}

fn syntax_misfit(text: &str, error: &toml::de::Error) -> Misfit {
    let place = error.span().map(|span| {
        let line = text
            .get(..span.start)
            .map_or(1, |before| before.matches('\n').count() + 1);
        format!("line {line}")
    });
    let rule = format!("is no TOML ({})", error.message());
    Misfit {
        place,
        wrong: wrong(
            rule,
            "write [[member]] tables, like `quorate keys members` prints",
        ),
    }
}

/// The file as it is written. What does not fit is kept, so that all of it can be told at once.
#[derive(Deserialize)]
struct Listing {
    member: Option<Field<Vec<Field<Entry>>>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// A value of the type that belongs there, or another.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field<T> {
    Right(T),
    Other(Value),
}

#[derive(Deserialize)]
struct Entry {
    address: Option<Field<String>>,
    name: Option<Field<String>>,
    endpoint: Option<Field<String>>,
    validator: Option<Field<bool>>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

impl Entry {
    /// The member, as far as it can be read, and what is wrong with it.
    fn understood(self) -> (Option<Listed>, Vec<Wrong>) {
        let mut wrongs: Vec<Wrong> = self.unknown.keys().map(|key| unknown_key(key)).collect();
        let mut text = |key: &str, field: Option<Field<String>>, missing: Option<&str>| match (field, missing)
        {
            (Some(Field::Right(text)), _) => Some(text),
            (Some(Field::Other(_)), _) => {
                let rule = format!("has a {key} that is no string");
                wrongs.push(wrong(rule, "write it in quotes"));
                None
            }
            (None, missing) => {
                wrongs.extend(missing.map(|remedy| wrong(format!("has no {key}"), remedy)));
                None
            }
        };
        let address = text("address", self.address, Some("write address = \"0x…\""));
        let name = text(
            "name",
            self.name,
            Some("write name = \"node-1\", or what you call it"),
        );
        let endpoint = text("endpoint", self.endpoint, None);
        let mut right = |wrong: Wrong| wrongs.push(wrong);
        let validator = match self.validator {
            None => false,
            Some(Field::Right(validator)) => validator,
            Some(Field::Other(other)) => {
                right(wrong(format!("has validator = {other}"), "write true or false"));
                false
            }
        };
        let address = address.and_then(|text| understood_address(&text).map_err(&mut right).ok());
        let name = name.and_then(|text| understood_name(text).map_err(&mut right).ok());
        let endpoint = endpoint.and_then(|text| understood_endpoint(&text).map_err(&mut right).ok());
        let listed = address.zip(name).map(|(address, name)| Listed {
            address,
            name,
            endpoint,
            validator,
        });
        (listed, wrongs)
    }
}

fn unknown_key(key: &str) -> Wrong {
    const KEYS: [&str; 4] = ["address", "name", "endpoint", "validator"];
    let remedy = match did_you_mean(key, &KEYS) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("a member has {}", KEYS.join(", ")),
    };
    wrong(format!("has the unknown key {key}"), remedy)
}

fn understood_address(text: &str) -> Result<Address, Wrong> {
    text.parse().map_err(|error| {
        let rule = format!("has the address {text:?}: {error}");
        wrong(rule, "write 0x and 40 hex digits")
    })
}

fn understood_name(name: String) -> Result<String, Wrong> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=32).contains(&name.len()) && name.chars().all(fits) {
        return Ok(name);
    }
    let rule = format!("has the name {name:?}");
    Err(wrong(rule, "write 1 to 32 of A-Z, a-z, 0-9, -, _ and ."))
}

fn understood_endpoint(text: &str) -> Result<Multiaddr, Wrong> {
    peer_multiaddr(text)
        .map_err(|Wrong { rule, remedy }| wrong(format!("has the endpoint {text:?}, which {rule}"), remedy))
}

/// Addresses and names that stand twice.
fn repetitions(members: &[(usize, Listed)]) -> Vec<Misfit> {
    let (mut addresses, mut names) = (BTreeMap::new(), BTreeMap::new());
    let mut misfits = Vec::new();
    for (number, member) in members {
        let mut note = |first: Option<usize>, what: &str| {
            if let Some(first) = first {
                let rule = format!("repeats the {what} of member {first}");
                let place = Some(format!("member {number}"));
                misfits.push(Misfit {
                    place,
                    wrong: wrong(rule, "list each member once"),
                });
            }
        };
        note(addresses.insert(member.address, *number), "address");
        note(names.insert(member.name.as_str(), *number), "name");
    }
    misfits
}

/// Why this committee cannot do: nothing could ever be quorate, or a validator is no member.
pub(crate) fn check(committee: &Committee) -> Result<(), String> {
    committee.check().map_err(|error| error.to_string())?;
    let required = committee.required(0);
    if committee.members != Members::Open && required > MAX_ATTESTATIONS {
        return Err(format!(
            "{required} signatures are required, and a message carries at most {MAX_ATTESTATIONS}"
        ));
    }
    let strangers: BTreeSet<String> = (committee.rule.validators.iter())
        .filter(|validator| !committee.members.admit(validator))
        .map(ToString::to_string)
        .collect();
    match strangers.first() {
        Some(stranger) => Err(format!("the validator {stranger} is no member")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const TWO: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";

    fn words(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(Misfit::in_words).collect()
    }

    #[test]
    fn a_member_has_an_address_and_a_name_and_may_have_more() {
        let list = parse(&format!(
            "# ours\n[[member]]\nname = \"node-1\"\naddress = \"{ONE}\"\n\n[[member]]\nname = \"node-2\"\naddress = \"{TWO}\"\n\
             endpoint = \"/dns4/node-2.example/tcp/5000\"\nvalidator = true\n"
        ))
        .unwrap();
        let (one, two): (Address, Address) = (ONE.parse().unwrap(), TWO.parse().unwrap());
        assert_eq!(
            list.names(),
            [(one, "node-1".to_owned()), (two, "node-2".to_owned())].into()
        );
        assert_eq!(
            list.endpoints(one),
            ["/dns4/node-2.example/tcp/5000".parse().unwrap()]
        );
        assert_eq!(list.endpoints(two), [], "it does not dial itself");
        let committee = list.committee(&QuorumRule::at_least(2));
        assert_eq!(committee.members, Members::Closed([one, two].into()));
        assert_eq!(committee.rule.validators, [two].into());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_place_and_remedy() {
        let text = format!(
            "[[member]]\nname = \"a b\"\naddress = \"0x12\"\n[[member]]\nadress = \"{ONE}\"\nname = \"x\"\n\
             [[member]]\naddress = \"{ONE}\"\nname = \"y\"\nendpoint = \"node:5000\"\nvalidator = \"yes\"\n\
             [[member]]\naddress = \"{ONE}\"\nname = \"y\"\n"
        );
        assert_eq!(
            words(&text),
            [
                "member 1 has the address \"0x12\": expected 40 hex digits after 0x, found 2: write 0x and 40 hex digits",
                "member 1 has the name \"a b\": write 1 to 32 of A-Z, a-z, 0-9, -, _ and .",
                "member 2 has the unknown key adress: did you mean address?",
                "member 2 has no address: write address = \"0x…\"",
                "member 3 has validator = \"yes\": write true or false",
                "member 3 has the endpoint \"node:5000\", which is not a multiaddress: write one like \
                 /dns4/node-1.example/tcp/5000 or /ip4/10.0.0.7/tcp/5000/p2p/PEER_ID",
                "member 4 repeats the address of member 3: list each member once",
                "member 4 repeats the name of member 3: list each member once",
            ]
        );
    }

    #[test]
    fn what_is_no_list_of_members_is_told_so() {
        for nobody in ["", "# nobody yet\n", "member = 3"] {
            assert!(
                words(nobody)[0].starts_with("lists no member"),
                "{:?}",
                words(nobody)
            );
        }
        let told = words(&format!("{ONE}\n{TWO}\n"));
        assert!(told[0].starts_with("line 1 is no TOML"), "{told:?}");
        assert!(words("[members]\n")[0].starts_with("has the unknown key members"));
    }

    #[test]
    fn a_committee_that_can_do_nothing_is_told_with_both_numbers() {
        let list = parse(&format!("[[member]]\nname = \"a\"\naddress = \"{ONE}\"\n")).unwrap();
        assert_eq!(check(&list.committee(&QuorumRule::at_least(1))), Ok(()));
        let few = check(&list.committee(&QuorumRule::at_least(3)));
        assert_eq!(few, Err("3 signatures are required of 1 members".to_owned()));
        let mut rule = QuorumRule::at_least(1);
        rule.validators.insert(TWO.parse().unwrap());
        assert_eq!(
            check(&list.committee(&rule)),
            Err(format!("the validator {TWO} is no member"))
        );
    }
}
