//! The node processes: started, started again when they end, stopped together.

use std::{
    env,
    fs::File,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How long a node that ended rests, as an orchestrator would let it.
const REST: Duration = Duration::from_secs(1);
/// How long nodes may take to stop: their own grace of 10 s, and a little.
const PATIENCE: Duration = Duration::from_secs(12);

pub(super) struct Processes {
    nodes: Vec<Node>,
}

struct Node {
    number: usize,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
    /// When to start it again.
    rests_until: Option<Instant>,
}

impl Processes {
    /// Starts a node for each configuration.
    pub(super) fn start(configs: Vec<PathBuf>, logs: &Path) -> io::Result<Self> {
        let nodes = configs.into_iter().enumerate().map(|(index, config)| {
            let number = index + 1;
            let log = logs.join(format!("node-{number}.log"));
            let child = Some(spawn(&config, &log)?);
            Ok(Node {
                number,
                config,
                log,
                child,
                rests_until: None,
            })
        });
        Ok(Self {
            nodes: nodes.collect::<io::Result<_>>()?,
        })
    }

    /// Starts again what has ended; tells about both.
    pub(super) fn revive(&mut self) -> io::Result<Vec<String>> {
        let mut news = vec![];
        for node in &mut self.nodes {
            if let Some(status) = node.ended()? {
                news.push(format!(
                    "node {} ended: {status}, see {}\n",
                    node.number,
                    node.log.display()
                ));
                node.child = None;
                node.rests_until = Some(Instant::now() + REST);
            }
            if node.rests_until.is_some_and(|until| Instant::now() >= until) {
                node.rests_until = None;
                node.child = Some(spawn(&node.config, &node.log)?);
                news.push(format!("node {} started again\n", node.number));
            }
        }
        Ok(news)
    }

    /// Asks all to stop, waits, and ends those that do not; tells about these.
    pub(super) async fn stop(mut self) -> Vec<String> {
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child {
                // A node ends in order when its standard input does.
                drop(child.stdin.take());
            }
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && self.nodes.iter_mut().any(|node| matches!(node.runs(), Ok(true))) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut news = vec![];
        for node in &mut self.nodes {
            if matches!(node.runs(), Ok(true))
                && let Some(child) = &mut node.child
            {
                let killed = child.kill().and_then(|()| child.wait());
                news.push(format!(
                    "node {} did not stop within {PATIENCE:?}: ended ({killed:?})\n",
                    node.number
                ));
            }
        }
        news
    }
}

impl Node {
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    fn runs(&mut self) -> io::Result<bool> {
        Ok(self.child.is_some() && self.ended()?.is_none())
    }
}

fn spawn(config: &Path, log: &Path) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new(env::current_exe()?)
        .args(["node", "--config"])
        .arg(config)
        // Its end tells the node that we are gone, however we went.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        // A terminal's Ctrl-C is for us alone; we stop the nodes in order.
        .process_group(0)
        .spawn()
}
