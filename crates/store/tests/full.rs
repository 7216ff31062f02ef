//! A disk that is really full: nothing half-written, nothing lost, and on again when there is room.

mod common;

use common::{DONE, Place, sleep};
use dormouse_driver::{Kind, Lease, Store, StoreError};
use dormouse_model::IntentId;
use dormouse_store::{FileLease, SqliteStore};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A disk of its own, of so many KiB, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, kib: u32) -> Self {
        std::fs::create_dir(&at).expect("a folder");
        let size = format!("size={kib}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "dormouse-test"]).arg(&at).status();
        assert!(mounted.expect("mount is there").success());
        Self(at)
    }

    /// Leaves no byte free, and gives what holds them.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("pictures");
        let mut file = std::fs::File::create(&path).expect("a file");
        while file.write_all(&[7; 512]).is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path).expect("opens")
}

#[test]
#[ignore = "needs root"]
fn on_a_full_disk_no_intent_is_taken_and_nothing_is_lost() {
    let place = Place::new();
    let disk = Disk::mount(place.dir.path().join("disk"), 1024);
    let path = disk.0.join("dormouse.db");
    let store = open(&path);
    let lease = FileLease::new(&store);
    place.run(async {
        lease.campaign("test").await.expect("free");
        store.append(&sleep(1, 1)).await.expect("there is room");
        let pictures = disk.fill();
        // The log may have a page or two left that it had before.
        let mut id = 2;
        let refused = loop {
            match store.append(&sleep(id, 1)).await {
                Ok(()) => id += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::NotWritten(_)), "{refused}");
        assert!(store.close(IntentId(1), &DONE).await.is_err());
        assert!(store.remember(Kind::Host, "lab07", json!(1)).await.is_err());
        assert_eq!(store.load().await.expect("it can be read").open.len() as u64, id - 1);

        // Killed and started again meanwhile: it reads, leads or says why not, and writes nothing by halves.
        drop(lease);
        let again = open(&path);
        assert_eq!(again.load().await.expect("whole").last_intent, id - 1);
        assert!(FileLease::new(&again).campaign("again").await.is_err(), "no epoch can be written");

        std::fs::remove_file(pictures).expect("tidied up");
        let lease = FileLease::new(&again);
        let term = lease.campaign("again").await.expect("there is room");
        again.append(&sleep(id, term.epoch.0)).await.expect("there is room again");
        again.close(IntentId(1), &DONE).await.expect("there is room again");
        assert_eq!(again.load().await.expect("whole").last_intent, id);
    });
}
