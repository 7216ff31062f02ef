//! A script line cut into words, and what words can mean.

use dormouse_model::text::quoted;
use dormouse_model::text::{did_you_mean, duration, names};
use dormouse_model::{Cluster, HostId, Millis, VmSpec};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What is wrong with a line; the line's number is added by the caller.
pub(crate) type Wrong = String;

/// Words of one line, taken from the front.
#[derive(Debug)]
pub(crate) struct Words {
    words: std::collections::VecDeque<String>,
}

impl Words {
    /// Blanks separate; quotes hold together; `#` begins a comment.
    pub(crate) fn of(line: &str) -> Result<Self, Wrong> {
        let mut words = std::collections::VecDeque::new();
        let mut word: Option<String> = None;
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '"' => {
                    quoted = !quoted;
                    word.get_or_insert_default();
                }
                '#' if !quoted && word.is_none() => break,
                c if c.is_whitespace() && !quoted => words.extend(word.take()),
                c => word.get_or_insert_default().push(c),
            }
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        words.extend(word);
        Ok(Self { words })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<&str> {
        self.words.front().map(String::as_str)
    }

    pub(crate) fn take(&mut self, what: &str) -> Result<String, Wrong> {
        self.words.pop_front().ok_or_else(|| format!("{what} is missing"))
    }

    /// One of these words, or an error that names them.
    pub(crate) fn one_of<T: Copy>(&mut self, what: &str, known: &[(&str, T)]) -> Result<T, Wrong> {
        let word = self.take(what)?;
        known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
            let list: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let near = did_you_mean(&word, list.iter().copied());
            format!("unknown {what} {} (one of: {}){near}", quoted(&word), list.join(", "))
        })
    }

    /// `key=value` anywhere in the rest of the line.
    pub(crate) fn option(&mut self, key: &str) -> Option<String> {
        let place = self
            .words
            .iter()
            .position(|word| word.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')))?;
        self.words.remove(place).map(|word| word[key.len() + 1..].to_owned())
    }

    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let place = self.words.iter().position(|word| word == name);
        place.is_some_and(|place| self.words.remove(place).is_some())
    }

    pub(crate) fn span(&mut self, key: &str) -> Result<Option<Millis>, Wrong> {
        self.option(key).map(|text| span(&text)).transpose()
    }

    pub(crate) fn times(&mut self) -> Result<Option<u32>, Wrong> {
        self.option("times").map(|text| number(&text)).transpose()
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        number(&self.take(what)?)
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), Wrong> {
        match self.words.front() {
            None => Ok(()),
            Some(word) => Err(format!("{} is too much here", quoted(word))),
        }
    }

    pub(crate) fn rest(&mut self) -> String {
        self.words.drain(..).collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn span(text: &str) -> Result<Millis, Wrong> {
    duration(text).ok_or_else(|| format!("{} is no time like 90s, 40m or 2h", quoted(text)))
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, Wrong> {
    text.parse().map_err(|_| format!("{} is no such number", quoted(text)))
}

/// `+5s`, `-1h`, in milliseconds.
pub(crate) fn offset(text: &str) -> Result<i64, Wrong> {
    let (sign, rest) = match text.split_at_checked(1) {
        Some(("+", rest)) => (1, rest),
        Some(("-", rest)) => (-1, rest),
        _ => return Err(format!("{} is no offset like +5s or -1h", quoted(text))),
    };
    i64::try_from(span(rest)?.0).map(|ms| sign * ms).map_err(|_| "the offset is too large".to_owned())
}

/// The names that a script may use: those of the cluster text, and VMs that the script itself defines.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) defined: BTreeMap<String, Uuid>,
}

impl Names<'_> {
    pub(crate) fn host(&self, name: &str) -> Result<HostId, Wrong> {
        self.cluster.host_named(name).ok_or_else(|| {
            let near = did_you_mean(name, self.cluster.hosts.iter().map(|host| host.name.as_str()));
            format!("no host is named {}{near}", quoted(name))
        })
    }

    /// `h1`, `h[1-4]`, `h1,h3`, `*`.
    pub(crate) fn hosts(&self, text: &str) -> Result<Vec<HostId>, Wrong> {
        if text == "*" {
            return Ok(self.cluster.host_ids().collect());
        }
        names(text).map_err(|error| error.message)?.iter().map(|name| self.host(name)).collect()
    }

    pub(crate) fn vm(&self, name: &str) -> Result<Uuid, Wrong> {
        let known = self.cluster.vm_named(name).map(|vm| self.cluster.vms[vm.index()].uuid);
        known.or_else(|| self.defined.get(name).copied()).ok_or_else(|| {
            let near = did_you_mean(name, self.cluster.vms.iter().map(|vm| vm.name.as_str()));
            format!("no VM is named {}{near}", quoted(name))
        })
    }

    /// As for hosts; `*` is every VM, also later ones, and given as nothing.
    pub(crate) fn vms(&self, text: &str) -> Result<Option<Vec<Uuid>>, Wrong> {
        if text == "*" {
            return Ok(None);
        }
        let list = names(text).map_err(|error| error.message)?;
        list.iter().map(|name| self.vm(name)).collect::<Result<_, _>>().map(Some)
    }

    /// A VM as a `vm` line of the cluster text describes it.
    pub(crate) fn spec(&self, line: &str) -> Result<VmSpec, Wrong> {
        let (_, host) =
            line.split(' ').next().and_then(|word| word.split_once('@')).ok_or("write VM@HOST")?;
        let host = self.host(host)?;
        let name = &self.cluster.hosts[host.index()].name;
        let text = format!("cluster script\nhost \"{name}\" cpus=1 mem=1G\nvm {line} stopped\n");
        let mut cluster = dormouse_model::text::parse(&text).map_err(|error| error.message)?;
        let mut spec = cluster.vms.pop().ok_or("no VM here")?;
        spec.stopped = false;
        spec.at = host;
        Ok(spec)
    }
}
