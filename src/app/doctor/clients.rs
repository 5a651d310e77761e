//! The clients that the doctor can play, as they were seen on the wire.

/// How a client says who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// By the document at this URL (Client ID Metadata Documents).
    Document(&'static str),
    /// It registers itself with these redirect URIs (RFC 7591).
    Registers(&'static [&'static str]),
}

/// A client as it was seen on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    pub name: &'static str,
    pub(super) identity: Identity,
    pub(super) redirect_uri: &'static str,
    /// It runs in a web page of this origin.
    pub(super) origin: Option<&'static str>,
    /// It runs elsewhere, and reaches port 443 of public addresses alone.
    pub(super) from_outside: bool,
}

impl Client {
    /// The clients whose steps are known.
    pub const ALL: [Self; 6] = [
        Self::of(
            "claude-code",
            Identity::Document("https://claude.ai/oauth/claude-code-client-metadata"),
            "http://localhost:3118/callback",
        ),
        Self::of(
            "vscode",
            Identity::Document("https://vscode.dev/oauth/client-metadata.json"),
            "http://127.0.0.1:33418/",
        ),
        Self::of(
            "cursor",
            Identity::Registers(&[
                "cursor://anysphere.cursor-mcp/oauth/callback",
                "https://www.cursor.com/agents/mcp/oauth/callback",
                "http://localhost:8787/callback",
            ]),
            "cursor://anysphere.cursor-mcp/oauth/callback",
        ),
        Self {
            from_outside: true,
            ..Self::of(
                "chatgpt",
                Identity::Document("https://chatgpt.com/oauth/client.json"),
                "https://chatgpt.com/connector_platform_oauth_redirect",
            )
        },
        Self {
            origin: Some("http://localhost:6274"),
            ..Self::of(
                "inspector",
                Identity::Registers(&["http://localhost:6274/oauth/callback"]),
                "http://localhost:6274/oauth/callback",
            )
        },
        Self::of(
            "mcp-remote",
            Identity::Registers(&["http://localhost:3334/oauth/callback"]),
            "http://localhost:3334/oauth/callback",
        ),
    ];

    const fn of(name: &'static str, identity: Identity, redirect_uri: &'static str) -> Self {
        Self { name, identity, redirect_uri, origin: None, from_outside: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Family;

    #[test]
    fn what_each_does_after_a_refusal_is_known_too() {
        for client in Client::ALL {
            let family = match client.identity {
                Identity::Document(url) => Family::of(url, None),
                Identity::Registers(_) => Family::of("dcr1.x", Some(client.name)),
            };
            assert!(family.is_some(), "{}", client.name);
        }
    }
}
