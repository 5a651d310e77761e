//! `broker completions` and `broker man`: made from the commands themselves.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::failure::Failure;

/// Which shell.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    shell: Shell,
    #[command(flatten)]
    never: NoJson,
}

/// What every other command takes, so that it is refused with a reason.
#[derive(Debug, Args)]
pub(super) struct NoJson {
    #[arg(long, hide = true)]
    json: bool,
}

impl CompletionsArgs {
    /// Why these arguments are none, and what to do.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.never.json.then_some(
            "completions are a script for a shell, and never JSON\nhint: leave --json out, and let the shell read it",
        )
    }
}

impl NoJson {
    /// The same for the manual page.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.json.then_some(
            "the manual page is for man to show, and never JSON\nhint: leave --json out: broker man | man -l -",
        )
    }
}

pub(super) fn completions(
    args: &CompletionsArgs,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "broker", &mut script);
    out.write_all(&script).map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

/// One page, with a section for each command and those below it.
pub(super) fn manual(out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(out).map_err(Failure::output)?;
    sections(&command, "broker", out).map_err(Failure::output)?;
    Ok(ExitCode::SUCCESS)
}

fn sections(command: &clap::Command, above: &str, out: &mut dyn Write) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        let name = format!("{above} {}", subcommand.get_name());
        let page = clap_mangen::Man::new(subcommand.clone().name(name.clone()));
        page.render_name_section(out)?;
        page.render_synopsis_section(out)?;
        page.render_options_section(out)?;
        sections(subcommand, &name, out)?;
    }
    Ok(())
}
