//! A whole number within bounds.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use crate::config::problem::{Wrong, wrong};

/// A whole number in plain decimal digits.
pub(crate) fn number<N: FromStr + PartialOrd + Display>(
    range: RangeInclusive<N>,
    text: &str,
) -> Result<N, Wrong> {
    let (least, most) = (range.start(), range.end());
    let remedy = || format!("write a number from {least} to {most}");
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong("is not a whole number", remedy()));
    }
    // Digits that do not parse are too many.
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(wrong("is out of range", remedy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_within_bounds() {
        assert_eq!(number(1..=10u8, "10"), Ok(10));
        for text in ["0", "11", "99999999999999999999"] {
            assert_eq!(
                number(1..=10u8, text),
                Err(wrong("is out of range", "write a number from 1 to 10"))
            );
        }
        for text in ["", "-1", "+1", "1.5", "1e1", "three"] {
            assert_eq!(
                number(1..=10u8, text),
                Err(wrong("is not a whole number", "write a number from 1 to 10"))
            );
        }
    }
}
