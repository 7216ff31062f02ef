//! A slow way to a member.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Hands everything on, each piece so many milliseconds late.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    late_ms: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Relay {
    /// To that port of this machine.
    ///
    /// # Panics
    /// The machine has no port left.
    #[must_use]
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let own = listener.local_addr().expect("its number").port();
        let (late_ms, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let relay = Self { port: own, late_ms: Arc::clone(&late_ms), over: Arc::clone(&over) };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (Ok(near_out), Ok(far_out)) = (near.try_clone(), far.try_clone()) else { continue };
                let (there, back) = (Arc::clone(&late_ms), Arc::clone(&late_ms));
                thread::spawn(move || pump(near, far_out, &there));
                thread::spawn(move || pump(far, near_out, &back));
            }
        });
        relay
    }

    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn late(&self, ms: u64) {
        self.late_ms.store(ms, Ordering::SeqCst);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        // Wakes the one that waits for connections.
        _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, late_ms: &AtomicU64) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        thread::sleep(Duration::from_millis(late_ms.load(Ordering::SeqCst)));
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Write);
}
