//! How often one client may ask: a bucket of turns each, refilled steadily, and what is left of it in headers.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{
    Error, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    web,
};

use super::problem::Problem;

/// Clients that are told apart. Who has not asked for a second has a full bucket and needs no entry, so it takes that many in one second
/// until the rest share a bucket.
const MOST_CLIENTS: usize = 4096;

/// In which a bucket is filled.
const REFILL: Duration = Duration::from_secs(1);

/// The buckets of all clients. Without a rate everybody may ask as often as they like.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Option<NonZeroU32>,
    buckets: Mutex<HashMap<Option<IpAddr>, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// In thousandths of a turn.
    filled: u64,
    at: Instant,
}

/// What came of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    is_given: bool,
    limit: u32,
    left: u64,
}

impl Limiter {
    /// So many requests a second of one client.
    pub(crate) fn new(rate: Option<NonZeroU32>) -> Self {
        Self {
            rate,
            buckets: Mutex::default(),
        }
    }

    /// Whether clients are told apart.
    pub(super) fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    fn take(&self, client: Option<SocketAddr>, now: Instant) -> Option<Turn> {
        let limit = self.rate?.get();
        let full = u64::from(limit) * 1000;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut client = client.map(|address| network_of(address.ip()));
        if buckets.len() >= MOST_CLIENTS && !buckets.contains_key(&client) {
            buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < REFILL);
            if buckets.len() >= MOST_CLIENTS {
                client = None;
            }
        }
        let bucket = buckets.entry(client).or_insert(Bucket {
            filled: full,
            at: now,
        });
        let elapsed = now.saturating_duration_since(bucket.at).min(REFILL).as_micros();
        let refill = u64::try_from(elapsed).unwrap_or_default() * full / 1_000_000;
        // What is too short to fill anything is not forgotten.
        if refill > 0 {
            *bucket = Bucket {
                filled: full.min(bucket.filled + refill),
                at: now,
            };
        }
        let is_given = bucket.filled >= 1000;
        if is_given {
            bucket.filled -= 1000;
        }
        Some(Turn {
            is_given,
            limit,
            left: bucket.filled / 1000,
        })
    }
}

/// An IPv4 address, or the network that one IPv6 customer has.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// Lets a request pass if it is its client's turn, and tells how many are left.
pub(crate) async fn limited<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let limiter = request.app_data::<web::Data<Limiter>>();
    let turn = limiter.and_then(|limiter| limiter.take(request.peer_addr(), Instant::now()));
    let mut response = match turn {
        Some(Turn {
            is_given: false,
            limit,
            ..
        }) => {
            let detail = format!("more than {limit} requests a second from one address");
            let problem = Problem::too_many(detail, REFILL.as_secs());
            request
                .into_response(problem.error_response())
                .map_into_right_body()
        }
        _ => next.call(request).await?.map_into_left_body(),
    };
    if let Some(Turn { limit, left, .. }) = turn {
        for (name, value) in [
            ("ratelimit-limit", u64::from(limit)),
            ("ratelimit-remaining", left),
            ("ratelimit-reset", 1),
        ] {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn a_client_has_so_many_turns_a_second_and_others_have_their_own() {
        let limiter = Limiter::new(NonZeroU32::new(2));
        let start = Instant::now();
        let take = |of, after_ms| {
            limiter
                .take(client(of), start + Duration::from_millis(after_ms))
                .unwrap()
        };
        assert_eq!(
            take("10.0.0.1", 0),
            Turn {
                is_given: true,
                limit: 2,
                left: 1
            }
        );
        assert!(take("10.0.0.1", 0).is_given);
        assert!(!take("10.0.0.1", 0).is_given);
        assert!(take("10.0.0.2", 0).is_given, "another client");
        assert!(!take("10.0.0.1", 499).is_given);
        assert!(take("10.0.0.1", 500).is_given, "refilled steadily");
        assert!(take("::ffff:10.0.0.1", 1000).is_given);
        assert!(!take("10.0.0.1", 1000).is_given, "the same address");
    }

    #[test]
    fn addresses_of_one_network_are_one_client() {
        assert_eq!(
            network_of("2001:db8::1".parse().unwrap()),
            network_of("2001:db8::2".parse().unwrap())
        );
        assert_ne!(
            network_of("2001:db8::1".parse().unwrap()),
            network_of("2001:db8:0:1::1".parse().unwrap())
        );
    }

    #[test]
    fn more_clients_than_can_be_told_apart_share_a_bucket_and_cost_no_more_memory() {
        let limiter = Limiter::new(NonZeroU32::new(1));
        let start = Instant::now();
        for number in 0..10_000u32 {
            let _given = limiter.take(client(&std::net::Ipv4Addr::from(number).to_string()), start);
        }
        assert_eq!(limiter.buckets.lock().unwrap().len(), MOST_CLIENTS + 1);
        let later = start + REFILL;
        assert!(limiter.take(client("192.0.2.1"), later).unwrap().is_given);
        assert_eq!(
            limiter.buckets.lock().unwrap().len(),
            1,
            "who has a full bucket is forgotten"
        );
    }

    #[test]
    fn without_a_rate_nobody_is_counted() {
        assert_eq!(Limiter::new(None).take(client("10.0.0.1"), Instant::now()), None);
    }
}
