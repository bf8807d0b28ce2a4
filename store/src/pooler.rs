//! Whether a connection pooler stands between us and the server.
//!
//! A pooler in transaction mode hands each transaction to whichever of its sessions is free. What belongs to a session is
//! lost then: its settings, its prepared statements. Poolers let us in under process ids of their own making (a request
//! to cancel a query must find its way through them), while `pg_backend_pid()` is the server's word: when the two differ,
//! somebody stands between.

use std::{
    future::{Ready, ready},
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{
    Client,
    tls::{ChannelBinding, TlsConnect, TlsStream},
};

/// The process id under which this client was let in. tokio-postgres tells it to nobody but whoever takes a request to
/// cancel a query, so we take one, and send it nowhere.
pub(crate) fn process_id(client: &Client) -> Option<i32> {
    /// Length, request code, process id, key: four bytes each (PostgreSQL manual, "Message Formats", CancelRequest).
    const REQUEST_BYTES: usize = 16;

    let paper = Paper::default();
    let written = Arc::clone(&paper.0);
    // Never waits: paper takes everything at once.
    client
        .cancel_token()
        .cancel_query_raw(paper, WithoutTls)
        .now_or_never()?
        .ok()?;
    let written = written.lock().unwrap_or_else(PoisonError::into_inner);
    let request = written.last_chunk::<REQUEST_BYTES>()?;
    let id = request[8..12].try_into().ok()?;
    Some(i32::from_be_bytes(id))
}

/// Keeps what is written. Read from, it says `S`: the server's yes to TLS, which the client asks for first where it must.
#[derive(Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Paper {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        into.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Paper {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Paper {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// Nothing leaves this process, so there is nothing to encrypt.
struct WithoutTls;

impl TlsConnect<Paper> for WithoutTls {
    type Stream = Paper;
    type Error = io::Error;
    type Future = Ready<io::Result<Paper>>;

    fn connect(self, paper: Paper) -> Self::Future {
        ready(Ok(paper))
    }
}
