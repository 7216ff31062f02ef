//! The manager of a lab night: `dormouse run` as a process of its own in the manager's network namespace, so that it can
//! be killed like any other.

use crate::cli::Failure;
use crate::daemon::client;
use crate::daemon::wire::Verb;
use dormouse_driver::EventRecord;
use dormouse_lab::Lab;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// From start to the first answer on its socket.
const START_MAX: Duration = Duration::from_secs(30);
/// For a clean stop; then it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

pub(super) struct Manager {
    child: Option<Child>,
    config: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    command: Box<dyn Fn() -> std::process::Command>,
}

impl Manager {
    /// Writes the daemon's settings into the lab's folder and starts it.
    pub(super) fn start(lab: &Lab, settings: &str) -> Result<Self, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::new("cannot find this program").because(&error))?;
        let config = lab.paths.dormouse_toml();
        fs::write(&config, settings)
            .map_err(|error| Failure::new(format!("cannot write {}", config.display())).because(&error))?;
        let lab_again = lab.clone();
        let mut manager = Self {
            child: None,
            socket: lab.paths.state.join("manager.sock"),
            log: lab.paths.state.join("manager.log"),
            config,
            command: Box::new(move || lab_again.command_in_manager_netns(&program)),
        };
        manager.start_again()?;
        Ok(manager)
    }

    fn start_again(&mut self) -> Result<(), Failure> {
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log
            .map_err(|error| Failure::new(format!("cannot write {}", self.log.display())).because(&error))?;
        let mut command = (self.command)();
        command
            .arg("--config")
            .arg(&self.config)
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child =
            Some(command.spawn().map_err(|error| Failure::new("cannot start the manager").because(&error))?);
        let began = Instant::now();
        while client::ask(&self.socket, &Verb::Status).is_err() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || began.elapsed() > START_MAX {
                let words = fs::read_to_string(&self.log).unwrap_or_default();
                let last: Vec<&str> = words.lines().rev().take(5).collect();
                return Err(Failure::new("the manager did not start")
                    .because_of(last.into_iter().rev().collect::<Vec<_>>().join("\n")));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// kill -9, and a new one from what the store holds.
    pub(super) fn kill_and_restart(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child
                .kill()
                .and_then(|()| child.wait().map(drop))
                .map_err(|error| Failure::new("cannot kill the manager").because(&error))?;
        }
        self.start_again()
    }

    /// The trail after this event.
    pub(super) fn events(&self, after: u64) -> Result<Vec<EventRecord>, Failure> {
        let verb = Verb::Events { after: Some(after), last: None, follow: false };
        let answer = client::ask(&self.socket, &verb)?;
        serde_json::from_value(answer)
            .map_err(|error| Failure::new("the manager's trail makes no sense").because(&error))
    }

    /// Asks it to stop, waits a little, and kills what still runs.
    pub(super) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        let term = std::process::Command::new("kill").arg(child.id().to_string()).status();
        let began = Instant::now();
        while term.is_ok() && began.elapsed() < STOP_MAX {
            if let Ok(Some(_)) = child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        _ = child.kill();
        _ = child.wait();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.stop();
    }
}
