//! A secret-typed setting: the secret itself, or where it is kept.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::secret_ref::SecretRef;
use crate::secret_text::SecretText;

/// What a secret-typed setting holds once it is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The secret itself. `prod` takes these from the environment only.
    Literal(SecretText),
    /// Where the secret is kept.
    Ref(SecretRef),
}

/// A secret-typed setting as written. Its schema carries `x-secret`, which keeps its value out of every output.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct RawSecret(SecretText);

impl RawSecret {
    pub(in crate::config) const fn text(&self) -> &SecretText {
        &self.0
    }
}

impl JsonSchema for RawSecret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "x-secret": true })
    }
}
