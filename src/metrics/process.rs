//! The process itself, as the kernel tells it. What cannot be read is left out.

use std::time::Duration;

use super::readings::{Reading, Readings, Value};

/// Kernel ticks of `utime` and `stime` in `/proc/self/stat`: 100 a second wherever Linux runs.
const TICKS: f64 = 100.0;

/// Under the names that every Prometheus client uses.
#[derive(Debug)]
pub(super) struct Process {
    /// Since the Unix epoch.
    pub(super) started: Duration,
}

impl Readings for Process {
    fn read(&self) -> Vec<Reading> {
        let started = self.started.as_secs_f64();
        let found = [
            ("process_start_time_seconds", "Start, since the Unix epoch", Some(started)),
            ("process_resident_memory_bytes", "Memory in use", resident_bytes()),
            ("process_open_fds", "Open file descriptors", open_files()),
            ("process_max_fds", "File descriptors that may be open", file_limit()),
        ];
        let gauges = found.into_iter().filter_map(|(name, help, value)| {
            Some(Reading { name, help, labels: Vec::new(), value: Value::Gauge(value?) })
        });
        let cpu = cpu_seconds().map(|seconds| Reading {
            name: "process_cpu_seconds",
            help: "Processor time used, in whole seconds",
            labels: Vec::new(),
            value: Value::Counter(seconds),
        });
        gauges.chain(cpu).collect()
    }
}

fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn open_files() -> Option<f64> {
    let open = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(open).ok().map(f64::from)
}

fn file_limit() -> Option<f64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of processor time are positive and far below 2^53"
)]
fn cpu_seconds() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; the fields after it are numbers.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(((user + system) / TICKS) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where /proc may be read; a limit that is none is not shown.
    #[test]
    #[cfg(target_os = "linux")]
    fn the_kernel_tells_everything() {
        let names: Vec<_> = Process { started: Duration::ZERO }.read();
        let names: Vec<_> = names.iter().map(|reading| reading.name).collect();
        let mut expected = vec!["process_start_time_seconds"];
        let readable = |path: &str| std::fs::metadata(path).is_ok();
        if readable("/proc/self/status") {
            expected.push("process_resident_memory_bytes");
        }
        if readable("/proc/self/fd") {
            expected.push("process_open_fds");
        }
        expected.extend(file_limit().map(|_| "process_max_fds"));
        if readable("/proc/self/stat") {
            expected.push("process_cpu_seconds");
        }
        assert_eq!(names, expected);
    }
}
