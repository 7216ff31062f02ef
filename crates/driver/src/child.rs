//! What a program that we start may know of our environment: where programs, folders and the ssh agent are, and nothing
//! else. A token that somebody gave to this process by a variable stays with it.

use std::ffi::OsString;

/// What ssh, its helpers and a shell may want. `SSH_ASKPASS` is not among them: nobody is asked for a password.
const PASSED: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_MESSAGES",
    "TZ",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "KRB5CCNAME",
];

/// The environment of a child: `command.env_clear().envs(passed_environment())`.
pub fn passed_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    PASSED.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)))
}
