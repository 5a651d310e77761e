//! A start that waits for what its settings name: files that are mounted later, a database that does not answer yet.
//!
//! Whoever runs it sees the reason on `/ready` and in one line of the log, and nothing starts again and again: what asks a backend for a secret
//! would use up its quota so. What a backend said to one try counts for the next ones, as long as it would for a broker that runs.
//! In development the command ends with the error instead, for somebody reads it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::app::{AppError, Tries};
use crate::config::{Config, Deployment, SecretSource};
use crate::http::{ClientCertificates, NotYet, Tls, TlsFiles, TlsKey, bind, lobby, tls};
use crate::secret_ref::SecretRef;

use super::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Where each try asks a backend of secrets: as long as Kubernetes lets a process wait that ends again and again.
const LONGEST_SPARING_PAUSE: Duration = Duration::from_mins(5);

/// Why a broker did not begin.
pub(super) enum NotBegun {
    /// Something has to be changed first.
    Ever(Failure),
    /// It may begin in a while.
    Yet { place: Place, failure: Failure, pace: Pace },
}

impl NotBegun {
    pub(super) fn of(error: &AppError, place: Place) -> Self {
        let failure = Failure::of(error);
        if error.may_pass() && !place.is_dev() {
            Self::Yet { place, failure, pace: Pace::of(error) }
        } else {
            Self::Ever(failure)
        }
    }
}

/// When it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Soon,
    /// The try asked a backend of secrets.
    Sparing,
    /// Another broker has to end first, which may answer at our address until it does.
    AfterAnother,
}

impl Pace {
    const fn of(error: &AppError) -> Self {
        match error {
            AppError::AskedBackend(_) => Self::Sparing,
            error if error.is_of_another_broker() => Self::AfterAnother,
            _ => Self::Soon,
        }
    }

    /// After so many tries.
    fn pause(self, tries: u32) -> Duration {
        let longest = match self {
            Self::Soon | Self::AfterAnother => LONGEST_PAUSE,
            Self::Sparing => LONGEST_SPARING_PAUSE,
        };
        longest.min(FIRST_PAUSE * 2_u32.pow(tries.min(10)))
    }
}

/// Where the probes are answered meanwhile.
pub(super) struct Place {
    listen: SocketAddr,
    deployment: Deployment,
    /// Where its files are there: no backend is asked for this.
    tls: Option<TlsFiles>,
}

impl Place {
    pub(super) fn of(config: &Config) -> Self {
        let tls = config.server.tls.as_ref().and_then(|tls| match &tls.key {
            SecretSource::Ref(SecretRef::File(path)) => {
                let clients = ClientCertificates::default(); // nobody is let in yet
                Some(TlsFiles { cert: tls.cert.clone(), key: TlsKey::File(path.clone()), clients })
            }
            SecretSource::Ref(_) | SecretSource::Literal(_) => None,
        });
        Self { listen: config.server.listen, deployment: config.deployment, tls }
    }

    pub(super) fn is_dev(&self) -> bool {
        self.deployment == Deployment::Dev
    }

    fn tls(&self) -> Option<Tls> {
        tls(self.tls.as_ref()?).ok()
    }
}

/// What goes on between the tries. Nothing before the first fails.
pub(super) struct Waiting {
    why: NotYet,
    tries: u32,
    /// Why it was tried in vain last, and how often in a row.
    last: Option<(Pace, u32)>,
    /// What the first try was of.
    deployment: Option<Deployment>,
    backends: Tries,
    warned: bool,
    /// SIGHUP: try now.
    asked: Signal,
    lobby: Option<Lobby>,
}

/// What answers the probes.
struct Lobby {
    over_tls: bool,
    end: oneshot::Sender<()>,
    tasks: JoinSet<()>,
}

impl Lobby {
    fn open(listener: TcpListener, tls: Option<Tls>, why: &NotYet) -> Self {
        let over_tls = tls.is_some();
        let (end, ended) = oneshot::channel();
        let ended = async { ended.await.unwrap_or_default() };
        let mut tasks = JoinSet::new();
        tasks.spawn(lobby(listener, tls, why.clone(), ended));
        Self { over_tls, end, tasks }
    }

    /// Gives the address back.
    async fn close(self) {
        drop(self.end);
        self.tasks.join_all().await;
    }
}

impl Waiting {
    /// # Errors
    ///
    /// Signals cannot be listened to.
    pub(super) fn new() -> Result<Self, Failure> {
        let asked = signal(SignalKind::hangup()).map_err(|error| Failure::of(&error))?;
        let (why, backends) = (NotYet::default(), Tries::default());
        Ok(Self {
            why,
            tries: 0,
            last: None,
            deployment: None,
            backends,
            warned: false,
            asked,
            lobby: None,
        })
    }

    /// What the tries before learned.
    pub(super) const fn backends(&self) -> &Tries {
        &self.backends
    }

    pub(super) const fn is_first(&self) -> bool {
        self.tries == 0
    }

    /// What the tries before were of, where the settings say another environment by now. A file that is being written is read
    /// while it is empty, too, and no settings are those of development.
    pub(super) fn another_environment(&self, now: Deployment) -> Option<Deployment> {
        self.deployment.filter(|before| *before != now)
    }

    /// Whether what is odd about the settings is yet to be said: once, and by the first try that could read them all.
    pub(super) const fn warns_now(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }

    /// Says why, where that is new, and resolves when it is to be tried again: after a while, or at a SIGHUP.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    pub(super) async fn wait(
        &mut self,
        place: Place,
        (failure, after): (&Failure, Pace),
    ) -> Result<(), Failure> {
        let reason = failure.in_one_line();
        if self.why.because(&reason) {
            tracing::error!(reason, "broker.waits_to_start");
        }
        self.answer(&place, after).await?;
        self.deployment.get_or_insert(place.deployment);
        let before = self.last.filter(|(pace, _)| *pace == after).map_or(0, |(_, times)| times);
        self.last = Some((after, before.saturating_add(1)));
        let pause = after.pause(before);
        self.tries = self.tries.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.asked.recv() => {}
        }
        Ok(())
    }

    /// Lets probes be answered, by TLS from when its certificate is there.
    async fn answer(&mut self, place: &Place, after: Pace) -> Result<(), Failure> {
        let tls = if self.lobby.as_ref().is_some_and(|lobby| lobby.over_tls) {
            None
        } else {
            place.tls()
        };
        if tls.is_some()
            && let Some(plain) = self.lobby.take()
        {
            plain.close().await;
        }
        if self.lobby.is_some() {
            return Ok(());
        }
        match bind(place.listen).await {
            Ok(listener) => self.lobby = Some(Lobby::open(listener, tls, &self.why)),
            // The other one answers there still.
            Err(_) if after == Pace::AfterAnother => {}
            Err(error) => return Err(Failure::of(&error)),
        }
        Ok(())
    }

    /// Gives the address back.
    pub(super) async fn end(self) {
        if let Some(lobby) = self.lobby {
            lobby.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_a_backend_of_secrets_is_tried_less_and_less() {
        let paused =
            |pace: Pace| [0, 1, 4, 5, 9, u32::MAX].map(|tries| pace.pause(tries).as_secs());
        assert_eq!(paused(Pace::Soon), [1, 2, 16, 30, 30, 30]);
        assert_eq!(paused(Pace::AfterAnother), paused(Pace::Soon));
        assert_eq!(paused(Pace::Sparing), [1, 2, 16, 32, 300, 300]);
    }
}
