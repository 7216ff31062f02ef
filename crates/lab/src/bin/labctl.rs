//! The lab by hand, without the dormouse binary: for developing drivers against it, and for this crate's tests.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people")]

use std::process::ExitCode;
use std::time::Instant;

use dormouse_lab::{Fault, Lab, LabSpec, Load, Progress, Result};

const USAGE: &str = "usage: labctl VERB
  up ID HOSTS GUESTS [boot_s=N] [tick_ms=N] [beat_ms=N] [time_scale=N] [pki=0] [keep_broken=1]
  status ID · events ID · down ID · down-all · list
  load ID GUEST cpu|dirty|write AMOUNT SECONDS · load ID GUEST stop
  fault ID HOST power-cut|silence|lose-wakes N|hang-boot|no-share|freeze|thaw|lose-in PERCENT|lose-out PERCENT|cut-from HOST|hang-share
               |login USER TTY|hold-packages|inhibitors LINE…|load-average HUNDREDTHS|heal
  power-on ID HOST · streams-start ID · streams ID · streams-stop ID
  exec ID COMMAND…         in the manager's network namespace
  host-exec ID HOST COMMAND…   inside a host
  virsh ID HOST WORDS…     virsh against a host's libvirtd";

struct Say(Instant);

impl Progress for Say {
    fn step(&mut self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.0.elapsed().as_secs_f64());
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((first, rest)) if first == "lab-internal" => dormouse_lab::internal_main(rest),
        _ => run(&args.iter().map(String::as_str).collect::<Vec<_>>()),
    };
    match result {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(e) => {
            eprintln!("labctl: {e}");
            if let Some(hint) = e.hint() {
                eprintln!("  hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<i32> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|e| dormouse_lab::LabError::new(format!("{text:?} is no number")).because(e))
    };
    let small = |text: &str| number(text).map(|n| u16::try_from(n).unwrap_or(u16::MAX));
    match args {
        ["up", id, hosts, guests, options @ ..] => {
            let mut spec = LabSpec::new(*id, small(hosts)?, small(guests)?);
            for option in options {
                match option.split_once('=') {
                    Some(("keep_broken", n)) => spec.keep_broken = number(n)? != 0,
                    Some(("pki", n)) => spec.pki = number(n)? != 0,
                    Some(("boot_s", n)) => spec.boot_s = number(n)?,
                    Some(("tick_ms", n)) => spec.tick_ms = number(n)?,
                    Some(("beat_ms", n)) => spec.beat_ms = number(n)?,
                    Some(("time_scale", n)) => spec.time_scale = number(n)?,
                    _ => return usage(),
                }
            }
            let lab = Lab::up(spec, &mut Say(Instant::now()))?;
            println!("{}", lab.paths.state.display());
        }
        ["status", id] => println!("{}", json(&Lab::open(id)?.status()?)),
        ["events", id] => print!("{}", Lab::open(id)?.events()?),
        ["down", id] => println!("{:?}", dormouse_lab::down(id)?),
        ["down-all"] => println!("{:?}", dormouse_lab::down_all()?),
        ["list"] => println!("{}", dormouse_lab::labs().join("\n")),
        ["load", id, guest, "stop"] => Lab::open(id)?.load(guest, None, 0)?,
        ["load", id, guest, kind, amount, seconds] => {
            let load = match *kind {
                "cpu" => Load::Cpu { percent: u8::try_from(number(amount)?).unwrap_or(100) },
                "dirty" => Load::Dirty { mib_per_s: small(amount)? },
                "write" => Load::Write { mib_per_s: small(amount)? },
                _ => return usage(),
            };
            Lab::open(id)?.load(guest, Some(load), number(seconds)?)?;
        }
        ["fault", id, host, "heal"] => Lab::open(id)?.heal(host)?,
        ["fault", id, host, words @ ..] => {
            let percent = |text| number(text).map(|n| u8::try_from(n).unwrap_or(100));
            let fault = match words {
                ["power-cut"] => Fault::PowerCut,
                ["silence"] => Fault::Silence,
                ["lose-wakes", n] => Fault::LoseWakes(number(n)?),
                ["hang-boot"] => Fault::HangBoot,
                ["no-share"] => Fault::NoShare,
                ["freeze"] => Fault::FreezeLibvirtd,
                ["thaw"] => Fault::ThawLibvirtd,
                ["hang-share"] => Fault::HangShare,
                ["cut-from", other] => Fault::CutFrom((*other).to_owned()),
                ["lose-in", n] => Fault::LoseInward(percent(n)?),
                ["lose-out", n] => Fault::LoseOutward(percent(n)?),
                ["login", user, tty] => Fault::Login { user: (*user).to_owned(), tty: (*tty).to_owned() },
                ["hold-packages"] => Fault::HoldPackages,
                ["inhibitors", lines @ ..] => {
                    Fault::Inhibitors(lines.iter().map(|l| (*l).to_owned()).collect())
                }
                ["load-average", n] => Fault::LoadAverage(Some(number(n)?)),
                _ => return usage(),
            };
            Lab::open(id)?.fault(host, &fault)?;
        }
        ["power-on", id, host] => Lab::open(id)?.power_on(host)?,
        ["streams-start", id] => Lab::open(id)?.streams_start()?,
        ["streams", id] => println!("{}", json(&Lab::open(id)?.streams(false)?)),
        ["streams-stop", id] => println!("{}", json(&Lab::open(id)?.streams(true)?)),
        ["exec", id, program, rest @ ..] => {
            return status(Lab::open(id)?.command_in_manager_netns(program).args(rest));
        }
        ["host-exec", id, host, program, rest @ ..] => {
            return status(Lab::open(id)?.command_in_host(host, program)?.args(rest));
        }
        ["virsh", id, host, rest @ ..] => {
            let lab = Lab::open(id)?;
            let socket = lab.paths.host(&lab.spec.host(host)?).libvirt_socket();
            let uri = format!("qemu:///system?socket={}", socket.display());
            return status(std::process::Command::new("virsh").args(["-c", &uri]).args(rest));
        }
        _ => return usage(),
    }
    Ok(0)
}

fn usage() -> Result<i32> {
    eprintln!("{USAGE}");
    Ok(2)
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|e| e.to_string())
}

fn status(command: &mut std::process::Command) -> Result<i32> {
    match command.status() {
        Ok(status) => Ok(status.code().unwrap_or(1)),
        Err(e) => Err(dormouse_lab::LabError::new("cannot run the command").because(e)),
    }
}
