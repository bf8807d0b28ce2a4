//! Counts the bytes of all connections.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent, SubstreamBox},
};

use super::counts::Counts;

/// A connection, or one of its streams, whose bytes are counted.
pub(super) struct Counted<T> {
    inner: T,
    counts: Arc<Counts>,
}

/// Has a connection counted from now on.
pub(super) fn count<M>(peer: PeerId, connection: M, counts: Arc<Counts>) -> (PeerId, Counted<StreamMuxerBox>)
where
    M: StreamMuxer + Send + 'static,
    M::Substream: Send + 'static,
    M::Error: Send + Sync + 'static,
{
    let inner = StreamMuxerBox::new(connection);
    (peer, Counted { inner, counts })
}

impl<T: Unpin> Counted<T> {
    fn inner(self: Pin<&mut Self>) -> Pin<&mut T> {
        Pin::new(&mut self.get_mut().inner)
    }
}

impl Counted<StreamMuxerBox> {
    fn count_stream<E>(&self, opened: Result<SubstreamBox, E>) -> Result<Counted<SubstreamBox>, E> {
        opened.map(|inner| Counted {
            inner,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl StreamMuxer for Counted<StreamMuxerBox> {
    type Substream = Counted<SubstreamBox>;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = ready!(self.as_mut().inner().poll_inbound(cx));
        Poll::Ready(self.count_stream(opened))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let opened = ready!(self.as_mut().inner().poll_outbound(cx));
        Poll::Ready(self.count_stream(opened))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner().poll_close(cx)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        self.inner().poll(cx)
    }
}

impl AsyncRead for Counted<SubstreamBox> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.as_mut().inner().poll_read(cx, buffer));
        if let Ok(bytes) = read {
            self.counts.wire_in(bytes);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Counted<SubstreamBox> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(self.as_mut().inner().poll_write(cx, bytes));
        if let Ok(bytes) = written {
            self.counts.wire_out(bytes);
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
            self.counts.wire_out(bytes);
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_close(cx)
    }
}
