//! What one network may use of what strangers use together, before anything is counted for everybody (N90, N101).
//!
//! Behind a proxy that `server.trusted_proxies` does not name all people are one network.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::limits::NetworkShare;
use crate::time::Clock;

/// Authorization requests: a tenth of what one client has.
const REQUESTS: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// A fifth of all. Not less: the people of a hosted client come from a few networks.
const REGISTRATIONS: NonZeroU32 = NonZeroU32::new(60).unwrap();
/// A sixth of all.
const DOCUMENTS: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// The shares of every network, a minute.
#[derive(Debug)]
pub(super) struct Shares {
    pub(super) requests: NetworkShare,
    pub(super) registrations: NetworkShare,
    pub(super) documents: NetworkShare,
}

impl Shares {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Self {
        Self {
            requests: NetworkShare::new(REQUESTS, clock),
            registrations: NetworkShare::new(REGISTRATIONS, clock),
            documents: NetworkShare::new(DOCUMENTS, clock),
        }
    }
}
