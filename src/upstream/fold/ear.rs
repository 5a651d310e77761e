//! Listens to one server for changes of its lists, and writes down what it has then.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::random::Random;

use super::One;
use super::board::Board;
use super::heard::{Asking, Deaf, Heard, Lead, News, Offers};
use super::hub::Hub;
use super::visible::{Has, Which};

/// How soon lists are asked for again, however often the server says that they changed: this, and once more for each so many
/// things that it has, about all of which each client decides.
const GAP: Duration = Duration::from_secs(1);
const OF_THINGS: usize = 250;
/// How soon one that tells of no changes is asked whether it does by now.
const MUTE: Duration = Duration::from_mins(10);
/// The rest after a server that is away: twice the last, up to the longest. One that was heard for as long begins anew.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);

/// How long a server that is away is left alone.
#[derive(Debug)]
pub(super) struct Rest(Duration);

impl Rest {
    pub(super) const fn new() -> Self {
        Self(SHORTEST)
    }

    /// After it was heard for so long.
    pub(super) async fn after(&mut self, heard: Duration, random: &dyn Random) {
        tokio::time::sleep(self.next(heard, random)).await;
    }

    /// Half of it is by chance: those who lost a server at the same moment do not all come back at one.
    fn next(&mut self, heard: Duration, random: &dyn Random) -> Duration {
        if heard >= LONGEST {
            self.0 = SHORTEST;
        }
        let (half, mut drawn) = (self.0 / 2, [0; 2]);
        random.fill_identifier(&mut drawn);
        self.0 = self.0.saturating_mul(2).min(LONGEST);
        half.saturating_add(half * u32::from(u16::from_be_bytes(drawn)) / u32::from(u16::MAX))
    }
}

/// Until lists are asked for again of a server that has so many things.
fn gap(things: usize) -> Duration {
    GAP.saturating_mul(u32::try_from(things / OF_THINGS).unwrap_or(u32::MAX).saturating_add(1))
}

/// Waits until a server that tells of nothing may be asked again.
pub(super) async fn while_mute() {
    tokio::time::sleep(MUTE).await;
}

/// On whose behalf it listens.
#[derive(Debug)]
pub(super) enum Leads {
    /// Of anybody who is told, of servers that cannot tell callers apart.
    Any(Weak<Hub>),
    One(Lead),
}

impl Leads {
    fn now(&self) -> Option<Lead> {
        match self {
            Self::Any(hub) => hub.upgrade()?.lead(),
            Self::One(lead) => Some(lead.clone()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Ear {
    pub(super) one: Arc<One>,
    pub(super) leads: Leads,
    pub(super) board: Arc<Board>,
}

impl Ear {
    /// Listens for as long as the server is there and somebody is told. Dropped, the server's stream is closed.
    pub(super) async fn listen(self) {
        let (mut rest, mut returns) = (Rest::new(), 0);
        while let Some(lead) = self.leads.now() {
            let began = Instant::now();
            let asking = Asking { server: Arc::clone(&self.one.server), lead };
            let heard = self.hear(&asking, returns).await;
            if self.one.server.closing.is_cancelled() {
                return self.board.remove(&self.one.server.id);
            }
            match heard {
                Ok(()) => {}
                Err(Deaf::Mute) => while_mute().await,
                Err(Deaf::Away) => {
                    returns += 1;
                    let server = &self.one.server.id;
                    tracing::debug!(%server, "upstream.not_heard");
                    self.board.note_away(server);
                }
            }
            rest.after(began.elapsed(), &*self.one.server.door.random).await;
        }
    }

    /// Listens until the stream ends. Before it is open nothing is asked for: what changes in between would be told to nobody.
    async fn hear(&self, asking: &Asking, returns: u64) -> Result<(), Deaf> {
        let mut approvals = self.one.server.watch.approvals();
        let offers =
            asking.discover().await.inspect_err(|_| self.board.note_away(&self.one.server.id))?;
        let mut heard = match offers.lists() {
            None => None,
            Some(wanted) => match asking.listen(&wanted).await {
                Ok((_, heard)) => Some(heard),
                Err(Deaf::Mute) => None,
                Err(away) => return Err(away),
            },
        };
        let mut has = Has::nothing(&self.one.server, returns);
        self.look(asking, (&offers, &Which::ALL), &mut has).await?;
        let (mut changed, mut due) = (Vec::new(), Instant::now());
        loop {
            tokio::select! {
                news = next(&mut heard) => match news {
                    None => return Ok(()),
                    Some(News::Changed(which)) if !changed.contains(&which) => changed.push(which),
                    Some(_) => {}
                },
                Ok(()) = approvals.changed() => {
                    if !changed.contains(&Which::Tools) {
                        changed.push(Which::Tools);
                    }
                }
                () = tokio::time::sleep_until(due), if !changed.is_empty() => {
                    let which = std::mem::take(&mut changed);
                    self.look(asking, (&offers, &which), &mut has).await?;
                    due = Instant::now() + gap(has.count());
                }
                () = while_mute(), if heard.is_none() && changed.is_empty() => return Ok(()),
            }
        }
    }

    /// Asks for these lists, and writes down what there is.
    async fn look(
        &self,
        asking: &Asking,
        (offers, which): (&Offers, &[Which]),
        has: &mut Has,
    ) -> Result<(), Deaf> {
        for which in which.iter().copied().filter(|which| offers.has(*which)) {
            // First those of this server, so that one that hangs keeps few of those of all.
            let _own = self.one.asking.acquire().await.map_err(|_| Deaf::Away)?;
            let _place = self.board.asking.acquire().await.map_err(|_| Deaf::Away)?;
            has.set(which, asking.list(which).await?);
        }
        let lead = matches!(self.leads, Leads::One(_)).then_some(&asking.lead);
        for which in which {
            self.one.is_well(which.lists(), lead);
        }
        if self.board.knows(&self.one.server.id, has) {
            return Ok(());
        }
        // First: who is told asks for it.
        self.one.has_news(lead);
        self.board.put(&self.one.server.id, has.clone());
        Ok(())
    }
}

/// What is heard next; of a server that tells of nothing, nothing ever.
async fn next(heard: &mut Option<Heard>) -> Option<News> {
    match heard {
        Some(heard) => heard.next().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use crate::random::SeededRandom;

    use super::*;

    #[test]
    fn who_lost_a_server_with_others_comes_back_at_a_time_of_its_own() {
        let random = SeededRandom::new(7);
        let mut together = [Rest::new(), Rest::new(), Rest::new()];
        for doubled in [1, 2, 4, 8, 16, 32, 60, 60] {
            let longest = Duration::from_secs(doubled);
            let rests = together.each_mut().map(|rest| rest.next(Duration::ZERO, &random));
            assert!(rests.iter().all(|rest| *rest >= longest / 2 && *rest <= longest), "{rests:?}");
            assert!(rests[0] != rests[1] && rests[1] != rests[2], "{rests:?}");
        }
        let [mut one, ..] = together;
        assert!(one.next(LONGEST, &random) <= SHORTEST, "it was there for long");
    }

    #[test]
    fn a_long_list_is_asked_for_less_often() {
        assert_eq!(gap(0), GAP);
        assert_eq!(gap(OF_THINGS - 1), GAP);
        assert_eq!(gap(20_000), Duration::from_secs(81));
    }
}
