//! Settings: one TOML file, a `.env` file, the environment and flags, into parsed types.
