//! The refresh token of a log-in, kept for the next time: a file of its own for each broker, client, server and scope, mode
//! 0600 in a folder of mode 0700.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::cli::failure::Failure;
use crate::config::Environment;
use crate::id::ClientId;
use crate::scope::ScopeToken;
use crate::store::Digest;

/// What the file may be at most.
const MOST: u64 = 64 * 1024;

/// The folder of these files: `$XDG_STATE_HOME/mcp-auth-broker/logins`, else below `$HOME/.local/state`. `None`: neither is set.
pub(super) fn folder(environment: &Environment) -> Option<PathBuf> {
    let absolute =
        |name| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state =
        absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("mcp-auth-broker/logins"))
}

/// Which log-in it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    issuer: String,
    pub(super) client_id: String,
    /// Empty: the broker's own endpoint.
    pub(super) resource: String,
    /// What was asked for, in order; empty: what the broker gives.
    scope: Vec<String>,
}

impl Identity {
    pub(super) fn new(
        issuer: &Url,
        client: &ClientId,
        (resource, scope): (Option<&Url>, &[ScopeToken]),
    ) -> Self {
        let mut scope: Vec<_> = scope.iter().map(|scope| scope.as_str().to_owned()).collect();
        scope.sort_unstable();
        scope.dedup();
        Self {
            issuer: issuer.as_str().trim_end_matches('/').to_owned(),
            client_id: client.to_string(),
            resource: resource.map(Url::to_string).unwrap_or_default(),
            scope,
        }
    }
}

/// What a file holds. It says whose it is, however its name came about.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    log_in: Identity,
    pub(super) refresh_token: Zeroizing<String>,
}

/// The place of one log-in, held by this process alone until it is dropped: of two that refresh at once one waits.
pub(super) struct Place {
    folder: PathBuf,
    path: PathBuf,
    identity: Identity,
    _lock: File,
}

impl Place {
    /// # Errors
    ///
    /// The folder or the lock cannot be made, or belongs to somebody else.
    pub(super) fn open(folder: &Path, identity: &Identity) -> Result<Self, Failure> {
        let wrong = |error| unusable(folder, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
        private(&std::fs::metadata(folder).map_err(wrong)?, folder)?;
        let digest = Digest::of(&serde_json::to_string(identity).unwrap_or_default());
        let name = digest.to_hex();
        let path = folder.join(format!("{name}.json"));
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join(format!("{name}.lock"))).map_err(wrong)?;
        lock.lock().map_err(wrong)?;
        Ok(Self { folder: folder.to_owned(), path, identity: identity.clone(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept here. A file that is damaged, or another's, counts as none; it is replaced by the next log-in.
    ///
    /// # Errors
    ///
    /// Others may read it, or it cannot be read.
    pub(super) fn read(&self) -> Result<Option<Kept>, Failure> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&self.path, &error)),
        };
        let wrong = |error| unusable(&self.path, &error);
        private(&file.metadata().map_err(wrong)?, &self.path)?;
        let mut text = Zeroizing::new(Vec::new());
        file.take(MOST).read_to_end(&mut text).map_err(wrong)?;
        let kept: Option<Kept> = serde_json::from_slice(&text).ok();
        Ok(kept.filter(|kept| kept.log_in == self.identity))
    }

    /// Replaces what was there, as a whole; on disk when this returns.
    pub(super) fn write(&self, refresh_token: &str) -> Result<(), Failure> {
        let kept = Kept {
            log_in: self.identity.clone(),
            refresh_token: Zeroizing::new(refresh_token.to_owned()),
        };
        let text = Zeroizing::new(serde_json::to_vec(&kept).unwrap_or_default());
        let new = self.path.with_extension("new");
        let written = (|| {
            // Of a run that was cut off.
            self.remove_file(&new)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|error| unusable(&self.path, &error))
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        self.remove_file(&self.path).map_err(|error| unusable(&self.path, &error))
    }

    #[expect(clippy::unused_self, reason = "only the holder of the lock removes files")]
    fn remove_file(&self, path: &Path) -> std::io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Ours, and nobody else may look into it.
fn private(found: &std::fs::Metadata, path: &Path) -> Result<(), Failure> {
    let owner = rustix::process::geteuid().as_raw();
    if found.permissions().mode().trailing_zeros() >= 6 && found.uid() == owner {
        return Ok(());
    }
    Err(Failure::new(format!("{} can be read by others, or is somebody else's", path.display()))
        .hint("log-ins are kept there: give it to your user alone (chmod go= PATH), or remove it"))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} cannot be used to keep log-ins", path.display()))
        .cause(error.to_string())
        .hint("--no-keep keeps nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path, client: &str) -> Result<Place, Failure> {
        let issuer = "https://broker.example/".parse().unwrap();
        Place::open(folder, &Identity::new(&issuer, &client.parse().unwrap(), (None, &[])))
    }

    #[test]
    fn a_log_in_is_kept_for_its_owner_alone_and_for_its_own_client() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("state/logins");
        let kept = place(&folder, "terminal").unwrap();
        assert!(kept.read().unwrap().is_none());
        kept.write("first").unwrap();
        kept.write("second").unwrap();
        assert_eq!(*kept.read().unwrap().unwrap().refresh_token, "second");
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(kept.path())), (0o700, 0o600));
        let other = place(&folder, "other").unwrap();
        std::fs::copy(kept.path(), other.path()).unwrap();
        assert!(other.read().unwrap().is_none(), "a file of another client under this name");
        kept.remove().unwrap();
        kept.remove().unwrap();
        assert!(kept.read().unwrap().is_none());
    }

    #[test]
    fn what_others_may_read_is_not_used() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("logins");
        let kept = place(&folder, "terminal").unwrap();
        kept.write("token-CANARY").unwrap();
        let chmod = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        chmod(kept.path(), 0o640);
        let refused = kept.read().err().unwrap().to_string();
        assert!(refused.contains("by others") && !refused.contains("CANARY"), "{refused}");
        drop(kept);
        chmod(&folder, 0o755);
        assert!(place(&folder, "terminal").is_err());
    }

    #[test]
    fn without_a_home_nothing_is_kept() {
        let environment = |variables: &[(&str, &str)]| -> Environment {
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let found = |variables: &[(&str, &str)]| folder(&environment(variables));
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("HOME", "relative")]), None);
        let home = PathBuf::from("/home/ada/.local/state/mcp-auth-broker/logins");
        assert_eq!(found(&[("HOME", "/home/ada")]), Some(home));
        let state = PathBuf::from("/s/mcp-auth-broker/logins");
        assert_eq!(found(&[("HOME", "/home/ada"), ("XDG_STATE_HOME", "/s")]), Some(state));
    }
}
