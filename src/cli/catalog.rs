//! `broker catalog`: Graph operations, and the permissions they need.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use http::Method;

use crate::app;
use crate::config::Environment;
use crate::graph::{Catalog, Operation};

use super::failure::Failure;
use super::settings::SettingsArgs;

/// What is known about Graph's operations. It feeds hints and descriptions, never a decision.
#[derive(Debug, Args)]
pub(super) struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Print the operations
    List(ListArgs),
    /// Take in Microsoft's permissions.json (plain or gzipped), beside the broker's own files
    Import {
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say which permissions an operation needs
    Explain(ExplainArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only those whose path, description or permission holds this text
    search: Option<String>,
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ExplainArgs {
    /// Such as GET
    method: Method,
    /// Such as /v1.0/users/{id}
    path: String,
    #[arg(long)]
    json: bool,
}

pub(super) fn run(
    args: &CatalogArgs,
    settings: &SettingsArgs,
    environment: Environment,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let config = settings.load(environment)?.config;
    match &args.command {
        CatalogCommand::List(list) => {
            let catalog = app::catalog(&config).map_err(|error| Failure::of(&error))?;
            print_list(&catalog, list, out)
        }
        CatalogCommand::Import { file, json } => {
            let imported =
                app::import_catalog(&config, file).map_err(|error| Failure::of(&error))?;
            let operations = imported.list().len();
            let text = if *json {
                serde_json::json!({ "operations": operations }).to_string()
            } else {
                format!("{operations} operations, from the next start on")
            };
            writeln!(out, "{text}").map_err(Failure::output)?;
            Ok(ExitCode::SUCCESS)
        }
        CatalogCommand::Explain(explain) => {
            let catalog = app::catalog(&config).map_err(|error| Failure::of(&error))?;
            print_explanation(&catalog, explain, out)
        }
    }
}

fn print_list(
    catalog: &Catalog,
    args: &ListArgs,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let search = args.search.as_deref().unwrap_or_default().to_ascii_lowercase();
    let matching = |operation: &&Operation| row(operation).to_ascii_lowercase().contains(&search);
    let operations: Vec<&Operation> = catalog.list().iter().filter(matching).collect();
    let text = if args.json {
        serde_json::to_string(&operations).unwrap_or_default()
    } else {
        operations.iter().map(|operation| row(operation)).collect::<Vec<_>>().join("\n")
    };
    writeln!(out, "{text}").map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

fn row(operation: &Operation) -> String {
    let least =
        operation.least().map_or("(no application permission)", crate::id::Permission::as_str);
    let risk = serde_json::to_value(operation.risk).unwrap_or_default();
    format!(
        "{:<7}{:<52} {:<12} {least:<36} {}",
        operation.method.as_str(),
        operation.path_template,
        risk.as_str().unwrap_or_default(),
        operation.description,
    )
}

fn print_explanation(
    catalog: &Catalog,
    args: &ExplainArgs,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let Some(operation) = catalog.explain(&args.method, &args.path) else {
        return Err(Failure::new("the catalogue does not know this operation").hint(
            "broker catalog list shows what it knows; broker catalog import FILE teaches it more",
        ));
    };
    let text = if args.json {
        serde_json::to_string(operation).unwrap_or_default()
    } else {
        let permissions: Vec<&str> =
            operation.permissions.iter().map(crate::id::Permission::as_str).collect();
        format!(
            "{} {}\n  {}\n  application permissions, the least first: {}",
            operation.method,
            operation.path_template,
            operation.description,
            if permissions.is_empty() {
                "none: no app can do this".to_owned()
            } else {
                permissions.join(", ")
            },
        )
    };
    writeln!(out, "{text}").map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}
