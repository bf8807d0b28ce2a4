//! Files that may change while a node runs: read again and again, and taken over when they are right.
//!
//! Polled, not subscribed to: a ConfigMap is changed by exchanging a link two folders up, an editor by a new file of the same
//! name, and a file on the network without any event. But rarely: each look wakes two threads.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Between two looks at a file that has not changed.
const EVERY: Duration = Duration::from_secs(5);
/// Between a look that found something new and the next: a change is taken over when two agree, so that no half-written file is. With
/// the time until it is found, that is within some six seconds.
const AGAIN: Duration = Duration::from_secs(1);

/// A file to watch.
pub(crate) struct Watched<T> {
    /// What it is called in the log: `network secret`.
    pub(crate) what: &'static str,
    /// Where it stands; links are followed anew at each look.
    pub(crate) path: PathBuf,
    /// What was read from it at the start.
    pub(crate) current: T,
}

/// Watches a file for as long as the system runs, on the arbiter of the caller. `load` reads and understands it, or says in a
/// line for the log why it does not; `on_change` takes a new value over, or is asked again at the next look if it returns `false`.
/// A file that is wrong, or gone, changes nothing and is said once.
pub(crate) fn watch<T: Clone + PartialEq + Send + 'static>(
    file: Watched<T>,
    load: impl Fn(&Path) -> Result<T, String> + Send + Sync + 'static,
    on_change: impl FnMut(&T) -> bool + 'static,
) {
    actix_rt::spawn(keep_looking(file, load, on_change, EVERY, AGAIN));
}

async fn keep_looking<T: Clone + PartialEq + Send + 'static>(
    Watched { what, path, current }: Watched<T>,
    load: impl Fn(&Path) -> Result<T, String> + Send + Sync + 'static,
    mut on_change: impl FnMut(&T) -> bool,
    every: Duration,
    again: Duration,
) {
    let mut seen = Seen::new(current);
    let look = Arc::new((load, path));
    loop {
        tokio::time::sleep(if seen.is_settled() { every } else { again }).await;
        let once = Arc::clone(&look);
        // On a thread for blocking work: a file on the network may take its time.
        let Ok(found) = tokio::task::spawn_blocking(move || (once.0)(&once.1)).await else {
            continue;
        };
        let path = look.1.display();
        match seen.look(found) {
            News::None => {}
            News::Changed(value) => {
                if on_change(&value) {
                    seen.took(value);
                }
            }
            News::Wrong(reason) => log::error!(
                "{what} file not taken over, the last good one still counts: path={path} reason=\"{reason}\""
            ),
            News::RightAgain => log::info!("{what} file is right again: path={path}"),
        }
    }
}

/// What a look at the file brought.
#[derive(Debug, PartialEq, Eq)]
enum News<T> {
    /// Nothing that anybody has to know now.
    None,
    /// Another value than the one that counts, seen twice.
    Changed(T),
    /// It cannot be used, seen twice, and said for the first time.
    Wrong(String),
    /// It holds the value that counts again, after it could not be used.
    RightAgain,
}

/// What was seen so far. Two looks that agree make a fact.
#[derive(Debug)]
struct Seen<T> {
    current: T,
    last: Option<Result<T, String>>,
    said: Option<String>,
}

impl<T: Clone + PartialEq> Seen<T> {
    fn new(current: T) -> Self {
        Self {
            current,
            last: None,
            said: None,
        }
    }

    /// Whether the last look brought nothing that is still to be told.
    fn is_settled(&self) -> bool {
        match &self.last {
            Some(Ok(value)) => *value == self.current && self.said.is_none(),
            Some(Err(reason)) => self.said.as_ref() == Some(reason),
            None => true,
        }
    }

    fn look(&mut self, found: Result<T, String>) -> News<T> {
        let before = self.last.replace(found.clone());
        if before.as_ref() != Some(&found) {
            return News::None;
        }
        match found {
            Ok(value) if value == self.current => self.said.take().map_or(News::None, |_| News::RightAgain),
            Ok(value) => News::Changed(value),
            Err(reason) if self.said.as_ref() == Some(&reason) => News::None,
            Err(reason) => {
                self.said = Some(reason.clone());
                News::Wrong(reason)
            }
        }
    }

