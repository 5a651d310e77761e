//! What the common clients do after a refusal, as they were seen on the wire. For whoever has to tell a person what to
//! click; nothing is decided by it.

use url::Url;

/// A client that is known by more than its name. Which one it is, it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    ClaudeCode,
    Claude,
    ChatGpt,
    Codex,
    VsCode,
    Cursor,
    Opencode,
    GeminiCli,
    Inspector,
    McpRemote,
    /// This program as a client, and `broker doctor`.
    Ours,
}

/// What a client met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Situation {
    /// 401 without a token: how each client begins.
    NoToken,
    /// 401 with one.
    TokenRejected,
    /// 403 `insufficient_scope`
    ScopeMissing,
    /// 401 `insufficient_user_authentication`
    LoginWanted,
    /// 401 `invalid_client` or `unauthorized_client` at an OAuth endpoint.
    ClientRefused,
    /// `invalid_grant`
    GrantRefused,
    /// `invalid_grant` for an assertion: nothing that the client keeps is at fault.
    AssertionRefused,
    /// Another error of an OAuth endpoint.
    OAuthRefused,
    /// A person's browser shows a page; the client is told nothing.
    PageShown,
    /// A person's browser takes an error back to the client.
    SentBack,
    RegistrationRefused,
    /// A tool answered with an error.
    ToolRefused,
    /// A person has to approve.
    ApprovalWanted,
    /// 429
    TooMany,
}

impl Family {
    /// Those that people have.
    pub const ALL: [Self; 10] = [
        Self::ClaudeCode,
        Self::Claude,
        Self::ChatGpt,
        Self::VsCode,
        Self::Cursor,
        Self::Codex,
        Self::Opencode,
        Self::GeminiCli,
        Self::Inspector,
        Self::McpRemote,
    ];

    /// By the URL of its metadata document, else by the name that it registered with.
    #[must_use]
    pub fn of(client_id: &str, name: Option<&str>) -> Option<Self> {
        const DOCUMENTS: [(&str, Family); 6] = [
            ("https://claude.ai/oauth/claude-code-client-metadata", Family::ClaudeCode),
            ("https://claude.ai/oauth/", Family::Claude),
            ("https://chatgpt.com/oauth/codex/", Family::Codex),
            ("https://chatgpt.com/oauth/", Family::ChatGpt),
            ("https://vscode.dev/oauth/", Family::VsCode),
            ("https://opencode.ai/oauth/", Family::Opencode),
        ];
        const NAMES: [(&str, Family); 11] = [
            ("broker doctor", Family::Ours),
            ("claude code", Family::ClaudeCode),
            ("claude", Family::Claude),
            ("chatgpt", Family::ChatGpt),
            ("codex", Family::Codex),
            ("visual studio code", Family::VsCode),
            ("cursor", Family::Cursor),
            ("opencode", Family::Opencode),
            ("gemini", Family::GeminiCli),
            ("inspector", Family::Inspector),
            ("mcp-remote", Family::McpRemote),
        ];
        let known = DOCUMENTS.into_iter().find(|(start, _)| client_id.starts_with(start));
        if client_id.starts_with("https://") {
            return known.map(|(_, family)| family);
        }
        let name = name.unwrap_or_default().to_lowercase();
        let other = || NAMES.into_iter().find(|(part, _)| name.contains(part));
        other().map(|(_, family)| family)
    }

