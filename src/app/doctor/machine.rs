//! What the machine gives: room on its disks.

use std::path::{Path, PathBuf};

use crate::app::map;
use crate::config::{AuditSink, Config, StoreUrl};

use super::{Area, Step};

const MIB: u64 = 1 << 20;
/// Below this a write will fail before long.
const LITTLE: u64 = 64 * MIB;
/// Below this somebody should make room.
const SCARCE: u64 = 1024 * MIB;
/// A segment of the log, or a file beside the database, is one more.
const FILES: u64 = 1000;

pub(super) fn look(config: &Config) -> Vec<Step> {
    let mut steps: Vec<Step> = places(config).into_iter().map(|place| room(&place)).collect();
    if steps.is_empty() {
        steps.push(Step::skipped(Area::Disk, "neither the store nor the audit log is a file here"));
    }
    steps
}

/// A directory in which something grows, and the setting that says where it is.
struct Place {
    key: &'static str,
    path: PathBuf,
}

fn places(config: &Config) -> Vec<Place> {
    let store = match &config.store.url {
        StoreUrl::Sqlite(_) => Some(Place { key: "store.url", path: map::data_dir(config) }),
        StoreUrl::Postgres(_) => None,
    };
    let logs = config.audit.sinks.iter().filter_map(|sink| match sink {
        AuditSink::File(file) => {
            let path = file.path.parent().unwrap_or(Path::new("")).to_owned();
            Some(Place { key: "audit.sink.path", path })
        }
        AuditSink::Stdout => None,
    });
    store.into_iter().chain(logs).collect()
}

fn room(place: &Place) -> Step {
    let shown = place.path.display();
    // What is not there yet will be made in what is.
    let there = place.path.ancestors().find(|path| path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(found) = rustix::fs::statvfs(there) else {
        return Step::warning(
            Area::Disk,
            place.key,
            format!("the disk of {shown} cannot be asked"),
        );
    };
    if found.f_blocks == 0 {
        return Step::skipped(Area::Disk, format!("the disk of {shown} does not say what is left"));
    }
    // File systems without a number of their own say none.
    if found.f_files > 0 && found.f_favail < FILES {
        let found = format!("{shown} has room for {} more files", found.f_favail);
        return Step::warning(Area::Disk, place.key, found)
            .allowed(format!("{FILES} or more"))
            .hint("many small files are there: df -i, and remove what nobody needs");
    }
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let found = format!("{shown} has {} MiB left", free / MIB);
    let judged = match free {
        0..LITTLE => Step::bad(Area::Disk, place.key, found),
        LITTLE..SCARCE => Step::warning(Area::Disk, place.key, found),
        _ => return Step::good(Area::Disk, found),
    };
    judged
        .allowed(format!("{} MiB or more", SCARCE / MIB))
        .hint("make room, or let audit.sink.keep_days and max_total_mb keep less")
}