    /// A value was taken over.
    fn took(&mut self, value: T) {
        self.current = value;
        self.said = None;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        sync::mpsc::{Receiver, sync_channel},
    };

    use super::*;

    #[test]
    fn a_change_counts_when_it_is_seen_twice() {
        let mut seen = Seen::new(1);
        assert_eq!(seen.look(Ok(1)), News::None);
        assert!(seen.is_settled());
        assert_eq!(seen.look(Ok(2)), News::None, "it may be half of something");
        assert_eq!(seen.look(Ok(3)), News::None);
        assert_eq!(seen.look(Ok(3)), News::Changed(3));
        assert_eq!(seen.look(Ok(3)), News::Changed(3), "until it is taken");
        assert!(!seen.is_settled());
        seen.took(3);
        assert!(seen.is_settled());
        assert_eq!(seen.look(Ok(3)), News::None);
    }

    #[test]
    fn a_wrong_file_is_said_once_and_the_last_good_value_stays() {
        let mut seen = Seen::new(1);
        let wrong = |seen: &mut Seen<_>, reason: &str| seen.look(Err(reason.to_owned()));
        assert_eq!(
            wrong(&mut seen, "gone"),
            News::None,
            "files are gone for a moment"
        );
        assert_eq!(wrong(&mut seen, "gone"), News::Wrong("gone".to_owned()));
        assert!(seen.is_settled());
        assert!((0..100).all(|_| wrong(&mut seen, "gone") == News::None));
        wrong(&mut seen, "empty");
        assert_eq!(wrong(&mut seen, "empty"), News::Wrong("empty".to_owned()));
        seen.look(Ok(1));
        assert_eq!(seen.look(Ok(1)), News::RightAgain);
        assert_eq!(seen.look(Ok(1)), News::None);
    }

    /// A look every few milliseconds, and the values that were taken over.
    fn watching(path: &Path) -> Receiver<String> {
        let (sender, receiver) = sync_channel(16);
        let file = Watched {
            what: "test",
            path: path.to_owned(),
            current: "one".to_owned(),
        };
        let load = |path: &Path| fs::read_to_string(path).map_err(|error| error.to_string());
        let mut refusals = 2;
        let on_change = move |value: &String| {
            // Whoever is told may have no time now.
            if refusals > 0 {
                refusals -= 1;
                return false;
            }
            sender.send(value.clone()).is_ok()
        };
        const SHORT: Duration = Duration::from_millis(5);
        actix_rt::spawn(keep_looking(file, load, on_change, SHORT, SHORT));
        receiver
    }

    async fn told(receiver: &Receiver<String>) -> String {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(value) = receiver.try_recv() {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "nothing was told");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[actix_rt::test]
    async fn a_file_that_changes_is_told_whichever_way_it_is_changed() {
        // As a ConfigMap is mounted: a link to a file behind a link to a folder, and that link is exchanged.
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), text).unwrap();
        }
        symlink("v1", at("data")).unwrap();
        symlink("data/file", at("file")).unwrap();
        let receiver = watching(&at("file"));
        symlink("v2", at("next")).unwrap();
        fs::rename(at("next"), at("data")).unwrap();
        assert_eq!(told(&receiver).await, "two");
        // In place, and by a new file of the same name.
        fs::write(at("v2/file"), "three").unwrap();
        assert_eq!(told(&receiver).await, "three");
        fs::write(at("new"), "four").unwrap();
        fs::rename(at("new"), at("v2/file")).unwrap();
        assert_eq!(told(&receiver).await, "four");
        fs::remove_file(at("v2/file")).unwrap();
        fs::write(at("v2/file"), "five").unwrap();
        assert_eq!(told(&receiver).await, "five");
    }
}
