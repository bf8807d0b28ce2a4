//! A peer that writes gossipsub's frames by hand: what no library would let it send. It answers nothing that it is asked, and runs on a
//! thread of its own until it is dropped.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    thread,
};

use futures::AsyncWriteExt;
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox},
        transport::{DialOpts, PortUse},
        upgrade::Version,
    },
    identity::Keypair,
    noise, tcp, yamux,
};
use tokio::{
    select,
    sync::mpsc::{self, error::TrySendError},
};

/// Says that it speaks gossipsub, without waiting for the answer.
const HELLO: &[u8] = b"\x13/multistream/1.0.0\n\x0f/meshsub/1.1.0\n";

/// Orders that wait for it: more than any test gives.
const ORDERS: usize = 4096;

enum Order {
    OpenStream,
    Write(Vec<u8>),
}

/// The peer. What it writes goes to the stream of frames that it opened last, as fast as the other side reads.
pub struct RawPeer {
    /// Its libp2p name.
    pub peer: PeerId,
    orders: mpsc::Sender<Order>,
    is_open: Arc<AtomicBool>,
}

impl RawPeer {
    /// A peer with a fresh key that dials this address, without waiting for what comes of it.
    pub fn dial(address: Multiaddr) -> Self {
        Self::dial_as(Keypair::generate_secp256k1(), address)
    }

    /// The same with this key.
    pub fn dial_as(key: Keypair, address: Multiaddr) -> Self {
        let peer = key.public().to_peer_id();
        let (orders, inbox) = mpsc::channel(ORDERS);
        let is_open = Arc::new(AtomicBool::new(true));
        let open = Arc::clone(&is_open);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(Box::pin(live(key, address, inbox)));
            open.store(false, SeqCst);
        });
        Self {
            peer,
            orders,
            is_open,
        }
    }

    /// Opens a stream for frames; those before stay open, if the other side has not closed them.
    pub fn open_stream(&self) {
        self.order(Order::OpenStream);
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) {
        self.order(Order::Write(prefixed(frame)));
    }

    /// Whether the connection has not ended yet.
    pub fn is_open(&self) -> bool {
        self.is_open.load(SeqCst)
    }

    fn order(&self, order: Order) {
        // Without waiting: the node that should read may run on the same thread. It is closed when the peer was thrown out already.
        if let Err(error) = self.orders.try_send(order) {
            assert!(
                matches!(error, TrySendError::Closed(_)),
                "more than {ORDERS} orders"
            );
        }
    }
}

async fn live(key: Keypair, address: Multiaddr, mut inbox: mpsc::Receiver<Order>) {
    let mut transport = tcp::tokio::Transport::default()
        .upgrade(Version::V1)
        .authenticate(noise::Config::new(&key).unwrap())
        .multiplex(yamux::Config::default())
        .boxed();
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let Ok((_, mut connection)) = transport.dial(address, options).unwrap().await else {
        return;
    };
    let (mut streams, mut unanswered) = (Vec::<SubstreamBox>::new(), Vec::new());
    loop {
        let order = select! {
            () = run(&mut connection, &mut unanswered) => return,
            order = inbox.recv() => order,
        };
        match order {
            Some(Order::OpenStream) => {
                let Ok(mut stream) = poll_fn(|cx| connection.poll_outbound_unpin(cx)).await else {
                    return;
                };
                select! {
                    () = run(&mut connection, &mut unanswered) => return,
                    // The other side may close it as it likes.
                    _ = async { stream.write_all(HELLO).await?; stream.flush().await } => {}
                }
                streams.push(stream);
            }
            Some(Order::Write(bytes)) => {
                let Some(stream) = streams.last_mut() else {
                    continue;
                };
                select! {
                    () = run(&mut connection, &mut unanswered) => return,
                    _ = async { stream.write_all(&bytes).await?; stream.flush().await } => {}
                }
            }
            None => return,
        }
    }
}

/// Keeps the connection running until it ends. Streams that the other side opens stay open without an answer.
async fn run(connection: &mut StreamMuxerBox, unanswered: &mut Vec<SubstreamBox>) {
    poll_fn(|cx| {
        loop {
            match connection.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => unanswered.push(stream),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        loop {
            match connection.poll_unpin(cx) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// A field of a protobuf message that holds bytes, text or a message.
pub fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], prefixed(value).as_slice()].concat()
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut prefixed = Vec::with_capacity(length + 5);
    while length >= 0x80 {
        prefixed.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    prefixed.push(length as u8);
    prefixed.extend_from_slice(bytes);
    prefixed
}
