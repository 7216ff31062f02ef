//! How a setting's value is written and read.

use dormouse_control::{Automation, Restart};
use dormouse_model::{Millis, text};
use std::fmt;
use std::path::PathBuf;

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// `moves.transport`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// From host to host where the hosts have certificates, otherwise led by the manager, and told.
    Auto,
    /// From host to host over libvirt's TLS, and not at all otherwise: goes on when the manager dies.
    Tls,
    /// Led by the manager over ssh, one at a time: weaker.
    Managed,
}

/// `store`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// A file of this manager.
    Sqlite,
    /// Shared by several managers.
    Etcd,
}

/// Where the members of an etcd are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Endpoints(pub(crate) Vec<String>);

/// `hosts.cpu`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostCpu {
    Measured,
    Guests,
}

pub(super) trait Value: Sized {
    const TAKES: &'static str;
    fn show(&self) -> String;
    fn read(text: &str) -> Option<Self>;
}

/// A closed list of words.
macro_rules! words {
    ($type:ident, $takes:literal, $($word:literal => $variant:ident),*) => {
        impl Value for $type {
            const TAKES: &'static str = $takes;
            fn show(&self) -> String {
                match self { $(Self::$variant => $word,)* }.to_owned()
            }
            fn read(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words!(Restart, "never or on-crash", "never" => Never, "on-crash" => OnCrash);
words!(Automation, "observe, advise or auto", "observe" => Observe, "advise" => Advise, "auto" => Auto);
words!(LogFormat, "text or json", "text" => Text, "json" => Json);
words!(StoreKind, "sqlite or etcd", "sqlite" => Sqlite, "etcd" => Etcd);
words!(HostCpu, "measured or guests", "measured" => Measured, "guests" => Guests);
words!(Transport, "auto, tls or managed", "auto" => Auto, "tls" => Tls, "managed" => Managed);

impl Value for PathBuf {
    const TAKES: &'static str = "a path";
    fn show(&self) -> String {
        self.display().to_string()
    }
    fn read(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| Self::from(text))
    }
}

/// Beside each other in the environment, an array in the file.
impl Value for Vec<PathBuf> {
    const TAKES: &'static str = "a path, or several";
    fn show(&self) -> String {
        self.iter().map(Value::show).collect::<Vec<_>>().join(",")
    }
    fn read(text: &str) -> Option<Self> {
        text.split(',').map(PathBuf::read).collect()
    }
}

impl Value for Endpoints {
    const TAKES: &'static str = "an address like \"https://10.0.0.1:2379\", or several";
    fn show(&self) -> String {
        self.0.join(",")
    }
    fn read(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-:[]".contains(c);
        let is_one = |one: &str| {
            let rest = one.strip_prefix("https://").or_else(|| one.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && rest.chars().all(plain))
        };
        text.split(',').map(|one| is_one(one).then(|| one.to_owned())).collect::<Option<_>>().map(Self)
    }
}

impl Value for bool {
    const TAKES: &'static str = "true or false";
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for String {
    const TAKES: &'static str = "a word";
    fn show(&self) -> String {
        self.clone()
    }
    /// It may become an argument of ssh: no blanks, no leading dash.
    fn read(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-=,:".contains(c);
        (!text.is_empty() && !text.starts_with('-') && text.chars().all(plain)).then(|| text.to_owned())
    }
}

impl Value for u32 {
    const TAKES: &'static str = "a whole number above 0";
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| *number > 0)
    }
}

impl Value for Millis {
    const TAKES: &'static str = "a time like \"15s\", \"30m\" or \"2h\"";
    fn show(&self) -> String {
        match self.0 {
            ms if !ms.is_multiple_of(1000) => format!("{ms}ms"),
            ms if ms > 0 && ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
            ms if ms > 0 && ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
            ms => format!("{}s", ms / 1000),
        }
    }
    fn read(text: &str) -> Option<Self> {
        text::duration(text).filter(|span| *span > Self::ZERO && *span <= Self::from_mins(7 * 24 * 60))
    }
}

impl Value for jiff::Timestamp {
    const TAKES: &'static str = "a time like \"2026-11-23T18:00:00Z\"";
    fn show(&self) -> String {
        self.to_string()
    }
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Not set at all, unless given.
impl<T: Value> Value for Option<T> {
    const TAKES: &'static str = T::TAKES;
    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, Value::show)
    }
    fn read(text: &str) -> Option<Self> {
        T::read(text).map(Some)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.show())
    }
}
