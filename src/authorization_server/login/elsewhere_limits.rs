//! How many logins elsewhere may be begun: each is a row in the store until it is finished or late, and may be a look at
//! the provider's discovery document.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::shares::room_for;
use crate::limits::{NetworkShare, Room, RoomSize};

const OF_ALL: RoomSize = RoomSize {
    all: NonZeroU32::new(3000).unwrap(),
    reserve: NonZeroU32::new(1500).unwrap(),
    each: NonZeroU32::new(3).unwrap(),
};

/// Counts them, in this process, a minute.
#[derive(Clone, Debug)]
pub(crate) struct ElsewhereLimits(Arc<(NetworkShare, Room)>);

impl ElsewhereLimits {
    pub(crate) fn new(server: &AuthorizationServer) -> Self {
        // By site, for nobody is known yet: a whole office at nine o'clock must fit in.
        let of_site = server.settings.site_shares.logins;
        let share = NetworkShare::at(of_site, &server.clock);
        Self(Arc::new((share, Room::new(room_for(of_site, OF_ALL), &server.clock))))
    }

    /// Counts one. `false`: too many. The site first, so that a loud one uses up nothing of the others' room.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> bool {
        let (of_site, of_all) = &*self.0;
        of_site.take(address).is_ok() && of_all.take(address).is_ok()
    }
}
