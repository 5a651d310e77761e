//! What comes in: bodies, paths and queries whose faults are problem documents, too.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::operations::PageQuery;
use crate::store::Page;

use super::problem::problem;

/// A JSON body with known members only (N113: nothing is assigned that the operation does not name).
#[derive(Debug)]
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
        // A form of another page cannot send this type without a preflight.
        if !essence.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
            let detail = "the body must be application/json";
            return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail, None, None));
        }
        let bytes = Bytes::from_request(request, state).await;
        let bytes = bytes.map_err(BytesRejection::into_response)?;
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        serde_path_to_error::deserialize(&mut reader).map(Self).map_err(|error| {
            // serde's own text may quote what was sent; the path is made of members that we know.
            let place = error.inner();
            let detail = format!(
                "the body is not what this operation takes, at line {} column {}",
                place.line(),
                place.column()
            );
            let hint = Some("a member is unknown, missing or of another type");
            problem(StatusCode::UNPROCESSABLE_ENTITY, &detail, hint, None)
        })
    }
}

/// Path parameters; one that cannot be an identifier is one that does not exist.
#[derive(Debug)]
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let found = Path::from_request_parts(parts, state).await;
        found
            .map(|Path(id)| Self(id))
            .map_err(|_| problem(StatusCode::NOT_FOUND, "there is no such object", None, None))
    }
}

/// A query with known members only.
#[derive(Debug)]
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let found = Query::from_request_parts(parts, state).await;
        found.map(|Query(query)| Self(query)).map_err(|_| {
            let hint =
                Some("after and limit (1 to 200); for grants also user_id, client_id, ended; for people last_administrator; for pins changed");
            problem(StatusCode::UNPROCESSABLE_ENTITY, "the query is not understood", hint, None)
        })
    }
}

/// A page of a list.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
    /// What `after` must be for the next page; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
}

pub(super) fn items<T: Serialize>(page: Page<T>) -> axum::Json<Items<T>> {
    axum::Json(Items { items: page.rows, next: page.next })
}

/// What `?after=…&limit=…` mean.
pub(super) const PAGING: &[(&str, &str)] =
    &[("after", "`next` of the page before"), ("limit", "1 to 200; 50 where it is absent")];

/// `?after=…&limit=…`
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    after: Option<String>,
    limit: Option<u32>,
}

impl From<Paging> for PageQuery {
    fn from(paging: Paging) -> Self {
        Self { after: paging.after, limit: paging.limit }
    }
}
