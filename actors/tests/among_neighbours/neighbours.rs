//! The neighbours of the actor under test: one recorder behind all its recipients.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use actix::{Actor, Addr, Context, Handler};
use quorate_actors::{
    aggregator::AggregatorMessage, db_writer::DbWriterMessage, gossip_bridge::BridgeMessage,
    price_fetcher::FetcherMessage, signer::SignerMessage,
};
use quorate_protocol::{
    Address, AgreedPrice, Certificate, Digest, Feed, Heartbeat, Instant as Moment, LastRecord, Message,
    ProvenEquivocation, UnixMillis, VerifiedReport, WriteOutcome,
    cosign::Refusal,
    rounds::{FetchRequest, SignRequest, StoreRequest},
};
use quorate_supervisor::Mailbox;
use quorate_testkit::wait::eventually;
use tokio::time::Instant;

/// One kind of thing that a neighbour can be told.
pub(crate) trait Told: Clone {
    /// This out of all, if it is one.
    fn of(said: &Said) -> Option<&Self>;
}

macro_rules! told {
    ($($kind:ident $fields:tt)*) => {
        $(told!(@define $kind $fields);)*

        /// What the actor under test said.
        #[derive(Debug, Clone)]
        pub(crate) enum Said { $($kind($kind)),* }
        $(
            impl Told for $kind {
                fn of(said: &Said) -> Option<&Self> {
                    match said {
                        Said::$kind(told) => Some(told),
                        _ => None,
                    }
                }
            }
        )*
    };
    (@define $kind:ident ($of:ty)) => {
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "some are only counted")]
        pub(crate) struct $kind(pub(crate) $of);
    };
    (@define $kind:ident { $($field:ident: $of:ty),* }) => {
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "some are only counted")]
        pub(crate) struct $kind { $(pub(crate) $field: $of),* }
    };
}

told! {
    FetchFor { feed: Feed, at: Moment }
    FetchAnew(Feed)
    State(AgreedPrice)
    CoSign(VerifiedReport)
    Announce { certificate: Certificate, written_at: UnixMillis }
    Object { digest: Digest, observer: Address, reason: &'static str }
    Beat(Heartbeat)
    Publish(Message)
    Write(Certificate)
    AskLastRecord(Feed)
    KeepEvidence(ProvenEquivocation)
    KeepLost(Certificate)
    OwnReport(VerifiedReport)
    CoSigned { feed: Feed, digest: Digest, answer: Result<VerifiedReport, Refusal> }
    Wrote { feed: Feed, digest: Digest, outcome: WriteOutcome }
    LastRecordIs { feed: Feed, answer: Result<Option<LastRecord>, String> }
}

type Diary = Arc<Mutex<Vec<(Instant, Said)>>>;

pub(crate) struct Recorder(Diary);

impl Actor for Recorder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(4096);
    }
}

impl Recorder {
    fn note(&self, said: Said) {
        self.0.lock().unwrap().push((Instant::now(), said));
    }
}

impl Handler<FetcherMessage> for Recorder {
    type Result = ();

    fn handle(&mut self, FetcherMessage(request): FetcherMessage, _: &mut Context<Self>) {
        self.note(match request {
            FetchRequest::By { feed, at } => Said::FetchFor(FetchFor { feed, at }),
            FetchRequest::Soon(feed) => Said::FetchAnew(FetchAnew(feed)),
        });
    }
}

impl Handler<SignerMessage> for Recorder {
    type Result = ();

    fn handle(&mut self, SignerMessage(request): SignerMessage, _: &mut Context<Self>) {
        self.note(match request {
            SignRequest::State { price, .. } => Said::State(State(price)),
            SignRequest::CoSign(report) => Said::CoSign(CoSign(report)),
            SignRequest::Written {
                certificate,
                written_at,
            } => Said::Announce(Announce {
                certificate,
                written_at,
            }),
            SignRequest::Refusal {
                digest,
                observer,
                reason,
            } => Said::Object(Object {
                digest,
                observer,
                reason,
            }),
            SignRequest::Heartbeat(heartbeat) => Said::Beat(Beat(heartbeat)),
        });
    }
}

impl Handler<BridgeMessage> for Recorder {
    type Result = ();

    fn handle(&mut self, message: BridgeMessage, _: &mut Context<Self>) {
        match message {
            BridgeMessage::Publish(message) => self.note(Said::Publish(Publish(message))),
            other => panic!("no actor says this: {other:?}"),
        }
    }
}

impl Handler<DbWriterMessage> for Recorder {
    type Result = ();

    fn handle(&mut self, message: DbWriterMessage, _: &mut Context<Self>) {
        self.note(match message {
            DbWriterMessage::Request(StoreRequest::Write(certificate)) => Said::Write(Write(certificate)),
            DbWriterMessage::Request(StoreRequest::LastRecord(feed)) => {
                Said::AskLastRecord(AskLastRecord(feed))
            }
            DbWriterMessage::Request(StoreRequest::KeepEquivocation(proof)) => {
                Said::KeepEvidence(KeepEvidence(*proof))
            }
            DbWriterMessage::Request(StoreRequest::KeepLost(certificate)) => {
                Said::KeepLost(KeepLost(certificate))
            }
            other @ DbWriterMessage::CommitteeIs(_) => panic!("no actor says this: {other:?}"),
        });
    }
}

impl Handler<AggregatorMessage> for Recorder {
    type Result = ();

    fn handle(&mut self, message: AggregatorMessage, _: &mut Context<Self>) {
        self.note(match message {
            AggregatorMessage::OwnReport(report) => Said::OwnReport(OwnReport(report)),
            AggregatorMessage::CoSigned { feed, digest, answer } => {
                Said::CoSigned(CoSigned { feed, digest, answer })
            }
            AggregatorMessage::Wrote {
                feed,
                digest,
                outcome,
            } => Said::Wrote(Wrote {
                feed,
                digest,
                outcome,
            }),
            AggregatorMessage::LastRecordIs { feed, answer } => {
                Said::LastRecordIs(LastRecordIs { feed, answer })
            }
            other => panic!("neither Signer nor DbWriter says this: {other:?}"),
        });
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

    /// A neighbour that is told such messages.
    pub(crate) fn mailbox<M>(&self) -> Mailbox<M>
    where
        M: actix::Message<Result = ()> + Send + 'static,
        Recorder: Handler<M>,
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
        eventually(std::any::type_name::<M>(), async || {
            self.all::<M>().into_iter().nth(number - 1)
        })
        .await
    }
}
