//! How many logins elsewhere may be begun: each is a row in the store until it is finished or late, and may be a look at
//! the provider's discovery document.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::authorization_server::server::AuthorizationServer;
use crate::limits::{Meter, Rate, network};

const MINUTE: Duration = Duration::from_mins(1);
/// By network, for nobody is known yet: a whole office at nine o'clock must fit in.
const OF_ONE_NETWORK: Rate = Rate { count: NonZeroU32::new(120).unwrap(), period: MINUTE };
const OF_ALL: Rate = Rate { count: NonZeroU32::new(3000).unwrap(), period: MINUTE };

/// Counts them, in this process.
#[derive(Clone, Debug)]
pub(crate) struct ElsewhereLimits(Arc<[Meter; 2]>);

impl ElsewhereLimits {
    pub(crate) fn new(server: &AuthorizationServer) -> Self {
        let meter = |rate| Meter::new(rate, Arc::clone(&server.clock));
        Self(Arc::new([meter(OF_ONE_NETWORK), meter(OF_ALL)]))
    }

    /// Counts one. `false`: too many. The network first, so that a loud one uses up nothing of the others' room.
    pub(super) fn admit(&self, server: &AuthorizationServer, address: Option<IpAddr>) -> bool {
        let [of_network, of_all] = &*self.0;
        let key = |name: &Option<String>| server.tokens.guesses.key(name);
        of_network.count(key(&address.map(network))).is_ok() && of_all.count(key(&None)).is_ok()
    }
}
