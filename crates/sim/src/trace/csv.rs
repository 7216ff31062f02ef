//! The two CSV formats: PlanetLab's, whose VMs have no sizes, and the general one with sizes, which Bitbrains has.

use super::error::{TraceError, Wrong};
use super::lines::Lines;
use super::{Trace, TraceVm, is_plain};
use dormouse_model::text::quoted;
use dormouse_model::{Mib, MilliCpu};
use jiff::civil::Date;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::BufRead;

/// A leap year of steps.
const STEPS_MAX: usize = 366 * Trace::DAY_STEPS;
const VMS_MAX: usize = 100_000;
/// All together, two bytes each: a year of 318 VMs, or a day of 100,000.
const SAMPLES_MAX: usize = 1 << 25;
const NAME_CHARS_MAX: usize = 255;

/// The sizes that make it the general format.
const SIZES: [&str; 3] = ["cores", "mhz", "mem_mb"];
/// Far above any VM, and far below where a sum over all VMs would leave the integers.
const SIZES_MAX: [u64; 3] = [65_535, 1_000_000_000, 1 << 32];

/// What VMs of PlanetLab are taken to be: the trace holds shares of a processor only, so the literature gives a
/// quarter of the rows, in the order of the file, each of these (MIPS, MiB).
const PLANETLAB: [(u64, u64); 4] = [(2500, 870), (2000, 1740), (1000, 1740), (500, 613)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    /// Samples in percent.
    PlanetLab,
    /// Samples in thousandths, after the VM's sizes.
    Sized,
}

impl Format {
    /// Cells before the first sample.
    const fn heads(self) -> usize {
        match self {
            Self::PlanetLab => 1,
            Self::Sized => 1 + SIZES.len(),
        }
    }

    const fn whole(self) -> u16 {
        match self {
            Self::PlanetLab => 100,
            Self::Sized => 1000,
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::PlanetLab => "percent",
            Self::Sized => "thousandths of the VM's capacity",
        }
    }
}

impl Trace {
    /// Reads a trace, plain or gzip, in whichever of the two formats its header shows.
    ///
    /// # Errors
    /// The first thing that is wrong: where, and what to do.
    pub fn read(file: &str, source: impl BufRead) -> Result<Self, TraceError> {
        let mut lines = Lines::of(file, source)?;
        let header = lines.next()?.map(header);
        let (format, steps) = match header {
            None => return Err(lines.wrong(Wrong::at(1, "there is nothing in it").hint(HEADERS))),
            Some(header) => header.map_err(|wrong| lines.wrong(wrong))?,
        };
        let mut rows = Rows { format, steps, vms: vec![], samples: vec![], names: BTreeMap::new() };
        while let Some(line) = lines.next()? {
            let read = rows.row(line);
            read.map_err(|wrong| lines.wrong(wrong))?;
        }
        if rows.vms.is_empty() {
            return Err(lines.wrong(Wrong::at(1, "no VM in it").hint("each line below the header is one")));
        }
        if format == Format::PlanetLab {
            give_sizes(&mut rows.vms);
        }
        let name = stem(file);
        let start = date_at_end(&name);
        Ok(Self::new(name, start, rows.vms, &rows.samples))
    }

    /// The trace in the general format: [`Trace::read`] gives it back, if all names are plain.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let mut out = String::from("vm,cores,mhz,mem_mb");
        for step in 0..self.steps() {
            _ = write!(out, ",t{}", step as u64 * Self::STEP.as_secs());
        }
        for (at, vm) in self.vms.iter().enumerate() {
            _ = write!(out, "\n{},{},{},{}", vm.name, vm.vcpus, vm.cpu.0, vm.mem.0);
            for step in 0..self.steps() {
                _ = write!(out, ",{}", self.shares(step)[at]);
            }
        }
        out.push('\n');
        out
    }
}

const HEADERS: &str =
    "a trace begins with `vm,t0,t300,…` (PlanetLab) or `vm,cores,mhz,mem_mb,t0,t300,…` (with sizes)";

