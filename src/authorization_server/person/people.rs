//! What all pages share, and their routes.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use url::Url;

use crate::audit::{AuditEvent, Context};
use crate::authorization_server::identity_provider::IdentityProviders;
use crate::authorization_server::login::ElsewhereLimits;
use crate::authorization_server::pages::{
    Fault, OwnWords, PageForm, SCRIPT_PATH, script, see_other,
};
use crate::authorization_server::password::PasswordPool;
use crate::authorization_server::second_factor::Passkeys;
use crate::authorization_server::server::AuthorizationServer;
use crate::authorization_server::session::{CookieKind, CookieValue, FormPurpose, is_same_origin};
use crate::authorization_server::{account, approval, consent, device, explain, login, logout};
use crate::broker::{Approvals, Explainer};
use crate::connections::Connections;
use crate::id::{ClientId, RequestId, TraceId, UserId};

use super::visit::answer_faults;

/// What the pages are given beside the authorization server.
#[derive(Clone, Debug)]
pub struct PeopleSettings {
    pub providers: IdentityProviders,
    /// Origins that are us: `public_url` and, on loopback, its alias. The first is `public_url`'s.
    pub origins: Vec<Url>,
    pub passwords: PasswordPool,
    /// Calls that wait for a person; without it there are no such pages.
    pub approvals: Option<Approvals>,
    /// Accounts at servers behind us; without it there are no such pages.
    pub connections: Option<Connections>,
    /// What scopes mean, in words for people.
    pub scope_words: OwnWords,
    /// Why requests were refused; without it there is no such page.
    pub explainer: Option<Explainer>,
}

/// The state of every page.
#[derive(Clone, Debug)]
pub(crate) struct People {
    pub(crate) server: AuthorizationServer,
    pub(crate) providers: IdentityProviders,
    pub(crate) passwords: PasswordPool,
    pub(crate) approvals: Option<Approvals>,
    pub(crate) connections: Option<Connections>,
    /// `None` where no browser would give one: `public_url` is no place for them.
    pub(crate) passkeys: Option<Passkeys>,
    /// How many logins elsewhere may be begun.
    pub(crate) elsewhere: ElsewhereLimits,
    pub(crate) scope_words: Arc<OwnWords>,
    pub(crate) explainer: Option<Explainer>,
    origins: Arc<[Url]>,
}

/// A form that our own page sent from this browser; the purpose is checked once it is known.
#[derive(Debug)]
pub(crate) struct SentForm {
    pub(crate) fields: PageForm,
}

/// `/login`, `/logout`, `/consent`, `/device`, `/account`, `/approvals`, `/explain` and what is under them.
pub fn people_routes(server: &AuthorizationServer, settings: PeopleSettings) -> Router {
    let PeopleSettings { providers, origins, passwords, approvals, connections, .. } = settings;
    let (scope_words, explainer) = (Arc::new(settings.scope_words), settings.explainer);
    let public_url = server.public_url();
    let origins = if origins.is_empty() { vec![public_url.clone()] } else { origins };
    let origins = origins.into();
    let elsewhere = ElsewhereLimits::new(server);
    let server = server.clone();
    let passkeys = Passkeys::of(server.public_url());
    let people = People {
        server,
        providers,
        passwords,
        approvals,
        connections,
        passkeys,
        elsewhere,
        scope_words,
        explainer,
        origins,
    };
    Router::new()
        .route("/login", get(login::show).post(login::log_in))
        .route("/login/with/{provider}", get(login::start_elsewhere))
        .route("/login/callback/{provider}", get(login::come_back))
        .route("/login/passkey", get(login::again).post(login::log_in_with_passkey))
        .route(SCRIPT_PATH.as_str(), get(script))
        .route("/login/code", get(login::ask_code).post(login::second_step))
        .route("/login/authenticator", get(login::offer_first).post(login::enrol))
        .route("/login/link/{link}", get(login::show_link).post(login::use_link))
        .route("/login/link/{link}/passkey", get(login::to_link).post(login::begin_by_passkey))
        .route(
            "/login/link/{link}/passkey/made",
            get(login::to_link).post(login::finish_by_passkey),
        )
        .route("/logout", get(logout::show).post(logout::log_out))
        .route("/login/logout/{provider}", post(logout::log_out_elsewhere))
        .route("/end-session", get(logout::ask).post(logout::forward))
        .route("/end-session/confirm", post(logout::confirm))
        .route("/consent", get(consent::show).post(consent::decide))
        .route("/device", get(device::show).post(device::type_code))
        .route("/device/answer", post(device::answer))
        .route("/account", get(account::show))
        .route("/account/password", get(account::password).post(account::choose_password))
        .route("/account/authenticator", get(account::authenticator).post(account::set_up))
        .route("/account/authenticator/codes", post(account::other_codes))
        .route("/account/authenticator/remove", post(account::remove))
        .route("/account/passkeys", get(account::passkeys).post(account::add_passkey))
        .route("/account/passkeys/new", get(account::to_passkeys).post(account::new_passkey))
        .route("/account/passkeys/remove", get(account::to_passkeys).post(account::remove_passkey))
        .route("/approvals", get(approval::list))
        .route("/approvals/{id}", get(approval::show).post(approval::answer))
        .route("/explain/{request_id}", get(explain::show))
        .route("/account/withdraw", post(account::withdraw))
        .route("/account/connections/{server}/begin", get(account::begin))
        .route("/account/connections/{server}/callback", get(account::come_back))
        .route("/account/connections/{server}/end", post(account::end))
        .layer(DefaultBodyLimit::max(16 * 1024))
        .layer(from_fn_with_state(people.clone(), answer_faults))
        .with_state(people)
}

