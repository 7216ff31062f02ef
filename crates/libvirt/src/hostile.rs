//! Ways in for hostile text, for the fuzz targets and nobody else: each panics when a promise is broken.

use crate::answer::Reader;
use crate::ssh::{Destination, judge_ssh};
use crate::xml;

fn short(text: &str) {
    assert!(text.chars().count() <= 400, "{} characters", text.chars().count());
}

/// Refused, or read with a short reason; and cut off anywhere it is refused, except for what may follow the end.
pub fn domain_xml(text: &str) {
    let shared = ["/srv/vms".to_owned()];
    match xml::read(text, &shared) {
        Ok(definition) => {
            definition.immovable.iter().for_each(|why| short(why));
            if let Some(end) = text.rfind("</") {
                assert!(xml::read(&text[..end], &shared).is_err(), "half a definition was read");
            }
        }
        Err(why) => short(&why),
    }
}

/// A whole answer within its ranges, or none.
pub fn probe_answer(text: &str) {
    let mut reader = Reader::default();
    let mut lines = text.lines();
    let read = lines.by_ref().take_while(|line| *line != "end").try_for_each(|line| reader.line(line));
    match read.and_then(|()| reader.end(2)) {
        Ok(answer) => {
            assert!((1..=65_536).contains(&answer.cpus) && answer.mem_kib > 0);
            assert!(answer.ticks.busy <= answer.ticks.all && answer.storage.len() == 2);
            // What is done with them does not overflow.
            _ = answer.time_ms - i64::MAX / 4096;
            answer.blocks.iter().for_each(|block| short(block));
            assert!(answer.blocks.len() + answer.macs.len() + answer.people_idle.len() <= 3 * 256);
        }
        Err(why) => short(&why),
    }
}

/// An address that is taken apart has no part that ssh takes for an option; ssh's complaints are told in one short line.
pub fn ssh_words(text: &str) {
    if let Ok(to) = Destination::parse(text) {
        assert!(!to.host.starts_with('-') && to.user.is_none_or(|user| !user.starts_with('-')));
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
        assert!(to.host.chars().all(plain) && to.user.is_none_or(|user| user.chars().all(plain)));
    }
    let said = judge_ssh(text).to_string();
    short(&said);
    assert!(!said.contains(char::is_control), "{said:?}");
}
