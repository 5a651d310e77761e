//! Where a policy comes from: a file's text, or rules that other parts of the product grant.

use std::collections::HashMap;

use aws_lc_rs::digest::{Context, SHA256};

use super::compile::{Compiler, Facts, Fault, PolicyError};
use super::decide::Policy;
use super::file::{RawPolicy, RuleSpec};

/// Rules that other parts of the product grant, under a name for error messages.
#[derive(Clone, Debug, Default)]
pub struct Granted {
    pub source: String,
    pub rules: Vec<RuleSpec>,
}

impl Granted {
    /// Reads rules as a policy file has them. They are checked when a policy is loaded with them.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] for a text that is no policy file.
    pub fn parse(source: &str, text: &str) -> Result<Self, PolicyError> {
        let raw: RawPolicy = toml::from_str(text).map_err(|error| syntax(source, text, &error))?;
        let rules = raw.rule.into_iter().map(toml::Spanned::into_inner).collect();
        Ok(Self { source: source.to_owned(), rules })
    }
}

impl Policy {
    /// Reads a policy file and the rules granted beside it.
    ///
    /// `name` is how messages call the file; `label` replaces the file's own `version`.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with every fault of every rule. A file that is not TOML has one fault: the first.
    pub fn load(
        name: &str,
        text: &str,
        label: Option<&str>,
        granted: &[Granted],
        facts: Facts,
    ) -> Result<Self, PolicyError> {
        let raw: RawPolicy = toml::from_str(text).map_err(|error| syntax(name, text, &error))?;
        let mut compiler = Compiler::new(&facts);
        for rule in &raw.rule {
            compiler.add(place(name, text, rule.span().start), rule.get_ref());
        }
        for grants in granted {
            for rule in &grants.rules {
                compiler.add(grants.source.clone(), rule);
            }
        }
        let rules = compiler.finish()?;
        let digest = digest(text, granted, &facts);
        let label = label.or(raw.version.as_deref()).unwrap_or("unnamed");
        let by_tool = index(&rules, &facts);
        Ok(Self {
            version: format!("{label}+{digest}").into(),
            rules,
            by_tool,
            may_assert_requester: raw.may_assert_requester,
            facts,
        })
    }
}

fn index(rules: &[super::rule::Rule], facts: &Facts) -> HashMap<String, Vec<usize>> {
    let matching = |tool: &str| {
        let about =
            |(index, rule): (usize, &super::rule::Rule)| rule.tools.is_match(tool).then_some(index);
        rules.iter().enumerate().filter_map(about).collect()
    };
    facts.tools.iter().map(|tool| (tool.clone(), matching(tool))).collect()
}

/// Twelve hex digits over everything that can change a decision.
fn digest(text: &str, granted: &[Granted], facts: &Facts) -> String {
    let mut context = Context::new(&SHA256);
    context.update(text.as_bytes());
    context.update(format!("{granted:?}{facts:?}").as_bytes());
    let hash = context.finish();
    let start = hash.as_ref().iter().take(6);
    let number = start.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{number:012x}")
}

/// `file:line:column`, both from one.
fn place(name: &str, text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("{name}:{line}:{column}")
}

fn syntax(name: &str, text: &str, error: &toml::de::Error) -> PolicyError {
    let offset = error.span().map_or(0, |span| span.start);
    let message = error.message().to_owned();
    PolicyError(vec![Fault {
        place: place(name, text, offset),
        rule: "-".to_owned(),
        message,
        hint: None,
    }])
}
