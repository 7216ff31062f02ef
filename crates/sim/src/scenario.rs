//! A scenario: a folder with a cluster, a script, and what came of it the last time.

use dormouse_model::text::TextError;
use dormouse_model::{Cluster, KnobError};
use jiff::civil::DateTime;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::script::{Script, ScriptError};

/// Larger files are no scenario of ours.
const FILE_MAX: u64 = 4 << 20;

#[derive(Clone, Debug)]
pub struct Scenario {
    /// The folder's name.
    pub name: String,
    /// Why it exists and what to expect.
    pub why: String,
    pub cluster: Arc<Cluster>,
    pub script: Script,
    /// `expect.log`, where there is one.
    pub golden: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} is larger than {FILE_MAX} bytes", path.display())]
    TooLarge { path: PathBuf },
    #[error("{}", rendered.trim_end())]
    Cluster { rendered: String, source: Box<TextError> },
    #[error("{}: {source}", path.display())]
    Script { path: PathBuf, source: ScriptError },
    #[error("cannot set {setting}")]
    Knob { setting: String, source: KnobError },
}

impl Scenario {
    /// Reads a folder with `cluster`, `script`, and usually `README.md` and `expect.log`.
    ///
    /// # Errors
    /// A file is missing or does not make sense; the error says which and where.
    pub fn load(folder: &Path) -> Result<Self, ScenarioError> {
        let name = folder
            .file_name()
            .map_or_else(|| folder.display().to_string(), |name| name.to_string_lossy().into_owned());
        let path = folder.join("cluster");
        let text = read(&path)?;
        let cluster = parse_cluster(&path.display().to_string(), &text)?;
        let path = folder.join("script");
        let text = read(&path)?;
        let script =
            Script::parse(&text, &cluster).map_err(|source| ScenarioError::Script { path, source })?;
        Ok(Self {
            name,
            why: read(&folder.join("README.md"))?,
            cluster: Arc::new(cluster),
            script,
            golden: optional(&folder.join("expect.log"))?,
        })
    }

    /// A cluster left to itself, from one time of its zone to another.
    #[must_use]
    pub fn from_cluster(cluster: Cluster, start: DateTime, until: DateTime, seed: u64) -> Self {
        let script = Script::quiet(&cluster, start, until, seed);
        let (name, why) = (cluster.name.clone(), String::new());
        Self { name, why, cluster: Arc::new(cluster), script, golden: None }
    }

    /// `--set KNOB=VALUE`, over the policy line.
    ///
    /// # Errors
    /// There is no such knob, or the value is not of its kind.
    pub fn set_knob(&mut self, name: &str, value: &str) -> Result<(), ScenarioError> {
        Arc::make_mut(&mut self.cluster)
            .policy
            .knobs
            .set(name, value)
            .map_err(|source| ScenarioError::Knob { setting: format!("{name}={value}"), source })
    }
}

pub(crate) fn parse_cluster(file: &str, text: &str) -> Result<Cluster, ScenarioError> {
    dormouse_model::text::parse(text).map_err(|error| ScenarioError::Cluster {
        rendered: error.render(file, text),
        source: Box::new(error),
    })
}

fn read(path: &Path) -> Result<String, ScenarioError> {
    let failed = |source| ScenarioError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_MAX {
        return Err(ScenarioError::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(failed)
}

fn optional(path: &Path) -> Result<Option<String>, ScenarioError> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        Err(ScenarioError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
