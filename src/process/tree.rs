//! All that a program has started, as the system tells it: in its process group, and out of it as long as whoever started it runs.

use std::collections::HashMap;

/// A process. A number is used again once its process is gone, so when it began is a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i32,
    pub(super) group: i32,
    parent: i32,
    began: u64,
    /// It has ended, and nobody has waited for it yet.
    pub(super) has_ended: bool,
}

impl Process {
    fn read(id: i32) -> Option<Self> {
        let said = std::fs::read(format!("/proc/{id}/stat")).ok()?;
        let said = String::from_utf8_lossy(&said);
        // After its name, which may hold anything: state, parent, group, … (proc_pid_stat(5)).
        let (_, fields) = said.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        let has_ended = matches!(fields.next()?, "Z" | "X");
        let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let began = fields.nth(16)?.parse().ok()?;
        Some(Self { id, group, parent, began, has_ended })
    }

    /// Whether it still runs.
    pub(super) fn is_there(self) -> bool {
        Self::read(self.id).is_some_and(|now| now.began == self.began && !now.has_ended)
    }
}

/// The group that `leader` leads, and all who descend from those in it. Reads a file for each process of the machine; none
/// where there are no such files.
pub(super) fn of(leader: i32) -> Vec<Process> {
    let Ok(all) = std::fs::read_dir("/proc") else { return Vec::new() };
    let numbers = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let (mut found, others): (Vec<_>, Vec<_>) =
        numbers.filter_map(Process::read).partition(|process| process.group == leader);
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for other in others {
        children.entry(other.parent).or_default().push(other);
    }
    // Each is looked at once, however long a line of descent is.
    let mut at = 0;
    while let Some(parent) = found.get(at).map(|process| process.id) {
        found.extend(children.remove(&parent).unwrap_or_default());
        at += 1;
    }
    found
}
