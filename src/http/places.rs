//! Places at the stream: so many in all, and so many for one client, so that nobody keeps out the others.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{limit::network_of, problem::Problem};

/// Readers at a time. Each costs some 20 kB, most of it the connection's.
pub(super) const MOST_READERS: usize = 1000;
/// Readers of one client: a tenth of all, more than the programs of one household or office.
pub(super) const MOST_OF_ONE: usize = 100;
/// A place is seldom given back sooner.
const RETRY_AFTER_S: u64 = 30;

/// Who follows the stream.
#[derive(Debug)]
pub(crate) struct Places {
    /// Behind a proxy, where all clients are one, there is no share for one.
    are_shared_out: bool,
    taken: Mutex<HashMap<Option<IpAddr>, usize>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    client: Option<IpAddr>,
}

impl Places {
    /// None is taken. Whether one client gets but its share.
    pub(crate) fn new(are_shared_out: bool) -> Self {
        Self {
            are_shared_out,
            taken: Mutex::default(),
        }
    }

    /// A place for this client, or what to do without.
    pub(super) fn take(self: Arc<Self>, client: Option<SocketAddr>) -> Result<Place, Problem> {
        let client = client.map(|address| network_of(address.ip()));
        let mut taken = self.lock();
        if taken.values().sum::<usize>() >= MOST_READERS {
            let detail = format!("{MOST_READERS} clients follow this node already");
            let remedy = "follow another node, or come again later";
            return Err(Problem::unavailable(detail, remedy));
        }
        let of_client = taken.entry(client).or_default();
        if self.are_shared_out && *of_client >= MOST_OF_ONE {
            let detail = format!("{MOST_OF_ONE} streams go to this address already");
            return Err(Problem::too_many(detail, RETRY_AFTER_S));
        }
        *of_client += 1;
        drop(taken);
        Ok(Place { places: self, client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<IpAddr>, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        if let Some(of_client) = taken.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: usize) -> Option<SocketAddr> {
        let number = u32::try_from(number).unwrap();
        Some((Ipv4Addr::from(number), 1).into())
    }

    fn status(refused: &Problem) -> u64 {
        serde_json::json!(refused)["status"].as_u64().unwrap()
    }

    #[test]
    fn one_client_gets_its_share_and_no_more_until_it_gives_one_back() {
        let places = Arc::new(Places::new(true));
        let mut taken: Vec<Place> = (0..MOST_OF_ONE)
            .map(|_| Arc::clone(&places).take(client(1)).unwrap())
            .collect();
        let refused = Arc::clone(&places).take(client(1)).unwrap_err();
        assert_eq!(status(&refused), 429);
        assert!(Arc::clone(&places).take(client(2)).is_ok());

        taken.pop();
        assert!(Arc::clone(&places).take(client(1)).is_ok());
        drop(taken);
        assert!(places.lock().is_empty(), "nobody is remembered who has gone");
    }

    #[test]
    fn all_together_have_a_thousand_and_behind_a_proxy_one_may_have_them_all() {
        let apart = Arc::new(Places::new(true));
        let each = |number| Arc::clone(&apart).take(client(number / MOST_OF_ONE));
        let taken: Vec<Place> = (0..MOST_READERS).map(|number| each(number).unwrap()).collect();
        assert_eq!(status(&each(MOST_READERS).unwrap_err()), 503);
        drop(taken);

        let together = Arc::new(Places::new(false));
        let taken: Vec<_> = (0..MOST_READERS)
            .map(|_| Arc::clone(&together).take(client(1)).unwrap())
            .collect();
        assert_eq!(taken.len(), MOST_READERS);
    }
}
