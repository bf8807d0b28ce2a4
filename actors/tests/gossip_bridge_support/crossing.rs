//! What happens to connections on the way: two that cross, one that dies without a word.

use libp2p::Multiaddr;
use quorate_protocol::NodeKey;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{Node, all_up, config, eventually, free_tcp};

/// Two nodes that have dialled each other before either was connected, and whose later connection is the one that stays: that
/// which the smaller id dialled. Each dials a forwarder to the other, which holds the first connection back until it is told.
pub async fn pair() -> (Node, Node) {
    let (here, there) = (free_tcp(), free_tcp());
    let (to_here, release_to_here) = forward(port(&here)).await;
    let (to_there, release_to_there) = forward(port(&there)).await;
    let a = Node::start_as(NodeKey::generate(), config(vec![here], vec![to_there]));
    let b = Node::start_as(NodeKey::generate(), config(vec![there], vec![to_here]));
    let (first, second) = if a.peer_id() < b.peer_id() {
        (release_to_here, release_to_there)
    } else {
        (release_to_there, release_to_here)
    };
    first.now().await;
    all_up(&[&a, &b]).await;
    second.now().await;
    tokio::join!(connections(&a, 2), connections(&b, 2));
    (a, b)
}

/// Waits until the node has this many connections to its only peer.
pub async fn connections(node: &Node, count: usize) {
    eventually(&format!("{count} connections"), async || {
        matches!(node.peers().await[..], [ref peer] if peer.connections == count).then_some(())
    })
    .await;
}

/// Lets a forwarder's first connection pass.
struct Release {
    dialled: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Release {
    /// As soon as it is there.
    async fn now(self) {
        self.dialled.await.unwrap();
        self.release.send(()).unwrap();
    }
}

async fn forward(to: u16) -> (Multiaddr, Release) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (has_dialled, dialled) = oneshot::channel();
    let (release, released) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let (first, _) = listener.accept().await.unwrap();
        has_dialled.send(()).unwrap();
        released.await.unwrap();
        tokio::task::spawn_local(carry(first, to));
        loop {
            let (next, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(carry(next, to));
        }
    });
    let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    (address, Release { dialled, release })
}

/// A forwarder to a port of this machine, and what makes it carry nothing any more: what is open stays open, as when a host is gone.
pub async fn until_frozen(to: u16) -> (Multiaddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", listener.local_addr().unwrap().port());
    let (freeze, frozen) = oneshot::channel();
    tokio::task::spawn_local(async move {
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        tokio::select! {
            ended = copy_bidirectional(&mut from, &mut to) => drop(ended),
            _ = frozen => std::future::pending().await,
        }
    });
    (address.parse().unwrap(), freeze)
}

async fn carry(mut from: TcpStream, to: u16) {
    let Ok(mut to) = TcpStream::connect(("127.0.0.1", to)).await else {
        return;
    };
    // Either side may end it at any time.
    let _ended = copy_bidirectional(&mut from, &mut to).await;
}

fn port(address: &Multiaddr) -> u16 {
    let text = address.to_string();
    text.rsplit('/').next().unwrap().parse().unwrap()
}
