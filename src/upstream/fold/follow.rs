//! Listens to one server for what becomes of the resources of which one client wants to be told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::upstream::era::Filter;
use crate::upstream::server::Server;

use super::ear::{Rest, while_mute};
use super::heard::{Asking, Deaf, Lead, News};

/// A resource as its server knows it, and as it is known at `/mcp`.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub(super) server: Arc<Server>,
    pub(super) own: String,
    pub(super) uri: String,
}

/// What is to be told to one client. Each resource waits once, however often it changes.
#[derive(Debug, Default)]
pub(super) struct Updates {
    waiting: Mutex<BTreeSet<String>>,
    pub(super) told: Notify,
    /// How many servers have said of what they tell, or did not answer.
    pub(super) settled: watch::Sender<usize>,
    /// Of what they do not tell.
    refused: Mutex<BTreeSet<String>>,
}

impl Updates {
    pub(super) fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.waiting))
    }

    pub(super) fn is_refused(&self, uri: &str) -> bool {
        lock(&self.refused).contains(uri)
    }

    pub(super) fn refuse(&self, uris: impl Iterator<Item = String>) {
        lock(&self.refused).extend(uris);
    }

    fn note(&self, uris: impl Iterator<Item = String>) {
        lock(&self.waiting).extend(uris);
        self.told.notify_one();
    }
}

fn lock(set: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resources of one server, of which one client is told.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) server: Arc<Server>,
    pub(super) lead: Lead,
    pub(super) followed: Vec<Followed>,
    pub(super) updates: Arc<Updates>,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Course {
    settled: bool,
    /// Whether it was open before: what changed since nobody has told.
    was_open: bool,
}

impl Follower {
    pub(super) async fn follow(self) {
        let (mut rest, mut course) = (Rest::new(), Course::default());
        let (server, lead) = (Arc::clone(&self.server), self.lead.clone());
        let asking = Asking { server, lead };
        loop {
            let began = Instant::now();
            let heard = self.hear(&asking, &mut course).await;
            self.settle(&mut course);
            if self.server.closing.is_cancelled() {
                return;
            }
            if heard == Err(Deaf::Mute) {
                if !course.was_open {
                    return; // of what was refused at the beginning nobody is told later, and it keeps no place
                }
                while_mute().await;
            }
            rest.after(began.elapsed(), &*self.server.door.random).await;
        }
    }

    async fn hear(&self, asking: &Asking, course: &mut Course) -> Result<(), Deaf> {
        if !asking.discover().await?.takes_subscriptions() {
            self.refuse(course, &[]);
            return Err(Deaf::Mute);
        }
        let wanted = self.followed.iter().map(|followed| followed.own.clone());
        let wanted = Filter { resource_subscriptions: wanted.collect(), ..Filter::default() };
        let (honored, mut heard) = match asking.listen(&wanted).await {
            Err(Deaf::Mute) => {
                self.refuse(course, &[]);
                return Err(Deaf::Mute);
            }
            opened => opened?,
        };
        self.refuse(course, &honored.resource_subscriptions);
        if std::mem::replace(&mut course.was_open, true) {
            self.updates.note(self.followed.iter().map(|followed| followed.uri.clone()));
        }
        while let Some(news) = heard.next().await {
            let News::Updated(own) = news else { continue };
            let followed = self.followed.iter().find(|followed| followed.own == own);
            self.updates.note(followed.map(|followed| followed.uri.clone()).into_iter());
        }
        Ok(())
    }

    /// The server tells of no others than of these. What is said to the client is said once.
    fn refuse(&self, course: &mut Course, honored: &[String]) {
        if !course.settled {
            let others = self.followed.iter().filter(|followed| !honored.contains(&followed.own));
            self.updates.refuse(others.map(|followed| followed.uri.clone()));
        }
        self.settle(course);
    }

    fn settle(&self, course: &mut Course) {
        if !std::mem::replace(&mut course.settled, true) {
            self.updates.settled.send_modify(|settled| *settled += 1);
        }
    }
}
