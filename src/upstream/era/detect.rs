//! Of which era a server is: asked once, and again when something was wrong with it.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::ask::{Answer, ask, new_request, old_headers, ourselves, own_id};
use super::cancel::Cancellations;
use super::held::Held;
use super::input::Askable;
use super::message::{Members, request};
use super::ours::Ours;
use super::parameters::Parameters;
use super::{NEW, OLD};
use crate::upstream::fault::Fault;
use crate::upstream::server::Server;
use crate::upstream::who::Who;

/// How long an answer that told nothing stands, and how old one must be before a fault puts it in doubt.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a server that did not answer is not asked again: those who waited for the answer do not ask one by one.
const SHORT: Duration = Duration::from_secs(2);

/// What the settings say of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Era {
    /// It is asked.
    #[default]
    Auto,
    /// 2025-11-25 and before, and nothing else.
    Old,
    /// 2026-07-28 alone.
    New,
    /// It speaks with clients of both: nothing is ever translated, and it is never asked.
    Both,
}

/// With whom a server can speak without translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Speaks {
    Old,
    New,
    Both,
}

/// What is known of a server's era, and what is held for clients of the other. One for each server, whatever names it is
/// reached by.
#[derive(Debug)]
pub struct Eras {
    setting: Era,
    known: RwLock<Option<Known>>,
    /// One asks, the others wait for what it learns.
    asking: tokio::sync::Mutex<()>,
    pub(super) held: Held,
    pub(super) parameters: Parameters,
    pub(super) cancellations: Cancellations,
    pub(super) ours: Ours,
}

/// Times are monotonic.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// `None`: it did not say.
    speaks: Option<Speaks>,
    since: Duration,
    /// How long what it did not say is not asked for.
    pause: Duration,
}

impl Eras {
    #[must_use]
    pub fn new(setting: Era) -> Self {
        Self {
            setting,
            known: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
            held: Held::default(),
            parameters: Parameters::default(),
            cancellations: Cancellations::default(),
            ours: Ours::default(),
        }
    }

    /// With whom it speaks. Where that cannot be found out, messages go as they come.
    pub(super) async fn of(&self, server: &Server, who: &Who) -> Result<Speaks, Fault> {
        match self.setting {
            Era::Old => return Ok(Speaks::Old),
            Era::New => return Ok(Speaks::New),
            Era::Both => return Ok(Speaks::Both),
            Era::Auto => {}
        }
        let now = || server.door.clock.monotonic();
        if let Some(speaks) = self.known(now()) {
            return Ok(speaks);
        }
        let _asking = self.asking.lock().await;
        if let Some(speaks) = self.known(now()) {
            return Ok(speaks);
        }
        let found = detect(server, who).await;
        let (speaks, pause) = match &found {
            Ok(speaks) => (*speaks, PAUSE),
            Err(Fault::Away(_) | Fault::Slow(_) | Fault::NoReply) => (None, SHORT),
            // That is about this caller.
            Err(_) => return found.map(|speaks| speaks.unwrap_or(Speaks::Both)),
        };
        tracing::debug!(server = %server.id, ?speaks, "upstream.era");
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Known { speaks, since: now(), pause });
        drop(known);
        found.map(|speaks| speaks.unwrap_or(Speaks::Both))
    }

    /// Something was wrong with the server: it may be another one by now.
    pub(in crate::upstream) fn doubt(&self, now: Duration) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|known| now.saturating_sub(known.since) >= PAUSE) {
            *known = None;
        }
    }

    fn known(&self, now: Duration) -> Option<Speaks> {
        let known = (*self.known.read().unwrap_or_else(PoisonError::into_inner))?;
        match known.speaks {
            None if now.saturating_sub(known.since) >= known.pause => None,
            speaks => Some(speaks.unwrap_or(Speaks::Both)),
        }
    }
}

/// Asks. `Ok(None)`: what it said tells nothing.
async fn detect(server: &Server, who: &Who) -> Result<Option<Speaks>, Fault> {
    let id = own_id();
    let (headers, body) = new_request(&id, ("server/discover", None), Members::default());
    let discovered = match ask(server, who, (headers, body, &*id)).await {
        Ok((Answer::Result(result), _)) => Members::of(&result),
        // Neither an error nor a status of a client's fault comes from a server that knows the method.
        Ok((Answer::Error | Answer::Status(_), _)) => return Ok(Some(Speaks::Old)),
        Err(fault) => return unclear(fault),
    };
    let Some(versions) = discovered.get::<Vec<String>>("supportedVersions") else {
        return Ok(None);
    };
    let new = versions.iter().any(|version| version == NEW);
    let old = versions.iter().any(|version| OLD.contains(&version.as_str()));
    match (new, old) {
        (true, true) => Ok(Some(Speaks::Both)),
        (false, _) => Ok(Some(Speaks::Old)),
        // Some list there the versions of the new era alone, and know the handshake of the old one all the same.
        (true, false) => handshake(server, who).await,
    }
}

async fn handshake(server: &Server, who: &Who) -> Result<Option<Speaks>, Fault> {
    let id = own_id();
    let body = request(Some(&*id), "initialize", &initialize(Askable::default()));
    match ask(server, who, (old_headers(None, None), body, &*id)).await {
        Ok((Answer::Result(result), session)) => {
            let result = Members::of(&result);
            if let Some(session) = session {
                let version = result.get::<String>("protocolVersion");
                let version = version.and_then(|version| version.parse().ok());
                super::held::farewell(server, who, (version.as_ref(), &session)).await;
            }
            let speaks = if result.has("protocolVersion") { Speaks::Both } else { Speaks::New };
            Ok(Some(speaks))
        }
        Ok(_) => Ok(Some(Speaks::New)),
        Err(fault) => unclear(fault),
    }
}

/// The revisions that clients can speak where messages are translated, the newest first.
pub(super) fn supported() -> Vec<&'static str> {
    std::iter::once(NEW).chain(OLD).collect()
}

/// What the broker says in `initialize`: for what its client can be asked back through it.
pub(super) fn initialize(askable: Askable) -> Members {
    let mut params = Members::default();
    params.set("protocolVersion", OLD[0]);
    params.set("capabilities", askable.declared());
    params.set("clientInfo", ourselves());
    params
}

/// A server that is away is away for the call, too; one that answers strangely may answer that.
fn unclear(fault: Fault) -> Result<Option<Speaks>, Fault> {
    match fault {
        Fault::Away(_)
        | Fault::Slow(_)
        | Fault::NoReply
        | Fault::Credential
        | Fault::NoCredential(_)
        | Fault::NoToken(_)
        | Fault::NoIdentity
        | Fault::Child(_)
        | Fault::Busy(_) => Err(fault),
        _ => Ok(None),
    }
}
