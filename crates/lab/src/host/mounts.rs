//! What a host sees as its file system: the machine's programs, its own files over them.
//!
//! Runs in pid 1 before anything else, in the host's own mount namespace; the machine's mounts are never changed.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;

use crate::error::{Doing, Result};
use crate::hostfs::STAND_INS;
use crate::paths::{IN_HOST, LabPaths, cache_dir};
use crate::spec::{HostSpec, SHARED_FOLDER};

/// A handle on the shared folder, from which it can be mounted later even though its path is out of sight.
pub(super) struct SharedFolder {
    folder: OwnedFd,
    /// The end at which a file server would listen, of a file system mounted over the folder. Nobody does.
    silence: Option<OwnedFd>,
}

pub(super) fn arrange(paths: &LabPaths, host: &HostSpec, image: &Path, share: bool) -> Result<SharedFolder> {
    let own = paths.host(host);
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .doing(|| "cannot make the host's mounts private".to_owned())?;
    fresh("proc", "/proc", MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC)?;
    // Read-only, so that nothing in a lab host can put the machine itself to sleep.
    fresh("sysfs", "/sys", MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC)?;
    for (ours, theirs) in [
        (own.loadavg(), "/proc/loadavg"),
        (own.boot_id(), "/proc/sys/kernel/random/boot_id"),
        // A write here would stop the machine, not the lab host.
        (own.root.join("proc/sysrq-trigger"), "/proc/sysrq-trigger"),
    ] {
        // Not every kernel has every one of them.
        if Path::new(theirs).exists() {
            bind(&ours, Path::new(theirs))?;
        }
    }
    // Inside the host's own /run, before that covers the path to all of this.
    let lab = own.root.join("run/lab");
    let program = lab.join("program");
    crate::hostfs::put(&program, "")?;
    bind(&paths.program(), &program)?;
    bind_folder(image, &lab.join("image"))?;
    bind_folder(&own.root.join("tools"), &lab.join("tools"))?;
    // QEMU's capabilities are found out once for all hosts, not once in each.
    let capabilities = cache_dir().join("libvirt");
    crate::hostfs::make(&capabilities, 0o755)?;
    crate::hostfs::make(Path::new("/var/cache/libvirt"), 0o755)?;
    bind(&capabilities, Path::new("/var/cache/libvirt"))?;

    let shared = open(&paths.shared(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .doing(|| "cannot open the shared folder".to_owned())?;
    for (ours, theirs) in own.own_folders() {
        bind(&ours, Path::new(theirs))?;
    }
    let shared = SharedFolder { folder: shared, silence: None };
    if share {
        shared.mount()?;
    }
    put_stand_ins()?;
    Ok(shared)
}

impl SharedFolder {
    pub(super) fn mount(&self) -> Result<()> {
        if is_mounted(SHARED_FOLDER) {
            return Ok(());
        }
        bind(&PathBuf::from(format!("/proc/self/fd/{}", self.folder.as_raw_fd())), Path::new(SHARED_FOLDER))
    }
}

/// How a dead file server is played: FUSE without anybody behind it.
impl SharedFolder {
    pub(super) fn hang(&mut self, hung: bool) -> Result<()> {
        match (hung, self.silence.take()) {
            (true, None) => {
                let server = open("/dev/fuse", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())
                    .doing(|| "cannot open /dev/fuse".to_owned())?;
                let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
                mount(Some("silent"), SHARED_FOLDER, Some("fuse"), flags, Some(options.as_str()))
                    .doing(|| format!("cannot mount a silent file system on {SHARED_FOLDER}"))?;
                self.silence = Some(server);
                Ok(())
            }
            (false, Some(server)) => {
                // Whoever waits is told that the server is gone.
                drop(server);
                umount2(SHARED_FOLDER, MntFlags::MNT_DETACH)
                    .doing(|| format!("cannot uncover {SHARED_FOLDER}"))
            }
            (_, as_it_was) => {
                self.silence = as_it_was;
                Ok(())
            }
        }
    }
}

pub(super) fn is_mounted(place: &str) -> bool {
    fs::read_to_string("/proc/self/mounts")
        .is_ok_and(|m| m.lines().any(|l| l.split_whitespace().nth(1) == Some(place)))
}

fn put_stand_ins() -> Result<()> {
    let tools = Path::new(IN_HOST).join("tools");
    for name in STAND_INS {
        let real = Path::new("/usr/bin").join(name);
        if real.exists() {
            bind(&tools.join(name), &real)?;
        }
    }
    Ok(())
}

fn fresh(kind: &str, place: &str, flags: MsFlags) -> Result<()> {
    mount(Some(kind), place, Some(kind), flags, None::<&str>).doing(|| format!("cannot mount {place}"))
}

fn bind_folder(from: &Path, to: &Path) -> Result<()> {
    crate::hostfs::make(to, 0o755)?;
    bind(from, to)
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .doing(|| format!("cannot mount {} on {}", from.display(), to.display()))
}
