//! The whole terminal, for as long as a verb draws on it. It is given back as it was found, whatever happens: on `q`, on a
//! panic (`ratatui` does that), on a polite kill, and when the terminal goes away.

use super::Failure;
use ratatui::{DefaultTerminal, Frame};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// So long a verb may take to notice that it shall leave.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) struct Screen {
    terminal: DefaultTerminal,
    leave: Arc<AtomicBool>,
}

impl Screen {
    /// `instead`: the verb that needs no terminal.
    pub(crate) fn take(instead: &str) -> Result<Self, Failure> {
        let failed = |error: io::Error| Self::failure(instead, &error);
        let leave = Arc::new(AtomicBool::new(false));
        let (mut signals, told) =
            (Signals::new([SIGTERM, SIGHUP, SIGINT]).map_err(failed)?, Arc::clone(&leave));
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                if let Some(signal) = signals.forever().next() {
                    told.store(true, Ordering::Relaxed);
                    // Whoever waits for a key of a terminal that is gone waits for ever: crossterm reads its end over and
                    // over, and never comes back.
                    std::thread::sleep(PATIENCE);
                    ratatui::restore();
                    std::process::exit(128 + signal);
                }
            })
            .map_err(failed)?;
        Ok(Self { terminal: ratatui::try_init().map_err(failed)?, leave })
    }

    pub(crate) fn failure(instead: &str, error: &io::Error) -> Failure {
        Failure::new("the terminal cannot be used").because(error).hint(format!("`{instead}` needs none"))
    }

    /// Somebody asked us to end.
    pub(crate) fn shall_leave(&self) -> bool {
        self.leave.load(Ordering::Relaxed)
    }

    pub(crate) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(|_| ())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
