//! `[upstream]`: MCP servers behind the broker.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::authorization_server::{parse_each, path_name};
use super::graph::Graph;
use super::secret_source::{RawSecret, SecretSource};
use super::upstream_credential::{RawUpstreamCredential, UpstreamCredential};
use crate::config::checker::Checker;
use crate::config::finding::{Finding, FindingCode};
use crate::config::key::Key;
use crate::process;
use crate::scope::Scope;

/// `[upstream]`, parsed.
#[derive(Clone, Debug, Default)]
pub struct Upstream {
    pub servers: Vec<UpstreamServer>,
}

/// An MCP server behind the broker.
#[derive(Clone, Debug)]
pub struct UpstreamServer {
    /// Part of `/servers/{id}/mcp`.
    pub id: String,
    pub transport: UpstreamTransport,
    pub credential: UpstreamCredential,
    pub identity_header: bool,
    /// Other audiences of tokens that callers may bring.
    pub audiences: Vec<String>,
    /// Whether its tools stand at `/mcp`, too.
    pub fold: bool,
    /// Whether callers' tokens must be bound to a key of theirs (RFC 9449).
    pub dpop_required: bool,
    pub tools: Vec<UpstreamGrant>,
    pub prompts: Vec<UpstreamGrant>,
    /// By URI, and templates by their text.
    pub resources: Vec<UpstreamGrant>,
    /// The approved digest of each tool's definition.
    pub pins: Vec<UpstreamPin>,
    pub on_change: OnToolFlaw,
    pub on_hidden_text: OnToolFlaw,
    pub era: UpstreamEra,
    /// For the head of an answer, for a whole one in JSON, and the longest silence in the stream of a call.
    pub timeout: Duration,
    /// Of one answer, or one event of a stream.
    pub max_response_bytes: usize,
}

/// How a server is reached.
#[derive(Clone, Debug)]
pub enum UpstreamTransport {
    /// Streamable HTTP.
    Http(Url),
    /// A child process that speaks over its standard input and output.
    Child(UpstreamCommand),
}

/// A program to run.
#[derive(Clone, Debug)]
pub struct UpstreamCommand {
    /// Absolute, or a name that is looked for in `/usr/local/bin:/usr/bin:/bin`.
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, SecretSource>,
    pub directory: PathBuf,
    /// From its start to its first answer.
    pub start_timeout: Duration,
    /// Calls under way at the same time.
    pub max_calls: usize,
}

/// An approved definition.
#[derive(Clone, Debug)]
pub struct UpstreamPin {
    pub tool: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
}

/// What becomes of a tool whose definition has a flaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnToolFlaw {
    /// It is recorded.
    Alert,
    /// It is recorded, and the tool is as if it did not exist.
    Hide,
}

/// Of which era of the protocol a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamEra {
    /// The broker asks it.
    #[default]
    Auto,
    /// It speaks 2025-11-25 and before alone.
    #[serde(rename = "2025-11-25")]
    Old,
    /// It speaks 2026-07-28 alone.
    #[serde(rename = "2026-07-28")]
    New,
    /// It speaks both: nothing is translated, and it is not asked.
    Both,
}

/// Which tools, prompts or resources of the server need which scopes.
#[derive(Clone, Debug)]
pub struct UpstreamGrant {
    /// An anchored regular expression for names, of resources for URIs.
    pub name: String,
    pub scopes: Scope,
}

/// MCP servers behind the broker.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUpstream {
    /// The servers, each at `/servers/{id}/mcp`.
    pub(super) server: Vec<RawUpstreamServer>,
}

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
    /// Shows its tools at `/mcp`, too, beside the broker's own, as `{id}.{tool}`.
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

/// Which tools need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamTool {
    /// Tools by name: an anchored regular expression.
    pub(super) name: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}

/// Which prompts need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamPrompt {
    /// Prompts by name: an anchored regular expression.
    pub(super) name: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}

/// Which resources need which scopes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamResource {
    /// Resources by URI, and templates by their text: an anchored regular expression.
    pub(super) uri: String,
    /// Scopes that a caller needs, all of them.
    pub(super) scopes: Vec<String>,
}

/// A definition of a tool that somebody approved.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUpstreamPin {
    /// The server's own name of the tool.
    pub(super) tool: String,
    /// `sha256:` and 64 hexadecimal digits, as the audit log and the log name it.
    pub(super) digest: String,
}

