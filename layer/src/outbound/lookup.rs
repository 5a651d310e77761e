//! Looking up names: one at a time for each, and not too many in all.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

/// Lookups under way at once. Each keeps a thread of the runtime's for as long as the system's resolver tries, which is far
/// longer than a call waits; the runtime has 512 of them, for files, too.
const MOST: usize = 64;

type Found = Result<Arc<[SocketAddr]>, Arc<io::Error>>;
type UnderWay = Shared<BoxFuture<'static, Found>>;
type Look = dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// Asks the system. A name whose server does not answer is looked up once, however many wait for it, so that it keeps no
/// threads from the others. Nothing that was found is kept.
pub(super) struct Lookups {
    look: Box<Look>,
    under_way: Mutex<HashMap<String, UnderWay>>,
}

impl Lookups {
    /// With the system's resolver.
    pub(super) fn new() -> Self {
        Self::with(|host| {
            async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) }.boxed()
        })
    }

    /// Of which none ever ends.
    #[cfg(test)]
    pub(super) fn without_an_answer() -> Self {
        Self::with(|_| std::future::pending().boxed())
    }

    fn with(
        look: impl Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self { look: Box::new(look), under_way: Mutex::default() }
    }

    /// # Errors
    ///
    /// What the system says, or that too many others are being looked up.
    pub(super) async fn find(&self, host: &str) -> Result<Vec<SocketAddr>, io::Error> {
        let lookup = self.joined(host)?;
        let found = lookup.clone().await;
        let mut under_way = self.under_way();
        if under_way.get(host).is_some_and(|kept| kept.ptr_eq(&lookup)) {
            under_way.remove(host);
        }
        drop(under_way);
        match found {
            Ok(found) => Ok(found.to_vec()),
            Err(error) => Err(io::Error::new(error.kind(), error)),
        }
    }

    /// The lookup of this name that is under way, or a new one.
    fn joined(&self, host: &str) -> Result<UnderWay, io::Error> {
        let mut under_way = self.under_way();
        // What ended while nobody waited for it is as old as it is.
        if let Some(lookup) = under_way.get(host)
            && !has_ended(lookup)
        {
            return Ok(lookup.clone());
        }
        under_way.remove(host);
        if under_way.len() >= MOST {
            under_way.retain(|_, lookup| !has_ended(lookup));
        }
        if under_way.len() >= MOST {
            return Err(io::Error::other("too many names are being looked up"));
        }
        let looking = (self.look)(host.to_owned());
        let lookup = looking.map(|found| found.map(Arc::from).map_err(Arc::new)).boxed().shared();
        under_way.insert(host.to_owned(), lookup.clone());
        Ok(lookup)
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn has_ended(lookup: &UnderWay) -> bool {
    lookup.clone().now_or_never().is_some()
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookups")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    fn address() -> SocketAddr {
        SocketAddr::from(([1, 1, 1, 1], 0))
    }

    /// Names that end in `-dead` are looked up until a permit is there; how often they were begun.
    fn lookups() -> (Arc<Lookups>, Arc<AtomicUsize>, Arc<Semaphore>) {
        let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, waited) = (Arc::clone(&begun), Arc::clone(&gate));
        let lookups = Lookups::with(move |host| {
            let gate = Arc::clone(&waited);
            let is_dead = host.ends_with("-dead");
            if is_dead {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            async move {
                if is_dead {
                    gate.acquire().await.unwrap().forget();
                }
                Ok(vec![address()])
            }
            .boxed()
        });
        (Arc::new(lookups), begun, gate)
    }

    #[tokio::test]
    async fn a_name_that_many_wait_for_is_looked_up_once_and_others_meanwhile() {
        let (lookups, begun, gate) = lookups();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..1_000 {
            let lookups = Arc::clone(&lookups);
            waiting.spawn(async move { lookups.find("zone-dead").await });
        }
        // Until all of them wait: a runtime turns to some sixty at a time.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(lookups.find("zone.alive").await.unwrap(), [address()]);
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        gate.add_permits(1);
        while let Some(found) = waiting.join_next().await {
            assert_eq!(found.unwrap().unwrap(), [address()]);
        }
        assert!(lookups.under_way().is_empty());
    }

    /// Callers give up long before the system does.
    #[tokio::test]
    async fn one_that_all_have_given_up_is_not_begun_again_until_it_has_ended() {
        let (lookups, begun, gate) = lookups();
        for _ in 0..3 {
            assert!(lookups.find("zone-dead").now_or_never().is_none());
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        gate.add_permits(2);
        assert_eq!(lookups.find("zone-dead").await.unwrap(), [address()]);
        assert_eq!(begun.load(Ordering::Relaxed), 2, "what it found is not handed out late");
    }

    #[tokio::test]
    async fn names_without_an_answer_have_no_more_than_their_share_of_threads() {
        let (lookups, begun, gate) = lookups();
        for number in 0..MOST + 10 {
            let host = format!("{number}-dead");
            assert_eq!(lookups.find(&host).now_or_never().is_some(), number >= MOST, "{number}");
        }
        assert_eq!(begun.load(Ordering::Relaxed), MOST);
        assert!(lookups.find("zone.alive").await.is_err());
        gate.add_permits(MOST);
        assert_eq!(lookups.find("zone.alive").await.unwrap(), [address()]);
    }
}
