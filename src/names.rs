//! Members' names beside their addresses, wherever text for people holds one: each line of the log, the reasons and warnings of
//! the API. Here alone it is decided how that looks: `0x19eF4eA6(alice)`.

use std::{borrow::Cow, collections::BTreeMap};

use crate::config::members::Names;

/// Digits of an address, and of its beginning that tells nodes apart in a line.
const DIGITS: [usize; 2] = [40, 8];

/// The names, by the texts under which their addresses appear.
#[derive(Debug, Clone)]
pub(crate) struct Named(BTreeMap<String, String>);

impl Named {
    /// Nobody has a name.
    pub(crate) const fn none() -> Self {
        Self(BTreeMap::new())
    }

    pub(crate) fn new(names: &Names) -> Self {
        let texts = names.iter().flat_map(|(address, name)| {
            [address.to_string(), address.short()].map(|text| (text, name.clone()))
        });
        Self(texts.collect())
    }

    /// The text with a name behind each address that has one.
    pub(crate) fn in_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if self.0.is_empty() {
            return Cow::Borrowed(text);
        }
        let (mut named, mut shown_to) = (String::new(), 0);
        for (begin, _) in text.match_indices("0x") {
            let digits = text[begin + 2..]
                .bytes()
                .take_while(u8::is_ascii_alphanumeric)
                .count();
            let end = begin + 2 + digits;
            let stands_alone = !text[..begin].ends_with(|c: char| c.is_ascii_alphanumeric());
            if DIGITS.contains(&digits)
                && stands_alone
                && let Some(name) = self.0.get(&text[begin..end])
            {
                named.push_str(&text[shown_to..end]);
                named.push_str(&format!("({name})"));
                shown_to = end;
            }
        }
        if shown_to == 0 {
            return Cow::Borrowed(text);
        }
        named.push_str(&text[shown_to..]);
        Cow::Owned(named)
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::Address;

    use super::*;

    #[test]
    fn a_members_name_stands_behind_its_address_whole_or_cut_and_nobody_elses() {
        let (alice, bob) = (Address::new([0xab; 20]), Address::new([0x11; 20]));
        let names = Named::new(&[(alice, "alice".to_owned())].into());
        let (whole, short) = (alice.to_string(), alice.short());
        for (text, shown) in [
            (
                format!("by={short} age_ms=3"),
                format!("by={short}(alice) age_ms=3"),
            ),
            (
                format!("signers={whole},{bob}"),
                format!("signers={whole}(alice),{bob}"),
            ),
            (
                format!("reason=\"the clock of {whole} is off\""),
                format!("reason=\"the clock of {whole}(alice) is off\""),
            ),
            (format!("digest={whole}{whole}"), format!("digest={whole}{whole}")),
            (format!("0{short} 0x {short}a"), format!("0{short} 0x {short}a")),
        ] {
            assert_eq!(names.in_text(&text), shown);
            assert_eq!(Named::none().in_text(&text), text);
        }
    }
}
