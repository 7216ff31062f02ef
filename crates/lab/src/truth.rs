//! What is really there: QEMU processes found in `/proc`, told apart by the pid namespace they run in.
//!
//! This asks no libvirt and no dormouse, so that it can be held against what they say.

use std::fs;
use std::path::Path;

/// One QEMU process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Qemu {
    pub(crate) pid: i32,
    pub(crate) uuid: String,
    pub(crate) cpu_seconds: f64,
}

/// All QEMU processes that this `/proc` shows.
pub(crate) fn qemu_processes() -> Vec<Qemu> {
    pids().filter_map(|pid| look(Path::new("/proc"), pid)).collect()
}

pub(crate) fn pids() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok())
}

/// The pid namespace of a process, as an opaque name.
pub(crate) fn pid_namespace(pid: i32) -> Option<String> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok().map(|p| p.to_string_lossy().into_owned())
}

fn look(proc: &Path, pid: i32) -> Option<Qemu> {
    let dir = proc.join(pid.to_string());
    // A process that ends while we look is one that is not there.
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    let (comm, cpu_seconds) = parse_stat(&stat)?;
    if !comm.starts_with("qemu-system") {
        return None;
    }
    let uuid = uuid_of(&fs::read(dir.join("cmdline")).ok()?)?;
    Some(Qemu { pid, uuid, cpu_seconds })
}

/// (name, user + system seconds) of a `/proc/PID/stat` line; a zombie is nothing that runs.
fn parse_stat(stat: &str) -> Option<(&str, f64)> {
    let open = stat.find('(')?;
    let close = stat.rfind(')')?;
    let fields: Vec<&str> = stat.get(close + 1..)?.split_whitespace().collect();
    if *fields.first()? == "Z" {
        return None;
    }
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()?.checked_add(fields.get(12)?.parse().ok()?)?;
    Some((stat.get(open + 1..close)?, f64::from(ticks) / 100.0))
}

fn uuid_of(cmdline: &[u8]) -> Option<String> {
    let mut args = cmdline.split(|b| *b == 0);
    args.find(|a| *a == b"-uuid")?;
    String::from_utf8(args.next()?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_name_holds() {
        let line = "42 (qemu (x) y) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0";
        assert_eq!(parse_stat(line), Some(("qemu (x) y", 2.0)));
        assert_eq!(parse_stat("42 (qemu-system-x86) Z 1 1 1 0 -1 0 0 0 0 0 150 50"), None);
    }

    #[test]
    fn the_uuid_is_the_word_after_its_option() {
        assert_eq!(uuid_of(b"qemu\0-name\0guest=-uuid\0-uuid\0abc\0").as_deref(), Some("abc"));
        assert_eq!(uuid_of(b"qemu\0-name\0x\0"), None);
    }
}
