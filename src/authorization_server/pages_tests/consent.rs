//! Who may be asked what, and what an answer is good for.

use std::time::Duration;

use axum::http::StatusCode;

use crate::host_trust::HostTrust;
use crate::store::{ClientKind, ClientRow, Digest};
use crate::time::Clock as _;

use super::support::{Browser, PASSWORD, Page, Site};

async fn ask(browser: &mut Browser, handle: &str) -> Page {
    browser.get(&format!("/consent?request={handle}")).await
}

async fn answer(browser: &mut Browser, page: &Page, decision: &str) -> Page {
    browser.send("/consent", page, &[("decision", decision)]).await
}

// MCP authorization, confused deputy — CD-3, AS-14
#[tokio::test]
async fn consent_leads_with_the_host_and_a_yes_gives_a_code() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|_| {});
    let page = ask(&mut browser, &handle).await;
    assert!(page.body.contains("<h1>Let <strong>claude.ai</strong> act for you?</h1>"));
    assert!(page.body.contains("https://claude.ai/api/mcp/auth_callback"));
    assert!(page.body.contains("Read what the rules allow from Microsoft 365"));
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(!policy.contains("form-action"), "N107: {policy}");
    let answer = answer(&mut browser, &page, "allow").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert!(answer.location().starts_with("https://claude.ai/api/mcp/auth_callback?code="));
    assert!(answer.location().contains("iss=https%3A%2F%2Fbroker.example"));
    assert_eq!(site.store.lock().grants.len(), 1);
}

// OIDC Back-Channel Logout §2.7 — N37
#[tokio::test]
async fn a_yes_of_who_is_logged_out_meanwhile_gives_nothing() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|_| {});
    let page = ask(&mut browser, &handle).await;
    site.store.lock().ends_meanwhile = true;
    let refused = answer(&mut browser, &page, "allow").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let inner = site.store.lock();
    assert!(inner.grants.is_empty() && inner.consents.is_empty());
}

// CIMD §6 — N99
#[tokio::test]
async fn a_consent_is_asked_for_again_once_the_clients_document_has_changed() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let of = |document: &str| {
        let digest = Some(document.repeat(43));
        site.request(|pending| pending.client_digest = digest)
    };
    let page = ask(&mut browser, &of("A")).await;
    answer(&mut browser, &page, "allow").await;
    let same = ask(&mut browser, &of("A")).await;
    assert!(same.body.contains("http-equiv=\"refresh\""));
    let changed = ask(&mut browser, &of("Q")).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert!(changed.body.contains("Read what the rules allow from Microsoft 365"));
    let account = browser.get("/account").await;
    assert!(account.body.contains("Answers go to claude.ai") && !account.body.contains("AAAA"));
}

#[tokio::test]
async fn a_no_is_told_to_the_client_and_gives_nothing() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    let answer = answer(&mut browser, &page, "deny").await;
    assert!(answer.location().contains("error=access_denied"), "{}", answer.location());
    assert!(site.store.lock().grants.is_empty() && site.store.lock().consents.is_empty());
    let recorded = last_event(&site).await;
    assert_eq!(recorded["event_type"], "oauth.authorization.denied");
    assert_eq!(recorded["client_id"], "https://claude.ai/oauth/client.json");
    assert_eq!(recorded["requester_id"], site.store.lock().users[0].id.to_string());
    assert!(recorded["request_id"].is_string(), "{recorded}");
    assert_eq!(recorded["payload"]["resource"], "https://broker.example/mcp");
}

async fn last_event(site: &Site) -> serde_json::Value {
    site.event_types().await;
    let log = std::fs::read_to_string(&site.log).unwrap();
    serde_json::from_str(log.lines().last().unwrap()).unwrap()
}

// RFC 6749 §10.12 — N103
#[tokio::test]
async fn a_consent_form_counts_once_and_only_with_its_own_token() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    let of_another = ("form", "AAAA");
    for (fields, status) in [
        (vec![of_another, ("request_form", "AAAA")], StatusCode::FORBIDDEN),
        (vec![of_another], StatusCode::CONFLICT),
    ] {
        let fields = [fields, vec![("decision", "allow")]].concat();
        assert_eq!(browser.send("/consent", &page, &fields).await.status, status);
    }
    browser.with_forms = vec![("sec-fetch-site", "cross-site")];
    assert_eq!(answer(&mut browser, &page, "allow").await.status, StatusCode::FORBIDDEN);
    browser.with_forms = Vec::new();
    assert_eq!(answer(&mut browser, &page, "allow").await.status, StatusCode::SEE_OTHER);
    assert_eq!(answer(&mut browser, &page, "allow").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(site.store.lock().grants.len(), 1);
}

// RFC 6749 §10.12 — N104
#[tokio::test]
async fn the_answer_to_one_request_is_no_answer_to_another() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let shown = ask(&mut browser, &site.request(|_| {})).await;
    let other = site.request(|pending| pending.scope = "graph:write".parse().unwrap());
    ask(&mut browser, &other).await; // two tabs
    let fields = [("decision", "allow"), ("request", other.as_str())];
    let swapped = browser.send("/consent", &shown, &fields).await;
    assert_eq!(swapped.status, StatusCode::FORBIDDEN);
    assert!(site.store.lock().grants.is_empty());
}

