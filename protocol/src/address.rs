//! Ethereum addresses: how nodes are named.

use std::{fmt, str::FromStr};

use secp256k1::PublicKey;

use crate::{
    digest::keccak256,
    encoding::{ParseHexError, fixed_bytes, parse_hex},
};

fixed_bytes!(
    /// A node's name: the last 20 bytes of the Keccak-256 of its uncompressed public key, shown with the EIP-55 checksum.
    Address, 20
);

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// It is no hex string of 20 bytes.
    #[error(transparent)]
    Hex(#[from] ParseHexError),
    /// Upper and lower case are mixed, but not as EIP-55 has them: most likely a typing error.
    #[error("its letter case does not match the EIP-55 checksum: did you mean {0}?")]
    Checksum(Address),
}

impl Address {
    /// The address of a public key.
    pub fn from_public_key(key: &PublicKey) -> Self {
        let hash = keccak256([&key.serialize_uncompressed()[1..]]);
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&hash.as_bytes()[12..]);
        Self(bytes)
    }

    /// The first four bytes, enough to tell nodes apart in a log line.
    pub fn short(&self) -> String {
        self.to_string()[..10].to_owned()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = const_hex::encode_prefixed(self.0).into_bytes();
        let digits = &mut text[2..];
        let hash = keccak256([digits]);
        for (index, digit) in digits.iter_mut().enumerate() {
            let nibble = hash.as_bytes()[index / 2] >> (4 * (1 - index % 2)) & 0xf;
            if nibble >= 8 {
                digit.make_ascii_uppercase();
            }
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Address {
    type Err = ParseAddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = Self(parse_hex(text)?);
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let one_case = !digits.contains(|c: char| c.is_ascii_uppercase())
            || !digits.contains(|c: char| c.is_ascii_lowercase());
        if one_case || address.to_string()[2..] == *digits {
            Ok(address)
        } else {
            Err(ParseAddressError::Checksum(address))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Examples of EIP-55 itself.
    const EIP55: [&str; 3] = [
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ];

    #[test]
    fn shows_and_checks_the_eip55_checksum() {
        for text in EIP55 {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(address));
        }
        let typo = EIP55[0].replace("aAeb", "AAeb");
        assert!(matches!(
            typo.parse::<Address>(),
            Err(ParseAddressError::Checksum(_))
        ));
        assert!("0x5aae".parse::<Address>().is_err());
    }
}
