//! The clients that the doctor can play, as they were seen on the wire.

use std::time::Duration;

use crate::broker::Family;

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// By the document at this URL (Client ID Metadata Documents). Some register themselves where documents are not taken.
    Document { url: &'static str, else_registers: bool },
    /// It registers itself (RFC 7591).
    Registers,
}

/// Where it calls from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Its person's.
    Computer,
    /// A web page of this origin: what CORS does not show it, it does not know.
    Page(&'static str),
    /// These reach port 443 of public addresses alone.
    MakersServers,
}

/// What a client does where the 401 does not say where the metadata is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unnamed {
    /// It was not seen to look elsewhere.
    Stops,
    /// It looks where RFC 9728 §3.1 has it for this path, then for none.
    LooksAtThePath,
    /// It takes the origin for the issuer.
    AsksTheOrigin,
}

/// A client as it was seen on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub name: &'static str,
    /// What it does after a refusal.
    pub(super) family: Family,
    pub(super) identity: Identity,
    /// What it registers; the answer is to go to the first. `%SERVER%` is the server's name there.
    pub(super) redirect_uris: &'static [&'static str],
    pub(super) place: Place,
    pub(super) unnamed: Unnamed,
    /// How long it waits for an answer, where that is known.
    pub(super) budget: Option<Duration>,
    /// At the token endpoint it proves itself by a key that it alone has.
    pub(super) has_a_key: bool,
    /// It takes endpoints of another origin than the issuer's only where answers name the issuer (RFC 9207).
    pub(super) needs_iss: bool,
    /// Without this scope in the issuer's metadata it gets no refresh token.
    pub(super) wants_offline: bool,
}

/// How long those wait that call from their makers' servers.
const SERVERS_WAIT: Duration = Duration::from_secs(10);

impl Client {
    /// The clients whose steps are known: those of which is known what they do after a refusal.
    pub fn all() -> impl Iterator<Item = Self> {
        Family::ALL.into_iter().filter_map(Self::of)
    }

    /// `None`: it is not walked. Ours is `broker login`, which finds out by itself.
    pub(super) const fn of(family: Family) -> Option<Self> {
        Some(match family {
            Family::ClaudeCode => Self {
                identity: by("https://claude.ai/oauth/claude-code-client-metadata"),
                unnamed: Unnamed::LooksAtThePath,
                ..Self::new("claude-code", family, &["http://localhost:3118/callback"])
            },
            Family::Claude => Self {
                identity: by("https://claude.ai/oauth/mcp-oauth-client-metadata"),
                place: Place::MakersServers,
                budget: Some(SERVERS_WAIT),
                wants_offline: true,
                ..Self::new("claude", family, &["https://claude.ai/api/mcp/auth_callback"])
            },
            Family::ChatGpt => Self {
                identity: Identity::Document {
                    url: "https://chatgpt.com/oauth/client.json",
                    else_registers: false,
                },
                place: Place::MakersServers,
                budget: Some(SERVERS_WAIT),
                has_a_key: true,
                ..Self::new(
                    "chatgpt",
                    family,
                    &["https://chatgpt.com/connector_platform_oauth_redirect"],
                )
            },
            Family::VsCode => Self {
                identity: by("https://vscode.dev/oauth/client-metadata.json"),
                unnamed: Unnamed::AsksTheOrigin,
                ..Self::new(
                    "vscode",
                    family,
                    &[
                        "http://127.0.0.1:33418/",
                        "http://127.0.0.1/",
                        "https://vscode.dev/redirect",
                        "https://insiders.vscode.dev/redirect",
                    ],
                )
            },
            Family::Cursor => Self::new(
                "cursor",
                family,
                &[
                    "cursor://anysphere.cursor-mcp/oauth/callback",
                    "https://www.cursor.com/agents/mcp/oauth/callback",
                    "http://localhost:8787/callback",
                ],
            ),
            Family::Codex => Self {
                identity: by("https://chatgpt.com/oauth/codex/client.json"),
                unnamed: Unnamed::LooksAtThePath,
                needs_iss: true,
                ..Self::new("codex", family, &["http://127.0.0.1:5555/callback/%SERVER%"])
            },
            Family::Opencode => Self {
                identity: by("https://opencode.ai/oauth/opencode/client.json"),
                unnamed: Unnamed::LooksAtThePath,
                ..Self::new("opencode", family, &["http://127.0.0.1:19876/mcp/oauth/callback"])
            },
            Family::GeminiCli => Self {
                unnamed: Unnamed::LooksAtThePath,
                ..Self::new("gemini-cli", family, &["http://localhost:7777/oauth/callback"])
            },
            Family::Inspector => Self {
                place: Place::Page("http://localhost:6274"),
                unnamed: Unnamed::LooksAtThePath,
                ..Self::new("inspector", family, &["http://localhost:6274/oauth/callback"])
            },
            Family::McpRemote => Self {
                unnamed: Unnamed::LooksAtThePath,
                ..Self::new("mcp-remote", family, &["http://localhost:3334/oauth/callback"])
            },
            Family::Ours => return None,
        })
    }

    /// A program on somebody's computer that registers itself, and does nothing of its own.
    const fn new(
        name: &'static str,
        family: Family,
        redirect_uris: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            family,
            identity: Identity::Registers,
            redirect_uris,
            place: Place::Computer,
            unnamed: Unnamed::Stops,
            budget: None,
            has_a_key: false,
            needs_iss: false,
            wants_offline: false,
        }
    }
}

const fn by(url: &'static str) -> Identity {
    Identity::Document { url, else_registers: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_that_is_explained_is_walked_under_a_name_that_is_known_again() {
        let all: Vec<Client> = Client::all().collect();
        assert_eq!(all.len(), Family::ALL.len());
        for client in all {
            let known = match client.identity {
                Identity::Document { url, .. } => Family::of(url, None),
                Identity::Registers => Family::of("dcr1.x", Some(client.name)),
            };
            assert_eq!(known, Some(client.family), "{}", client.name);
            for uri in client.redirect_uris {
                assert!(Family::by_redirect_uri(uri).contains(&client.family), "{uri}");
            }
        }
    }
}
