//! What the tests of secrets share: a front on real backends, scripts as helpers, and the canary.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mcp_auth_broker::outbound::{Outbound, OutboundSettings};
use mcp_auth_broker::secret::{Environment, Secret, SecretError, Secrets, Settings};
use mcp_auth_broker::time::{Budget, Clock, SystemClock};

/// Every secret, token and noise of a backend holds this; nothing that we print may.
pub(crate) const CANARY: &str = "CANARY";

pub(crate) fn secrets(settings: Settings) -> Secrets {
    secrets_at(settings, Arc::new(SystemClock))
}

pub(crate) fn secrets_at(settings: Settings, clock: Arc<dyn Clock>) -> Secrets {
    let shown = format!("{settings:?}");
    let secrets = Secrets::new(settings, &Environment::default(), &outbound(), clock).unwrap();
    assert!(!format!("{shown} {secrets:?}").contains(CANARY), "{shown} {secrets:?}");
    secrets
}

pub(crate) fn outbound() -> Outbound {
    let allow_private = ["127.0.0.0/8"].iter().filter_map(|net| net.parse().ok()).collect();
    Outbound::new(&OutboundSettings { allow_private, ..OutboundSettings::default() }).unwrap()
}

pub(crate) fn budget() -> Budget {
    Budget::start(Arc::new(SystemClock), Duration::from_mins(1))
}

/// Reads, and looks for the canary in all that the outcome shows of itself.
pub(crate) async fn read(secrets: &Secrets, reference: &str) -> Result<Secret, SecretError> {
    let found = secrets.read_own(&reference.parse().unwrap(), &budget()).await;
    canary_free(&found);
    assert!(!format!("{secrets:?} {:?}", secrets.status()).contains(CANARY));
    found
}

pub(crate) fn canary_free<T: Debug>(found: &Result<T, SecretError>) {
    if let Err(error) = found {
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

/// Writes an executable script. A child writes it: while this process holds a file open for writing,
/// another thread's child may inherit it, and running the script fails with "text file busy".
pub(crate) fn script(dir: &Path, name: &str, body: &str) -> PathBuf {
    use std::io::Write;
    let path = dir.join(name);
    let mut writer = Command::new("/bin/sh")
        .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{body}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path
}
