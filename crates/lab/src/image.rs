//! The guest image: Debian's cloud kernel and an initramfs of one static program and a few modules.
//!
//! The kernel package is downloaded once with `apt-get download` and unpacked into the cache; it is never
//! installed. The program is compiled once per version of its source. Several labs may ask at the same time.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Progress;
use crate::error::{Doing, LabError, Result, checked};
use crate::paths::cache_dir;

const GUEST_SOURCE: &str = include_str!("../guest/guest.c");
/// What a guest needs beyond what the kernel has built in; what these need is loaded before them.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_net", "virtio_blk", "evdev", "button"];

/// Files that every guest boots from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The folder that holds both, under one name for each content.
    pub(crate) dir: PathBuf,
}

impl Image {
    pub(crate) const KERNEL: &str = "vmlinuz";
    pub(crate) const INITRD: &str = "initrd";

    /// Takes the image from the cache, or builds it.
    pub(crate) fn ensure(progress: &mut dyn Progress) -> Result<Self> {
        let cache = cache_dir();
        fs::create_dir_all(&cache).doing(|| format!("cannot make the cache {}", cache.display()))?;
        let lock_path = cache.join("lock");
        let lock = fs::File::create(&lock_path).doing(|| format!("cannot open {}", lock_path.display()))?;
        lock.lock().doing(|| format!("cannot lock {}", lock_path.as_path().display()))?;
        let _held = lock.as_fd();

        let kernel = ensure_kernel(&cache, progress)?;
        let version = kernel.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let dir = cache.join(format!("guest-{version}-{:016x}", fnv(GUEST_SOURCE.as_bytes())));
        if !dir.join(Self::INITRD).exists() {
            progress.step("building the guest image");
            let making = cache.join("guest.new");
            remake(&making)?;
            build_initrd(&kernel, &making)?;
            fs::copy(kernel.join(Self::KERNEL), making.join(Self::KERNEL))
                .doing(|| "cannot copy the guest kernel".to_owned())?;
            fs::rename(&making, &dir).doing(|| format!("cannot put {} in place", dir.display()))?;
        }
        Ok(Self { dir })
    }
}

/// The unpacked kernel: `vmlinuz` and `modules/`, in a folder named by its version.
fn ensure_kernel(cache: &Path, progress: &mut dyn Progress) -> Result<PathBuf> {
    let kernels = cache.join("kernel");
    let mut have: Vec<PathBuf> = fs::read_dir(&kernels)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.join(Image::KERNEL).exists())
        .collect();
    have.sort();
    if let Some(newest) = have.pop() {
        return Ok(newest);
    }
    let depends = checked(
        "apt-cache depends linux-image-cloud-amd64",
        Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]).output(),
    )?;
    let package = depends
        .lines()
        .filter_map(|l| l.trim().strip_prefix("Depends: "))
        .find(|p| p.starts_with("linux-image-"))
        .ok_or_else(|| {
            LabError::new("apt does not know the package linux-image-cloud-amd64").with_hint(
                "run apt-get update, or put an unpacked kernel into $DORMOUSE_LAB_CACHE/kernel/<version>",
            )
        })?
        .to_owned();
    progress
        .step(&format!("downloading the Debian package {package} (unpacked into the cache, not installed)"));
    let work = cache.join("kernel.new");
    remake(&work)?;
    checked(
        &format!("apt-get download {package}"),
        Command::new("apt-get")
            .args(["-q", "-o", "APT::Sandbox::User=root", "download", &package])
            .current_dir(&work)
            .output(),
    )
    .map_err(|e| e.with_hint("the lab needs this package once; afterwards it works without a network"))?;
    let deb = find_file(&work, |n| n.ends_with(".deb"))?;
    let tree = work.join("tree");
    checked("dpkg-deb -x", Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree).output())?;
    let vmlinuz = find_file(&tree.join("boot"), |n| n.starts_with("vmlinuz-"))?;
    let version = vmlinuz
        .file_name()
        .and_then(|n| n.to_str()?.strip_prefix("vmlinuz-"))
        .ok_or_else(|| LabError::new("the kernel package holds no vmlinuz with a version"))?
        .to_owned();
    // Debian 13 keeps /lib in /usr/lib inside the package.
    let lib = [tree.join("lib/modules"), tree.join("usr/lib/modules")]
        .into_iter()
        .find(|p| p.join(&version).exists())
        .ok_or_else(|| LabError::new("the kernel package holds no modules"))?;
    let base = lib.parent().and_then(Path::parent).unwrap_or(&tree);
    checked("depmod", Command::new("depmod").arg("-b").arg(base).arg(&version).output())?;
    let made = work.join("made");
    fs::create_dir(&made).doing(|| "cannot make a folder in the cache".to_owned())?;
    fs::rename(lib.join(&version), made.join("modules")).doing(|| "cannot keep the modules".to_owned())?;
    fs::rename(&vmlinuz, made.join(Image::KERNEL)).doing(|| "cannot keep the kernel".to_owned())?;
    fs::create_dir_all(&kernels).doing(|| "cannot make a folder in the cache".to_owned())?;
    let place = kernels.join(&version);
    fs::rename(&made, &place).doing(|| format!("cannot put {} in place", place.display()))?;
    // What is left is the rest of the package; the image does not depend on its removal.
    let _ = fs::remove_dir_all(&work);
    Ok(place)
}