fn header(line: &str) -> Result<(Format, usize), Wrong> {
    let format = match line.split(',').nth(1) {
        Some("t0") => Format::PlanetLab,
        _ => Format::Sized,
    };
    let names = ["vm"].into_iter().chain(SIZES).take(format.heads());
    let mut column = 1;
    let mut cells = line.split(',');
    for wanted in names {
        let cell = cells.next().unwrap_or_default();
        if cell != wanted {
            let message = format!("{} where the header should say `{wanted}`", quoted(cell));
            return Err(Wrong::at(column, message).hint(HEADERS));
        }
        column += cell.chars().count() + 1;
    }
    let mut steps = 0;
    for cell in cells {
        let wanted = format!("t{}", steps as u64 * Trace::STEP.as_secs());
        if cell != wanted {
            let message = format!("{} where the header should say `{wanted}`", quoted(cell));
            let hint = match cell {
                "mem_used_mean_mb" => {
                    "this is the file with the memory in use; the trace is the one beside it"
                }
                _ => "samples lie 300 s apart, and none is left out",
            };
            return Err(Wrong::at(column, message).hint(hint));
        }
        steps += 1;
        if steps > STEPS_MAX {
            let message = format!("more than {STEPS_MAX} samples of a VM");
            return Err(Wrong::at(column, message).hint("cut it into years"));
        }
        column += cell.chars().count() + 1;
    }
    match steps {
        0 => Err(Wrong::at(column, "no samples").hint(HEADERS)),
        steps => Ok((format, steps)),
    }
}

struct Rows {
    format: Format,
    steps: usize,
    vms: Vec<TraceVm>,
    /// The first VM's, then the second's, and so on.
    samples: Vec<u16>,
    /// In which row a name stands.
    names: BTreeMap<String, usize>,
}

impl Rows {
    fn row(&mut self, line: &str) -> Result<(), Wrong> {
        let mut column = 1;
        let mut cells = line.split(',');
        let mut next = || {
            let cell = cells.next()?;
            let at = column;
            column += if cell.is_ascii() { cell.len() } else { cell.chars().count() } + 1;
            Some((at, cell))
        };
        let (_, name) = next().unwrap_or((1, ""));
        self.check_name(name)?;
        let mut sizes = [0; SIZES.len()];
        if self.format == Format::Sized {
            for (at, size) in sizes.iter_mut().enumerate() {
                let (column, cell) = next().unwrap_or((line.len() + 1, ""));
                *size = whole_number(cell, SIZES_MAX[at]).ok_or_else(|| {
                    let [what, most] = [SIZES[at].to_owned(), SIZES_MAX[at].to_string()];
                    Wrong::at(column, format!("{} is no `{what}` of VM {}", quoted(cell), quoted(name)))
                        .hint(format!("a whole number from 0 to {most}"))
                })?;
            }
        }
        for step in 0..self.steps {
            let Some((column, cell)) = next() else {
                let (has, wants) = (counted(step, "sample"), self.steps);
                let message = format!("VM {} has {has}, the header promises {wants}", quoted(name));
                let hint = "was the file cut off? Where a sample is missing, repeat the one before it";
                return Err(Wrong::at(line.chars().count() + 1, message).hint(hint));
            };
            let whole = self.format.whole();
            let Some(value) =
                whole_number(cell, u64::from(whole)).and_then(|value| u16::try_from(value).ok())
            else {
                return Err(self.no_sample(column, cell, step, name));
            };
            self.samples.push(value * (1000 / whole));
        }
        if let Some((column, _)) = next() {
            let message =
                format!("VM {} has more than the {} that", quoted(name), counted(self.steps, "sample"));
            return Err(Wrong::at(column, message + " the header promises"));
        }
        let [vcpus, mhz, mem] = sizes;
        self.names.insert(name.to_owned(), self.vms.len());
        self.vms.push(TraceVm {
            name: name.to_owned(),
            vcpus: u32::try_from(vcpus).expect("at most 65,535"),
            cpu: MilliCpu(mhz),
            mem: Mib(mem),
            used: None,
        });
        Ok(())
    }

