//! `file:` and `exec:` secrets as the file system really behaves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use mcp_auth_broker::code::Code;
use mcp_auth_broker::secret::{Detail, SecretError, Secrets, Settings};
use tempfile::TempDir;

use crate::secret_support::{budget, canary_free, secrets};

async fn read(secrets: &Secrets, path: &Path) -> Result<String, SecretError> {
    let reference = format!("file:{}", path.display()).parse().unwrap();
    let found = secrets.read_own(&reference, &budget()).await;
    canary_free(&found);
    found.map(|secret| secret.text().expose().to_owned())
}

fn put(dir: &TempDir, content: impl AsRef<[u8]>, mode: u32) -> std::path::PathBuf {
    let path = dir.path().join("secret");
    drop(fs::remove_file(&path));
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[tokio::test]
async fn one_line_end_is_not_part_of_the_secret() {
    let (dir, secrets) = (TempDir::new().unwrap(), secrets(Settings::default()));
    for (content, value) in
        [("a b ", "a b "), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a", " a")]
    {
        assert_eq!(read(&secrets, &put(&dir, content, 0o600)).await.unwrap(), value);
    }
}

#[tokio::test]
async fn what_is_not_a_secret_is_refused() {
    let (dir, secrets) = (TempDir::new().unwrap(), secrets(Settings::default()));
    for content in [Vec::new(), b"\n".to_vec(), b"CANARY\xff".to_vec(), vec![b'x'; 64 * 1024 + 2]] {
        let error = read(&secrets, &put(&dir, content, 0o600)).await.unwrap_err();
        assert_eq!((error.code(), error.detail()), (Code::SecretNotFound, Some(Detail::Malformed)));
    }
    let largest = read(&secrets, &put(&dir, vec![b'x'; 64 * 1024], 0o600)).await.unwrap();
    assert_eq!(largest.len(), 64 * 1024);
}

#[tokio::test]
async fn a_file_that_others_may_read_is_refused() {
    let (dir, secrets) = (TempDir::new().unwrap(), secrets(Settings::default()));
    for mode in [0o644, 0o640, 0o604, 0o666] {
        let error = read(&secrets, &put(&dir, "CANARY", mode)).await.unwrap_err();
        assert_eq!(error.detail(), Some(Detail::Permissions), "{mode:o}");
        assert_eq!(error.code(), Code::SecretAccessDenied);
    }
}

#[tokio::test]
async fn neither_a_directory_nor_a_pipe_nor_nothing_is_a_secret() {
    let (dir, secrets) = (TempDir::new().unwrap(), secrets(Settings::default()));
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for path in [dir.path(), &pipe, &dir.path().join("absent"), Path::new("/dev/null/x")] {
        assert_eq!(read(&secrets, path).await.unwrap_err().code(), Code::SecretNotFound);
    }
}

/// Kubernetes writes a new directory and renames `..data` onto it.
#[tokio::test]
async fn a_kubernetes_swap_counts_at_the_next_read() {
    let (dir, secrets) = (TempDir::new().unwrap(), secrets(Settings::default()));
    let at = |name: &str| dir.path().join(name);
    for (version, value) in [("..2026_1", "one"), ("..2026_2", "two")] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("secret"), value).unwrap();
        fs::set_permissions(at(version).join("secret"), fs::Permissions::from_mode(0o644)).unwrap();
    }
    symlink("..2026_1", at("..data")).unwrap();
    symlink("..data/secret", at("secret")).unwrap();
    assert_eq!(read(&secrets, &at("secret")).await.unwrap(), "one");
    symlink("..2026_2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    assert_eq!(read(&secrets, &at("secret")).await.unwrap(), "two");
}

#[tokio::test]
async fn a_file_system_full_of_swaps_never_yields_a_mixture() {
    let (dir, secrets) = (TempDir::new().unwrap(), secrets(Settings::default()));
    let path = put(&dir, "a".repeat(4096), 0o600);
    for letter in ["b", "c", "d"].repeat(20) {
        let next = dir.path().join("next");
        fs::write(&next, letter.repeat(4096)).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o600)).unwrap();
        let (found, renamed) = tokio::join!(read(&secrets, &path), tokio::fs::rename(&next, &path));
        renamed.unwrap();
        let found = found.unwrap();
        assert!(found.len() == 4096 && found.bytes().all(|b| Some(&b) == found.as_bytes().first()));
    }
}
