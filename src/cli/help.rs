//! What `--help` says of every command: what it does, how to begin, and what to look at next.

use super::command::Name;

/// The texts of one command.
pub(crate) struct Help {
    /// One line, for the list of commands.
    pub(crate) about: &'static str,
    /// What it does.
    pub(crate) long_about: &'static str,
    /// Commands to copy, and where to go from there.
    pub(crate) examples: &'static str,
}

/// Of `quorate` itself.
pub(crate) const ROOT: Help = Help {
    about: "A network of oracle nodes that agree on the price of ETH",
    long_about: "A network of oracle nodes that agree on the price of ETH.\n\n\
        Every node fetches the price, signs it and gossips it; its peers check it against their own view and add their \
        signatures. The first report that is quorate (has enough signatures) is written to a shared Postgres, at most one \
        every write interval. Anyone can check a record later with nothing but the signers' addresses.\n\n\
        Every option can be given as a flag, as a variable (--write-interval is QUORATE_WRITE_INTERVAL), or in a TOML file \
        (write-interval = \"30s\" in the file of --config); the first of these that says something wins.",
    examples: "Begin here:\n  \
        quorate devnet --simulate     a whole network on this machine, without the internet\n  \
        quorate devnet                the same with real prices\n  \
        quorate node --help           what a node of a real network needs\n\n\
        Results go to standard output, logs to standard error. Exit codes: 0 done, 1 failed, 2 wrongly called.",
};

/// Of `quorate exchange`, for the list of commands.
pub(crate) const EXCHANGE_ABOUT: &str = "Run the simulated exchange";

/// Of `quorate keys`.
pub(crate) const KEYS: Help = Help {
    about: "Make or show keys and secrets",
    long_about: "Makes or shows a node's key, a list of members, or the secret of a sealed network.\n\n\
        One secp256k1 key is the node: it signs prices, its Ethereum address is the node's name in --members and in the \
        records, and its PeerId is the node's name in the peer-to-peer network.",
    examples: "Examples:\n  quorate keys new --out node.key\n  quorate keys show --key-file node.key\n  \
        quorate keys members node-*.key > members.toml\n  quorate keys secret --out network.secret",
};

/// Of a command that has settings.
pub(crate) fn of(name: Name) -> Help {
    match name {
        Name::Node => NODE,
        Name::Devnet => DEVNET,
        Name::KeysNew => KEYS_NEW,
        Name::KeysShow => KEYS_SHOW,
        Name::KeysMembers => KEYS_MEMBERS,
        Name::KeysSecret => KEYS_SECRET,
        Name::Migrate => MIGRATE,
        Name::Prices => PRICES,
        Name::Evidence => EVIDENCE,
    }
}

const NODE: Help = Help {
    about: "Run one node",
    long_about: "Runs one node: fetches prices, signs them, gossips them, signs those of its peers that it can vouch for, and \
        writes what is quorate to the database.\n\n\
        It needs a database that `quorate migrate` has prepared. It finds peers by mDNS in the local network, by address \
        (--peer), and by DNS (--dns-peers). Without --members anybody's signature counts: name the members wherever others \
        can connect.",
    examples: "Examples:\n  \
        A node of a trusted local network, with a key for this run:\n    \
        quorate node --database-url-file db-url\n\n  \
        A node of a closed network:\n    \
        quorate keys new --out node.key\n    \
        quorate node --network mainnet --key-file node.key --members members.toml \\\n        \
        --peer /dns4/node-1.example/tcp/5000 --database-url-file db-url\n\n  \
        All of it in a file:\n    \
        quorate node --config quorate.toml\n\n\
        Look at next:\n  \
        http://127.0.0.1:8080/api/v1/status  what it does\n  \
        http://127.0.0.1:8080/readyz         what it still waits for\n  \
        quorate prices                       what has been written",
};

const DEVNET: Help = Help {
    about: "Run a whole network on this machine",
    long_about: "Runs a whole network on this machine: a private Postgres, and nodes that are processes of their own and find \
        each other by mDNS; with --simulate also an exchange, so that no internet is needed.\n\n\
        It prints where every API and psql are, then a line for every record. Ctrl-C ends all of it and \
        leaves nothing behind, but the logs if --log-dir is given.",
    examples: "Examples:\n  \
        quorate devnet --simulate\n  \
        quorate devnet --simulate --nodes 10 --quorum-fraction 2/3 --write-interval 5s\n  \
        quorate devnet --source coinbase --source kraken --log-dir ./logs\n\n\
        Look at next: the APIs that it names, and SELECT * FROM eth_prices ORDER BY timestamp DESC in the psql that it \
        names.",
};

