//! The pages on a loopback socket, for a real browser: `scripts/browser/run` starts this and drives it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use crate::authorization_server::{
    ClaimMap, Endpoints, ExplicitEndpoints, IdentityProviderSettings,
};

use super::support::{NOW, Site};

/// Prints one line of JSON: where the pages are, the first administrator's link, and handles of open requests.
#[tokio::test]
#[ignore = "serves until it is killed"]
async fn serve_the_pages() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let site = Arc::new(Site::with(&url, vec![provider(&url)]));
    let link = site.link().await;
    let client = format!("http://localhost:{port}/client"); // another origin than ours
    let asked = |redirect_uri: &str, scope: &str| {
        site.request(|pending| {
            redirect_uri.clone_into(&mut pending.redirect_uri);
            pending.scope = scope.parse().unwrap();
        })
    };
    let host = "https://claude.ai/api/mcp/auth_callback";
    let ready = json!({
        "url": url, "link": link, "client": client, "now": NOW,
        "loopback": asked(&client, "graph:read graph:write weather:read broker:admin"),
        "host": asked(host, "graph:read offline_access"),
        "host_again": asked(host, "graph:read"),
        "step_up": asked(host, "graph:read graph:write"),
        "scheme": asked("cursor://anysphere.cursor-mcp/oauth/callback", "graph:read"),
        "denied": asked(&client, "graph:read"),
        "hop": asked(&format!("http://localhost:{port}/hop"), "graph:read"),
    });
    writeln!(std::io::stderr(), "\nPAGES {ready}").unwrap();
    let later = Arc::clone(&site);
    let later = async move || later.clock.advance(Duration::from_mins(1));
    let router: Router = site
        .router
        .clone()
        .route("/client", get(async || "the client has it"))
        // A client's server that has the code, and leads on to its app.
        .route("/hop", get(async || Redirect::to("claude://claude.ai/connected")))
        // A code of an authenticator app counts once: for the next one time has to pass.
        .route("/a-minute-later", get(later));
    axum::serve(listener, router).await.unwrap();
}

/// Never reached: the page only shows its button.
fn provider(url: &str) -> IdentityProviderSettings {
    let at = |path: &str| format!("{url}{path}").parse().unwrap();
    IdentityProviderSettings {
        id: "contoso".to_owned(),
        name: "Contoso".to_owned(),
        issuer: url.to_owned(),
        client_id: "broker".parse().unwrap(),
        client_secret: None,
        scopes: "openid".parse().unwrap(),
        endpoints: Endpoints::Explicit(Box::new(ExplicitEndpoints {
            authorization: at("/nowhere"),
            token: at("/nowhere"),
            userinfo: at("/nowhere"),
        })),
        claims: ClaimMap::default(),
        require: std::collections::BTreeMap::new(),
        stored: false,
        standing: crate::login_provider::Standing::default(),
    }
}
