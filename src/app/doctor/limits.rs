//! What bounds the broker: files that may be open, memory, connections to PostgreSQL, and rates.

use std::path::Path;

use rustix::process::{Resource, getrlimit};

use crate::config::{Config, Deployment};
use crate::store::StoreStatus;

use super::{Area, Step, Verdict};

const MIB: u64 = 1 << 20;
/// Files beside the connections of clients: the store, logs, connections to others.
const OTHER_FILES: u64 = 256;
/// What the broker needs with some room: it takes a third of that under load, and a log-in by password some for a moment.
const MEMORY: u64 = 128 * MIB;

/// `status`: of the store, where it answers.
pub(super) fn look(config: &Config, status: Option<&StoreStatus>) -> Vec<Step> {
    let memory = memory(memory_limit(Path::new("/")));
    let each = if config.upstream.servers.is_empty() { 1 } else { 2 };
    let taken = (config.server.max_connections, each);
    let files = open_files(taken, getrlimit(Resource::Nofile).current);
    let mut steps = vec![files, memory, rates(config)];
    steps.extend(status.and_then(connections));
    steps
}

/// A connection is an open file, and a stream or a call of a server behind the broker is a second one (`each`). Only this process can be
/// asked, which may have been given other limits than the broker was.
fn open_files((connections, each): (usize, u64), limit: Option<u64>) -> Step {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(each);
    let needed = needed.saturating_add(OTHER_FILES);
    match limit {
        Some(limit) if limit < needed => {
            let with = if each > 1 { ", each with one to a server behind the broker" } else { "" };
            let found = format!(
                "{limit} files may be open in this shell, and {connections} connections are taken{with}"
            );
            Step::warning(Area::Limits, "server.max_connections", found)
                .allowed(format!("{needed} files or more, where the broker is started"))
                .hint("LimitNOFILE= of its unit is what counts, or ulimit -n of the shell that starts it; or take fewer connections")
        }
        Some(limit) => Step::good(
            Area::Limits,
            format!("{limit} files may be open in this shell; of a unit LimitNOFILE= counts"),
        ),
        None => Step::good(
            Area::Limits,
            "as many files as it takes may be open in this shell; of a unit LimitNOFILE= counts",
        ),
    }
}

fn memory(limit: Option<u64>) -> Step {
    match limit {
        Some(limit) if limit < MEMORY => {
            let found = format!("{} MiB of memory may be used here", limit / MIB);
            Step::new(Area::Limits, Verdict::Warning, found)
                .allowed(format!("{} MiB or more", MEMORY / MIB))
                .hint("resources.limits.memory of the pod, MemoryMax= of the unit")
        }
        Some(limit) => {
            Step::good(Area::Limits, format!("{} MiB of memory may be used here", limit / MIB))
        }
        None => Step::good(Area::Limits, "no limit of memory is set for this process"),
    }
}

/// The least that the control groups above this process leave it, of either version.
fn memory_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
        let (folder, file) = match controllers {
            Some("") => ("sys/fs/cgroup", "memory.max"),
            Some(named) if named.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return Vec::new(),
        };
        let path = Path::new(path.unwrap_or_default().trim_start_matches('/'));
        // In a container the group is at the root of what it sees, whatever its path says.
        let folders = path.ancestors().map(|above| root.join(folder).join(above).join(file));
        let read = |file| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
        folders.filter_map(read).collect()
    });
    // What the first version says where nothing is set.
    limits.min().filter(|limit| *limit < 1 << 60)
}

/// Each replica may take a pool of them, and while replicas are replaced there is one more.
fn connections(status: &StoreStatus) -> Option<Step> {
    let room = status.connections.as_ref()?;
    let brokers = status.tables.iter().find(|table| table.name == "sealing_brokers");
    let brokers = brokers.map_or(0, |table| table.rows).max(1);
    let needed = room.each.saturating_mul(brokers.saturating_add(1));
    let found = format!(
        "PostgreSQL allows {} connections, and each broker takes {} at most; {brokers} run",
        room.allowed, room.each
    );
    if needed <= room.allowed {
        return Some(Step::good(Area::Limits, found));
    }
    let step = Step::warning(Area::Limits, "store.url", found);
    Some(step.allowed(format!("{needed}, with one broker more while they are replaced")).hint(
        "max_connections of the server, CONNECTION LIMIT of the role and the database; or fewer replicas",
    ))
}

