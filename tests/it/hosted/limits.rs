//! What a child may take of the machine.

use super::{gone, said, start, until, until_not};

#[tokio::test]
async fn a_child_and_what_it_starts_are_limited() {
    let lines = "max_memory_mb = 64\nmax_open_files = 100\nmax_cpu_seconds = 9";
    let product = start(&[], lines).await;
    assert_eq!(
        said(&product, "get_limits").await,
        "Max cpu time 9 14 seconds ;Max data size 67108864 67108864 bytes ;Max core file size 0 0 bytes ;Max open files 100 100 files ;"
    );
    let product = start(&[], "").await;
    let limits = said(&product, "get_limits").await;
    assert!(limits.contains("Max data size 4294967296 4294967296 bytes"), "{limits}");
    assert!(limits.contains("Max cpu time unlimited") && limits.contains("open files 1024 1024"));
}

#[tokio::test]
async fn a_child_that_takes_too_much_memory_ends_and_no_other() {
    let enough = start(&[], "max_memory_mb = 1024").await;
    assert_eq!(said(&enough, "get_memory").await, "50000000");
    let product = start(&[], "max_memory_mb = 16").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_memory").await, "provider.unavailable");
    gone(&pid).await;
    assert_ne!(until_not(&product, "get_pid", "provider.unavailable").await, pid);
}

#[tokio::test]
async fn a_child_that_works_for_ever_ends() {
    let product = start(&[], "max_cpu_seconds = 1").await;
    let pid = said(&product, "get_pid").await;
    assert_eq!(said(&product, "get_busy").await, "provider.unavailable");
    gone(&pid).await;
}

/// How many processes have this one for the leader of their group.
fn group(leader: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let of = |stat: &String| {
        let fields = stat.rsplit_once(") ").map(|(_, fields)| fields.split(' '));
        fields.and_then(|mut fields| fields.nth(2)) == Some(leader)
    };
    stats.filter(of).count()
}

#[tokio::test]
async fn a_child_that_forks_without_end_is_killed_with_all_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let variables = [("FILE", file.to_str().unwrap())];
    let product = start(&variables, "max_processes = 50").await;
    assert_eq!(said(&product, "get_bomb").await, "provider.unavailable");
    let leader = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    until(|| group(&leader) == 0).await;
    let reason = product.get("/ready").await.json()["degraded"][0]["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(
        reason.starts_with("provider.unavailable: the server has started more processes than it"),
        "{reason}"
    );
    assert_ne!(until_not(&product, "get_pid", "provider.unavailable").await, leader);
}
