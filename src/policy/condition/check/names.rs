//! The names that a condition knows.

use cel::IdedExpr as Expression;
use cel::common::ast::{Expr, SelectExpr};

use crate::policy::rule::query_option;

use super::{Check, Roots, Uses};

const REQUEST: [&str; 5] = ["tool", "method", "version", "tenant", "write"];
const CALLER: [&str; 5] = ["subject", "client_id", "issuer", "groups", "roles"];
/// Scopes are a rule's `scopes`, where a step-up can be told from a refusal.
const SCOPE_CLAIMS: [&str; 4] = ["scope", "scp", "scopes", "mcp_tool_scopes"];

impl Check<'_> {
    /// A name by itself.
    pub(super) fn ident(&mut self, at: &Expression, name: &str) -> Uses {
        match name {
            "now" => Uses { roots: Roots::NOW, large: 0 },
            "claims" | "arguments" | "caller" | "request" | "path" | "query" => {
                self.fault(
                    at,
                    format!("`{name}` is used as a whole"),
                    &format!("name a part of it, such as {name}.NAME"),
                );
                Uses::default()
            }
            unknown => self.unknown_name(at, unknown),
        }
    }

    fn unknown_name(&mut self, at: &Expression, name: &str) -> Uses {
        self.fault(
            at,
            format!("`{name}` is not a name that conditions know"),
            "the names are claims, caller, request, path, query, arguments and now",
        );
        Uses::default()
    }

    pub(super) fn select(&mut self, at: &Expression, select: &SelectExpr) -> Uses {
        match &select.operand.expr {
            Expr::Ident(root) => {
                self.nodes += 1;
                self.member(at, root, &select.field)
            }
            _ => self.uses(&select.operand),
        }
    }

    /// `root.field` or `root["field"]`.
    pub(super) fn member(&mut self, at: &Expression, root: &str, field: &str) -> Uses {
        match root {
            "claims" if SCOPE_CLAIMS.contains(&field) => {
                self.fault(
                    at,
                    format!("claims.{field} holds scopes"),
                    "name them in the rule's `scopes`: there a missing one can be asked for",
                );
                Uses::default()
            }
            "claims" if field == "groups" => {
                self.claims.push(field.to_owned());
                Uses { roots: Roots::CLAIMS.with(Roots::GROUPS), large: 1 }
            }
            "claims" if field == "roles" => {
                self.claims.push(field.to_owned());
                Uses { roots: Roots::CLAIMS.with(Roots::ROLES), large: 1 }
            }
            "claims" => {
                self.claims.push(field.to_owned());
                Uses { roots: Roots::CLAIMS, large: 1 }
            }
            "arguments" => Uses { roots: Roots::ARGUMENTS, large: 1 },
            "query" => self.query(at, field),
            "path" => self.path(at, field),
            "caller" => {
                self.known(at, root, field, &CALLER);
                let groups = match field {
                    "groups" => Roots::GROUPS.with(Roots::LISTS),
                    "roles" => Roots::ROLES.with(Roots::LISTS),
                    _ => Roots::default(),
                };
                Uses { roots: Roots::CALLER.with(groups), large: 1 }
            }
            "request" => {
                self.known(at, root, field, &REQUEST);
                let operation = if field == "tool" { Roots::default() } else { Roots::OPERATION };
                Uses { roots: Roots::REQUEST.with(operation), large: 0 }
            }
            "now" => {
                self.fault(
                    at,
                    "`now` has no parts",
                    "call a function: now.getHours('Europe/Berlin')",
                );
                Uses::default()
            }
            unknown => self.unknown_name(at, unknown),
        }
    }

    fn known(&mut self, at: &Expression, root: &str, field: &str, fields: &[&str]) {
        if !fields.contains(&field) {
            let hint = format!("{root} has {}", fields.join(", "));
            self.fault(at, format!("{root}.{field} is not known"), &hint);
        }
    }

    fn path(&mut self, at: &Expression, name: &str) -> Uses {
        let captured = self.paths.is_some_and(|paths| {
            paths.iter().all(|path| path.names().any(|captured| captured == name))
        });
        if !captured {
            let hint = match self.paths {
                Some(_) => format!("write {{{name}}} where it stands in each of graph.paths"),
                None => "a rule without `graph` has no path".to_owned(),
            };
            self.fault(at, format!("path.{name} is not captured by every path of the rule"), &hint);
        }
        Uses { roots: Roots::PATH, large: 1 }
    }

    fn query(&mut self, at: &Expression, name: &str) -> Uses {
        if self.paths.is_none() {
            self.fault(at, "a rule without `graph` has no query", "add graph = { … } to the rule");
        }
        if query_option(name) != name {
            let right = query_option(name);
            self.fault(at, format!("query has no `{name}`"), &format!("spell it {right}"));
        }
        Uses { roots: Roots::QUERY, large: 1 }
    }
}
