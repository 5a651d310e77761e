//! The token endpoint and its neighbours over `SQLite`, through their router.

mod assertion_rules;
mod assertions;
mod certificates;
mod clients;
mod clock;
mod codes;
mod exchanges;
mod logouts;
mod machines;
mod neighbours;
mod refresh;
mod settings;
mod silent;
mod support;
mod vouched;
mod workloads;
