//! Values that must not be seen, and how they are kept out of logs, errors and listings.

use std::path::Path;

pub(crate) use quorate_store::Secret;

/// Hides what looks like a secret in a text that a user typed in the wrong place: the credentials of a URL, `password=…`,
/// and 64 hex digits, which may be a key.
pub(crate) fn mask(text: &str) -> String {
    text.split_inclusive(char::is_whitespace).map(mask_word).collect()
}

/// A path in quotes, as far as it may be shown: a URL or a key in its place is a slip that happens.
pub(crate) fn shown(path: &Path) -> String {
    format!("{:?}", mask(&path.display().to_string()))
}

fn mask_word(word: &str) -> String {
    mask_hex(&mask_password(&mask_query(&mask_credentials(word))))
}

/// Everything between `://` and the last `@`: a password may itself hold an `@` or a `/`.
fn mask_credentials(word: &str) -> String {
    match (word.find("://"), word.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => format!("{}***{}", &word[..scheme + 3], &word[at..]),
        _ => word.to_owned(),
    }
}

/// What follows the `?` of a web address: people put API keys there.
fn mask_query(word: &str) -> String {
    let scheme = word.find("https://").or_else(|| word.find("http://"));
    match scheme.and_then(|start| word[start..].find(['?', '#']).map(|at| start + at)) {
        Some(at) => format!("{}***", &word[..=at]),
        None => word.to_owned(),
    }
}

fn mask_password(word: &str) -> String {
    const NAME: &str = "password=";
    let Some(start) = word.to_ascii_lowercase().find(NAME).map(|at| at + NAME.len()) else {
        return word.to_owned();
    };
    let end = word[start..]
        .find(|c: char| c == '&' || c.is_whitespace())
        .map_or(word.len(), |length| start + length);
    format!("{}***{}", &word[..start], &word[end..])
}

fn mask_hex(word: &str) -> String {
    /// The digits of a secp256k1 key.
    const KEY_DIGITS: usize = 64;
    let mut masked = String::with_capacity(word.len());
    let mut run = String::new();
    for c in word.chars() {
        if c.is_ascii_hexdigit() {
            run.push(c);
        } else {
            masked.push_str(if run.len() >= KEY_DIGITS { "***" } else { &run });
            run.clear();
            masked.push(c);
        }
    }
    masked.push_str(if run.len() >= KEY_DIGITS { "***" } else { &run });
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_masked_in_any_text() {
        for (text, masked) in [
            ("30s", "30s"),
            (
                "coingecko=https://a.b/c?x_cg_demo_api_key=CG-x",
                "coingecko=https://a.b/c?***",
            ),
            ("kraken=http://a?k,gemini", "kraken=http://a?***"),
            (
                "postgres://quorate:hunter2@db:5432/prices",
                "postgres://***@db:5432/prices",
            ),
            ("at postgres://u:p@ss/w@db now", "at postgres://***@db now"),
            ("postgres://db/prices", "postgres://db/prices"),
            ("host=db password=hunter2 user=q", "host=db password=*** user=q"),
            (
                "postgres://db/x?password=hunter2&sslmode=require",
                "postgres://db/x?password=***&sslmode=require",
            ),
        ] {
            assert_eq!(mask(text), masked);
        }
        assert_eq!(mask(&format!("0x{},", "ab".repeat(32))), "0x***,");
        assert_eq!(
            mask(&format!("x{}", "AB".repeat(20))),
            format!("x{}", "AB".repeat(20))
        );
    }
}