    /// By where its answers go. More than one where these are alike: a port of somebody's own computer says nothing about
    /// who listens there.
    #[must_use]
    pub fn by_redirect_uri(uri: &str) -> &'static [Self] {
        let Ok(url) = Url::parse(uri) else { return &[] };
        match (url.scheme(), url.host_str().unwrap_or_default()) {
            ("cursor", _) | ("https", "www.cursor.com" | "cursor.com") => &[Self::Cursor],
            ("vscode" | "vscode-insiders", _) | ("https", "vscode.dev" | "insiders.vscode.dev") => {
                &[Self::VsCode]
            }
            ("https", "claude.ai" | "claude.com") => &[Self::Claude],
            ("https", "chatgpt.com") => &[Self::ChatGpt],
            ("http", "localhost" | "127.0.0.1" | "[::1]") => on_loopback(url.path(), url.port()),
            _ => &[],
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code",
            Self::Claude => "Claude",
            Self::ChatGpt => "ChatGPT",
            Self::Codex => "Codex",
            Self::VsCode => "VS Code",
            Self::Cursor => "Cursor",
            Self::Opencode => "opencode",
            Self::GeminiCli => "Gemini CLI",
            Self::Inspector => "MCP Inspector",
            Self::McpRemote => "mcp-remote",
            Self::Ours => "The broker's own client",
        }
    }

    /// How its person begins anew. NAME is what the server is called there.
    #[must_use]
    pub const fn begin_anew(self) -> &'static str {
        match self {
            Self::ClaudeCode => "/mcp, choose the server, Clear authentication, then Authenticate",
            Self::Claude | Self::ChatGpt => {
                "in the settings: open the connector, disconnect it, and connect it again"
            }
            Self::Codex => "codex mcp logout NAME, then codex mcp login NAME",
            Self::VsCode => {
                "Authentication: Remove Dynamic Authentication Providers, then MCP: List Servers, Restart"
            }
            Self::Cursor => "in the settings: switch the server off and on",
            Self::Opencode => "opencode mcp logout NAME, then opencode mcp auth NAME",
            Self::GeminiCli => "/mcp auth NAME",
            Self::Inspector => "Clear OAuth State, then Connect",
            Self::McpRemote => "remove its folder ~/.mcp-auth, then start it again",
            Self::Ours => "broker login",
        }
    }

    /// What it does otherwise than the others.
    #[must_use]
    pub const fn own_way(self, met: Situation) -> Option<&'static str> {
        use Situation as S;
        match (self, met) {
            (Self::ClaudeCode, S::GrantRefused) => Some(
                "Several of its processes share one refresh token, and the one that came late throws away what the first one got.",
            ),
            (Self::Claude, S::TokenRejected) => Some(
                "It refreshes from its maker's servers; without a refresh token (offline_access) it asks its person to connect again.",
            ),
            (Self::ChatGpt, S::ClientRefused) => Some(
                "It proves itself by a key: look whether the broker reaches https://chatgpt.com/oauth/jwks.json.",
            ),
            (Self::VsCode, S::RegistrationRefused) => {
                Some("It then asks its person for a client id.")
            }
            (Self::VsCode, S::NoToken) => Some(
                "It compares the metadata's resource with the URL it was given, byte for byte.",
            ),
            (Self::Cursor, S::TokenRejected) => {
                Some("It may try the same token again and again: its person has to begin anew.")
            }
            (Self::Cursor, S::RegistrationRefused) => {
                Some("It registers three redirect URIs at once; where one is refused, all are.")
            }
            (Self::Codex, S::OAuthRefused | S::SentBack) => Some(
                "It asks for the scopes of the authorization server's metadata where the resource names none.",
            ),
            (Self::GeminiCli, S::NoToken) => {
                Some("It stops where the metadata's resource is not the URL it was given.")
            }
            (Self::Inspector, S::NoToken | S::OAuthRefused) => {
                Some("It runs in a web page: what CORS does not show it, it does not know.")
            }
            (Self::McpRemote, S::OAuthRefused | S::SentBack) => Some(
                "Its scopes come from its command line, the challenge, or the metadata, in this order.",
            ),
            _ => None,
        }
    }
}

/// As they were seen; most ports float.
fn on_loopback(path: &str, port: Option<u16>) -> &'static [Family] {
    match (path, port) {
        ("/", _) => &[Family::VsCode],
        ("/mcp/oauth/callback", _) => &[Family::Opencode],
        ("/oauth/callback", Some(6274 | 6276)) => &[Family::Inspector],
        ("/oauth/callback", Some(7777)) => &[Family::GeminiCli],
        ("/oauth/callback", _) => &[Family::GeminiCli, Family::McpRemote],
        ("/callback", Some(8787)) => &[Family::Cursor],
        ("/callback", _) => &[Family::ClaudeCode],
        _ if path.starts_with("/callback/") => &[Family::Codex],
        _ => &[],
    }
}

/// What that client does now, and what its person can do.
#[must_use]
pub fn next_step(family: Option<Family>, met: Situation) -> String {
    let who = family.map_or("The client", Family::name);
    let mut text = format!("{who} {}", general(met));
    if let Some(own_way) = family.and_then(|family| family.own_way(met)) {
        text.push(' ');
        text.push_str(own_way);
    }
    if needs_a_person(met) {
        let how = family.map_or(
            "remove the server's log-in in the client, and connect again",
            Family::begin_anew,
        );
        text.push_str(" To begin anew: ");
        text.push_str(how);
        text.push('.');
    }
    text
}

