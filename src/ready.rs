//! Whether other nodes are ready, asked over their APIs: what `quorate prices --ready` adds to the age of records, for those who watch
//! a network from outside and have no other client at hand.

use std::{net::SocketAddr, time::Duration};

use awc::Client;
use quorate_actors::gossip_bridge::DnsPeers;
use serde_json::Value;

/// A node answers within milliseconds; one that does not for so long is no help to anybody.
const PATIENCE: Duration = Duration::from_secs(3);
/// A `/readyz` has under 2 KiB.
const MOST_BYTES: usize = 64 * 1024;

/// Asks all nodes behind a name, and says of each that is not ready what is missing; empty: all are ready.
pub(crate) async fn what_is_missing(nodes: &DnsPeers) -> Vec<String> {
    let found = match tokio::net::lookup_host(nodes.host_and_port()).await {
        Ok(found) => found,
        Err(error) => return vec![format!("no node is found: {nodes}: {error}")],
    };
    let mut problems = vec![];
    for address in found {
        problems.extend(ask(address).await);
    }
    problems
}

async fn ask(address: SocketAddr) -> Option<String> {
    let client = Client::builder().timeout(PATIENCE).finish();
    let mut answer = match client.get(format!("http://{address}/readyz")).send().await {
        Ok(answer) => answer,
        Err(error) => return Some(format!("node {address} does not answer: {error}")),
    };
    let status = answer.status();
    match answer.body().limit(MOST_BYTES).await {
        _ if status.is_success() => None,
        Ok(body) => Some(format!(
            "node {address} is not ready: {}",
            reasons(&body, status.as_u16())
        )),
        Err(error) => Some(format!("node {address} breaks off: {error}")),
    }
}

/// The node's own words, or the status that came in their place.
fn reasons(body: &[u8], status: u16) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let reasons: Vec<&str> = body["reasons"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if reasons.is_empty() {
        format!("HTTP status {status}")
    } else {
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, HttpServer, web};
    use serde_json::json;

    use super::*;

    /// The port of a server that answers `/readyz` so.
    fn answers(status: u16, body: &'static str) -> u16 {
        let app = move || {
            let answer = move || async move {
                let status = status.try_into().unwrap_or(awc::http::StatusCode::IM_A_TEAPOT);
                HttpResponse::build(status)
                    .content_type("application/json")
                    .body(body)
            };
            App::new().route("/readyz", web::get().to(answer))
        };
        let server = HttpServer::new(app)
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let port = server.addrs()[0].port();
        actix_rt::spawn(server.run());
        port
    }

    async fn asked(port: u16) -> Vec<String> {
        what_is_missing(&format!("127.0.0.1:{port}").parse().unwrap()).await
    }

    #[actix_rt::test]
    async fn a_node_that_is_not_ready_is_named_with_its_own_reasons() {
        assert_eq!(asked(answers(200, "{}")).await, [""; 0]);
        let port = answers(
            503,
            r#"{"ready":false,"reasons":["ETH/USD: no price","ETH/USD: 1 of 3 nodes"]}"#,
        );
        assert_eq!(
            asked(port).await,
            [format!(
                "node 127.0.0.1:{port} is not ready: ETH/USD: no price; ETH/USD: 1 of 3 nodes"
            )]
        );
        let port = answers(502, "<html>");
        assert_eq!(
            asked(port).await,
            [format!("node 127.0.0.1:{port} is not ready: HTTP status 502")]
        );
    }

    #[actix_rt::test]
    async fn one_that_does_not_answer_and_a_name_without_nodes_are_not_ready_either() {
        let refused = asked(1).await;
        assert!(
            refused[0].starts_with("node 127.0.0.1:1 does not answer: "),
            "{refused:?}"
        );
        let nobody = what_is_missing(&"nobody.invalid:8080".parse().unwrap()).await;
        assert!(
            nobody[0].starts_with("no node is found: nobody.invalid:8080: "),
            "{nobody:?}"
        );
    }

    #[test]
    fn reasons_of_another_shape_are_no_reasons() {
        for body in [json!({"reasons": "x"}), json!([1]), json!({"reasons": [1]})] {
            assert_eq!(reasons(body.to_string().as_bytes(), 503), "HTTP status 503");
        }
    }
}
