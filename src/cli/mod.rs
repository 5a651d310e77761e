//! The commands of `broker`, one file each.

mod admin;
mod approval;
pub mod audit;
mod catalog;
pub mod check;
pub mod config;
mod demo;
mod doctor;
mod explain;
mod failure;
mod generate;
mod login;
mod policy;
mod probe;
mod running;
mod serve;
mod settings;
mod smoke;
mod store;
mod store_copy;
mod store_rekey;
mod support_bundle;
mod token;
mod tools;
mod unverified_token;
mod waiting;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::config::Environment;

use failure::Failure;
use running::Running;
use settings::SettingsArgs;

/// Lets AI agents act without ever holding a credential: a guarded MCP server that brokers Microsoft Graph.
///
/// Without a command, starts the server; without settings, with the development defaults.
#[derive(Debug, Parser)]
#[command(name = "broker", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (the default)
    Serve,
    /// Ask a running broker whether it lives; exit code 1 if not
    Health(probe::ProbeArgs),
    /// Ask a running broker whether it can serve; exit code 1 if not
    Ready(probe::ProbeArgs),
    /// Print the tools as JSON: all that are configured, or what the bearer of a token sees
    Tools(tools::ToolsArgs),
    /// Start a broker with stand-ins on free loopback ports and drive it with an MCP client
    SmokeE2e(smoke::SmokeArgs),
    /// Start a server with three tools and the broker in front of it, and print tokens and commands to try
    Demo(demo::DemoArgs),
    /// Check the settings, the policy and our files; every finding at once
    Check(check::CheckArgs),
    /// Look at a deployment from the outside in, and say what is not well
    Doctor(doctor::DoctorArgs),
    /// Show the settings in force, their schema or their reference
    Config(config::ConfigArgs),
    /// Mint an access token for trying things out, or say what is wrong with one
    Token(token::TokenArgs),
    /// Get a token for this terminal; its person logs in with a browser, on any machine
    Login(login::LoginArgs),
    /// Graph operations and the permissions they need
    Catalog(catalog::CatalogArgs),
    /// Explain decisions, check rules, test them, and compare two sets of them
    Policy(policy::PolicyArgs),
    /// Calls that wait for a person: look at them, approve or deny them
    Approval(approval::ApprovalArgs),
    /// Follow, verify or export the audit log
    Audit(audit::AuditArgs),
    /// Say why a request was refused, by the id that its caller was shown
    Explain(explain::ExplainArgs),
    /// People: add, list, disable, remove, make links
    User(admin::UserArgs),
    /// OAuth clients: add, list, disable, rotate secrets
    Client(admin::ClientArgs),
    /// MCP servers that run elsewhere, and their API keys
    Server(admin::ServerArgs),
    /// Tokens with which clients register themselves: add, list, remove
    RegistrationToken(admin::RegistrationTokenArgs),
    /// What people allowed clients: list, revoke
    Grant(admin::GrantArgs),
    /// Where people log in: add, list, show, set, disable, enable, remove
    IdentityProvider(admin::IdentityProviderArgs),
    /// The keys that sign tokens: list, rotate, retire
    Key(admin::KeyArgs),
    /// The database: status, migrate, backup, restore, copy, rekey
    Store(store::StoreArgs),
    /// Write a redacted file for a bug report
    SupportBundle(support_bundle::BundleArgs),
    /// Print shell completions
    Completions(generate::CompletionsArgs),
    /// Print the manual page
    Man(generate::NoJson),
}

impl Cli {
    /// Refuses what is wrong about arguments that each could be right.
    fn checked(self) -> Result<Self, clap::Error> {
        let refused = match &self.command {
            Some(Command::Completions(args)) => args.refused(),
            Some(Command::Man(args)) => args.refused(),
            _ => None,
        };
        match refused {
            Some(why) => Err(Self::command().error(clap::error::ErrorKind::UnknownArgument, why)),
            None => Ok(self),
        }
    }
}

/// Runs one command and gives the process its exit code: 0 done, 1 failed, 2 wrong usage.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let environment = Environment::capture();
    let cli = match Cli::try_parse_from(arguments).and_then(Cli::checked) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
            error.print().ok();
            return code;
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::of(&error)),
    };
    match runtime.block_on(run(cli, environment)) {
        Ok(code) => code,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    writeln!(std::io::stderr(), "{failure}").ok();
    ExitCode::FAILURE
}

