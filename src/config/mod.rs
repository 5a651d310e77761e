//! The settings: read once, checked whole, parsed into types that cannot be wrong.
//!
//! Layers, later wins: the TOML file, `.env`, the environment (`MCP_AUTH_BROKER_SERVER__LISTEN`), flags. What they
//! hold is compared with the schema, then typed, then parsed section by section; every step reports all it finds.
//!
//! In the environment a list is `a,b` or a TOML literal (`["a", "b"]`); tables and lists of tables are TOML
//! literals (`[{ name = "x" }]`); a number in a name is the place in a list (`…_GRAPH__PROFILE__0__TENANT_ID`).

mod ancestors;
mod checker;
mod dotenv;
mod environment;
mod finding;
mod flat;
mod key;
mod load;
mod mask;
mod model;
mod origin;
mod reference;
mod report;
mod schema;
mod secrets;
mod show;
mod toml_file;
mod tree;
mod variables;
mod walk;

pub use environment::{Environment, temporary_directory};
pub use finding::{Finding, FindingCode, Severity};
pub use load::{Loaded, Sources, load};
pub use model::*;
pub use origin::Origin;
pub use reference::{reference, reference_json};
pub use report::{findings_json, write_findings};
pub use schema::schema;
pub use secrets::weakness;
pub use show::{settings_json, write_settings};
