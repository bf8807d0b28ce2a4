//! The file of the members' addresses: one a line, `#` begins a comment.

use std::{collections::BTreeMap, fs, path::Path};

use quorate_protocol::Address;

use super::{
    problem::{Shown, Wrong, wrong},
    reader::Reader,
    setting::Setting,
};

/// The addresses in the file that `setting` names; `None` inside: it names none. Every wrong line is reported.
pub(crate) fn read(reader: &mut Reader<'_>, setting: &Setting) -> Option<Option<Vec<Address>>> {
    let Some(path) = reader.path(setting)? else {
        return Some(None);
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => {
            let rule = format!("cannot be read ({error})");
            reader.reject(
                setting,
                wrong(rule, "name a readable file with one address a line"),
            );
            return None;
        }
    };
    match parse(&text) {
        Ok(members) => Some(Some(members)),
        Err(problems) => {
            for (place, problem) in problems {
                reader.reject_as(setting, Shown::Text(place_in(&path, place)), problem);
            }
            None
        }
    }
}

fn place_in(path: &Path, line: Option<usize>) -> String {
    line.map_or(path.display().to_string(), |line| {
        format!("{}:{line}", path.display())
    })
}

/// The addresses, or each wrong line with its number from 1.
fn parse(text: &str) -> Result<Vec<Address>, Vec<(Option<usize>, Wrong)>> {
    let mut first_lines: BTreeMap<Address, usize> = BTreeMap::new();
    let mut problems = Vec::new();
    for (line, text) in text.lines().enumerate().map(|(index, text)| (index + 1, text)) {
        let entry = text.split_once('#').map_or(text, |(entry, _)| entry).trim();
        if entry.is_empty() {
            continue;
        }
        match entry.parse::<Address>() {
            Err(error) => problems.push((
                Some(line),
                wrong(
                    format!("is not an address ({error})"),
                    "write 0x and 40 hex digits",
                ),
            )),
            Ok(address) => {
                if let Some(first) = first_lines.get(&address) {
                    let rule = format!("repeats the address of line {first}");
                    problems.push((Some(line), wrong(rule, "list each member once")));
                } else {
                    first_lines.insert(address, line);
                }
            }
        }
    }
    if first_lines.is_empty() && problems.is_empty() {
        problems.push((
            None,
            wrong(
                "lists no address",
                "list one a line, or leave --members out for an open network",
            ),
        ));
    }
    if problems.is_empty() {
        Ok(first_lines.into_keys().collect())
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    const TWO: &str = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";

    #[test]
    fn one_address_a_line_with_comments() {
        let members = parse(&format!("# ours\n\n{ONE} # node-0\n  {TWO}\r\n")).unwrap();
        assert_eq!(members, [ONE.parse().unwrap(), TWO.parse().unwrap()]);
    }

    #[test]
    fn every_wrong_line_is_reported_with_its_number() {
        let problems = parse(&format!("{ONE}\n0x12\n{}\n", ONE.to_lowercase())).unwrap_err();
        let lines: Vec<_> = problems
            .into_iter()
            .map(|(line, wrong)| (line, wrong.rule))
            .collect();
        assert_eq!(
            lines,
            [
                (
                    Some(2),
                    "is not an address (expected 40 hex digits after 0x, found 2)".to_owned()
                ),
                (Some(3), "repeats the address of line 1".to_owned()),
            ]
        );
    }

    #[test]
    fn a_list_of_nobody_is_no_list() {
        assert_eq!(parse("# nobody yet\n").unwrap_err()[0].1.rule, "lists no address");
    }
}
