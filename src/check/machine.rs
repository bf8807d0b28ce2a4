//! What this machine, or this container, gives a process.

use std::{fs, path::Path};

use rustix::process::{Resource, getrlimit};

use super::grade::{Check, Grade, Verdict};

/// All connections that a node holds, and the handshakes beside them.
const DESCRIPTORS: [u64; 3] = [1024, 512, 128];
/// A node takes some 25 MiB, and a moment's burst of messages as much again.
const MEMORY_MIB: [u64; 3] = [64, 40, 25];

const MIB: u64 = 1 << 20;

/// Both.
pub(super) fn checks() -> Vec<Verdict> {
    vec![
        descriptors(getrlimit(Resource::Nofile).current),
        memory(left(Path::new("/"))),
    ]
}

fn down_to(measured: u64, [good, fair, poor]: [u64; 3]) -> Grade {
    match measured {
        measured if measured >= good => Grade::Good,
        measured if measured >= fair => Grade::Fair,
        measured if measured >= poor => Grade::Poor,
        _ => Grade::Fail,
    }
}

/// `None`: there is no limit.
fn descriptors(limit: Option<u64>) -> Verdict {
    let measured = limit.map_or("no limit".to_owned(), |limit| {
        format!("{limit} files and connections")
    });
    let grade = down_to(limit.unwrap_or(u64::MAX), DESCRIPTORS);
    Verdict::new(Check::Descriptors, "", grade, measured).with("limit", limit)
}

/// What is left, and what says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Left {
    bytes: u64,
    of: &'static str,
}

fn memory(left: Option<Left>) -> Verdict {
    let Some(Left { bytes, of }) = left else {
        return Verdict::not_checked(Check::Memory, "", "this system does not tell");
    };
    let mib = bytes / MIB;
    let measured = format!("{mib} MiB left of {of}");
    Verdict::new(Check::Memory, "", down_to(mib, MEMORY_MIB), measured).with("left_bytes", bytes)
}

/// The least of what the machine has and what the control group allows. `root` is `/`.
fn left(root: &Path) -> Option<Left> {
    let machine = fs::read_to_string(root.join("proc/meminfo"))
        .ok()
        .and_then(|text| available(&text));
    let machine = machine.map(|bytes| Left {
        bytes,
        of: "the machine's memory",
    });
    let group = group_left(root).map(|bytes| Left {
        bytes,
        of: "the container's limit",
    });
    [machine, group]
        .into_iter()
        .flatten()
        .min_by_key(|left| left.bytes)
}

/// `MemAvailable:  123456 kB`
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Version 2 of control groups, then version 1; without a limit there is no number.
fn group_left(root: &Path) -> Option<u64> {
    let own = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let path = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap_or_default();
    let number = |file: &Path| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let unified = root.join("sys/fs/cgroup");
    let candidates = [
        (
            unified.join(path).join("memory.max"),
            unified.join(path).join("memory.current"),
        ),
        (unified.join("memory.max"), unified.join("memory.current")),
        (
            unified.join("memory/memory.limit_in_bytes"),
            unified.join("memory/memory.usage_in_bytes"),
        ),
    ];
    candidates.iter().find_map(|(limit, used)| {
        let limit = number(limit)?;
        Some(limit.saturating_sub(number(used).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_scarce_is_graded() {
        let grades = [4096, 1024, 1023, 511, 127].map(|limit| descriptors(Some(limit)).grade);
        assert_eq!(
            grades,
            [Grade::Good, Grade::Good, Grade::Fair, Grade::Poor, Grade::Fail]
        );
        assert_eq!(descriptors(None).grade, Grade::Good);
        let left = |mib: u64| {
            memory(Some(Left {
                bytes: mib * MIB,
                of: "x",
            }))
            .grade
        };
        assert_eq!(
            [left(64), left(63), left(39), left(24)],
            [Grade::Good, Grade::Fair, Grade::Poor, Grade::Fail]
        );
        assert_eq!(memory(None).grade, Grade::NotChecked);
    }

    #[test]
    fn the_tighter_of_machine_and_container_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(left(root.path()), None);
        write("proc/meminfo", "MemTotal:  9 kB\nMemAvailable:    1024 kB\n");
        let machine = Left {
            bytes: MIB,
            of: "the machine's memory",
        };
        assert_eq!(left(root.path()), Some(machine));
        write("proc/self/cgroup", "0::/pod/node\n");
        write("sys/fs/cgroup/pod/node/memory.max", "max\n");
        assert_eq!(left(root.path()), Some(machine), "no limit");
        write("sys/fs/cgroup/pod/node/memory.max", "5000\n");
        write("sys/fs/cgroup/pod/node/memory.current", "1000\n");
        let container = Left {
            bytes: 4000,
            of: "the container's limit",
        };
        assert_eq!(left(root.path()), Some(container));
    }
}