fn build_initrd(kernel: &Path, into: &Path) -> Result<()> {
    let source = into.join("guest.c");
    let program = into.join("guest");
    fs::write(&source, GUEST_SOURCE).doing(|| "cannot write the guest program's source".to_owned())?;
    checked(
        "gcc (guest program)",
        Command::new("gcc")
            .args(["-static", "-Os", "-s", "-Wall", "-Werror", "-o"])
            .arg(&program)
            .arg(&source)
            .output(),
    )?;
    let mut archive = Cpio::default();
    for dir in ["dev", "proc", "modules"] {
        archive.dir(dir);
    }
    // The first process' standard streams, before /dev is mounted.
    archive.char_device("dev/console", 5, 1);
    archive.file("init", 0o755, &fs::read(&program).doing(|| "cannot read the guest program".to_owned())?);
    let mut order = String::new();
    for path in load_order(&kernel.join("modules"))? {
        let stem = module_stem(&path);
        archive.file(
            &format!("modules/{stem}.ko"),
            0o644,
            &module_bytes(&kernel.join("modules").join(&path))?,
        );
        order += &format!("/modules/{stem}.ko\n");
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    let path = into.join(Image::INITRD);
    fs::write(&path, archive.finish()).doing(|| format!("cannot write {}", path.display()))
}

/// Module files in the order they must be loaded, from `modules.dep`.
fn load_order(modules: &Path) -> Result<Vec<String>> {
    let path = modules.join("modules.dep");
    let text = fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))?;
    order_from(&text)
}

fn order_from(modules_dep: &str) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for wanted in MODULES {
        let line = modules_dep
            .lines()
            .filter_map(|l| l.split_once(':'))
            .find(|(file, _)| module_stem(file).replace('-', "_") == wanted);
        // A kernel with the driver built in has no file for it.
        let Some((file, needs)) = line else { continue };
        // depmod lists what a module needs with the deepest need last.
        for path in needs.split_whitespace().rev().chain([file]) {
            if !order.iter().any(|p| p == path) {
                order.push(path.to_owned());
            }
        }
    }
    if order.is_empty() {
        return Err(LabError::new("modules.dep names none of the virtio modules"));
    }
    Ok(order)
}

fn module_stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split(".ko").next().unwrap_or(name)
}

fn module_bytes(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_some_and(|e| e == "xz") {
        let out = Command::new("xz").arg("-dc").arg(path).output().doing(|| "cannot run xz".to_owned())?;
        if out.status.success() {
            return Ok(out.stdout);
        }
        return Err(LabError::new(format!("cannot unpack {}", path.display())));
    }
    fs::read(path).doing(|| format!("cannot read {}", path.display()))
}

/// The "newc" archive that Linux takes as an initramfs.
#[derive(Default)]
struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    fn dir(&mut self, name: &str) {
        self.entry(name, 0o040_755, 2, (0, 0), &[]);
    }

    fn char_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, 0o020_600, 1, (major, minor), &[]);
    }

    fn file(&mut self, name: &str, mode: u32, data: &[u8]) {
        self.entry(name, 0o100_000 | mode, 1, (0, 0), data);
    }

    fn entry(&mut self, name: &str, mode: u32, links: u32, device: (u32, u32), data: &[u8]) {
        self.inode += 1;
        let size = u32::try_from(data.len()).expect("an initramfs file is far below 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        let fields = [self.inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            write!(self.bytes, "{field:08x}").expect("writing to memory does not fail");
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, 1, (0, 0), &[]);
        self.bytes
    }
}

fn remake(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).doing(|| format!("cannot clear {}", dir.display()))?;
    }
    fs::create_dir_all(dir).doing(|| format!("cannot make {}", dir.display()))
}

fn find_file(dir: &Path, fits: impl Fn(&str) -> bool) -> Result<PathBuf> {
    fs::read_dir(dir)
        .doing(|| format!("cannot read {}", dir.display()))?
        .flatten()
        .find(|e| e.file_name().to_str().is_some_and(&fits))
        .map(|e| e.path())
        .ok_or_else(|| LabError::new(format!("nothing fitting found in {}", dir.display())))
}

/// A name for a content; nothing depends on its strength.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_after_what_they_need() {
        let dep = "kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_pci_legacy_dev.ko kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n\
                   kernel/drivers/net/virtio_net.ko.xz: kernel/net/core/failover.ko.xz kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko\n\
                   kernel/drivers/input/evdev.ko:\n";
        let names: Vec<String> = order_from(dep).unwrap().iter().map(|p| module_stem(p).to_owned()).collect();
        assert_eq!(
            names.join(" "),
            "virtio_ring virtio virtio_pci_legacy_dev virtio_pci failover virtio_net evdev"
        );
    }

    #[test]
    fn the_archive_is_what_cpio_reads() {
        let mut archive = Cpio::default();
        archive.dir("dev");
        archive.file("init", 0o755, b"hello");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("07070100000001000041ed"), "{text}");
        assert!(text.contains("hello") && text.trim_end_matches('\0').ends_with("TRAILER!!!"), "{text}");
    }
}
