//! The ssh key of a host on first contact: shown, confirmed by a person, and pinned. A key that changed is refused by ssh
//! itself ever after.

use super::add::Args;
use super::confirm;
use crate::cli::{Ctx, Exit, Failure, safe};
use crate::config::Config;
use crate::verbs_live::inventory;
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether the host can be reached now. `false`: only tried out, and its key is not known yet.
pub(super) fn pin_key(address: &str, args: &Args, ctx: &Ctx, config: &mut Config) -> Result<bool, Failure> {
    let place = address.rsplit_once('@').map_or(address, |(_, place)| place);
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port),
        _ => (place, "22"),
    };
    let file = config.known_hosts().unwrap_or_else(|| config.state.join("ssh/known_hosts"));
    config.ssh_known_hosts = Some(file.clone());
    let entry = if port == "22" { host.to_owned() } else { format!("[{host}]:{port}") };
    if tool("ssh-keygen", &["-F", &entry, "-f", &file.display().to_string()], None)
        .is_ok_and(|found| !found.is_empty())
    {
        return Ok(true);
    }
    let keys = tool("ssh-keyscan", &["-T", "10", "-t", "ed25519", "-p", port, "--", host], None)?;
    if keys.trim().is_empty() {
        return Err(Failure::with_exit(Exit::Unreachable, format!("{} shows no ssh key", safe(place)))
            .hint("is sshd running there, and is the address right?"));
    }
    let shown = tool("ssh-keygen", &["-l", "-f", "-"], Some(&keys))?;
    let fingerprint = shown.split_whitespace().find(|word| word.starts_with("SHA256:")).unwrap_or_default();
    match &args.fingerprint {
        Some(known) if known == fingerprint => {}
        Some(known) => {
            let message = format!("{} shows the key {}, not {}", safe(place), safe(fingerprint), safe(known));
            return Err(
                Failure::with_exit(Exit::Refused, message).hint("someone else may answer at this address")
            );
        }
        None => {
            ctx.print(&format!("{} shows the ssh key {}\n", safe(place), safe(fingerprint)))?;
            if args.dry_run {
                return Ok(false);
            }
            if !args.accept_new {
                confirm(args.yes, ctx, "Is it that of your host?")?;
            }
        }
    }
    if args.dry_run {
        return Ok(false);
    }
    keep_key(&file, &keys).map(|()| true)
}

fn keep_key(file: &Path, keys: &str) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| Failure::new(format!("cannot write {}", file.display())).because(&error);
    let before = if file.exists() { std::fs::read_to_string(file).map_err(failed)? } else { String::new() };
    let lines = keys.lines().filter(|line| !line.starts_with('#'));
    let all: Vec<&str> = before.lines().chain(lines).collect();
    inventory::replace(file, &(all.join("\n") + "\n"))
}

/// Runs a tool of openssh with fixed words and an address, no shell between.
fn tool(name: &str, args: &[&str], input: Option<&str>) -> Result<String, Failure> {
    use std::io::Write as _;
    let failed = |error: &std::io::Error| {
        Failure::new(format!("cannot run {name}"))
            .because(error)
            .hint("it belongs to Debian's openssh-client")
    };
    let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut command = Command::new(name);
    let mut child = command
        .args(args)
        .env_clear()
        .envs(dormouse_driver::passed_environment())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes()).map_err(|error| failed(&error))?;
    }
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
