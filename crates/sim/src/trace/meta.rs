//! Memory in use, which Bitbrains has in a file of its own beside the trace.
//!
//! It is kept apart from the memory that VMs were given: on the one they could be packed, by the other they are.

use super::csv::whole_number;
use super::error::{TraceError, Wrong};
use super::lines::Lines;
use super::{MemUsed, Trace};
use dormouse_model::Mib;
use dormouse_model::text::quoted;
use std::collections::BTreeMap;
use std::io::BufRead;

const COLUMNS: [&str; 3] = ["vm", "mem_used_mean_mb", "mem_used_p95_mb"];
/// More columns than anybody has found to say about a VM.
const COLUMNS_MAX: usize = 64;
const MEM_MAX: u64 = 1 << 32;

impl Trace {
    /// Adds what a file of this kind says to the VMs of this trace. Its other columns are passed over.
    ///
    /// # Errors
    /// The first thing that is wrong: where, and what to do.
    pub fn read_mem_used(&mut self, file: &str, source: impl BufRead) -> Result<(), TraceError> {
        let mut lines = Lines::of(file, source)?;
        let places = match lines.next()? {
            None => Err(Wrong::at(1, "there is nothing in it")),
            Some(header) => places(header),
        };
        let places = places.map_err(|wrong| lines.wrong(wrong))?;
        let at: BTreeMap<String, usize> =
            self.vms.iter().enumerate().map(|(at, vm)| (vm.name.clone(), at)).collect();
        while let Some(line) = lines.next()? {
            let row = row(line, places).and_then(|(name, used)| match at.get(name) {
                Some(at) => Ok((*at, used)),
                None => Err(Wrong::at(1, format!("the trace has no VM {}", quoted(name)))
                    .hint("it belongs to another trace: each has a file with the same name and `.meta`")),
            });
            let (at, used) = row.map_err(|wrong| lines.wrong(wrong))?;
            self.vms[at].used = Some(used);
        }
        Ok(())
    }
}

/// Where the columns are that we read.
fn places(header: &str) -> Result<[usize; 3], Wrong> {
    let mut places = [0; 3];
    for (place, wanted) in places.iter_mut().zip(COLUMNS) {
        *place = header.split(',').take(COLUMNS_MAX).position(|cell| cell == wanted).ok_or_else(|| {
            let hint = format!("the header names {}", COLUMNS.join(", "));
            Wrong::at(1, format!("no column `{wanted}`")).hint(hint)
        })?;
    }
    Ok(places)
}

fn row(line: &str, places: [usize; 3]) -> Result<(&str, MemUsed), Wrong> {
    let mut found: [Option<(usize, &str)>; 3] = [None; 3];
    let mut column = 1;
    for (at, cell) in line.split(',').enumerate().take(COLUMNS_MAX) {
        for (found, place) in found.iter_mut().zip(places) {
            if at == place {
                *found = Some((column, cell));
            }
        }
        column += cell.chars().count() + 1;
    }
    let cell = |which: usize| {
        found[which].ok_or_else(|| Wrong::at(column, format!("no `{}` in this row", COLUMNS[which])))
    };
    let mem = |which: usize| {
        let (column, cell) = cell(which)?;
        whole_number(cell, MEM_MAX).map(Mib).ok_or_else(|| {
            Wrong::at(column, format!("{} is no `{}`", quoted(cell), COLUMNS[which]))
                .hint(format!("a whole number of MiB from 0 to {MEM_MAX}"))
        })
    };
    Ok((cell(0)?.1, MemUsed { mean: mem(1)?, p95: mem(2)? }))
}
