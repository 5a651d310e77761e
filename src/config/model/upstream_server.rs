//! `[[upstream.server]]`: one MCP server behind the broker.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;

use super::authorization_server::{parse_each, path_name};
use super::graph::Graph;
use super::secret_source::RawSecret;
use super::upstream::{UpstreamEra, UpstreamServer, UpstreamTransport};
use super::upstream_credential::RawUpstreamCredential;
use super::upstream_grant::{RawUpstreamPrompt, RawUpstreamResource, RawUpstreamTool, grant};
use super::upstream_pin::{OnToolFlaw, RawUpstreamPin, alert, hide};

/// What the broker's own tools begin with: `auth.graph.…`.
const RESERVED: &str = "auth";
const URL: &str = "an http or https URL such as http://weather.internal:3001/mcp";

/// An MCP server behind the broker.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamServer {
    /// A short name, part of the path: letters, digits, `-` and `_`.
    pub(super) id: String,
    /// Its MCP endpoint. Either this, or `command`.
    pub(super) url: Option<String>,
    /// A program that is run as the server: absolute, or a name that is looked for in `/usr/local/bin:/usr/bin:/bin`.
    pub(super) command: Option<String>,
    /// Its arguments. Every user of the machine can read them.
    #[serde(default)]
    pub(super) args: Vec<String>,
    /// Its environment, beside `PATH`, `HOME` and `LANG`: texts, or references to secrets. Nothing of the broker's own is
    /// inherited.
    #[serde(default)]
    pub(super) env: BTreeMap<String, RawSecret>,
    /// The directory in which it runs. Unset: `/`.
    pub(super) cwd: Option<PathBuf>,
    /// From its start to its first answer, in milliseconds.
    #[serde(default = "start_timeout_ms")]
    pub(super) start_timeout_ms: NonZeroU32,
    /// Calls that a program answers at the same time; one more is refused.
    #[serde(default = "max_calls")]
    pub(super) max_calls: NonZeroU32,
    /// Memory that each process of a program may write to, in MiB (`RLIMIT_DATA`).
    #[serde(default = "max_memory_mb")]
    pub(super) max_memory_mb: NonZeroU32,
    /// Files and sockets that each process of a program may have open at the same time.
    #[serde(default = "max_open_files")]
    pub(super) max_open_files: NonZeroU32,
    /// Processes of a program at the same time; one that has more is killed with all of them.
    #[serde(default = "max_processes")]
    pub(super) max_processes: NonZeroU32,
    /// Time of a processor that each process of a program may use over its whole life. Unset: no limit.
    pub(super) max_cpu_seconds: Option<NonZeroU32>,
    /// What the broker shows it. Unset: nothing.
    #[serde(default)]
    pub(super) credential: RawUpstreamCredential,
    /// Tells the server who calls: a JWT of ours, valid for 60 s, in `X-Broker-Identity`.
    #[serde(default)]
    pub(super) identity_header: bool,
    /// What else tokens for it may have as audience, beside its URL here: for issuers that can put no URL into a token, such
    /// as Entra. Of tokens of `[[resource_server.issuer]]` alone.
    #[serde(default)]
    pub(super) audiences: Vec<String>,
    /// Shows its tools at `/mcp`, too, beside the broker's own, as `{id}.{tool}`; its prompts as `{id}.{prompt}`, its resources as
    /// `{id}+{uri}`.
    #[serde(default)]
    pub(super) fold: bool,
    /// Which tools need which scopes. Tools that match none are hidden.
    #[serde(default)]
    pub(super) tool: Vec<RawUpstreamTool>,
    /// Which prompts need which scopes. Prompts that match none are hidden.
    #[serde(default)]
    pub(super) prompt: Vec<RawUpstreamPrompt>,
    /// Which resources need which scopes. Resources that match none are hidden.
    #[serde(default)]
    pub(super) resource: Vec<RawUpstreamResource>,
    /// Definitions of tools that somebody approved.
    #[serde(default)]
    pub(super) pin: Vec<RawUpstreamPin>,
    /// A tool whose definition is not the pinned one, or not the one that was seen before.
    #[serde(default = "alert")]
    pub(super) on_change: OnToolFlaw,
    /// A tool whose definition holds characters that people do not see.
    #[serde(default = "hide")]
    pub(super) on_hidden_text: OnToolFlaw,
    /// Whether callers' tokens must be bound to a key of theirs (`DPoP`, RFC 9449). Needs `resource_server.dpop`.
    #[serde(default)]
    pub(super) dpop_required: bool,
    /// Which revisions of the protocol it speaks; for clients of the other era the broker translates.
    #[serde(default)]
    pub(super) era: UpstreamEra,
    /// For the server to begin its answer, and for the longest silence in one that is streamed, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub(super) timeout_ms: NonZeroU32,
    /// The largest answer, and the largest event of a stream, in bytes.
    #[serde(default = "max_response_bytes")]
    pub(super) max_response_bytes: NonZeroU32,
}

