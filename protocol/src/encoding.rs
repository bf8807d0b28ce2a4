//! How bytes and lists are written: hex for people, CBOR byte strings and bounded lists on the wire.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// Why a text is no `0x…` hex string of the expected length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseHexError {
    /// The text has another length than `0x` and two digits a byte.
    #[error("expected {expected} hex digits after 0x, found {found}")]
    Length {
        /// Digits that the type needs.
        expected: usize,
        /// Digits that the text has.
        found: usize,
    },
    /// The text holds a character that is no hex digit.
    #[error("{0:?} is not a hex digit")]
    Digit(char),
}

/// Reads exactly `N` bytes of hex, with or without the `0x`, in either case.
pub(crate) fn parse_hex<const N: usize>(text: &str) -> Result<[u8; N], ParseHexError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    const_hex::decode_to_array(digits).map_err(|_| match digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        Some(odd) => ParseHexError::Digit(odd),
        None => ParseHexError::Length {
            expected: 2 * N,
            found: digits.len(),
        },
    })
}

/// A newtype over `[u8; N]` that shows as hex, parses from hex and travels as a byte string (in text formats: as hex).
macro_rules! fixed_bytes {
    ($(#[$meta:meta])* $name:ident, $len:expr) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            #[doc = concat!("Wraps ", stringify!($len), " bytes.")]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            #[doc = concat!("The ", stringify!($len), " bytes.")]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "{} bytes", $len)
                    }
                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        bytes.try_into().map($name).map_err(|_| E::invalid_length(bytes.len(), &self))
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Visitor)
                } else {
                    deserializer.deserialize_bytes(Visitor)
                }
            }
        }
    };
}
pub(crate) use fixed_bytes;

/// Shows such a type as `0x` and two lowercase digits a byte, and reads it back. [`crate::Address`] shows itself otherwise.
macro_rules! shown_as_hex {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&const_hex::encode_prefixed(self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::encoding::ParseHexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                crate::encoding::parse_hex(text).map(Self)
            }
        }
    };
}
pub(crate) use shown_as_hex;

/// Reads a list of at most `MAX` items; the first one too many ends the reading, whatever length the sender declared.
pub(crate) fn bounded_list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Bounded<T, const MAX: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Bounded<T, MAX> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut items = Vec::new();
            while let Some(item) = sequence.next_element()? {
                if items.len() == MAX {
                    return Err(A::Error::custom(format_args!("more than {MAX} items")));
                }
                items.push(item);
            }
            Ok(items)
        }
    }

    deserializer.deserialize_seq(Bounded::<T, MAX>(PhantomData))
}
