//! Routes that describe themselves: what is mounted and what `/api/openapi.json` says come from the same lines.

use axum::Router;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::admin::operations::Operations;

/// A schema, made by one of two generators: for what is sent and for what is answered.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What one method on one path does.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// Unique once the path's first part is before it.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// Names and meanings.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) body: Option<SchemaOf>,
    /// The status of success, and what is answered with it.
    pub(super) status: u16,
    pub(super) answer: Option<SchemaOf>,
    /// Beside 401, 403 and 503, which every operation may answer.
    pub(super) refusals: &'static [u16],
}

impl Operation {
    /// Answers 200 with this.
    pub(super) const fn get(name: &'static str, summary: &'static str, answer: SchemaOf) -> Self {
        Self {
            method: "get",
            name,
            summary,
            query: &[],
            body: None,
            status: 200,
            answer: Some(answer),
            refusals: &[],
        }
    }

    /// Answers 204.
    pub(super) const fn done(
        method: &'static str,
        name: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            name,
            summary,
            query: &[],
            body: None,
            status: 204,
            answer: None,
            refusals: &[404],
        }
    }

    /// Answers 201 with this.
    pub(super) const fn made(name: &'static str, summary: &'static str, answer: SchemaOf) -> Self {
        Self { status: 201, method: "post", ..Self::get(name, summary, answer) }
    }

    pub(super) const fn by(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(super) const fn takes(mut self, body: SchemaOf) -> Self {
        self.body = Some(body);
        self
    }

    pub(super) const fn asks(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    pub(super) const fn refuses(mut self, statuses: &'static [u16]) -> Self {
        self.refusals = statuses;
        self
    }
}

/// A router that remembers what it was told.
#[derive(Default)]
pub(super) struct Described {
    pub(super) router: Router<Operations>,
    pub(super) operations: Vec<(String, Operation)>,
}

impl Described {
    /// Mounts `handler`, which must be of `operation.method` alone.
    pub(super) fn on(
        mut self,
        path: impl Into<String>,
        operation: Operation,
        handler: MethodRouter<Operations>,
    ) -> Self {
        let path = path.into();
        self.router = self.router.route(&path, handler);
        self.operations.push((path, operation));
        self
    }
}
