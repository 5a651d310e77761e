//! Listens for one client to the lists of servers that know their callers, as such servers come and go.

use std::sync::Arc;

use tokio::sync::watch;

use super::Folded;
use super::board::Board;
use super::ear::{Ear, Leads};
use super::heard::Lead;
use super::hub::{Ears, Listening};
use super::places::Places;

/// Dropped, the streams of its servers are closed.
#[derive(Debug)]
pub(super) struct OwnEars {
    folded: Arc<Folded>,
    lead: Lead,
    board: Arc<Board>,
    places: Places,
    /// Streams that this client's stream has besides.
    others: usize,
    ears: Ears,
    replaced: watch::Receiver<()>,
}

impl OwnEars {
    /// Begins to listen to those that are there.
    pub(super) fn begin(
        folded: &Arc<Folded>,
        (lead, board): (&Lead, &Arc<Board>),
        (places, others): (Places, usize),
    ) -> Self {
        // First: what comes after it is looked at once too often rather than never.
        let replaced = folded.replaced.subscribe();
        let (folded, lead, board) = (Arc::clone(folded), lead.clone(), Arc::clone(board));
        let ears = Ears::new();
        let mut begun = Self { folded, lead, board, places, others, ears, replaced };
        begun.follow();
        begun
    }

    /// To whom it listens.
    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        self.ears.keys().map(|id| Arc::from(&**id)).collect()
    }

    /// Goes on for as long as the client is told.
    pub(super) async fn attend(mut self) {
        while self.replaced.changed().await.is_ok() {
            self.follow();
        }
    }

    /// From now on it is these servers, and no others. One that is reached another way is listened to anew.
    fn follow(&mut self) {
        let mut servers = self.folded.all();
        servers.retain(|one| !one.server.knows_no_callers());
        self.board.keep_alone(&mut self.ears, &servers);
        for one in servers {
            if self.ears.contains_key(&one.server.id) {
                continue;
            }
            let taken = self.others + self.ears.len();
            let Some(place) = self.places.one_more(&one.server.id, taken) else { break };
            let (id, leads) = (one.server.id.clone(), Leads::One(self.lead.clone()));
            let ear = Ear { one, leads, board: Arc::clone(&self.board) };
            self.ears.insert(id, Listening::begin(ear, Some(place)));
        }
    }
}
