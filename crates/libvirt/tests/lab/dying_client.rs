//! A libvirt client that carries a move and dies at a chosen word.
//!
//! It speaks to both hosts through relays of ours, which read the frames of libvirt's protocol as they pass; at the
//! chosen one the relay keeps it back and kills the client.

use crate::bench::Bench;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use uuid::Uuid;

/// The words of a client-managed move that matter, by their numbers in libvirt's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// To the source: move the memory.
    Perform = 305,
    /// To the destination: start it there.
    Finish = 306,
    /// To the source: it runs there, forget it.
    Confirm = 307,
}

/// Returns when the client is dead.
#[track_caller]
pub(crate) fn moves(bench: &Bench, vm: Uuid, ends: [&str; 2], dies_before: Word) {
    let folder = tempfile::tempdir().expect("a folder");
    let client: Arc<Mutex<Option<Child>>> = Arc::default();
    let uris = ends.map(|host| {
        let near = folder.path().join(host);
        let far = bench.lab.paths.host(&bench.lab.spec.host(host).expect("a host")).libvirt_socket();
        relay(&near, &far, dies_before, Arc::clone(&client));
        format!("qemu+unix:///system?socket={}", near.display())
    });
    let stream = format!("tcp:{}", bench.lab.spec.host(ends[1]).expect("a host").address);
    let virsh = bench
        .lab
        .command_in_manager_netns("virsh")
        .args([
            "-c",
            &uris[0],
            "migrate",
            "--live",
            "--persistent",
            "--undefinesource",
            &vm.to_string(),
            &uris[1],
            &stream,
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("virsh runs");
    *client.lock().expect("no panic holds it") = Some(virsh);
    bench.wait("the client dies", || {
        let mut client = client.lock().expect("no panic holds it");
        client.as_mut().expect("it was started").try_wait().expect("its state").is_some_and(|status| {
            assert!(!status.success(), "the move went through before {dies_before:?}");
            true
        })
    });
}

fn relay(near: &Path, far: &Path, dies_before: Word, client: Arc<Mutex<Option<Child>>>) {
    let listener = UnixListener::bind(near).expect("binds");
    let far = far.to_owned();
    thread::spawn(move || {
        while let Ok((from_client, _)) = listener.accept() {
            let to_host = UnixStream::connect(&far).expect("libvirtd listens");
            let (mut back, mut forth) =
                (to_host.try_clone().expect("cloned"), from_client.try_clone().expect("cloned"));
            thread::spawn(move || {
                let _ = io::copy(&mut back, &mut forth);
                let _ = forth.shutdown(Shutdown::Both);
            });
            let client = Arc::clone(&client);
            thread::spawn(move || {
                // However it ends, both sides see it end.
                let _ = words(&from_client, &to_host, dies_before, &client);
                let _ = from_client.shutdown(Shutdown::Both);
                let _ = to_host.shutdown(Shutdown::Both);
            });
        }
    });
}

/// Passes frames on: a length, then program, version, procedure, …, all big-endian.
fn words(
    mut from: &UnixStream,
    mut to: &UnixStream,
    dies_before: Word,
    client: &Mutex<Option<Child>>,
) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("fits").saturating_sub(4)];
        from.read_exact(&mut frame)?;
        if frame.get(8..12) == Some(&(dies_before as u32).to_be_bytes()) {
            if let Some(client) = client.lock().expect("no panic holds it").as_mut() {
                client.kill()?;
            }
            return Ok(());
        }
        to.write_all(&length)?;
        to.write_all(&frame)?;
    }
}
