//! From a file and the environment to one [`Config`].

use super::table::{Config, KEYS, KeyInfo};
use super::{ConfigError, DEFAULT_PATH, check};
use dormouse_model::text::did_you_mean;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File,
    Environment,
}

/// The effective settings, and where each that is not a default comes from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// The file that was read, if there was one.
    pub(crate) file: Option<PathBuf>,
    origins: BTreeMap<&'static str, Source>,
}

impl Loaded {
    /// Name, value and origin of every setting.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'static KeyInfo, String, Source)> + '_ {
        KEYS.iter().map(|key| {
            let origin = self.origins.get(key.name).cloned().unwrap_or(Source::Default);
            (key, (key.get)(&self.config), origin)
        })
    }
}

const INPUT_BYTES_MAX: usize = 1 << 20;

/// Reads the file (the usual one when none is named, and none at all where that does not exist), then the environment,
/// and refuses what is valid but dangerous.
pub(crate) fn load(
    named: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let variables: Vec<_> = environment.filter(|(name, _)| name.starts_with("DORMOUSE_")).collect();
    let from_env =
        variables.iter().find(|(name, _)| name == "DORMOUSE_CONFIG").map(|(_, path)| PathBuf::from(path));
    let named = named.map(Path::to_owned).or(from_env);
    let path = named.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));

    let mut loaded = Loaded { config: Config::default(), file: None, origins: BTreeMap::new() };
    match read_text(&path) {
        Ok(source) => {
            from_file(&mut loaded, &path, &source)?;
            let folder = std::path::absolute(&path).ok().and_then(|path| path.parent().map(Path::to_owned));
            loaded.config.anchor(folder.as_deref().unwrap_or(Path::new("/")));
            loaded.file = Some(path.clone());
        }
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {}
        Err(error) => {
            let error = ConfigError::new(path.display().to_string(), format!("cannot be read: {error}"));
            return Err(
                error.hint("`dormouse config explain` shows every setting and what it is without a file")
            );
        }
    }
    for (name, value) in &variables {
        from_variable(&mut loaded, name, value)?;
    }
    check::check(&loaded.config).map_err(|(key, message, hint)| {
        let place = match (loaded.origins.get(key), &loaded.file) {
            (Some(Source::Environment), _) => variable_of(key),
            (_, Some(file)) => file.display().to_string(),
            (_, None) => "settings".to_owned(),
        };
        ConfigError::new(place, message).hint(hint)
    })?;
    Ok(loaded)
}

/// A little more than is accepted, of whatever is there: a device has no end.
fn read_text(path: &Path) -> std::io::Result<String> {
    let limit = u64::try_from(INPUT_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    std::fs::File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

fn from_file(loaded: &mut Loaded, path: &Path, source: &str) -> Result<(), ConfigError> {
    if source.len() > INPUT_BYTES_MAX {
        return Err(ConfigError::new(path.display().to_string(), "is larger than 1 MiB"));
    }
    let table = DeTable::parse(source).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        ConfigError::at(path, source, span, format!("this is not TOML: {}", error.message().trim()))
    })?;
    let mut flat = vec![];
    flatten("", table.get_ref(), &mut flat);
    for (name, key_span, value) in flat {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let error = ConfigError::at(
                path,
                source,
                key_span,
                format!("unknown setting `{}`", name.escape_default()),
            );
            return Err(error.hint(suggestion(&name)));
        };
        let set = plain(value.get_ref()).and_then(|text| (key.set)(&mut loaded.config, &text));
        if set.is_none() {
            let shown = source.get(value.span()).unwrap_or("").lines().next().unwrap_or("");
            let message = format!("`{}` takes {}, not {shown}", key.name, key.takes);
            return Err(ConfigError::at(path, source, value.span(), message));
        }
        loaded.origins.insert(key.name, Source::File);
    }
    Ok(())
}

/// Keys with dots in place of tables, in the order of the file.
fn flatten<'t, 's>(
    prefix: &str,
    table: &'t DeTable<'s>,
    into: &mut Vec<(String, Range<usize>, &'t Spanned<DeValue<'s>>)>,
) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if KEYS.iter().any(|key| key.name.starts_with(&format!("{name}."))) => {
                flatten(&format!("{name}."), inner, into);
            }
            _ => into.push((name, key.span(), value)),
        }
    }
    into.sort_by_key(|(_, span, _)| span.start);
}

/// As the environment would have it; `None` is what no setting takes.
fn plain(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Boolean(set) => Some(set.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(all) => {
            let all: Option<Vec<&str>> =
                all.iter().map(|one| one.get_ref().as_str().filter(|one| !one.contains(','))).collect();
            all.map(|all| all.join(","))
        }
        _ => None,
    }
}

fn from_variable(loaded: &mut Loaded, name: &str, value: &str) -> Result<(), ConfigError> {
    let Some(key) = KEYS.iter().find(|key| variable_of(key.name) == name) else {
        // The lab and the tests have variables of their own; only what looks like a slip of the keys is refused.
        let own = |name: &str| name.trim_start_matches("DORMOUSE_").to_owned();
        let known: Vec<String> = KEYS.iter().map(|key| own(&variable_of(key.name))).collect();
        let near = did_you_mean(&own(name), known.iter().map(String::as_str)).replace('`', "");
        let Some(near) = near.trim_end_matches('?').rsplit(' ').next().filter(|near| !near.is_empty()) else {
            return Ok(());
        };
        let error = ConfigError::new(name.escape_default().to_string(), "this variable sets nothing");
        return Err(error.hint(format!("did you mean `DORMOUSE_{near}`?")));
    };
    (key.set)(&mut loaded.config, value).ok_or_else(|| {
        ConfigError::new(name, format!("takes {}, not `{}`", key.takes, value.escape_default()))
    })?;
    loaded.origins.insert(key.name, Source::Environment);
    Ok(())
}

/// `ssh.known-hosts` is `DORMOUSE_SSH_KNOWN_HOSTS`.
fn variable_of(key: &str) -> String {
    format!("DORMOUSE_{}", key.to_uppercase().replace(['.', '-'], "_"))
}

/// What to write instead: a near key, the section it belongs to, or where it belongs altogether.
fn suggestion(name: &str) -> String {
    let near = did_you_mean(name, KEYS.iter().map(|key| key.name));
    if !near.is_empty() {
        return near.trim_start_matches("; ").to_owned();
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if let Some(key) = KEYS.iter().find(|key| key.name.rsplit('.').next() == Some(last)) {
        return format!("did you mean `{}`?", key.name);
    }
    if name.starts_with("hosts.")
        || matches!(last, "host" | "hosts" | "vm" | "vms" | "window" | "policy" | "group" | "hold")
    {
        return "hosts, VMs, calendar and policy belong into the cluster text that `cluster` names"
            .to_owned();
    }
    "`dormouse config explain` lists every setting".to_owned()
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment => "environment",
        })
    }
}
