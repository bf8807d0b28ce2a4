//! Records on their way through all cores: one thread reads, as many as there are cores check each record by itself, and the
//! caller follows them in the order in which they were read. Nothing waits in a queue without a bound.

use std::{
    ops::Range,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};

use quorate_protocol::{
    Committee, Digest, Feed, Record,
    history::{Fault, Prover},
};

use crate::{
    archive::format::{Header, Trailer},
    record_json,
};

/// So many records go from thread to thread at once: some milliseconds of work.
const CHUNK: usize = 128;

/// So many chunks may wait for a worker, and so many for the caller.
const QUEUE: usize = 2;

/// What a source yields, in its order.
pub(crate) enum Item {
    /// A file or a database begins: its name.
    Source(String),
    /// What it says of its network.
    Header(Header),
    /// The records of this feed follow the one with this number and digest.
    Begins(Feed, u64, Digest),
    /// A record as text: this part of the chunk's.
    Text(Range<usize>),
    /// A record.
    Record(Box<Record>),
    /// What was to be a record.
    Unreadable(Fault),
    /// What an archive says at its end.
    Trailer(Trailer),
    /// The source cannot be read any further.
    Fault(Fault),
}

/// An item when it has been looked at.
pub(crate) enum Checked {
    /// A record, and whether it proves itself.
    Record(Box<Record>, Result<(), Fault>),
    /// This was to be a record.
    Unreadable(Fault),
    /// What is no record.
    Other(Item),
}

/// Items that travel together.
struct Chunk {
    committee: Arc<Committee>,
    text: Vec<u8>,
    items: Vec<Item>,
}

/// Nobody wants more: whoever followed the records has stopped.
#[derive(Debug)]
pub(crate) struct Gone;

/// Where the reading thread puts what it reads.
pub(crate) struct Feeder {
    workers: Vec<SyncSender<Chunk>>,
    next: usize,
    chunk: Chunk,
}

impl Feeder {
    /// Records that are put in from now on are held against this committee.
    pub(crate) fn judge_by(&mut self, committee: Committee) -> Result<(), Gone> {
        self.flush()?;
        self.chunk.committee = Arc::new(committee);
        Ok(())
    }

    /// Where the text of records is collected; what was appended is told with [`Item::Text`].
    pub(crate) fn text(&mut self) -> &mut Vec<u8> {
        &mut self.chunk.text
    }

    /// The next item.
    pub(crate) fn put(&mut self, item: Item) -> Result<(), Gone> {
        self.chunk.items.push(item);
        if self.chunk.items.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Gone> {
        let empty = Chunk {
            committee: self.chunk.committee.clone(),
            text: Vec::with_capacity(self.chunk.text.len()),
            items: Vec::with_capacity(CHUNK),
        };
        let full = std::mem::replace(&mut self.chunk, empty);
        let worker = self.next;
        self.next = (worker + 1) % self.workers.len();
        self.workers[worker].send(full).map_err(|_| Gone)
    }
}

/// Reads with `read` on a thread of its own, and calls `follow` here for each item, in the order of reading.
///
/// Chunk after chunk goes to the next worker in turn, and is taken from it in the same turn: so the order stays without being
/// restored.
pub(crate) fn run<T: Send>(
    committee: Committee,
    read: impl FnOnce(&mut Feeder) -> T + Send,
    mut follow: impl FnMut(Checked),
) -> T {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let mut workers = Vec::with_capacity(cores);
        let mut done = Vec::with_capacity(cores);
        for _ in 0..cores {
            let (to_worker, chunks) = sync_channel(QUEUE);
            let (results, from_worker) = sync_channel(QUEUE);
            scope.spawn(move || work(&chunks, &results));
            workers.push(to_worker);
            done.push(from_worker);
        }
        let mut feeder = Feeder {
            workers,
            next: 0,
            chunk: Chunk {
                committee: Arc::new(committee),
                text: Vec::new(),
                items: Vec::new(),
            },
        };
        let reader = scope.spawn(move || {
            let outcome = read(&mut feeder);
            // Nobody can be told that nobody listens.
            let _ = feeder.flush();
            outcome
        });
        for from_worker in done.iter().cycle() {
            match from_worker.recv() {
                Ok(items) => items.into_iter().for_each(&mut follow),
                // The reader has ended, and this worker would have been the next.
                Err(_) => break,
            }
        }
        // Should a worker have failed, the reader must not wait for it.
        drop(done);
        match reader.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn work(chunks: &Receiver<Chunk>, results: &SyncSender<Vec<Checked>>) {
    for Chunk {
        committee,
        text,
        items,
    } in chunks
    {
        let mut prover = Prover::new(Committee::clone(&committee));
        let mut proven = |record: Box<Record>| {
            let proof = prover.prove(&record);
            Checked::Record(record, proof)
        };
        let check = |item| match item {
            Item::Text(range) => match record_json::read(&text[range]) {
                Ok(record) => proven(Box::new(record)),
                Err(reason) => Checked::Unreadable(Fault::Unreadable(reason)),
            },
            Item::Record(record) => proven(record),
            Item::Unreadable(fault) => Checked::Unreadable(fault),
            other => Checked::Other(other),
        };
        if results.send(items.into_iter().map(check).collect()).is_err() {
            return;
        }
    }
}
