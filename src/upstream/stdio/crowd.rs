//! A child that starts one process after the other, until nothing else can be started on the machine.

use std::time::Duration;

use crate::process::{Census, threads_of_all};

/// How soon it is noticed that there are many more threads than there were.
const LOOK: Duration = Duration::from_millis(250);
/// How many looks there are before the processes are counted all the same: others may have ended meanwhile.
const COUNT: u32 = 40;

/// Waits until there are more than `most` processes in the group.
pub(super) async fn crowded(census: Census, most: usize) {
    let room = u64::try_from(most / 4).unwrap_or(u64::MAX);
    let (mut before, mut looks) = (threads_of_all().unwrap_or(0), 0);
    loop {
        tokio::time::sleep(LOOK).await;
        looks += 1;
        let now = threads_of_all().unwrap_or(u64::MAX);
        if now <= before.saturating_add(room) && looks < COUNT {
            continue;
        }
        // It reads a file for each process of the machine.
        let count = tokio::task::spawn_blocking(move || census.count()).await;
        if count.is_ok_and(|count| count > most) {
            return;
        }
        (before, looks) = (now, 0);
    }
}
