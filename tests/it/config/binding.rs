//! Whether what asks for bound tokens (RFC 9449) would get them.

use super::{Place, errors};

// RFC 9449 §6.2 — N88
#[test]
fn what_asks_for_bound_tokens_where_it_would_get_others_is_an_error() {
    let found = |dpop: &str, rest: &str| {
        let loaded = Place::new(&format!("[resource_server]\ndpop = \"{dpop}\"\n{rest}")).load();
        let all = errors(&loaded);
        let about = all.into_iter().filter(|line| line.contains("dpop_") || line.contains("bound"));
        about.map(|line| line.split(": ").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let server = |more: &str| {
        format!(
            "[[upstream.server]]\nid = \"a\"\nurl = \"https://a.example/mcp\"\ndpop_required = true\n{more}\n"
        )
    };
    assert_eq!(found("off", &server("")), ["upstream.server"]);
    assert_eq!(found("allowed", &server("")), [""; 0]);
    assert_eq!(found("allowed", &server("fold = true")), ["upstream.server"]);
    assert_eq!(found("required", &server("fold = true")), [""; 0]);
    let client = "[[authorization_server.client]]\nclient_id = \"c\"\nsecret = \"env:C\"\n\
        grants = [\"client_credentials\"]\nscopes = [\"a:read\"]\ndpop_bound_access_tokens = true\n";
    assert_eq!(found("off", client), ["authorization_server.client"]);
    assert_eq!(found("allowed", client), [""; 0]);
    let entra = "credential = { entra_obo = { profile = \"broker\", scopes = [\"api://weather/read\"] } }\n\
        [graph]\nmode = \"live\"\n[[graph.profile]]\nname = \"broker\"\nclient_id = \"broker-app\"\n\
        tenant_id = \"0192f0c1-2d3e-7a4b-8c5d-6e7f80910a1b\"\ncredential = { client_secret = \"env:G\" }";
    assert_eq!(found("allowed", &server(entra)), ["upstream.server"], "no token for Entra is left");
}