impl RawUpstreamPin {
    fn parse(self, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamPin> {
        let hex = self.digest.strip_prefix("sha256:").unwrap_or_default();
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 64 || !hex.bytes().all(digit) {
            let expected = "`sha256:` and 64 hexadecimal digits in lower case";
            to.refuse(&at.name("digest"), &self.digest, "is no digest", expected);
            return None;
        }
        Some(UpstreamPin { tool: self.tool, digest: self.digest })
    }
}

const fn alert() -> OnToolFlaw {
    OnToolFlaw::Alert
}

const fn hide() -> OnToolFlaw {
    OnToolFlaw::Hide
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

fn max_response_bytes() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add((4 << 20) - 1)
}

/// What the broker's own tools begin with: `auth.graph.…`.
const RESERVED: &str = "auth";
const URL: &str = "an http or https URL such as http://weather.internal:3001/mcp";

impl RawUpstream {
    pub(super) fn parse(self, at: &Key, graph: &Graph, to: &mut Checker<'_>) -> Upstream {
        let list = at.name("server");
        to.distinct(&list, "id", self.server.iter().map(|server| server.id.as_str()));
        Upstream {
            servers: parse_each(self.server, &list, to, |raw, at, to| raw.parse(at, graph, to)),
        }
    }
}

impl RawUpstreamServer {
    fn parse(mut self, at: &Key, graph: &Graph, to: &mut Checker<'_>) -> Option<UpstreamServer> {
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

    fn program(&self, command: &str, at: &Key, to: &mut Checker<'_>) -> Option<UpstreamCommand> {
        let mut environment = BTreeMap::new();
        for (name, raw) in &self.env {
            let key = at.name("env").name(name);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
            if !first || !name.bytes().all(plain) {
                let expected = "letters, digits and `_`, not a digit first";
                to.refuse(&key, name, "is no name of a variable", expected);
            } else if let Some(value) = to.variable(&key, name, raw) {
                environment.insert(name.clone(), value);
            }
        }
        let directory = match &self.cwd {
            Some(directory) => to.input(&at.name("cwd"), directory),
            None => PathBuf::from("/"),
        };
        Some(UpstreamCommand {
            program: program(command, &at.name("command"), to)?,
            arguments: self.args.clone(),
            environment,
            directory,
            start_timeout: Duration::from_millis(self.start_timeout_ms.get().into()),
            max_calls: self.max_calls.get() as usize,
        })
    }
}

/// What a server that is reached so has no use for: whoever wrote it expects something that does not happen.
fn only_for(way: &str, at: &Key, to: &mut Checker<'_>) {
    const WITH_COMMAND: [&str; 5] = ["args", "env", "cwd", "start_timeout_ms", "max_calls"];
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

/// A program that is there: what cannot be started is said now, and not to the first caller.
fn program(command: &str, key: &Key, to: &mut Checker<'_>) -> Option<PathBuf> {
    let path = Path::new(command);
    let is_there = |path: &Path| std::fs::metadata(path).is_ok_and(|found| found.is_file());
    let problem = if path.is_absolute() {
        if is_there(path) {
            return Some(path.to_owned());
        }
        "does not exist, or is no file".to_owned()
    } else if command.is_empty() || command.contains('/') {
        "is neither absolute nor a plain name".to_owned()
    } else if process::PATH.split(':').any(|folder| is_there(&Path::new(folder).join(command))) {
        return Some(path.to_owned());
    } else {
        format!("is not in {}", process::PATH)
    };
    let expected =
        "the absolute path of a program, or the name of one in /usr/local/bin, /usr/bin or /bin";
    to.refuse(key, command, problem, expected);
    None
}

/// Its name is a regular expression by itself, and within the anchors: `a)|(b` is only one of the two.
fn grant(
    key: &Key,
    name: String,
    scopes_key: &Key,
    scopes: &[String],
    to: &mut Checker<'_>,
) -> Option<UpstreamGrant> {
    let scopes = to.scopes(scopes_key, scopes);
    let built = regex::Regex::new(&name).and_then(|_| regex::Regex::new(&format!("^(?:{name})$")));
    if let Err(error) = built {
        let problem = match error {
            regex::Error::CompiledTooBig(_) => "is too large a regular expression",
            _ => "is no regular expression",
        };
        to.refuse(key, &name, problem, "an anchored regular expression such as get_.*");
        return None;
    }
    Some(UpstreamGrant { name, scopes })
}
