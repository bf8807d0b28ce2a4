//! Reports: an observation and who signed it, from unverified to certificate. Each step can only be made by its check.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    address::Address,
    committee::Committee,
    digest::Digest,
    encoding::bounded_list,
    names::Network,
    observation::Observation,
    signing::{Attestation, NodeKey, Signature, VerifyError},
};

/// Most attestations that a report may carry: bounds the work that one message can cause (about 5 ms of recoveries).
pub const MAX_ATTESTATIONS: usize = 128;

/// An observation with claimed attestations, as it came from the network. Proves nothing yet.
///
/// On the wire: the array `[observation, [attestation, …]]`, attestations in ascending order of signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    observation: Observation,
    attestations: Vec<Attestation>,
}

impl Report {
    /// What is reported.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The claimed attestations, in ascending order of signers, the observer's among them.
    pub fn attestations(&self) -> &[Attestation] {
        &self.attestations
    }

    /// Whether `signer` claims to have signed.
    pub fn claims(&self, signer: &Address) -> bool {
        self.attestations
            .binary_search_by_key(signer, |attestation| attestation.signer)
            .is_ok()
    }

    /// Checks every attestation that `is_known` does not vouch for by recovering its signer (about 40 µs each).
    ///
    /// `is_known` must say yes only to attestations that were verified before for this very digest.
    pub fn verify(
        self,
        network: &Network,
        is_known: impl FnMut(Digest, &Attestation) -> bool,
    ) -> Result<VerifiedReport, VerifyError> {
        let digest = self.observation.digest(network);
        self.verify_with(digest, is_known)
    }

    /// The same, with the digest of the observation at hand.
    pub(crate) fn verify_with(
        self,
        digest: Digest,
        mut is_known: impl FnMut(Digest, &Attestation) -> bool,
    ) -> Result<VerifiedReport, VerifyError> {
        for attestation in self
            .attestations
            .iter()
            .filter(|attestation| !is_known(digest, attestation))
        {
            attestation.verify(digest)?;
        }
        let signatures = self
            .attestations
            .iter()
            .map(|a| (a.signer, a.signature))
            .collect();
        Ok(VerifiedReport {
            observation: self.observation,
            digest,
            signatures,
        })
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.observation, &self.attestations).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Report {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Attestations(
            #[serde(deserialize_with = "bounded_list::<_, _, MAX_ATTESTATIONS>")] Vec<Attestation>,
        );

        let (observation, Attestations(attestations)) =
            <(Observation, Attestations)>::deserialize(deserializer)?;
        if !attestations.is_sorted_by(|a, b| a.signer < b.signer) {
            return Err(D::Error::custom(
                "the signers are not sorted, or one stands twice",
            ));
        }
        let report = Self {
            observation,
            attestations,
        };
        if !report.claims(&report.observation.observer()) {
            return Err(D::Error::custom(
                "the observer has not signed its own observation",
            ));
        }
        Ok(report)
    }
}

/// A report whose every signature recovers to its signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReport {
    observation: Observation,
    digest: Digest,
    signatures: BTreeMap<Address, Signature>,
}

impl VerifiedReport {
    /// A report of one's own observation: signs it. The caller's key must be the observer's.
    pub fn sign_own(observation: Observation, network: &Network, key: &NodeKey) -> Result<Self, VerifyError> {
        let digest = observation.digest(network);
        let (claimed, recovered) = (observation.observer(), key.address());
        if claimed != recovered {
            return Err(VerifyError::OtherSigner { claimed, recovered });
        }
        Ok(Self::signed(observation, digest, key))
    }

    /// The same, with the digest of the observation at hand.
    pub(crate) fn signed(observation: Observation, digest: Digest, key: &NodeKey) -> Self {
        Self {
            observation,
            digest,
            signatures: BTreeMap::from([(key.address(), key.sign(digest))]),
        }
    }

    /// The same with this node's own signature added, unless it carries as many as it may.
    pub fn cosigned_by(mut self, key: &NodeKey) -> Self {
        self.insert(key.address(), key.sign(self.digest));
        self
    }

    /// What is reported.
    pub fn observation(&self) -> &Observation {
        &self.observation
    }

    /// The digest that was signed.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who signed, and how; the observer is always among them.
    pub fn signatures(&self) -> &BTreeMap<Address, Signature> {
        &self.signatures
    }

    /// Adds an attestation after checking it; `false` if it was known already.
    pub fn add(&mut self, attestation: Attestation) -> Result<bool, VerifyError> {
        if self.signatures.contains_key(&attestation.signer) {
            return Ok(false);
        }
        attestation.verify(self.digest)?;
        Ok(self.insert(attestation.signer, attestation.signature))
    }

    /// Takes over the signatures of another report of the same observation; whether there was a new one.
    pub fn merge(&mut self, other: &Self) -> bool {
        if other.digest != self.digest {
            return false;
        }
        let before = self.signatures.len();
        for (signer, signature) in &other.signatures {
            self.insert(*signer, *signature);
        }
        self.signatures.len() > before
    }

    /// Keeps the number of signatures below what a message can carry.
    fn insert(&mut self, signer: Address, signature: Signature) -> bool {
        if self.signatures.len() >= MAX_ATTESTATIONS || self.signatures.contains_key(&signer) {
            return false;
        }
        self.signatures.insert(signer, signature);
        true
    }

    /// The certificate, if these signatures are a quorum of this committee; `live` nodes count in an open network.
    pub fn certify(&self, committee: &Committee, live: usize) -> Option<Certificate> {
        committee
            .is_quorum(self.signatures.keys(), live)
            .then(|| Certificate(self.clone()))
    }

    /// The same with the observer's signature only.
    pub(crate) fn by_its_observer(&self) -> Self {
        let observer = self.observation.observer();
        let signatures = self.signatures.iter().filter(|(signer, _)| **signer == observer);
        Self {
            observation: self.observation.clone(),
            digest: self.digest,
            signatures: signatures
                .map(|(signer, signature)| (*signer, *signature))
                .collect(),
        }
    }

    /// As it travels.
    pub fn to_report(&self) -> Report {
        let attestations = self
            .signatures
            .iter()
            .map(|(&signer, &signature)| Attestation { signer, signature })
            .collect();
        Report {
            observation: self.observation.clone(),
            attestations,
        }
    }
}

/// A verified report with a quorum of signatures: what may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(VerifiedReport);

impl Certificate {
    /// The report that is certified.
    pub fn report(&self) -> &VerifiedReport {
        &self.0
    }

    /// The digest that was signed.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }
}
