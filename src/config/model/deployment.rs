//! `environment`: where the broker runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How strict we are: `prod` refuses weak settings, `dev` starts without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deployment {
    #[default]
    Dev,
    Staging,
    Prod,
}

impl Deployment {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Staging => "staging",
            Self::Prod => "prod",
        }
    }
}
