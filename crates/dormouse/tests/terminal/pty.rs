//! The shell as a person meets it: at a terminal, with keys.
//!
//! Nothing is sent before what it answers to was seen, so nothing here depends on time.

use super::Terminal;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const UP: &str = "\x1b[A";
const PROMPT: &str = "cluster> ";

struct Person {
    script: Child,
    keys: ChildStdin,
    screen: Receiver<Vec<u8>>,
    /// What was drawn and not yet looked at.
    drawn: String,
}

impl Person {
    /// Someone at a terminal in this folder.
    fn sits_down(terminal: &Terminal) -> Self {
        let folder = terminal.folder.path();
        let mut script = Command::new("script")
            .args([
                "-q",
                "-e",
                "-c",
                concat!("exec ", env!("CARGO_BIN_EXE_dormouse"), " --config dormouse.toml shell"),
                "/dev/null",
            ])
            .current_dir(folder)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .env("SHELL", "/bin/sh")
            .env("XDG_STATE_HOME", folder.join("xdg"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (keys, mut screen) = (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let (draw, drawn) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = screen.read(&mut bytes) {
                if draw.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { script, keys, screen: drawn, drawn: String::new() }
    }

    fn types(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is drawn; what came before it is over.
    fn sees(&mut self, text: &str) {
        loop {
            if let Some(at) = self.drawn.find(text) {
                self.drawn.drain(..at + text.len());
                return;
            }
            let Ok(bytes) = self.screen.recv_timeout(Duration::from_secs(60)) else {
                panic!("never: `{text}`, but {:?}", self.drawn);
            };
            self.drawn += &String::from_utf8_lossy(&bytes);
        }
    }
}

#[test]
#[ignore = "needs script"]
fn nothing_that_was_typed_is_lost_and_nothing_ends_the_shell_but_its_end() {
    let terminal = Terminal::with("cluster x\nhost h1 cpus=4 mem=8G\nvm pc01@h1 mem=1G\n");
    std::fs::write(
        terminal.folder.path().join("dormouse.toml"),
        "cluster = \"cluster\"\nsocket = \"none.sock\"\n",
    )
    .unwrap();
    let mut person = Person::sits_down(&terminal);
    person.sees(PROMPT);
    person.types("why h1 --cluster clu");
    person.sees("clu");
    person.types(CTRL_C);
    person.sees(PROMPT);
    person.types(UP);
    person.sees("why h1 --cluster clu");
    person.types("ster\r");
    person.sees("host h1 (on)");
    person.sees(PROMPT);

    person.types("why 'h1\r");
    person.sees("a quote has no end");
    person.sees("why 'h1");
    person.types("' --cluster cluster\r");
    person.sees("host h1 (on)");
    person.sees(PROMPT);

    person.types("findVM p\t");
    person.sees("findVM pc01 ");
    person.types("\r");
    person.sees("no daemon answers");
    person.sees("(exit code 4, not reachable)");
    person.sees(PROMPT);

    person.types("watch -n 3600 config check --cluster cluster\r");
    person.sees("ok: cluster x, 1 host");
    person.types(CTRL_C);
    person.sees(PROMPT);

    person.types("history\r");
    person.sees("why h1 --cluster cluster\r\n");
    person.sees(PROMPT);
    person.types(CTRL_D);
    let status = person.script.wait().unwrap();
    assert!(status.success(), "{status}: {:?}", person.drawn);
    let history = std::fs::metadata(terminal.folder.path().join("xdg/dormouse/history")).unwrap();
    assert_eq!(history.permissions().mode() & 0o777, 0o600);
}
