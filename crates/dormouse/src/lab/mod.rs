//! `dormouse lab …`: a real lab on this machine (root), and a night in it. What a lab is, is in `dormouse-lab`; here are
//! the verbs, and the night, which runs the very daemon that `dormouse run` runs.

mod manager;
mod night;
mod record;
mod report;

use crate::cli::{Ctx, Exit, Failure, Format, Table, counted, safe, style};
use dormouse_lab::{Fault, Lab, LabError, LabSpec, Load, Power, Progress};
use std::error::Error as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

const DEFAULT_ID: &str = "lab";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Build a lab of real hosts and guests on this machine
    Up {
        #[command(flatten)]
        which: Which,
        /// Hosts of the lab
        #[arg(long, default_value_t = 3)]
        hosts: u16,
        /// Guests; one for each host unless given
        #[arg(long)]
        guests: Option<u16>,
        /// Seconds a host takes to boot
        #[arg(long, default_value_t = 3)]
        boot: u32,
    },
    /// Power, guests and faults, as they really are
    Status {
        #[command(flatten)]
        which: Which,
        /// text or json
        #[arg(long, default_value = "text")]
        format: Format,
    },
    /// Let a guest really work: `load pc01 cpu 40 --for 30`, `load pc01 dirty 20`, `load pc01 none`
    Load {
        guest: String,
        #[arg(value_parser = ["cpu", "dirty", "none"])]
        kind: String,
        /// Percent of a real core, or MiB written each second
        amount: Option<u16>,
        /// Seconds
        #[arg(long = "for", default_value_t = 30)]
        seconds: u32,
        #[command(flatten)]
        which: Which,
    },
    /// Break something on a host, or heal it
    Fault {
        host: String,
        #[command(subcommand)]
        what: Break,
        #[command(flatten)]
        which: Which,
    },
    /// Close, pack, sleep, wake on load, open, spread: a whole night with real hosts and VMs
    Night(night::Args),
    /// Remove a lab, also one whose `up` broke off
    Down {
        #[command(flatten)]
        which: Which,
        /// Every lab on this machine
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The lab's id; several labs may be up
    #[arg(long, default_value = DEFAULT_ID)]
    id: String,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Break {
    /// Pull the plug: everything on the host dies at once
    PowerCut,
    /// Press the power button
    PowerOn,
    /// Pull the network cable
    Silence,
    /// The next N magic packets do nothing
    LoseWakes { count: u32 },
    /// The next boot never answers
    HangBoot,
    /// libvirtd accepts and never answers
    Freeze,
    /// libvirtd goes on
    Thaw,
    /// The next boot comes up without the shared folder
    NoShare,
    /// Someone logs in at a terminal
    Login { user: String },
    /// Take every fault back
    Heal,
}

/// The lab's own processes are this program, run again.
pub(crate) fn internal(args: &[String]) -> Result<(), Failure> {
    match dormouse_lab::internal_main(args) {
        Ok(0) => Ok(()),
        Ok(code) => std::process::exit(code),
        Err(error) => Err(failed(&error)),
    }
}

pub(crate) fn run(command: Command, ctx: &Ctx) -> Result<(), Failure> {
    match command {
        Command::Up { which, hosts, guests, boot } => {
            let mut spec = LabSpec::new(which.id, hosts, guests.unwrap_or(hosts));
            spec.boot_s = boot;
            let lab = Lab::up(spec, &mut Steps::start()).map_err(|error| failed(&error))?;
            ctx.print(&format!(
                "Lab {} is up: {}, {}.\nLook: dormouse lab status --id {}\nAs the manager: ip netns exec {} ssh -F {} h01\nRemove: dormouse lab down --id {}\n",
                lab.spec.id,
                counted(hosts.into(), "host"),
                counted(lab.spec.guests.into(), "guest"),
                lab.spec.id,
                lab.spec.switch_netns(),
                lab.paths.ssh_config().display(),
                lab.spec.id,
            ))
        }
        Command::Status { which, format } => status(&which.id, format, ctx),
        Command::Load { guest, kind, amount, seconds, which } => {
            load(&which.id, &guest, &kind, amount, seconds)
        }
        Command::Fault { host, what, which } => fault(&which.id, &host, &what),
        Command::Night(args) => night::run(&args, ctx),
        Command::Down { which, all } => down(&which.id, all, ctx),
    }
}

fn open(id: &str) -> Result<Lab, Failure> {
    Lab::open(id).map_err(|error| failed(&error))
}

fn status(id: &str, format: Format, ctx: &Ctx) -> Result<(), Failure> {
    let status = open(id)?.status().map_err(|error| failed(&error))?;
    if format == Format::Json {
        return ctx.print_json(&status);
    }
    let mut table = Table::new(&["host", "power", "for", "guests", "faults"]);
    for host in &status.hosts {
        let guests: Vec<&str> = status
            .guests
            .iter()
            .filter(|guest| host.qemu.contains(&guest.uuid))
            .map(|guest| guest.name.as_str())
            .collect();
        let power = match host.power {
            Power::Off => "off",
            Power::Booting => "booting",
            Power::On => "on",
            Power::Hung => "hung",
        };
        table.row([
            host.name.clone(),
            power.to_owned(),
            format!("{} s", host.for_s),
            guests.join(" "),
            safe(&host.faults.join(", ")).to_string(),
        ]);
    }
    let on = status.hosts.iter().filter(|host| host.power == Power::On).count();
    let head = style::STRONG;
    ctx.print(&format!(
        "{head}Lab {}: {on} of {} hosts on, {} guests, {} heard twice{head:#}\n\n{table}\n",
        status.id,
        status.hosts.len(),
        status.guests.len(),
        status.double_runs
    ))
}

fn load(id: &str, guest: &str, kind: &str, amount: Option<u16>, seconds: u32) -> Result<(), Failure> {
    let needs = || {
        Failure::usage(format!("`load {guest} {kind}` needs an amount"))
            .hint("like `dormouse lab load pc01 cpu 40 --for 30`")
    };
    let load = match kind {
        "none" => None,
        "cpu" => {
            let percent = u8::try_from(amount.ok_or_else(needs)?).ok().filter(|percent| *percent <= 100);
            Some(Load::Cpu { percent: percent.ok_or_else(|| Failure::usage("a core has 100 percent"))? })
        }
        _ => Some(Load::Dirty { mib_per_s: amount.ok_or_else(needs)? }),
    };
    open(id)?.load(guest, load, seconds).map_err(|error| failed(&error))
}

fn fault(id: &str, host: &str, what: &Break) -> Result<(), Failure> {
    let lab = open(id)?;
    let done = match what {
        Break::PowerOn => lab.power_on(host),
        Break::Heal => lab.heal(host),
        Break::PowerCut => lab.fault(host, &Fault::PowerCut),
        Break::Silence => lab.fault(host, &Fault::Silence),
        Break::LoseWakes { count } => lab.fault(host, &Fault::LoseWakes(*count)),
        Break::HangBoot => lab.fault(host, &Fault::HangBoot),
        Break::Freeze => lab.fault(host, &Fault::FreezeLibvirtd),
        Break::Thaw => lab.fault(host, &Fault::ThawLibvirtd),
        Break::NoShare => lab.fault(host, &Fault::NoShare),
        // No such terminal exists here, so nobody can tell how long it has been idle: it counts as in use.
        Break::Login { user } => {
            lab.fault(host, &Fault::Login { user: user.clone(), tty: "pts/77".to_owned() })
        }
    };
    done.map_err(|error| failed(&error))
}

fn down(id: &str, all: bool, ctx: &Ctx) -> Result<(), Failure> {
    let reports = if all {
        dormouse_lab::down_all().map_err(|error| failed(&error))?
    } else {
        if !dormouse_lab::labs().iter().any(|lab| lab == id) {
            return Err(Failure::with_exit(Exit::Nothing, format!("there is no lab {id}")).hint(
                match dormouse_lab::labs().join(", ") {
                    none if none.is_empty() => "no lab is up on this machine".to_owned(),
                    labs => format!("up: {labs}"),
                },
            ));
        }
        vec![(id.to_owned(), dormouse_lab::down(id).map_err(|error| failed(&error))?)]
    };
    let mut left = vec![];
    for (id, report) in reports {
        ctx.print(&format!("Lab {id} is gone: {} processes ended.\n", report.killed))?;
        left.extend(report.left);
    }
    if left.is_empty() {
        Ok(())
    } else {
        Err(Failure::new("some of it could not be removed").because_of(left.join("; ")))
    }
}

fn failed(error: &LabError) -> Failure {
    let mut failure = Failure::new(error.to_string());
    if let Some(cause) = error.source() {
        failure = failure.because(cause);
    }
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What takes more than a second says what it is at: one line that is written over on a terminal, plain lines elsewhere.
struct Steps {
    began: Instant,
    over: bool,
    last: String,
}

impl Steps {
    fn start() -> Self {
        Self { began: Instant::now(), over: std::io::stderr().is_terminal(), last: String::new() }
    }
}

impl Progress for Steps {
    fn step(&mut self, what: &str) {
        // In a log what has not changed is no news.
        if !self.over && self.last == what {
            return;
        }
        what.clone_into(&mut self.last);
        let (before, after) = if self.over { ("\r\x1b[2K", "") } else { ("", "\n") };
        let mut err = std::io::stderr().lock();
        // Progress that nobody can read is no reason to fail.
        _ = write!(err, "{before}{:6.1} s  {}{after}", self.began.elapsed().as_secs_f32(), safe(what));
        _ = err.flush();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if self.over {
            _ = writeln!(std::io::stderr().lock());
        }
    }
}