// RFC 6749 §10.12 — N104
#[tokio::test]
async fn a_request_belongs_to_the_session_that_opened_it() {
    let site = Site::new();
    let (mut first, mut second) = (site.administrator().await, Browser::new(&site));
    second.log_in(PASSWORD).await;
    let handle = site.request(|_| {});
    let page = ask(&mut first, &handle).await;
    assert_eq!(ask(&mut second, &handle).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer(&mut second, &page, "allow").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer(&mut first, &page, "allow").await.status, StatusCode::SEE_OTHER);
}

// RFC 9700 §2.1 — N105
#[tokio::test]
async fn a_person_named_in_the_form_is_nobody() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    let fields = [("decision", "allow"), ("user_email", "ceo@contoso.example"), ("sub", "1")];
    browser.send("/consent", &page, &fields).await;
    let admin = site.store.lock().users[0].id;
    assert_eq!(site.store.lock().grants[0].user_id, Some(admin));
    let mut stranger = Browser::new(&site);
    let handle = site.request(|_| {});
    let answer = stranger.post("/consent", &[("request".to_owned(), handle)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

// MCP authorization, confused deputy — CD-1, CD-2, AS-30
#[tokio::test]
async fn what_was_allowed_is_not_asked_again_and_a_step_up_shows_the_new_only() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    answer(&mut browser, &page, "allow").await;
    let again = ask(&mut browser, &site.request(|_| {})).await;
    assert!(again.body.contains("http-equiv=\"refresh\""));
    assert_eq!(site.store.lock().grants.len(), 2);
    let more = |pending: &mut crate::authorization_server::Pending| {
        pending.scope = "graph:read graph:write".parse().unwrap();
    };
    let page = ask(&mut browser, &site.request(more)).await;
    assert!(page.body.contains("It will also be able to"));
    let (new, before) = page.body.split_once("What you have allowed it before").unwrap();
    assert!(new.contains("graph:write") && !new.contains("graph:read"));
    assert!(before.contains("graph:read"));
    let insists = site.request(|pending| pending.prompt.consent = true);
    assert!(ask(&mut browser, &insists).await.body.contains("It asks again"));
}

#[tokio::test]
async fn a_yes_is_asked_for_again_after_half_a_year_however_often_it_was_used() {
    const DAY: Duration = Duration::from_hours(24);
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    answer(&mut browser, &page, "allow").await;
    for (days, asked) in [(100, false), (79, false), (2, true)] {
        site.clock.advance(DAY * days);
        browser.log_in(PASSWORD).await;
        let page = ask(&mut browser, &site.request(|_| {})).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(!page.body.contains("http-equiv=\"refresh\""), asked, "{days}");
    }
}

// MCP client ID metadata documents, localhost — N102, AS-14, AS-22
#[tokio::test]
async fn an_app_on_this_computer_is_asked_about_every_time_and_warned_of() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    for _ in 0..2 {
        let local = "http://localhost:3118/callback";
        let handle = site.request(|pending| pending.redirect_uri = local.to_owned());
        let page = ask(&mut browser, &handle).await;
        assert!(page.body.contains("<strong>on this computer</strong>"));
        assert!(page.body.contains("Did you start this yourself"));
        assert!(
            page.body.contains("Uses the name of claude.ai: which program it is cannot be checked")
        );
        assert!(answer(&mut browser, &page, "allow").await.location().starts_with(local));
    }
}

/// Its operator may have been told since the request came.
#[tokio::test]
async fn a_request_of_a_client_whose_host_is_denied_now_can_only_be_left() {
    let site = Site::trusting(HostTrust::Deny);
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.body.contains("Your app is not allowed here"), "{}", page.body);
    assert!(site.store.lock().grants.is_empty());
    let recorded = last_event(&site).await;
    assert_eq!(recorded["event_type"], "oauth.authorization.refused");
    assert_eq!(recorded["client_id"], "https://claude.ai/oauth/client.json");
    assert_eq!(recorded["requester_id"], site.store.lock().users[0].id.to_string());
    assert_eq!(recorded["payload"]["error"], "invalid_client");
    assert!(page.body.contains(recorded["request_id"].as_str().unwrap()), "{recorded}");
}

#[tokio::test]
async fn where_people_are_asked_every_time_a_step_up_keeps_what_they_allowed_and_shows_all_of_it() {
    let site = Site::trusting(HostTrust::Ask);
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    answer(&mut browser, &page, "allow").await;
    let more = site.request(|pending| pending.scope = "graph:write".parse().unwrap());
    let page = ask(&mut browser, &more).await;
    assert!(page.body.contains("a host that your organisation has not approved"));
    assert!(page.body.contains("graph:read") && page.body.contains("graph:write"));
    assert!(!page.body.contains("What you have allowed it before"), "{}", page.body);
    answer(&mut browser, &page, "allow").await;
    let granted = site.store.lock().grants[1].scopes.clone();
    assert!(granted.to_string().contains("graph:read"), "{granted}");
}

