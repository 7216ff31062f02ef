//! `dormouse wol`: break glass. Wakes machines by their MAC addresses alone: no daemon, no store, no settings, no cluster text
//! that must hold together. Says what was sent; whether anybody woke nobody can tell from here.

use crate::cli::{Ctx, Failure, counted, safe};
use dormouse_model::text::mac;
use dormouse_power::send_everywhere;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A list has a MAC address in each line, anywhere in it; what follows `#` is not read, and lines without \
one are passed over: /etc/ethers, the output of `arp -n` and a cluster text are such lists."
)]
pub(crate) struct Args {
    /// MAC addresses, like 52:54:00:12:34:56
    #[arg(value_name = "MAC", required_unless_present = "from")]
    macs: Vec<String>,

    /// All MAC addresses in this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,

    /// Only lines of that file in which this stands, like a name
    #[arg(long, value_name = "TEXT", requires = "from")]
    only: Option<String>,

    /// Send nothing; say whom it would wake
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// A list of more is none that a person made.
const LIST_BYTES_MAX: u64 = 16 << 20;

/// MAC addresses, each once, and the line that it was found in.
type Found = BTreeMap<[u8; 6], String>;

pub(crate) fn run(args: &Args, ctx: &Ctx) -> Result<(), Failure> {
    let mut found = Found::new();
    for text in &args.macs {
        let Some(bytes) = mac(text) else {
            return Err(Failure::usage(format!("`{}` is no MAC address of one machine", safe(text)))
                .hint("write six pairs of digits, like 52:54:00:12:34:56; --from FILE reads a list"));
        };
        found.insert(bytes, text.clone());
    }
    if let Some(path) = &args.from {
        let listed = listed(&read(path)?, args.only.as_deref());
        if listed.is_empty() {
            let wanted = args
                .only
                .as_ref()
                .map_or_else(String::new, |only| format!(" in a line with `{}`", safe(only)));
            return Err(Failure::usage(format!("no MAC address stands{wanted} in `{}`", path.display()))
                .hint("a line like `lab07 52:54:00:12:34:56` has one"));
        }
        found.extend(listed);
    }
    let machines = counted(found.len(), "machine");
    if args.dry_run {
        let lines: String = found.values().map(|line| format!("  {}\n", safe(line))).collect();
        return ctx.print(&format!("Would wake {machines}:\n{lines}"));
    }
    let macs: Vec<[u8; 6]> = found.into_keys().collect();
    let sent = send_everywhere(&macs).map_err(|error| {
        Failure::new("nobody can be woken from here").because(&error).hint(
            "an interface must be up in the network of the hosts: `ip link`; root can send bare frames, too",
        )
    })?;
    ctx.print(&format!(
        "Sent {} to {machines}. Whether they wake only they can show.\n",
        counted(sent, "packet")
    ))
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("the list `{}` cannot be read", path.display())).because(&error)
    };
    let mut text = vec![];
    let limit = LIST_BYTES_MAX + 1;
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(path).map_err(failed)?.take(limit).read_to_end(&mut text).map_err(failed)?;
    }
    if text.len() as u64 > LIST_BYTES_MAX {
        return Err(Failure::usage(format!("`{}` is too long for a list of machines", path.display())));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Every MAC address that stands by itself in a line, or behind `mac=`.
fn listed(text: &str, only: Option<&str>) -> Found {
    let lines = text.lines().filter(|line| only.is_none_or(|only| line.contains(only)));
    let mut found = Found::new();
    for line in lines {
        let said = line.split('#').next().unwrap_or_default();
        let words =
            said.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '=' | '"' | '\'' | '(' | ')'));
        found.extend(words.filter_map(mac).map(|bytes| (bytes, said.trim().to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn macs_are_found_in_lists_of_many_kinds() {
        let text = "\
# the lab
52:54:00:00:00:01 lab01
host lab02 cpus=2 mem=2G mac=52:54:00:00:00:02,52-54-00-00-00-03 # 52:54:00:00:00:99 was sold
10.0.0.7  ether  52:54:00:00:00:04  C  eth0
52:54:00:00:00:01 lab01 again
ff:ff:ff:ff:ff:ff everybody is nobody
52:54:00:00:00 too short, 152:54:00:00:00:05 too long
";
        let macs = |only| listed(text, only).keys().map(|mac| mac[5]).collect::<Vec<u8>>();
        assert_eq!(macs(None), [1, 2, 3, 4]);
        assert_eq!(macs(Some("lab02")), [2, 3]);
        assert!(macs(Some("lab99")).is_empty());
    }
}
