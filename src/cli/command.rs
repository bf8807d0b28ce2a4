//! What can be run, with its configuration understood.

use quorate_protocol::UnixMillis;

use crate::{
    config::{
        devnet::{self, DevnetConfig},
        evidence::{self, EvidenceConfig},
        key::KeyConfig,
        keys::{self, KeysNewConfig, KeysSecretConfig},
        migrate::{self, MigrateConfig},
        node::{self, NodeConfig},
        prices::{self, PricesConfig},
        reader::Reader,
        setting::Setting,
    },
    exchange::ExchangeArgs,
    keys::Listed,
};

/// What can be run, with its configuration understood.
#[derive(Debug)]
pub(crate) enum Command {
    /// `quorate node`
    Node(Box<NodeConfig>),
    /// `quorate devnet`
    Devnet(Box<DevnetConfig>),
    /// `quorate keys new`
    KeysNew(KeysNewConfig),
    /// `quorate keys show`
    KeysShow(KeyConfig),
    /// `quorate keys members`
    KeysMembers(Vec<Listed>),
    /// `quorate keys secret`
    KeysSecret(KeysSecretConfig),
    /// `quorate migrate`
    Migrate(MigrateConfig),
    /// `quorate prices`
    Prices(PricesConfig),
    /// `quorate evidence`
    Evidence(EvidenceConfig),
    /// `quorate exchange`
    Exchange(ExchangeArgs),
}

/// The commands that have settings, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// `quorate node`
    Node,
    /// `quorate devnet`
    Devnet,
    /// `quorate keys new`
    KeysNew,
    /// `quorate keys show`
    KeysShow,
    /// `quorate keys members`
    KeysMembers,
    /// `quorate keys secret`
    KeysSecret,
    /// `quorate migrate`
    Migrate,
    /// `quorate prices`
    Prices,
    /// `quorate evidence`
    Evidence,
}

impl Name {
    /// All of them, in the order of the help.
    pub(crate) const ALL: [Self; 9] = [
        Self::Node,
        Self::Devnet,
        Self::Prices,
        Self::Evidence,
        Self::Migrate,
        Self::KeysNew,
        Self::KeysShow,
        Self::KeysMembers,
        Self::KeysSecret,
    ];

    /// The words after `quorate`.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["node"],
            Self::Devnet => &["devnet"],
            Self::KeysNew => &["keys", "new"],
            Self::KeysShow => &["keys", "show"],
            Self::KeysMembers => &["keys", "members"],
            Self::KeysSecret => &["keys", "secret"],
            Self::Migrate => &["migrate"],
            Self::Prices => &["prices"],
            Self::Evidence => &["evidence"],
        }
    }

    /// What it can be told, besides what every command can.
    pub(crate) fn settings(self) -> Vec<&'static Setting> {
        match self {
            Self::Node => node::settings(),
            Self::Devnet => devnet::settings(),
            Self::KeysNew => keys::settings_new(),
            Self::KeysShow => keys::settings_show(),
            Self::KeysMembers => keys::settings_members(),
            Self::KeysSecret => keys::settings_secret(),
            Self::Migrate => migrate::settings(),
            Self::Prices => prices::settings(),
            Self::Evidence => evidence::settings(),
        }
    }

    /// Reads its settings.
    pub(crate) fn read(self, reader: &mut Reader<'_>, now: UnixMillis) -> Option<Command> {
        match self {
            Self::Node => node::read(reader).map(Box::new).map(Command::Node),
            Self::Devnet => devnet::read(reader).map(Box::new).map(Command::Devnet),
            Self::KeysNew => keys::read_new(reader).map(Command::KeysNew),
            Self::KeysShow => keys::read_show(reader).map(Command::KeysShow),
            Self::KeysMembers => keys::read_members(reader).map(Command::KeysMembers),
            Self::KeysSecret => keys::read_secret(reader).map(Command::KeysSecret),
            Self::Migrate => migrate::read(reader).map(Command::Migrate),
            Self::Prices => prices::read(reader, now).map(Command::Prices),
            Self::Evidence => evidence::read(reader).map(Command::Evidence),
        }
    }
}