impl PeopleSettings {
    /// With nothing beside the providers.
    #[must_use]
    pub fn of(providers: IdentityProviders) -> Self {
        Self {
            providers,
            origins: Vec::new(),
            passwords: PasswordPool::default(),
            approvals: None,
            connections: None,
            explainer: None,
            scope_words: OwnWords::default(),
        }
    }
}

impl People {
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId::generate(self.server.clock.as_ref(), self.server.random.as_ref())
    }

    /// Where people see that they are: the host of `public_url`.
    pub(crate) fn host(&self) -> String {
        let url = self.server.public_url();
        let host = url.host_str().unwrap_or_default();
        url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// What every link and form on a page of ours begins with: the path of `server.public_url`.
    pub(crate) fn root(&self) -> &str {
        self.server.root()
    }

    /// Leads the browser to a page of ours.
    pub(crate) fn lead_to(&self, path: &str) -> Response {
        see_other(&self.server.page_path(path))
    }

    /// The browser's own cookie; a new one where it has none.
    pub(crate) fn browser(&self, headers: &HeaderMap) -> CookieValue {
        let known = self.server.cookies().read(CookieKind::Browser, headers);
        known.unwrap_or_else(|| CookieValue::generate(self.server.random.as_ref()))
    }

    /// Sends the browser's cookie (again), so that it lives on.
    pub(crate) fn remember(&self, browser: &CookieValue, mut response: Response) -> Response {
        const LIVES: std::time::Duration = std::time::Duration::from_hours(24 * 180);
        let line = self.server.cookies().set(CookieKind::Browser, browser, Some(LIVES));
        response.headers_mut().append(header::SET_COOKIE, line);
        response
    }

    /// # Errors
    ///
    /// [`Fault::Forged`] for what no page of ours sent (N103); the form's own token is still to be checked.
    pub(crate) fn form(&self, headers: &HeaderMap, body: &[u8]) -> Result<SentForm, Fault> {
        if !is_same_origin(headers, &self.origins) {
            return Err(Fault::Forged);
        }
        PageForm::parse(headers, body).map(|fields| SentForm { fields }).ok_or(Fault::Forged)
    }

    pub(crate) async fn audit(
        &self,
        request_id: RequestId,
        user_id: Option<UserId>,
        client_id: Option<ClientId>,
        event: AuditEvent,
    ) -> Result<(), Fault> {
        let context = Context {
            request_id,
            trace_id: TraceId::generate(self.server.random.as_ref()),
            requester_id: user_id.and_then(|id| id.to_string().parse().ok()),
            client_id,
            asserted_requester_id: None,
            redactions: Vec::new(),
        };
        self.server.auditor.record(&context, event).await?;
        Ok(())
    }
}

impl SentForm {
    /// # Errors
    ///
    /// [`Fault::Forged`] where the form's token is not for this cookie and purpose.
    pub(crate) fn check(
        &self,
        purpose: FormPurpose<'_>,
        cookie: &CookieValue,
    ) -> Result<(), Fault> {
        purpose.fits(cookie, self.fields.text("form")).then_some(()).ok_or(Fault::Forged)
    }
}

/// Adds a `Set-Cookie` line.
pub(crate) fn with_cookie(mut response: Response, line: HeaderValue) -> Response {
    response.headers_mut().append(header::SET_COOKIE, line);
    response
}
