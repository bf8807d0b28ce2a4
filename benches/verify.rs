//! What `quorate verify` takes for an archive, against what libsecp256k1 alone takes for its signatures on the same cores: verifying
//! each with its signer's public key, and recovering its signer, which is what a verifier of records has to do.
//!
//! `cargo bench --bench verify -- RECORDS` (default 50000; a year has 1051200). Wall-clock time is worth something on a quiet machine
//! only; CPU time is told too.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up fails")]
#![expect(clippy::float_arithmetic, reason = "for people to read")]

use std::{
    env,
    fs::{self, File},
    io::{self, BufWriter, Write},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use quorate_testkit::{archive, builders::feed, history::Chronicle};
use secp256k1::{
    Message, PublicKey,
    ecdsa::{self, RecoverableSignature, RecoveryId, Signature},
};

const RUNS: usize = 3;

/// The same signature in each form that the library takes.
struct Signed {
    message: Message,
    signature: Signature,
    recoverable: RecoverableSignature,
    key: PublicKey,
}

#[derive(Default, Clone, Copy)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

fn main() {
    let count: usize = env::args()
        .skip(1)
        .find_map(|word| word.parse().ok())
        .unwrap_or(50_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.jsonl.gz");
    let mut signed = Vec::new();
    let records = Chronicle::new(feed(), &[1, 2, 3], 30_000)
        .take(count)
        .map(|record| {
            let message = Message::from_digest(*record.digest.as_bytes());
            for by in &record.signatures {
                // Enough of them: the library takes the same for each.
                if signed.len() < 150_000 {
                    signed.push(read(message, by.signature.as_bytes()));
                }
            }
            archive::object(&record)
        });
    archive::write(BufWriter::new(File::create(&path).unwrap()), records).unwrap();
    let bytes = fs::metadata(&path).unwrap().len();
    let cores = thread::available_parallelism().unwrap().get();
    let mut best = [Taken {
        wall: Duration::MAX,
        cpu: Duration::MAX,
    }; 3];
    for _ in 0..RUNS {
        // In turn, so that what else the machine does meets all alike.
        let scale = (3 * count) as f64 / signed.len() as f64;
        let taken = [
            on_all_cores(cores, &signed, |one| {
                ecdsa::verify(&one.signature, one.message, &one.key).unwrap()
            })
            .times(scale),
            on_all_cores(cores, &signed, |one| {
                one.recoverable.recover_ecdsa(one.message).unwrap();
            })
            .times(scale),
            quorate_verify(path.to_str().unwrap()),
        ];
        for (best, taken) in best.iter_mut().zip(taken) {
            best.wall = best.wall.min(taken.wall);
            best.cpu = best.cpu.min(taken.cpu);
        }
    }
    let [verified, recovered, quorate] = best;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{count} records with 3 signatures, {} bytes each in the archive, {cores} cores, best of {RUNS}",
        bytes / count as u64
    )
    .unwrap();
    for (what, taken) in [
        ("libsecp256k1 verify", verified),
        ("libsecp256k1 recover", recovered),
        ("quorate verify", quorate),
    ] {
        let each = taken.cpu.as_secs_f64() * 1e6 / count as f64;
        writeln!(
            out,
            "{what:20}  {:8.3} s  CPU {:8.3} s, {each:6.1} us a record",
            taken.wall.as_secs_f64(),
            taken.cpu.as_secs_f64()
        )
        .unwrap();
    }
    for (what, bare) in [("verify", verified), ("recover", recovered)] {
        let ratio = |quorate: Duration, bare: Duration| quorate.as_secs_f64() / bare.as_secs_f64();
        writeln!(
            out,
            "quorate / {what:7}  {:.2}  CPU {:.2}",
            ratio(quorate.wall, bare.wall),
            ratio(quorate.cpu, bare.cpu)
        )
        .unwrap();
    }
}

fn read(message: Message, bytes: &[u8; 65]) -> Signed {
    let id = if bytes[64] == 27 {
        RecoveryId::Zero
    } else {
        RecoveryId::One
    };
    let recoverable = RecoverableSignature::from_compact(&bytes[..64], id).unwrap();
    Signed {
        message,
        signature: recoverable.to_standard(),
        recoverable,
        key: recoverable.recover_ecdsa(message).unwrap(),
    }
}

impl Taken {
    fn times(self, scale: f64) -> Self {
        Self {
            wall: self.wall.mul_f64(scale),
            cpu: self.cpu.mul_f64(scale),
        }
    }
}

fn on_all_cores(cores: usize, signed: &[Signed], work: impl Fn(&Signed) + Sync) -> Taken {
    let (begin, before) = (Instant::now(), cpu(13));
    thread::scope(|scope| {
        for part in signed.chunks(signed.len().div_ceil(cores)) {
            let work = &work;
            scope.spawn(move || part.iter().for_each(work));
        }
    });
    Taken {
        wall: begin.elapsed(),
        cpu: cpu(13) - before,
    }
}

fn quorate_verify(path: &str) -> Taken {
    let (begin, before) = (Instant::now(), cpu(15));
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    let status = command
        .env_clear()
        .args(["verify", path])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    Taken {
        wall: begin.elapsed(),
        cpu: cpu(15) - before,
    }
}

/// User and system time: of this process (field 13 and the next of /proc/self/stat, counted from 0), or of the children that have
/// ended (field 15). In hundredths of a second.
fn cpu(field: usize) -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // The name, which may hold blanks, and the number before it are cut off.
    let ticks: u64 = [field, field + 1]
        .iter()
        .map(|nth| fields[nth - 2].parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 10)
}