async fn run(cli: Cli, environment: Environment) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout();
    let args = cli.settings;
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => Box::pin(serve::run(&args, environment)).await,
        Command::Health(probe) => {
            let broker = Running::at(probe.url(), &args, environment)?;
            probe::run(&probe, &broker, "/health", &mut out).await
        }
        Command::Ready(probe) => {
            let broker = Running::at(probe.url(), &args, environment)?;
            probe::run(&probe, &broker, "/ready", &mut out).await
        }
        Command::Tools(tools) => tools::run(&tools, &args, environment, &mut out).await,
        Command::SmokeE2e(_) => Box::pin(smoke::run(&mut out)).await,
        Command::Demo(demo) => Box::pin(demo::run(&demo, &mut out)).await,
        Command::Check(check) => {
            let colour = out.is_terminal();
            Ok(check::run(&check, args.sources(environment), &mut out, colour).await)
        }
        Command::Doctor(doctor) => {
            let colour = out.is_terminal();
            Box::pin(doctor::run(&doctor, args.sources(environment), &mut out, colour)).await
        }
        Command::Config(config) => Ok(config::run(&config, args.sources(environment), &mut out)),
        Command::Token(token) => Box::pin(token::run(&token, &args, environment, &mut out)).await,
        Command::Login(login) => {
            let url = match login.url() {
                Some(url) => url.clone(),
                None => args.load(environment.clone())?.config.server.public_url,
            };
            let outbound = running::client(&url, args.ca_file(environment.clone()))?;
            let mut err = std::io::stderr();
            Box::pin(login::run((&login, &url, &outbound), &environment, &mut out, &mut err)).await
        }
        Command::Catalog(catalog) => catalog::run(&catalog, &args, environment, &mut out),
        Command::Policy(policy) => {
            let mut err = std::io::stderr();
            let interactive = err.is_terminal();
            let mut console = policy::Console { out: &mut out, err: &mut err, interactive };
            policy::run(&policy, &args, environment, &mut console).await
        }
        Command::Approval(approval) => {
            approval::run(&approval, &args.load(environment)?, &mut out).await
        }
        Command::Audit(audit) => {
            let configured = args.load(environment)?.audit_file();
            let (out_is_terminal, err_is_terminal) =
                (out.is_terminal(), std::io::stderr().is_terminal());
            let mut err = std::io::stderr();
            let mut console =
                audit::Console { out: &mut out, err: &mut err, out_is_terminal, err_is_terminal };
            Ok(audit::run(&audit, configured.as_deref(), &mut console))
        }
        Command::Explain(wanted) => {
            Box::pin(explain::run(&wanted, &args.load(environment)?, &mut out)).await
        }
        Command::User(user) => {
            admin::run_user(&user, &args.load(environment)?.config, &mut out).await
        }
        Command::Client(client) => {
            admin::run_client(&client, &args.load(environment)?.config, &mut out).await
        }
        Command::Server(server) => {
            admin::run_server(&server, &args.load(environment)?.config, &mut out).await
        }
        Command::RegistrationToken(token) => {
            admin::run_registration_token(&token, &args.load(environment)?.config, &mut out).await
        }
        Command::Grant(grant) => {
            admin::run_grant(&grant, &args.load(environment)?.config, &mut out).await
        }
        Command::IdentityProvider(provider) => {
            admin::run_identity_provider(&provider, &args.load(environment)?, &mut out).await
        }
        Command::Key(key) => admin::run_key(&key, &args.load(environment)?, &mut out).await,
        Command::Store(store) => {
            Box::pin(store::run(&store, &args.load(environment)?, &mut out)).await
        }
        Command::SupportBundle(bundle) => {
            Box::pin(support_bundle::run(&bundle, &args, environment, &mut out)).await
        }
        Command::Completions(shell) => generate::completions(&shell, &mut out),
        Command::Man(_) => generate::manual(&mut out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that do something, as they are typed.
    fn leaves(command: &clap::Command, above: &str, found: &mut Vec<(String, bool)>) {
        for command in command.get_subcommands() {
            let name = format!("{above}{}", command.get_name());
            if command.has_subcommands() {
                leaves(command, &format!("{name} "), found);
            } else {
                let json = |one: &clap::Arg| one.get_long() == Some("json") && !one.is_hide_set();
                found.push((name, command.get_arguments().any(json)));
            }
        }
    }

    #[test]
    fn every_command_takes_json() {
        let mut found = Vec::new();
        leaves(&Cli::command(), "", &mut found);
        let without = found.iter().filter(|(_, json)| !json).map(|(name, _)| name.as_str());
        // What they print is a log, a page, or for a shell.
        let fine = ["serve", "completions", "man"];
        assert_eq!(without.collect::<Vec<_>>(), fine);
    }

    #[test]
    fn what_has_no_json_says_so_and_what_to_do() {
        for (arguments, told) in [
            (&["broker", "completions", "bash", "--json"][..], "a script for a shell"),
            (&["broker", "man", "--json"], "broker man | man -l -"),
        ] {
            let refused = Cli::try_parse_from(arguments).and_then(Cli::checked).unwrap_err();
            let text = refused.to_string();
            assert!(text.contains(told) && text.contains("hint: "), "{text}");
            assert!(refused.use_stderr() && refused.exit_code() == 2);
        }
    }
}