fn rates(config: &Config) -> Step {
    let limits = &config.limits;
    let unlimited = limits.per_client.is_none() && limits.per_user.is_none();
    if unlimited && config.deployment != Deployment::Dev {
        let found = "neither a client nor a user is limited";
        let step = Step::warning(Area::Limits, "limits.per_client", found);
        return step.allowed("a rate").hint("limits.per_client = \"600/min\"");
    }
    let found = if unlimited { "no rate is limited, as in dev" } else { "rates are limited" };
    Step::good(Area::Limits, found)
}

#[cfg(test)]
mod tests {
    use crate::store::{StoreRoom, TableStatus};

    use super::*;

    fn write(root: &Path, file: &str, text: &str) {
        let file = root.join(file);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    #[test]
    fn the_least_limit_of_the_groups_above_counts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert_eq!(memory_limit(root), None);
        write(root, "proc/self/cgroup", "0::/system.slice/broker.service\n");
        write(root, "sys/fs/cgroup/system.slice/broker.service/memory.max", "max\n");
        assert_eq!(memory_limit(root), None);
        write(root, "sys/fs/cgroup/system.slice/memory.max", "104857600\n");
        assert_eq!(memory_limit(root), Some(100 * MIB));
        assert_eq!(memory(memory_limit(root)).verdict, Verdict::Warning);
        // A container sees its own group at the root.
        write(root, "proc/self/cgroup", "0::/../../kubepods/pod1/c1\n");
        write(root, "sys/fs/cgroup/memory.max", "536870912\n");
        assert_eq!(memory(memory_limit(root)).found, "512 MiB of memory may be used here");
    }

    #[test]
    fn the_first_version_of_control_groups_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n");
        let file = "sys/fs/cgroup/memory/a/memory.limit_in_bytes";
        write(root, file, "9223372036854771712\n");
        assert_eq!(memory_limit(root), None);
        write(root, file, "67108864\n");
        assert_eq!(memory_limit(root), Some(64 * MIB));
    }

    // An ordinary shell has 1024, whatever the unit of the broker says.
    #[test]
    fn whose_limit_of_open_files_was_seen_is_said() {
        for (limit, verdict) in
            [(Some(1024), Verdict::Warning), (Some(1 << 16), Verdict::Good), (None, Verdict::Good)]
        {
            let step = open_files((10_000, 1), limit);
            let said = [step.found.as_str(), step.hint.as_deref().unwrap_or_default()].concat();
            assert!(said.contains("in this shell") && said.contains("LimitNOFILE="), "{said}");
            assert_eq!(step.verdict, verdict, "{said}");
        }
    }

    #[test]
    fn a_stream_of_a_server_behind_the_broker_is_two_files() {
        let judged = |each| open_files((10_000, each), Some(16_384));
        assert_eq!(judged(1).verdict, Verdict::Good);
        let step = judged(2);
        assert_eq!(
            (step.verdict, step.allowed.as_deref()),
            (Verdict::Warning, Some("20256 files or more, where the broker is started"))
        );
        assert!(
            step.found.ends_with("each with one to a server behind the broker"),
            "{}",
            step.found
        );
    }

    #[test]
    fn connections_are_held_against_the_brokers_that_run_and_one_more() {
        let judged = |allowed: u64, rows: u64| {
            let status = StoreStatus {
                database: "postgres",
                schema: 1,
                schema_known: 1,
                bytes: 0,
                tables: vec![TableStatus { name: "sealing_brokers", rows }],
                oldest_signing_key: None,
                sealed_with: None,
                sealed: Vec::new(),
                connections: Some(StoreRoom { allowed, each: 16 }),
            };
            connections(&status).unwrap().verdict
        };
        assert_eq!(judged(97, 5), Verdict::Good);
        assert_eq!(judged(97, 6), Verdict::Warning);
        assert_eq!(judged(20, 0), Verdict::Warning);
    }
}
