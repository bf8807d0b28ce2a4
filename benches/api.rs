//! How fast a node's API answers while every window is written: the newest record, and pages of a hundred records anywhere in a long
//! history. The node, two others, the database and the load share this machine.
//!
//! `cargo bench --bench api -- [RECORDS]` (default 1000000; these take two minutes to make). Requests come at a fixed rate,
//! whether the ones before were answered or not, and each one's time counts from the moment at which it was due: a server that
//! stands still makes all of them late.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails")]
#![expect(clippy::float_arithmetic, reason = "for people to read")]

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    time::Duration,
};

use quorate_testkit::{
    port,
    postgres::{self, Database},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, sleep_until, timeout},
};
use tokio_postgres::Client;

const WINDOW: Duration = Duration::from_secs(5);
/// A window's record may come this late and count as in time.
const IN_TIME: Duration = Duration::from_millis(500);
const LASTS: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(10);

/// As large as genuine ones of three signatures and five quotes, one each 31 s, the newest a minute old. Nobody signed them, so the owner
/// puts them in while nothing is verified. The rule that no windows overlap holds for the records after them: its index, which no reader
/// uses, would take five minutes.
const RECORDS: &str = "
    SET session_replication_role = replica;
    ALTER TABLE eth_prices DROP CONSTRAINT eth_prices_one_a_window;
    INSERT INTO eth_prices SELECT
        number, at, at + interval '0.3 s', at + interval '30.3 s', 'ETH/USD', price, substr(sha256('observer'), 1, 20),
        substr(sha256('writer'), 1, 20), CASE number WHEN 1 THEN decode(repeat('00', 32), 'hex') ELSE sha256((number - 1)::text::bytea) END,
        sha256(number::text::bytea), 'bench', evidence, signers, signatures, ARRAY[false, false, false]
    FROM generate_series(1, $count) AS number,
        LATERAL (SELECT date_trunc('second', now()) - interval '1 min' - ($count - number) * interval '31 s' AS at,
            trim_scale(3000 + (number % 9999 + 1) * 0.01) AS price) AS p,
        LATERAL (SELECT string_agg(format('%s %s %s', source, price, (extract(epoch FROM at) * 1000)::bigint), chr(10)
            ORDER BY source COLLATE \"C\") || chr(10) FROM unnest(ARRAY['bitstamp', 'coinbase', 'coingecko', 'gemini', 'kraken']) AS source) AS e (evidence),
        LATERAL (SELECT array_agg(substr(sha256(signer::text::bytea), 1, 20)) AS signers,
            array_agg(sha256((number * signer)::text::bytea) || sha256(signer::text::bytea) || '\\x1b'::bytea) AS signatures
            FROM generate_series(1, 3) AS signer) AS s;
    ALTER TABLE eth_prices ADD CONSTRAINT eth_prices_one_a_window
        EXCLUDE USING gist (feed WITH =, tstzrange(written_at, next_at) WITH &&) WHERE (sequence >= $count);
    ANALYZE eth_prices";

/// What is asked, how often and over how many connections, each from an address of its own: one alone may not ask that often.
struct Load {
    what: &'static str,
    path: fn(u64, u64) -> String,
    rate: u32,
    connections: u8,
}

const LOADS: [Load; 3] = [
    Load {
        what: "latest",
        path: |_, _| "/api/v1/records/latest".to_owned(),
        rate: 5000,
        connections: 100,
    },
    Load {
        what: "the newest 100",
        path: |_, _| "/api/v1/records?limit=100".to_owned(),
        rate: 300,
        connections: 30,
    },
    Load {
        what: "100 anywhere",
        path: |number, records| {
            // Spread over the whole history: a step that is a prime.
            let back = number.wrapping_mul(7_368_787) % records * 31;
            format!("/api/v1/records?limit=100&to={back}s")
        },
        rate: 300,
        connections: 30,
    },
];

/// A simulated exchange and three nodes on this database.
struct Network {
    processes: Vec<Child>,
    /// The API of the first node.
    api: SocketAddr,
}

impl Network {
    fn start(database: &str) -> Self {
        let exchange = port::free();
        let gossip: Vec<u16> = (0..3).map(|_| port::free()).collect();
        let apis: Vec<u16> = (0..3).map(|_| port::free()).collect();
        let run = |arguments: &[String]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
            command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut processes = vec![run(&[
            "exchange".to_owned(),
            format!("--listen=127.0.0.1:{exchange}"),
        ])];
        for node in 0..3 {
            let mut arguments = vec![
                "node".to_owned(),
                "--network=bench".to_owned(),
                "--mdns=false".to_owned(),
                format!("--database-url={database}"),
                format!("--write-interval={}s", WINDOW.as_secs()),
                format!("--listen=/ip4/127.0.0.1/tcp/{}", gossip[node]),
                format!("--api-listen=127.0.0.1:{}", apis[node]),
            ];
            let others = gossip.iter().enumerate().filter(|(other, _)| *other != node);
            arguments.extend(others.map(|(_, port)| format!("--peer=/ip4/127.0.0.1/tcp/{port}")));
            let sources = ["coinbase", "kraken", "bitstamp", "gemini", "coingecko"];
            arguments.extend(sources.map(|source| format!("--source={source}=http://127.0.0.1:{exchange}")));
            processes.push(run(&arguments));
        }
        let api = (Ipv4Addr::LOCALHOST, apis[0]).into();
        Self { processes, api }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// How many records the nodes have written since this one, and how many of them came late.
async fn written_since(client: &Client, sequence: i64) -> (i64, i64) {
    let late = format!(
        "SELECT count(*), count(*) FILTER (WHERE written_at - before > interval '{} ms')
        FROM (SELECT sequence, written_at, lag(written_at) OVER (ORDER BY sequence) AS before
            FROM eth_prices WHERE feed = 'ETH/USD' AND sequence >= {sequence}) AS pairs WHERE sequence > {sequence}",
        (WINDOW + IN_TIME).as_millis()
    );
    let row = client.query_one(&late, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn newest(client: &Client) -> i64 {
    let newest = "SELECT max(sequence) FROM eth_prices WHERE feed = 'ETH/USD'";
    client.query_one(newest, &[]).await.unwrap().get(0)
}

#[tokio::main]
async fn main() {
    let count: u64 = env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(1_000_000);
    let database = Database::migrated(WINDOW).await;
    let owner = postgres::connect(&database.owner).await;
    let begun = Instant::now();
    owner
        .batch_execute(&RECORDS.replace("$count", &count.to_string()))
        .await
        .unwrap();
    println!("{count} records in {:.0} s", begun.elapsed().as_secs_f64());

    let network = Network::start(&database.node.reveal());
    while newest(&owner).await < i64::try_from(count).unwrap() + 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "| asked | a second | answered | errors | median, ms | p99, ms | longest, ms | kB each | records written; late |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for load in &LOADS {
        let (begun, before) = (Instant::now(), newest(&owner).await);
        let answers = load.run(network.api, count).await;
        report(
            load,
            answers,
            begun.elapsed(),
            written_since(&owner, before).await,
        );
    }
}

/// How long an answer took from the moment at which the request was due, and its length; `None` if it was none.
type Answer = Option<(Duration, usize)>;

impl Load {
    async fn run(&self, api: SocketAddr, records: u64) -> Vec<Answer> {
        let begin = Instant::now() + Duration::from_millis(200);
        let period = Duration::from_secs(1) * self.connections.into() / self.rate;
        let each = (0..self.connections).map(|number| {
            let (path, connections) = (self.path, u32::from(self.connections));
            tokio::spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket
                    .bind((Ipv4Addr::new(127, 1, 0, number + 1), 0).into())
                    .unwrap();
                let mut connection = socket.connect(api).await.unwrap();
                connection.set_nodelay(true).unwrap();
                let mut due = begin + period * number.into() / connections;
                let (mut asked, mut answers) = (u64::from(number), vec![]);
                while due < begin + LASTS {
                    sleep_until(due).await;
                    let answer = timeout(PATIENCE, get(&mut connection, &path(asked, records))).await;
                    answers.push(answer.ok().flatten().map(|length| (due.elapsed(), length)));
                    asked += 256;
                    due += period;
                }
                answers
            })
        });
        let tasks: Vec<_> = each.collect();
        let mut answers = vec![];
        for task in tasks {
            answers.extend(task.await.unwrap());
        }
        answers
    }
}

/// Asks, and reads the answer to its end; its length if it is one.
async fn get(connection: &mut TcpStream, path: &str) -> Option<usize> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\n\r\n");
    connection.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::with_capacity(4096);
    loop {
        if connection.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
        if let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            let text = std::str::from_utf8(&answer[..head]).ok()?;
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))?;
            let rest = head + 4 + length.parse::<usize>().ok()? - answer.len();
            let had = answer.len();
            answer.resize(had + rest, 0);
            connection.read_exact(&mut answer[had..]).await.ok()?;
            return answer.starts_with(b"HTTP/1.1 200").then_some(answer.len());
        }
    }
}

fn report(load: &Load, answers: Vec<Answer>, took: Duration, (written, late): (i64, i64)) {
    let errors = answers.iter().filter(|answer| answer.is_none()).count();
    let (mut times, lengths): (Vec<f64>, Vec<usize>) = answers
        .into_iter()
        .flatten()
        .map(|(time, length)| (time.as_secs_f64() * 1000.0, length))
        .unzip();
    times.sort_unstable_by(f64::total_cmp);
    let at = |percent: usize| {
        times
            .get((times.len() * percent / 100).min(times.len() - 1))
            .unwrap()
    };
    println!(
        "| {} | {} | {:.0} | {errors} | {:.1} | {:.1} | {:.1} | {:.1} | {written}; {late} |",
        load.what,
        load.rate,
        times.len() as f64 / took.as_secs_f64(),
        at(50),
        at(99),
        at(100),
        lengths.iter().sum::<usize>() as f64 / lengths.len() as f64 / 1000.0,
    );
}
