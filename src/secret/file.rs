//! `file:/path`: a file, a Kubernetes or Docker mount, a systemd credential; read at each use.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

use super::error::{Detail, Fault, SecretError};
use super::provider::SecretProvider;
use super::value::{self, MAX_BYTES};

/// Reads files. Stateless: a swapped or rewritten file counts from the next read on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files;

impl SecretProvider for Files {
    fn resolve<'a>(
        &'a self,
        reference: &'a SecretRef,
        _limit: Duration,
    ) -> BoxFuture<'a, Result<SecretText, SecretError>> {
        async move {
            let SecretRef::File(path) = reference else {
                return Err(Fault::UNEXPECTED.at(reference));
            };
            read(path).await.map_err(|fault| fault.at(reference))
        }
        .boxed()
    }
}

/// Reads a secret file on a thread that may block (a network file system does).
pub(super) async fn read(path: &Path) -> Result<SecretText, Fault> {
    let path = path.to_owned();
    match tokio::task::spawn_blocking(move || read_now(&path)).await {
        Ok(found) => found,
        Err(_stopped) => Err(Fault::UNEXPECTED),
    }
}

/// Opens once and asks the open file everything, so that a swap in between cannot mix two files.
fn read_now(path: &Path) -> Result<SecretText, Fault> {
    // NONBLOCK: opening a FIFO must not wait for a writer.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::CLOEXEC).bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .map_err(|error| refused(&error))?;
    let metadata = file.metadata().map_err(|error| refused(&error))?;
    if !metadata.is_file() {
        return Err(Fault::MALFORMED);
    }
    let ours = rustix::process::geteuid().as_raw();
    if !private_enough(metadata.mode(), metadata.uid() == ours, is_mount(path)) {
        return Err(Fault::AccessDenied(Some(Detail::Permissions)));
    }
    value::from_bytes(content(&file, &metadata)?)
}

/// At most one byte more than allowed is read, so growth while reading is caught too.
fn content(file: &File, metadata: &Metadata) -> Result<Zeroizing<Vec<u8>>, Fault> {
    if metadata.len() > MAX_BYTES as u64 {
        return Err(Fault::MALFORMED);
    }
    // The full size at once: a buffer that grew would leave copies behind that nobody zeroes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 2));
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
    // Editors and `echo` end a file with one newline; more than one was meant.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn refused(error: &std::io::Error) -> Fault {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Fault::NotFound(None),
        ErrorKind::PermissionDenied => Fault::AccessDenied(None),
        _ => Fault::Unavailable(Detail::Faulty, None),
    }
}

/// Who else may read or change the file.
///
/// - A file of ours: nobody else may do anything with it. We, or who installed us, could have said so.
/// - A file of somebody else (usually `root`, with our group): others may do nothing with it.
/// - A mount (see [`is_mount`]): its modes are the orchestrator's and often `0444` or `0644`, and who
///   can look into the container is us already. Still, others must not be able to write.
///
/// Not checked: access lists, and the directories above.
const fn private_enough(mode: u32, ours: bool, mount: bool) -> bool {
    let forbidden = if mount {
        0o002
    } else if ours {
        0o077
    } else {
        0o007
    };
    mode & forbidden == 0
}

/// Whether an orchestrator put the file there: Kubernetes (the path goes through its `..data` link,
/// which it swaps atomically), Docker and Podman secrets, or systemd credentials.
fn is_mount(path: &Path) -> bool {
    const PLACES: [&str; 4] =
        ["/run/secrets", "/var/run/secrets", "/run/credentials", "/var/run/credentials"];
    PLACES.iter().any(|place| path.starts_with(place))
        || path.ancestors().any(|part| {
            part.file_name().is_some_and(|name| name == "..data")
                || std::fs::read_link(part).is_ok_and(|target| target.starts_with("..data"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_ours_is_for_us_alone() {
        assert!(private_enough(0o100_600, true, false) && private_enough(0o100_400, true, false));
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610] {
            assert!(!private_enough(mode, true, false), "{mode:o}");
        }
    }

    #[test]
    fn a_file_of_another_owner_may_be_for_our_group_but_not_for_all() {
        assert!(private_enough(0o640, false, false));
        assert!(!private_enough(0o644, false, false) && !private_enough(0o642, false, false));
    }

    #[test]
    fn a_mount_may_be_readable_but_not_writable_by_all() {
        assert!(private_enough(0o444, true, true) && private_enough(0o644, false, true));
        assert!(!private_enough(0o646, true, true));
    }

    #[test]
    fn places_of_orchestrators_are_known_by_whole_names() {
        assert!(is_mount(Path::new("/run/secrets/graph")));
        assert!(is_mount(Path::new("/etc/x/..data/graph")));
        for systemd in ["/run/credentials/broker.service/graph", "/var/run/credentials/b/graph"] {
            assert!(is_mount(Path::new(systemd)), "{systemd}");
        }
        assert!(!is_mount(Path::new("/run/credentials-of-mine/graph")));
        assert!(!is_mount(Path::new("/run/secrets-of-mine/graph")));
    }
}