fn timeout_ms() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(59_999)
}

fn start_timeout_ms() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(29_999)
}

fn max_calls() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(63)
}

fn max_memory_mb() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4095)
}

fn max_open_files() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(1023)
}

fn max_processes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(255)
}

fn max_response_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add((4 << 20) - 1)
}

impl RawUpstreamServer {
    pub(super) fn parse(
        mut self,
        at: &Key,
        graph: &Graph,
        to: &mut Checker<'_>,
    ) -> Option<UpstreamServer> {
        let id = path_name(&at.name("id"), &self.id, to);
        let transport = self.transport(at, to);
        let key = at.name("credential");
        let credential = self.credential.parse(&key, to);
        if let Some(credential) = &credential {
            credential.check(&key, graph, to);
        }
        let tools = parse_each(self.tool, &at.name("tool"), to, |raw, at, to| {
            grant(&at.name("name"), raw.name, &at.name("scopes"), &raw.scopes, to)
        });
        let prompts = parse_each(self.prompt, &at.name("prompt"), to, |raw, at, to| {
            grant(&at.name("name"), raw.name, &at.name("scopes"), &raw.scopes, to)
        });
        let resources = parse_each(self.resource, &at.name("resource"), to, |raw, at, to| {
            grant(&at.name("uri"), raw.uri, &at.name("scopes"), &raw.scopes, to)
        });
        let list = at.name("pin");
        to.distinct(&list, "tool", self.pin.iter().map(|pin| pin.tool.as_str()));
        let pins = parse_each(self.pin, &at.name("pin"), to, RawUpstreamPin::parse);
        if id.as_deref() == Some(RESERVED) {
            let problem = "is taken: the broker's own tools begin with it";
            to.refuse(&at.name("id"), &self.id, problem, "another name");
        }
        Some(UpstreamServer {
            id: id?,
            transport: transport?,
            credential: credential?,
            identity_header: self.identity_header,
            audiences: self.audiences,
            fold: self.fold,
            tools,
            prompts,
            resources,
            pins,
            on_change: self.on_change,
            on_hidden_text: self.on_hidden_text,
            dpop_required: self.dpop_required,
            era: self.era,
            timeout: Duration::from_millis(self.timeout_ms.get().into()),
            max_response_bytes: self.max_response_bytes.get() as usize,
        })
    }
}

impl RawUpstreamServer {
    fn transport(&mut self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamTransport> {
        let mut given = Vec::new();
        if let Some(url) = &self.url {
            let url = to.url(&at.name("url"), url, URL);
            given.push(("url", url.map(UpstreamTransport::Http)));
        }
        if let Some(command) = self.command.take() {
            only_for("command", at, to);
            given.push(("command", self.program(&command, at, to).map(UpstreamTransport::Child)));
        } else {
            only_for("url", at, to);
        }
        to.one_of(at, given, "url, command").flatten()
    }
}

/// What a server that is reached so has no use for: whoever wrote it expects something that does not happen.
fn only_for(way: &str, at: &Key, to: &mut Checker<'_>) {
    const WITH_COMMAND: [&str; 9] = [
        "args",
        "env",
        "cwd",
        "start_timeout_ms",
        "max_calls",
        "max_memory_mb",
        "max_open_files",
        "max_processes",
        "max_cpu_seconds",
    ];
    const WITH_URL: [&str; 2] = ["credential", "identity_header"];
    let (useless, other): (&[&str], _) =
        if way == "url" { (&WITH_COMMAND, "command") } else { (&WITH_URL, "url") };
    for name in useless {
        let key = at.name(name);
        if to.is_set(&key) {
            let problem = format!("is for servers with `{other}`");
            to.add(Finding::error(FindingCode::Conflict, &key, problem));
        }
    }
}
