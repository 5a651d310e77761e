//! A start that waits for what its settings name: files that are mounted later, a database that does not answer yet.
//!
//! Whoever runs it sees the reason on `/ready` and in one line of the log, and nothing starts again and again: what asks a backend for a secret
//! would use up its quota so. In development the command ends with the error instead, for somebody reads it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::config::{Config, Deployment, SecretSource};
use crate::http::{ClientCertificates, NotYet, Tls, TlsFiles, TlsKey, bind, lobby, tls};
use crate::secret_ref::SecretRef;

use super::failure::Failure;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Why a broker did not begin.
pub(super) enum NotBegun {
    /// Something has to be changed first.
    Ever(Failure),
    /// It may begin in a while.
    Yet { place: Place, failure: Failure },
}

impl NotBegun {
    pub(super) fn of(may_pass: bool, place: Place, failure: Failure) -> Self {
        if may_pass && !place.is_dev() { Self::Yet { place, failure } } else { Self::Ever(failure) }
    }
}

/// Where the probes are answered meanwhile.
pub(super) struct Place {
    listen: SocketAddr,
    dev: bool,
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
        let dev = config.deployment == Deployment::Dev;
        Self { listen: config.server.listen, dev, tls }
    }

    pub(super) const fn is_dev(&self) -> bool {
        self.dev
    }

    fn tls(&self) -> Option<Tls> {
        tls(self.tls.as_ref()?).ok()
    }
}

/// What goes on between the tries. Nothing before the first fails.
pub(super) struct Waiting {
    why: NotYet,
    tries: u32,
    warned: bool,
    /// SIGHUP: try now.
    asked: Signal,
    lobby: Option<(oneshot::Sender<()>, JoinSet<()>)>,
}

impl Waiting {
    /// # Errors
    ///
    /// Signals cannot be listened to.
    pub(super) fn new() -> Result<Self, Failure> {
        let asked = signal(SignalKind::hangup()).map_err(|error| Failure::of(&error))?;
        Ok(Self { why: NotYet::default(), tries: 0, warned: false, asked, lobby: None })
    }

    pub(super) const fn is_first(&self) -> bool {
        self.tries == 0
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
    pub(super) async fn wait(&mut self, place: Place, failure: &Failure) -> Result<(), Failure> {
        let reason = failure.in_one_line();
        if self.why.because(&reason) {
            tracing::error!(reason, "broker.waits_to_start");
        }
        if self.lobby.is_none() {
            let listener = bind(place.listen).await.map_err(|error| Failure::of(&error))?;
            let (end, ended) = oneshot::channel();
            let ended = async { ended.await.unwrap_or_default() };
            let mut tasks = JoinSet::new();
            tasks.spawn(lobby(listener, place.tls(), self.why.clone(), ended));
            self.lobby = Some((end, tasks));
        }
        let pause = LONGEST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(self.tries.min(5)));
        self.tries = self.tries.saturating_add(1);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.asked.recv() => {}
        }
        Ok(())
    }

    /// Gives the address back.
    pub(super) async fn end(self) {
        if let Some((end, tasks)) = self.lobby {
            drop(end);
            tasks.join_all().await;
        }
    }
}
