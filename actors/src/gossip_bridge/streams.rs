//! All connections and their streams, watched: their bytes are counted, and streams of frames that gossipsub gave up are noticed.
//!
//! gossipsub closes a stream when it cannot read what comes on it: a frame that is too large, holds too many messages, or is none. It
//! tells nobody, and hears nothing of that peer from then on. A stream that ends because its connection does is dropped and not closed, so
//! closing one that the peer has not ended means that.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite, channel::mpsc};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
};
use prometheus::IntCounter;

use super::metrics::BridgeMetrics;

/// With these bytes the names of gossipsub's protocols begin; they are the first that a peer sends on a stream, in clear within the
/// encrypted connection.
const FRAMES: &[u8] = b"/meshsub/";
/// First bytes of a stream that are kept: the greeting, and the names of several versions.
const HEAD: usize = 128;

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    read: IntCounter,
    written: IntCounter,
    /// Whose stream of frames was given up.
    gave_up: mpsc::Sender<PeerId>,
}

impl Watch {
    pub(super) fn new(metrics: &BridgeMetrics, gave_up: mpsc::Sender<PeerId>) -> Self {
        Self {
            read: metrics.network_bytes.with_label_values(&["in"]),
            written: metrics.network_bytes.with_label_values(&["out"]),
            gave_up,
        }
    }
}

/// A connection, or one of its streams.
pub(super) struct Watched<T> {
    inner: T,
    peer: PeerId,
    watch: Watch,
    /// Of a stream that the peer opened, until it is closed.
    inbound: Option<Inbound>,
}

/// How a stream that the peer opened began, and whether the peer ended it.
#[derive(Debug, Default)]
struct Inbound {
    head: Vec<u8>,
    has_ended: bool,
}

impl Inbound {
    fn read(&mut self, result: &io::Result<usize>, buffer: &[u8]) {
        match result {
            Ok(bytes @ 1..) => {
                let more = (*bytes).min(HEAD - self.head.len());
                self.head.extend_from_slice(&buffer[..more]);
            }
            Ok(0) | Err(_) => self.has_ended = true,
        }
    }

    fn is_given_up(&self) -> bool {
        let is_of_frames = self.head.windows(FRAMES.len()).any(|part| part == FRAMES);
        is_of_frames && !self.has_ended
    }
}

impl<T: Unpin> Watched<T> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut T> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl Watched<StreamMuxerBox> {
    /// With an inner muxer of any kind.
    pub(super) fn new<M>(peer: PeerId, connection: M, watch: Watch) -> Self
    where
        M: StreamMuxer + Send + 'static,
        M::Substream: Send + 'static,
        M::Error: Send + Sync + 'static,
    {
        Self {
            inner: StreamMuxerBox::new(connection),
            peer,
            watch,
            inbound: None,
        }
    }

    fn stream(&self, inner: SubstreamBox, inbound: Option<Inbound>) -> Watched<SubstreamBox> {
        Watched {
            inner,
            peer: self.peer,
            watch: self.watch.clone(),
            inbound,
        }
    }
}

impl StreamMuxer for Watched<StreamMuxerBox> {
    type Substream = Watched<SubstreamBox>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = ready!(self.as_mut().inner().poll_inbound(cx));
        Poll::Ready(opened.map(|inner| self.stream(inner, Some(Inbound::default()))))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = ready!(self.as_mut().inner().poll_outbound(cx));
        Poll::Ready(opened.map(|inner| self.stream(inner, None)))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner().poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.inner().poll(cx)
    }
}

impl AsyncRead for Watched<SubstreamBox> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.as_mut().inner().poll_read(cx, buffer));
        if let Ok(bytes) = read {
            self.watch.read.inc_by(bytes as u64);
        }
        if let Some(inbound) = &mut self.inbound {
            inbound.read(&read, buffer);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched<SubstreamBox> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.as_mut().inner().poll_write(cx, bytes));
        if let Ok(bytes) = written {
            self.watch.written.inc_by(bytes as u64);
        }
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.as_mut().inner().poll_write_vectored(cx, slices));
        if let Ok(bytes) = written {
            self.watch.written.inc_by(bytes as u64);
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(inbound) = self.inbound.take()
            && inbound.is_given_up()
        {
            let peer = self.peer;
            // If nobody has looked at so many yet, one more makes no difference.
            let _ = self.watch.gave_up.try_send(peer);
        }
        self.inner().poll_close(cx)
    }
}
