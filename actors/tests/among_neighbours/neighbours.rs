//! The neighbours of the actor under test: one recorder behind all its recipients.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler, Message, dev::ToEnvelope};
use quorate_actors::{
    Sink,
    messages::{
        Announce, AskLastRecord, Beat, CoSign, CoSigned, FetchAnew, FetchFor, KeepEvidence, LastRecordIs,
        Object, OwnReport, Publish, State, Write, Wrote,
    },
};
use tokio::time::Instant;

use crate::running::eventually;

/// A message that a neighbour can be told.
pub(crate) trait Told: Message<Result = ()> + Clone + Send + Sized + 'static {
    /// This message out of all, if it is one.
    fn of(said: &Said) -> Option<&Self>;
}

macro_rules! told {
    ($($message:ident),*) => {
        /// What the actor under test said.
        #[derive(Debug, Clone)]
        pub(crate) enum Said { $($message($message)),* }
        $(
            impl Told for $message {
                fn of(said: &Said) -> Option<&Self> {
                    match said {
                        Said::$message(message) => Some(message),
                        _ => None,
                    }
                }
            }

            impl Handler<$message> for Recorder {
                type Result = ();
                fn handle(&mut self, message: $message, _: &mut Context<Self>) {
                    self.0.lock().unwrap().push((Instant::now(), Said::$message(message)));
                }
            }
        )*
    };
}

told!(
    Announce,
    AskLastRecord,
    Beat,
    CoSign,
    CoSigned,
    FetchAnew,
    FetchFor,
    KeepEvidence,
    LastRecordIs,
    Object,
    OwnReport,
    Publish,
    State,
    Write,
    Wrote
);

type Diary = Arc<Mutex<Vec<(Instant, Said)>>>;

pub(crate) struct Recorder(Diary);

impl Actor for Recorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
    }
}

/// What all neighbours were told, in order, and when.
pub(crate) struct Neighbours {
    diary: Diary,
    recorder: Addr<Recorder>,
    since: Instant,
}

impl Neighbours {
    pub(crate) fn start() -> Self {
        let diary = Diary::default();
        Self {
            recorder: Recorder(Arc::clone(&diary)).start(),
            diary,
            since: Instant::now(),
        }
    }

    /// A neighbour that is told this message.
    pub(crate) fn sink<M: Told>(&self) -> Sink<M>
    where
        Recorder: Handler<M>,
        Context<Recorder>: ToEnvelope<Recorder, M>,
    {
        self.recorder.clone().recipient().into()
    }

    /// A recorder into the same diary, to be run behind a mailbox of the test's own.
    pub(crate) fn recorder(&self) -> Recorder {
        Recorder(Arc::clone(&self.diary))
    }

    pub(crate) fn everything(&self) -> Vec<Said> {
        let diary = self.diary.lock().unwrap();
        diary.iter().map(|(_, said)| said.clone()).collect()
    }

    /// All messages of this kind, and how long after the start each was told.
    pub(crate) fn timed<M: Told>(&self) -> Vec<(Duration, M)> {
        let diary = self.diary.lock().unwrap();
        diary
            .iter()
            .filter_map(|(at, said)| Some((at.duration_since(self.since), M::of(said)?.clone())))
            .collect()
    }

    pub(crate) fn all<M: Told>(&self) -> Vec<M> {
        self.timed().into_iter().map(|(_, message)| message).collect()
    }

    /// Waits for the message of this kind with this number, from 1.
    pub(crate) async fn hears<M: Told>(&self, number: usize) -> M {
        eventually(std::any::type_name::<M>(), || {
            self.all::<M>().into_iter().nth(number - 1)
        })
        .await
    }
}
