//! Where a value was written.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// A place in the settings file; both from 1, columns in bytes.
    File { path: PathBuf, line: usize, column: usize },
    /// A line of the `.env` file.
    DotEnv { line: usize, name: String },
    /// A variable of the environment.
    Environment { name: String },
    /// The file that a variable ending in `_FILE` names.
    ValueFile { name: String },
    /// The command line.
    Flag,
}

impl Origin {
    /// Whether a secret written here lies readable in a file or in the list of processes.
    pub(super) const fn is_exposed(&self) -> bool {
        matches!(self, Self::File { .. } | Self::DotEnv { .. } | Self::Flag)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                let name = path.file_name().map(|name| name.to_string_lossy());
                write!(f, "{}:{line}:{column}", name.as_deref().unwrap_or("settings file"))
            }
            Self::DotEnv { line, name } => write!(f, ".env:{line} {name}"),
            Self::Environment { name } | Self::ValueFile { name } => f.write_str(name),
            Self::Flag => f.write_str("command line"),
        }
    }
}
