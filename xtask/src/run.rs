//! Starting other programs from the root of the workspace, and saying so.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the workspace lies: the folder above this crate.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The cargo that runs us, at the root of the workspace.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(args);
    command
}

/// The command as one would type it.
pub(crate) fn typed(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs it on our own terminal; `false` when it says it failed.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    println!("\n--- {}", typed(command));
    let status = command.status().with_context(|| format!("cannot start `{}`", typed(command)))?;
    Ok(status.success())
}

/// What it prints; an error carries what it complained of.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start `{}`", typed(command)))?;
    anyhow::ensure!(
        out.status.success(),
        "`{}` failed\n{}",
        typed(command),
        String::from_utf8_lossy(&out.stderr).trim_end()
    );
    String::from_utf8(out.stdout).with_context(|| format!("`{}` does not print UTF-8", typed(command)))
}