// RFC 7591 §5 — N93
#[tokio::test]
async fn a_client_that_registered_itself_is_called_unverified() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let app = ClientRow {
        id: "app".parse().unwrap(),
        kind: ClientKind::Dynamic,
        metadata: r#"{"redirect_uris":["https://claude.ai/api/mcp/auth_callback"]}"#.to_owned(),
        metadata_digest: Digest::of("app"),
        secret: None,
        previous_secret: None,
        registration_token: None,
        created_at: site.clock.now(),
        last_used_at: site.clock.now(),
        expires_at: None,
        disabled_at: None,
    };
    site.store.lock().clients.push(app.clone());
    let handle = site.request(|pending| pending.client_id = app.id);
    let page = ask(&mut browser, &handle).await;
    assert!(page.body.contains("Unverified: anybody can use this name"));
}

// RFC 6749 §3.3 — N115
#[tokio::test]
async fn administration_is_left_out_and_said_so() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let more = |pending: &mut crate::authorization_server::Pending| {
        pending.scope = "graph:read broker:admin".parse().unwrap();
    };
    let page = ask(&mut browser, &site.request(more)).await;
    assert!(page.body.contains("It asked for 1 more thing") && !page.body.contains("broker:admin"));
    answer(&mut browser, &page, "allow").await;
    assert_eq!(site.store.lock().grants[0].scopes.to_string(), "graph:read");
}

// CSP form-action — N107
#[tokio::test]
async fn an_app_with_a_scheme_of_its_own_is_reached_by_a_link_and_a_refresh() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|pending| {
        "cursor://anysphere.cursor-mcp/oauth/callback".clone_into(&mut pending.redirect_uri);
    });
    let page = ask(&mut browser, &handle).await;
    let done = answer(&mut browser, &page, "allow").await;
    assert_eq!(done.status, StatusCode::OK);
    assert!(
        done.body.contains("content=\"0; url=cursor://anysphere.cursor-mcp/oauth/callback?code=")
    );
    assert!(done.body.contains("href=\"cursor://"));
}

#[tokio::test]
async fn a_login_leads_on_to_the_request_and_a_new_login_is_asked_for_once() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    site.clock.advance(std::time::Duration::from_mins(5));
    let handle = site.request(|pending| pending.prompt.login = true);
    let path = format!("/login?request={handle}");
    let page = browser.get(&path).await;
    assert!(page.body.contains("the request of <strong>claude.ai</strong>"));
    site.clock.advance(std::time::Duration::from_secs(1));
    let fields = [("username", "admin"), ("password", PASSWORD)];
    let onward = format!("/consent?request={handle}");
    assert_eq!(browser.send("/login", &page, &fields).await.location(), onward);
    assert_eq!(browser.get(&path).await.location(), onward);
    assert_eq!(Browser::new(&site).get(&onward).await.location(), path);
}

#[tokio::test]
async fn what_is_withdrawn_is_revoked_and_asked_for_again() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let page = ask(&mut browser, &site.request(|_| {})).await;
    answer(&mut browser, &page, "allow").await;
    let account = browser.get("/account").await;
    assert!(account.body.contains("claude.ai"));
    let forged = browser.send("/account/withdraw", &account, &[("client", "other")]).await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let done = browser.send("/account/withdraw", &account, &[]).await;
    assert_eq!(done.location(), "/account");
    assert!(site.store.lock().grants.iter().all(|grant| grant.revoked_at.is_some()));
    let page = ask(&mut browser, &site.request(|_| {})).await;
    assert!(page.body.contains("It will be able to"));
    assert!(site.event_types().await.contains(&"person.consent.withdrawn".to_owned()));
}

// OIDC Core §11
#[tokio::test]
async fn what_is_allowed_offline_lasts_as_long_as_refresh_tokens_are_renewed() {
    let renewed = Duration::from_hours(24 * 6);
    let once = Duration::from_hours(1) + Duration::from_mins(1);
    for (registered, scope, lasts) in [
        (true, "graph:read", renewed),
        (false, "graph:read offline_access", renewed),
        (false, "graph:read", once),
    ] {
        let site = Site::new();
        let mut browser = site.administrator().await;
        let handle = site.request(|pending| {
            pending.refresh = registered;
            pending.scope = scope.parse().unwrap();
        });
        let page = ask(&mut browser, &handle).await;
        answer(&mut browser, &page, "allow").await;
        let ends = site.store.lock().grants[0].expires_at;
        assert_eq!(ends, site.clock.now().plus(lasts), "{scope}");
    }
}

/// What is left of the request is about the person alone, and that is not what was asked for.
#[tokio::test]
async fn a_yes_that_gives_nothing_is_not_recorded_as_one() {
    let site = Site::new();
    let mut browser = site.administrator().await;
    let handle = site.request(|pending| pending.scope = "openid broker:admin".parse().unwrap());
    let page = ask(&mut browser, &handle).await;
    assert_eq!(answer(&mut browser, &page, "allow").await.status, StatusCode::FORBIDDEN);
    assert!(!site.event_types().await.contains(&"oauth.authorization.granted".to_owned()));
    assert!(site.store.lock().grants.is_empty());
}