    fn check_name(&self, name: &str) -> Result<(), Wrong> {
        const OWN: &str = "a row begins with the VM's own name, as plain text without quotes";
        let (wrong, hint) = if name.is_empty() {
            ("a VM without a name".to_owned(), OWN)
        } else if name.chars().count() > NAME_CHARS_MAX {
            (format!("VM {} has a name of more than {NAME_CHARS_MAX} characters", quoted(name)), OWN)
        } else if !is_plain(name) {
            (format!("VM {} has a quote or a control character in its name", quoted(name)), OWN)
        } else if let Some(first) = self.names.get(name) {
            (format!("VM {} stands on line {} already", quoted(name), first + 2), OWN)
        } else if self.vms.len() >= VMS_MAX {
            (format!("more than {VMS_MAX} VMs"), "split the trace")
        } else if self.samples.len() + self.steps > SAMPLES_MAX {
            (format!("more than {SAMPLES_MAX} samples in all"), "cut the trace into shorter spans")
        } else {
            return Ok(());
        };
        Err(Wrong::at(1, wrong).hint(hint))
    }

    fn no_sample(&self, column: usize, cell: &str, step: usize, name: &str) -> Wrong {
        let time = step as u64 * Trace::STEP.as_secs();
        let message = match cell {
            "" => format!("no sample of VM {} in column t{time}", quoted(name)),
            cell => format!("{} is no sample (VM {}, column t{time})", quoted(cell), quoted(name)),
        };
        let wanted = format!("a whole number from 0 to {}, in {}", self.format.whole(), self.format.unit());
        Wrong::at(column, message).hint(match cell {
            "" => format!("{wanted}; where a sample is missing, repeat the one before it"),
            _ => wanted,
        })
    }
}

/// Digits and nothing else.
pub(super) fn whole_number(cell: &str, most: u64) -> Option<u64> {
    let digits = !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| cell.parse().ok()).flatten().filter(|value| *value <= most)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The first quarter of the VMs is of the first kind, and so on.
fn give_sizes(vms: &mut [TraceVm]) {
    let quarter = vms.len().div_ceil(PLANETLAB.len());
    for (vms, (mips, mib)) in vms.chunks_mut(quarter).zip(PLANETLAB) {
        for vm in vms {
            (vm.vcpus, vm.cpu, vm.mem) = (1, MilliCpu(mips), Mib(mib));
        }
    }
}

/// `planetlab-20110303` of `data/planetlab-20110303.csv.gz`.
fn stem(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let name = name.strip_suffix(".csv").unwrap_or(name);
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// The date at the end of a name, and how long it is written.
fn date_length(name: &str) -> Option<(usize, Date)> {
    [10, 8].into_iter().find_map(|length| {
        let tail = name.get(name.len().checked_sub(length)?..)?;
        let dashes = |text: &str| text.bytes().enumerate().all(|(at, b)| (b == b'-') == (at == 4 || at == 7));
        let digits = match length {
            10 if dashes(tail) => tail.replace('-', ""),
            8 => tail.to_owned(),
            _ => return None,
        };
        let (year, rest) = digits.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        let number = |text: &str| whole_number(text, 9999).and_then(|value| i16::try_from(value).ok());
        let small = |text: &str| number(text).and_then(|value| i8::try_from(value).ok());
        Some((length, Date::new(number(year)?, small(month)?, small(day)?).ok()?))
    })
}

/// `2011-03-03` or `20110303` at the end of a name.
fn date_at_end(name: &str) -> Option<Date> {
    date_length(name).map(|(_, date)| date)
}

/// `lab-hours` of `lab-hours-2026-01-12`; the whole name where nothing else would be left.
pub(super) fn without_date(name: &str) -> &str {
    let length = date_length(name).map_or(0, |(length, _)| length);
    match name[..name.len() - length].trim_end_matches(['-', '_', ' ']) {
        "" => name,
        stem => stem,
    }
}
