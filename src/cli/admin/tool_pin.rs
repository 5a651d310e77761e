//! `broker server pin`: what tools of a server were approved as, and what they are now.

use std::io::Write;

use clap::Subcommand;
use serde_json::json;

use crate::admin::{AdminError, NewToolApproval, ToolDifference, ToolPinDetail};
use crate::cli::failure::Failure;

use super::show::{Columns, list, one};
use super::{Administration, all, failure};

const LIST: &str = "broker server pin list SERVER";
const COLUMNS: Columns = &[
    ("tool", "tool"),
    ("approved", "digest"),
    ("since", "approved_at"),
    ("by", "approved_by"),
    ("now", "found_digest"),
    ("since", "found_at"),
];

#[derive(Debug, Subcommand)]
pub(super) enum PinCommand {
    /// Print the tools of a server, as they were approved
    List {
        server: String,
        /// Only those whose definition is another now
        #[arg(long)]
        changed: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a tool's approved definition, and what is another about it now
    Show {
        server: String,
        tool: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Approve the definition that waits; or the approved one again, and what waits is dropped
    Approve {
        server: String,
        tool: String,
        /// Of the definition that you have looked at: sha256:…
        digest: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget a tool: the next definition that is seen is taken for the approved one
    Remove {
        server: String,
        tool: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(
    by: &Administration,
    command: &PinCommand,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let refused = |error: AdminError| failure(&error, LIST);
    match command {
        PinCommand::List { server, changed, json } => {
            let pins =
                all(async |page| by.operations.list_tool_pins(server, (*changed, &page)).await);
            list(&pins.await.map_err(refused)?, COLUMNS, *json, out)
        }
        PinCommand::Show { server, tool, json } => {
            let pin = by.operations.find_tool_pin(server, tool).await.map_err(refused)?;
            one(&json!(pin), &lines(server, &pin), *json, out)
        }
        PinCommand::Approve { server, tool, digest, json } => {
            let approved = NewToolApproval { digest: digest.clone() };
            let pin = by.operations.approve_tool(&by.actor, (server, tool), approved).await;
            let line = "the definition is approved; brokers follow within seconds";
            one(&json!(pin.map_err(refused)?), line, *json, out)
        }
        PinCommand::Remove { server, tool, json } => {
            let done = by.operations.delete_tool_pin(&by.actor, (server, tool)).await;
            done.map_err(refused)?;
            let value = json!({ "server": server, "tool": tool, "removed": true });
            one(&value, "the next definition that is seen is the approved one", *json, out)
        }
    }
}

fn lines(server: &str, detail: &ToolPinDetail) -> String {
    let pin = &detail.pin;
    let by = pin.approved_by.as_deref().map_or_else(
        || "nobody: it was the first that was seen".to_owned(),
        |by| format!("by {}", visible(by)),
    );
    let mut lines = vec![
        format!("{server}.{}", pin.tool),
        format!("approved {} at {}, {by}", pin.digest, pin.approved_at),
    ];
    let too_long = || TOO_LONG.to_owned();
    let (Some(found), Some(at)) = (&pin.found_digest, pin.found_at) else {
        let definition = detail.definition.as_ref().map(|value| visible(&format!("{value:#}")));
        lines.push(definition.unwrap_or_else(too_long));
        return lines.join("\n");
    };
    lines.push(format!("now      {found} since {at}"));
    match &detail.differences {
        None => lines.push(too_long()),
        Some(differences) => lines.extend(differences.iter().flat_map(difference)),
    }
    lines.push(format!("to approve it: broker server pin approve {server} {} {found}", pin.tool));
    lines.join("\n")
}

fn difference(one: &ToolDifference) -> Vec<String> {
    let sides = [('-', &one.approved), ('+', &one.found)].into_iter();
    let said = sides.filter_map(|(sign, value)| {
        value.as_ref().map(|value| format!("    {sign} {}", visible(&value.to_string())))
    });
    std::iter::once(format!("  {}", visible(&one.at))).chain(said).collect()
}

const TOO_LONG: &str = "a definition of that length is not kept: read it at the server";

/// A server's own words on a terminal: what people do not see, and what would steer it, is written out.
fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let plain = matches!(character, '\n' | '"' | '\\' | '\'');
        if plain || character.escape_debug().count() == 1 {
            shown.push(character);
        } else {
            shown.extend(character.escape_unicode());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    // OWASP ASVS 5 — N113
    #[test]
    fn what_people_do_not_see_is_written_out() {
        assert_eq!(
            visible("a\u{1b}[2J\u{202e}\u{200b}\u{e0041} \"ü\"\n"),
            "a\\u{1b}[2J\\u{202e}\\u{200b}\\u{e0041} \"ü\"\n"
        );
    }
}
