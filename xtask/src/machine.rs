//! What this machine allows: the answer to "which tests can run here, and if not, why not?".
//!
//! A test that needs more than a plain machine says so: `#[ignore = "needs the lab"]`. After `needs` come, separated
//! by commas: `root`, `the lab`, `KVM`, or the name of a program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs the lab starts; `make deps-lab` brings them. `dormouse_lab::missing` says the same with more words.
const LAB: [&str; 14] = [
    "libvirtd",
    "virsh",
    "virt-ssh-helper",
    "qemu-system-x86_64",
    "sshd",
    "ssh",
    "ssh-keygen",
    "ip",
    "iptables",
    "nsenter",
    "depmod",
    "xz",
    "certtool",
    "gcc",
];

/// Something a test needs and this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) what: String,
    pub(crate) hint: &'static str,
    /// No software can bring it. CI forgives this and nothing else.
    pub(crate) physical: bool,
}

/// Facts about the machine, looked up once; a test gives others.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) root: bool,
    pub(crate) namespaces: bool,
    pub(crate) kvm: bool,
    pub(crate) has: fn(&str) -> bool,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let root = answers("id", &["-u"]).is_some_and(|id| id.trim() == "0");
        let spaces = ["--mount", "--net", "--uts", "--ipc", "--pid", "--fork", "true"];
        Self {
            root,
            namespaces: root && answers("unshare", &spaces).is_some(),
            // Its presence says nothing (it may exist and not work), so a person has to vouch for it.
            kvm: std::env::var_os("DORMOUSE_KVM").is_some() && Path::new("/dev/kvm").exists(),
            has: |program| find(program).is_some(),
        }
    }

    /// What keeps a test with this reason from running here; `None` when it can run.
    pub(crate) fn lacks(&self, reason: &str) -> Option<Lack> {
        let Some(needs) = reason.strip_prefix("needs ") else {
            let what = if reason.is_empty() { "it gives no reason".to_owned() } else { reason.to_owned() };
            let hint = "a test is ignored only as `#[ignore = \"needs …\"]`; fix or delete it";
            return Some(Lack { what, hint, physical: false });
        };
        needs.split(", ").find_map(|need| self.lacks_one(need))
    }

    fn lacks_one(&self, need: &str) -> Option<Lack> {
        let lack = |what: String, hint| Some(Lack { what, hint, physical: false });
        match need {
            "root" | "the lab" if !self.root => {
                lack("needs root".to_owned(), "sudo env \"PATH=$PATH\" make test")
            }
            "root" => None,
            "the lab" if !self.namespaces => {
                lack("needs namespaces, which are refused here".to_owned(), "a container needs --privileged")
            }
            "the lab" => {
                let absent: Vec<&str> = LAB.into_iter().filter(|program| !(self.has)(program)).collect();
                match absent.is_empty() {
                    true => None,
                    false => lack(format!("needs {}", absent.join(", ")), "make deps-lab"),
                }
            }
            "KVM" if self.kvm => None,
            "KVM" => Some(Lack {
                what: "needs KVM".to_owned(),
                hint: "where KVM truly works: DORMOUSE_KVM=1 make test",
                physical: true,
            }),
            program if (self.has)(program) => None,
            program => lack(format!("needs {program}"), "install it"),
        }
    }
}

/// Its place; `sbin` counts although it may not be on a user's path.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.map(|place| place.join(program)).find(|place| place.is_file())
}

fn answers(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    let out = command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lack(machine: &Machine, reason: &str) -> String {
        machine.lacks(reason).map_or_else(|| "runs".to_owned(), |lack| lack.what)
    }

    #[test]
    fn a_bare_machine_says_what_is_missing() {
        let bare = Machine { root: false, namespaces: false, kvm: false, has: |_| false };
        assert_eq!(lack(&bare, "needs the lab"), "needs root");
        assert_eq!(lack(&bare, "needs KVM"), "needs KVM");
        assert_eq!(lack(&bare, "needs virsh"), "needs virsh");
        assert_eq!(lack(&bare, "flaky on Tuesdays"), "flaky on Tuesdays");
        assert_eq!(lack(&bare, ""), "it gives no reason");
    }

    #[test]
    fn root_alone_is_not_the_lab() {
        let mut machine =
            Machine { root: true, namespaces: false, kvm: false, has: |name| name != "certtool" };
        assert_eq!(lack(&machine, "needs root, virsh"), "runs");
        assert_eq!(lack(&machine, "needs the lab"), "needs namespaces, which are refused here");
        machine.namespaces = true;
        assert_eq!(lack(&machine, "needs the lab"), "needs certtool");
        machine.has = |_| true;
        assert_eq!(lack(&machine, "needs the lab"), "runs");
    }

    #[test]
    fn only_what_no_software_brings_is_forgiven() {
        let machine = Machine { root: true, namespaces: true, kvm: false, has: |_| true };
        assert!(machine.lacks("needs KVM").is_some_and(|lack| lack.physical));
        assert!(machine.lacks("needs the lab, KVM").is_some_and(|lack| lack.physical));
        let poor = Machine { root: false, ..machine };
        assert!(poor.lacks("needs the lab, KVM").is_some_and(|lack| !lack.physical));
    }
}