const KEYS_NEW: Help = Help {
    about: "Make a new key",
    long_about: "Makes a new secp256k1 key from the system's randomness and writes it to a new file that only you can read. \
        Prints the address and the PeerId that belong to it, never the key.\n\n\
        A keystore's password comes from --key-password-file, from the variable QUORATE_KEY_PASSWORD, or from you: at a \
        terminal it is asked for twice and not shown. Its encryption is light (scrypt with n = 8192): make it a long random one.",
    examples: "Examples:\n  \
        quorate keys new --out node.key\n  \
        quorate keys new --out node.json --format keystore\n  \
        openssl rand -hex 32 > password && quorate keys new --out node.json --format keystore --key-password-file password\n\n\
        Look at next: add the address to the file of --members on every node, and start with quorate node --key-file.",
};

const KEYS_SHOW: Help = Help {
    about: "Show the address and PeerId of a key",
    long_about: "Shows the Ethereum address (for --members and --validator) and the libp2p PeerId (for the end of --peer) of \
        the key in a file. The key itself is never shown.",
    examples: "Examples:\n  \
        quorate keys show --key-file node.key\n  \
        quorate keys show --key-file node.json --key-password-file password",
};

const KEYS_MEMBERS: Help = Help {
    about: "Print a file of members",
    long_about: "Prints what --members reads: a table for each key file or address, with the file's name as the member's name. Of \
        a keystore the address that it names is taken, or that in the file KEYSTORE.address; with a password it is opened.",
    examples: "Examples:\n  \
        quorate keys members node-1.key node-2.json 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf > members.toml\n\n\
        Look at next: give the file to every node with --members. A change of it is noticed while they run.",
};

const KEYS_SECRET: Help = Help {
    about: "Make the secret of a sealed network",
    long_about: "Makes 32 random bytes, written as hex to a new file that only you can read, and prints the key id that messages \
        sealed with it carry. Bring the file to every node that shall read and write messages.\n\n\
        To change the secret: add the new one as second line everywhere, then make it the first, then drop the old one. Nodes \
        notice within two seconds, and no message is lost.",
    examples: "Examples:\n  \
        quorate keys secret --out network.secret --network mainnet\n  \
        quorate keys secret --out new.secret && cat new.secret >> network.secret\n\n\
        Look at next: start nodes with --network-secret-file network.secret.",
};

const MIGRATE: Help = Help {
    about: "Bring a database to the schema, as its owner",
    long_about: "Brings a database to the schema: tables, views, the write interval, the least number of signatures and the \
        members that the database itself holds every node to, and the role quorate_node, which can only read and add \
        records.\n\n\
        The database verifies every signature by itself. With --members it also refuses signatures of anybody else; a member \
        that is left out of a new list still counts for what was observed before, for one write interval.\n\n\
        Run it as the owner of the database, before the nodes and after every upgrade. It can run any number of times, and \
        from several places at once.",
    examples: "Examples:\n  \
        quorate migrate --database-url-file owner-url --node-password-file node-password\n  \
        quorate migrate --database-url-file owner-url --write-interval 10s --min-signatures 5\n  \
        quorate migrate --database-url-file owner-url --members members.toml --min-validators 2\n\n\
        Look at next: start nodes with a URL like postgres://quorate_node:PASSWORD@HOST/DATABASE.",
};

const EVIDENCE: Help = Help {
    about: "Show the proofs against nodes that signed two statements for one window",
    long_about: "Shows the newest proofs of equivocation: an observer that has signed two different statements for one window, \
        with both prices and both digests. Each proof holds everything that is needed to check it, and is verified here before \
        it is shown, whatever the database says: the last column is `verified`, or what is wrong with it. Fails if one does \
        not hold. As a table for people, as JSON with quotes and signatures, or as CSV.",
    examples: "Examples:\n  \
        quorate evidence --database-url-file db-url\n  \
        quorate evidence --observer 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed --output json > proofs.json\n\n\
        Look at next: take the node out of the members' file of every node, and out of the database's with quorate migrate \
        --members.",
};

const PRICES: Help = Help {
    about: "Show the records that were written",
    long_about: "Shows the newest records: when each was written and observed, the price, who signed, who wrote, and the digest \
        that was signed. As a table for people, as JSON with all signatures, or as CSV.",
    examples: "Examples:\n  \
        quorate prices --database-url-file db-url\n  \
        quorate prices --feed ETH/USD --from 24h --limit 1000 --output csv > day.csv\n  \
        quorate prices --from 2026-01-31 --to 2026-02-01 --output json",
};