/// As the official SDKs do, which most clients are made with.
const fn general(met: Situation) -> &'static str {
    match met {
        Situation::NoToken => {
            "reads the metadata that the 401 names, registers or names itself, and opens the person's browser. This is how every connection begins."
        }
        Situation::TokenRejected => {
            "tries its refresh token, and where it has none or that is refused, opens the person's browser."
        }
        Situation::ScopeMissing => {
            "opens the person's browser and asks for the scopes that the 403 names; a client that knows no step-up shows the error."
        }
        Situation::LoginWanted => {
            "opens the person's browser for another log-in, where it knows that challenge (RFC 9470); else it shows the error."
        }
        Situation::ClientRefused => {
            "throws its registration away, registers or names itself anew, and opens the person's browser."
        }
        Situation::GrantRefused => {
            "throws its tokens away and opens the person's browser; its registration stays."
        }
        Situation::AssertionRefused => {
            "shows the error, or asks its identity provider or platform for another assertion and tries once more: no browser is opened."
        }
        Situation::OAuthRefused => {
            "keeps what it has and shows the error: it does the same again at the next attempt, until what stands in the way is changed."
        }
        Situation::PageShown => {
            "is told nothing, since nothing proves that the answer would reach it: it waits until it gives up."
        }
        Situation::SentBack => "gets the error with the person's browser, and shows it.",
        Situation::RegistrationRefused => {
            "stops, and says that the server does not support its registration."
        }
        Situation::ToolRefused => {
            "hands the error to its model, which may say so, try something else, or call again in the same way."
        }
        Situation::ApprovalWanted => {
            "shows the link to its person, or hands it to its model; the same call, unchanged, goes through once it is approved."
        }
        Situation::TooMany => "is to wait for Retry-After; not every client does.",
    }
}

const fn needs_a_person(met: Situation) -> bool {
    match met {
        Situation::TokenRejected
        | Situation::ClientRefused
        | Situation::GrantRefused
        | Situation::OAuthRefused
        | Situation::PageShown
        | Situation::SentBack => true,
        Situation::NoToken
        | Situation::ScopeMissing
        | Situation::LoginWanted
        | Situation::AssertionRefused
        | Situation::RegistrationRefused
        | Situation::ToolRefused
        | Situation::ApprovalWanted
        | Situation::TooMany => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_believed_before_a_name() {
        let of = Family::of;
        assert_eq!(
            of("https://claude.ai/oauth/mcp-oauth-client-metadata", None),
            Some(Family::Claude)
        );
        assert_eq!(of("https://evil.example/client", Some("Claude Code")), None);
        assert_eq!(of("dcr1.abc", Some("Claude Code (weather)")), Some(Family::ClaudeCode));
        assert_eq!(of("dcr1.abc", Some("MCP Inspector")), Some(Family::Inspector));
        assert_eq!(of("dcr1.abc", None), None);
    }

    #[test]
    fn where_answers_go_says_who_it_may_be() {
        for (uri, families) in [
            ("http://localhost:53111/callback", &[Family::ClaudeCode][..]),
            ("https://claude.ai/api/mcp/auth_callback", &[Family::Claude]),
            ("https://chatgpt.com/connector/oauth/x", &[Family::ChatGpt]),
            ("http://127.0.0.1:33418/", &[Family::VsCode]),
            ("https://vscode.dev/redirect", &[Family::VsCode]),
            ("cursor://anysphere.cursor-mcp/oauth/callback", &[Family::Cursor]),
            ("http://localhost:8787/callback", &[Family::Cursor]),
            ("http://127.0.0.1:5000/callback/AbC", &[Family::Codex]),
            ("http://127.0.0.1:19876/mcp/oauth/callback", &[Family::Opencode]),
            ("http://localhost:7777/oauth/callback", &[Family::GeminiCli]),
            ("http://localhost:6274/oauth/callback", &[Family::Inspector]),
            ("http://localhost:3334/oauth/callback", &[Family::GeminiCli, Family::McpRemote]),
            ("https://claude.ai.evil.example/api/mcp/auth_callback", &[]),
            ("http://evil.example/callback", &[]),
            ("no URL", &[]),
        ] {
            assert_eq!(Family::by_redirect_uri(uri), families, "{uri}");
        }
    }

    #[test]
    fn who_has_to_begin_anew_is_told_where() {
        let told = next_step(Some(Family::ClaudeCode), Situation::ClientRefused);
        assert!(told.starts_with("Claude Code throws its registration away"), "{told}");
        assert!(told.contains("Clear authentication"), "{told}");
        assert!(!next_step(None, Situation::ToolRefused).contains("begin anew"));
    }
}
