//! Why a page could not do what it was asked to, and the page that says so.

use std::sync::Arc;

use axum::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::Url;

use crate::audit::AuditError;
use crate::authorization_server::client::ClientError;
use crate::authorization_server::consent::Receiver;
use crate::authorization_server::identity_provider::{Refusal, UpstreamError};
use crate::authorization_server::password::PoolBusy;
use crate::authorization_server::session::BeginError;
use crate::broker::Family;
use crate::connections::ConnectionError;
use crate::id::RequestId;
use crate::oauth_client::Unusable;
use crate::store::StoreError;

use super::error_page::{ErrorPage, error_page, error_page_for, unavailable};

/// A situation that ends in an error page. The log gets the chain, the person what they can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the store did not answer")]
    Store(#[from] StoreError),
    #[error("the password pool is full")]
    Busy(#[from] PoolBusy),
    #[error("the audit log cannot be written")]
    Audit(#[from] AuditError),
    /// Another site's form, a form of another session, a field twice, a text/plain body.
    #[error("the form was not sent by our own page in this browser")]
    Forged,
    /// Unknown, late, answered, or of another browser: not told apart.
    #[error("there is no such authorization request for this browser")]
    NoRequest,
    /// An authorization request that names no client of ours (RFC 6749 §4.1.2.1; N1).
    #[error("the client cannot be known")]
    UnknownClient(#[source] ClientError),
    /// What follows must not be sent to where the request says (N2).
    #[error("the redirect URI is not the client's")]
    WrongRedirect,
    #[error("the address to go on to after the log-out is not the client's")]
    WrongReturn,
    #[error("the authorization request cannot be read: {0}")]
    MalformedRequest(&'static str),
    /// A request of a client that registered itself; the person decides whether it is told (RFC 9700 §4.11.2).
    #[error("the authorization request is refused: {}", .0.refused)]
    Refused(Box<RefusedRequest>),
    #[error("too many authorization requests or logins in a minute")]
    TooMany,
    #[error("nothing of what was asked for may be granted to this person")]
    NothingToGrant,
    #[error("the one-time link is used up, late or unknown")]
    NoLink,
    #[error("there is no such identity provider")]
    NoProvider,
    #[error("the identity provider was disabled or taken out during the login")]
    ProviderEnded,
    #[error("the login that was under way is unknown, late, used or of another browser")]
    NoLogin,
    #[error("there is no such call that waits for this person")]
    NoApproval,
    /// Of this request, for this person, or at all: not told apart.
    #[error("there is nothing to explain to this person")]
    NoExplanation,
    #[error("the audit log cannot be read")]
    Log(#[source] std::io::Error),
    #[error("there are no accounts to connect here")]
    NoConnection,
    #[error("the account at a server behind us cannot be connected or ended")]
    Connection(#[source] ConnectionError),
    #[error("the account is disabled")]
    Disabled,
    #[error("the identity provider did not say who it is")]
    Upstream(#[source] UpstreamError),
}

impl From<BeginError> for Fault {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Stale => Self::NoLogin,
            BeginError::Store(error) => Self::Store(error),
        }
    }
}

/// What a client asked for in vain, and the answer for it.
#[derive(Debug)]
pub(crate) struct RefusedRequest {
    pub(crate) refused: &'static str,
    pub(crate) receiver: Receiver,
    pub(crate) back: Url,
}

impl RefusedRequest {
    fn words(&self) -> ErrorPage {
        let Self { refused, receiver, back } = self;
        let what = format!("What {} asked for cannot be done: {refused}.", receiver.plain);
        ErrorPage::new("Your app's request is refused", what + " Nothing was changed.")
            .step("Go back to your app, and start again there.")
            .step("If you did not come from there, close this page.")
            .back(back, &receiver.plain)
    }
}

/// For [`answer_faults`](crate::authorization_server::person), which makes the page: a fault knows neither the id of its request
/// nor where the pages are.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status(), Extension(Arc::new(self))).into_response()
    }
}

impl Fault {
    pub(crate) fn page(&self, root: &str, request_id: RequestId) -> Response {
        self.page_for(root, request_id, &[])
    }

    /// The same for who has one of these apps, as far as can be told: nothing of it is proven, and nothing but the order of
    /// what they can do depends on it.
    pub(crate) fn page_for(
        &self,
        root: &str,
        request_id: RequestId,
        likely: &[Family],
    ) -> Response {
        let error: &dyn std::error::Error = self;
        tracing::warn!(request.id = %request_id, error, "page.refused");
        match self {
            Self::Store(_) | Self::Busy(_) | Self::Audit(_) | Self::Log(_) => {
                unavailable(root, request_id)
            }
            Self::TooMany => {
                let mut response = error_page(self.status(), root, request_id, &self.words());
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
                response
            }
            _ => error_page_for(self.status(), root, request_id, (&self.words(), likely)),
        }
    }

    /// What it is, with the first cause where that is in words of ours.
    pub(crate) fn in_short(&self) -> String {
        match self {
            Self::UnknownClient(cause) => format!("{self}: {cause}"),
            Self::Upstream(cause) => format!("{self}: {cause}"),
            _ => self.to_string(),
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Store(_)
            | Self::Busy(_)
            | Self::Audit(_)
            | Self::Log(_)
            | Self::UnknownClient(ClientError::Secret(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Forged
            | Self::Disabled
            | Self::ProviderEnded
            | Self::NothingToGrant
            | Self::UnknownClient(ClientError::Denied | ClientError::KeysDenied) => {
                StatusCode::FORBIDDEN
            }
            Self::NoRequest
            | Self::NoLogin
            | Self::UnknownClient(_)
            | Self::WrongRedirect
            | Self::WrongReturn
            | Self::MalformedRequest(_)
            | Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::NoLink
            | Self::NoProvider
            | Self::NoApproval
            | Self::NoExplanation
            | Self::NoConnection => StatusCode::NOT_FOUND,
            Self::Connection(error) => match error {
                ConnectionError::NoServer => StatusCode::NOT_FOUND,
                ConnectionError::Store(_) | ConnectionError::Sealed => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                ConnectionError::Unusable(Unusable::Refused) => StatusCode::FORBIDDEN,
                ConnectionError::Unusable(_) => StatusCode::BAD_GATEWAY,
            },
            Self::Upstream(error) => match error {
                UpstreamError::Refused(_)
                | UpstreamError::NotRequired
                | UpstreamError::NotFresh => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_GATEWAY,
            },
        }
    }

    fn words(&self) -> ErrorPage {
        match self {
            Self::Forged => ErrorPage::new(
                "This form has expired",
                "It does not belong to what this browser is doing now. Nothing was changed.",
            )
            .step("Go back, reload the page, and send the form again.")
            .step("If you did not send a form yourself, close this page: another site may have tried to."),
            Self::NoRequest => ErrorPage::new(
                "This request is over",
                "It was answered already, took too long, or was started in another browser.",
            )
            .start_again(),
            Self::UnknownClient(error) => unknown_client(error),
            Self::WrongRedirect => ErrorPage::new(
                "Your app asked for an answer at an unknown place",
                "The redirect URI of this request is not one that the app has registered. For your safety nothing is sent there.",
            )
            .start_again()
            .step("If you did not start this yourself, close this page."),
            Self::WrongReturn => ErrorPage::new(
                "An app asked you to log out, and to go on to an unknown place",
                "The app has not registered that place, so for your safety nobody is led there. You are still logged in, and nothing was changed.",
            )
            .link("/logout", "Log out here"),
            Self::MalformedRequest(what) => ErrorPage::new(
                "This request cannot be read",
                format!("Something is wrong with what your app sent: {what}. Nothing was changed."),
            )
            .start_again(),
            Self::Refused(request) => request.words(),
            Self::TooMany => ErrorPage::new(
                "Too many tries at once",
                "There were more in a minute than one person, or one network, may make. Nothing was changed.",
            )
            .step("Wait a minute, then start again from your app."),
            Self::NothingToGrant => ErrorPage::new(
                "There is nothing you may allow",
                "What was asked for is not for you, or not for this app. Nothing was changed.",
            )
            .step("Ask an administrator which scopes you may use."),
            Self::NoLink => ErrorPage::new(
                "This link does not work any more",
                "Each link works once and for a limited time.",
            )
            .step("Ask an administrator for a new one. On your own machine: restart the broker, it prints a new link."),
            Self::ProviderEnded => ErrorPage::new(
                "You cannot log in there any more",
                "This way to log in was closed while you were on it. Nothing was changed.",
            )
            .step("Log in another way, or ask an administrator which one is yours.")
            .link("/login", "To the login page"),
            Self::NoProvider => {
                ErrorPage::new("There is nothing here", "No identity provider has this name.")
                    .link("/login", "To the login page")
            }
            Self::NoApproval => ErrorPage::new(
                "There is nothing here for you",
                "The call was answered long ago, never asked for, or others answer it.",
            )
            .link("/approvals", "To what waits for you"),
            Self::NoExplanation => ErrorPage::new(
                "There is nothing here for you",
                "Administrators can see here why a request was refused.",
            )
            .link("/account", "To your account"),
            Self::NoConnection => connection(&ConnectionError::NoServer),
            Self::Connection(error) => connection(error),
            Self::NoLogin => ErrorPage::new(
                "This login is over",
                "It took too long, was finished already, or was started in another browser.",
            )
            .step("Start again from your client, or from the login page.")
            .link("/login", "To the login page"),
            Self::Disabled => ErrorPage::new(
                "This account is switched off",
                "You are who you say you are, but an administrator has disabled the account.",
            )
            .step("Ask an administrator."),
            Self::Upstream(error) => upstream(error),
            Self::Store(_) | Self::Busy(_) | Self::Audit(_) | Self::Log(_) => ErrorPage::default(),
        }
    }
}

/// Why a client cannot be known, for who came with it.
fn unknown_client(error: &ClientError) -> ErrorPage {
    match error {
        ClientError::Document(_) => ErrorPage::new(
            "Your app's own description cannot be read",
            "The app names itself by a document on the web, and that could not be fetched or is not valid. Nothing was changed.",
        )
        .step("Wait a minute, then try again. If it keeps failing, give an administrator the request id below."),
        ClientError::Denied | ClientError::KeysDenied => ErrorPage::new(
            "Your app is not allowed here",
            "Whoever runs this broker takes no apps from the host that publishes it, or its keys. Nothing was changed.",
        )
        .step("If you need this app, give an administrator the request id below."),
        ClientError::Secret(_) => ErrorPage::new(
            "Your app cannot be looked up now",
            "Something that the broker keeps about it cannot be read. Nothing was changed.",
        )
        .step("Wait a minute, then try again. If it keeps failing, give an administrator the request id below."),
        ClientError::Unknown
        | ClientError::Expired
        | ClientError::Disabled
        | ClientError::Revoked
        | ClientError::Store(_) => ErrorPage::new(
            "Your app is not known here",
            "It uses an old or unknown registration. It has to register again; most apps do when they are told to start over.",
        )
        .start_again(),
    }
}

/// What became of connecting an account at a server.
fn connection(error: &ConnectionError) -> ErrorPage {
    let page = match error {
        ConnectionError::NoServer => ErrorPage::new(
            "There is nothing here",
            "People connect no accounts at a server of this name.",
        ),
        ConnectionError::Unusable(Unusable::Refused) => ErrorPage::new(
            "Your account was not connected",
            "It was cancelled, or the other side does not allow it. Nothing was changed.",
        ),
        _ => ErrorPage::new(
            "Your account could not be connected",
            "The other side could not be reached, or what it answered could not be accepted. Nothing was changed.",
        )
        .step("Try again. If it keeps failing, give an administrator the request id below."),
    };
    page.link("/account", "To your account")
}

/// Never repeats what the provider wrote: an attacker may have written it.
fn upstream(error: &UpstreamError) -> ErrorPage {
    let page = match error {
        UpstreamError::Refused(Refusal::AccessDenied) => ErrorPage::new(
            "You were not logged in",
            "The login was cancelled, or your organisation does not let you in here.",
        ),
        UpstreamError::NotRequired => ErrorPage::new(
            "This account may not log in here",
            "The broker only lets in accounts of certain organisations or groups, and yours is not among them.",
        )
        .step("Log out at the identity provider and choose another account."),
        UpstreamError::NotFresh => ErrorPage::new(
            "Your app asks for a fresh login",
            "Your identity provider does not confirm that you have just proved who you are. Nothing was changed.",
        )
        .step("Log out at the identity provider, then start again from your app.")
        .step("If it keeps failing, this identity provider cannot do it: log in another way, or ask an administrator."),
        UpstreamError::Unreachable(_) | UpstreamError::Refused(Refusal::Temporary) => {
            ErrorPage::new(
                "The login service does not answer",
                "Your identity provider could not be reached. Nothing was changed.",
            )
            .step("Wait a moment, then try again.")
        }
        _ => ErrorPage::new(
            "The login did not work",
            "What your identity provider answered could not be accepted. Nothing was changed.",
        )
        .step("Try again. If it keeps failing, give an administrator the request id below."),
    };
    page.link("/login", "To the login page")
}
