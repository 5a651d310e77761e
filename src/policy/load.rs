//! Where a policy comes from: a file's text, or rules that other parts of the product grant.

use aws_lc_rs::digest::{Context, SHA256};

use super::compile::{Compiler, Facts, Origin};
use super::decide::Policy;
use super::fault::{PolicyError, Source};
use super::file::RuleSpec;
use super::index::Index;
use super::limited::Limited;
use super::names::Names;
use super::read::{Foreign, Trusted, read};
use super::rule::Rule;

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
    /// [`PolicyError`] with everything in the text that cannot be read.
    pub fn parse(source: &str, text: &str) -> Result<Self, PolicyError> {
        let mut faults = Vec::new();
        let raw = read(Source { name: source, text }, &mut faults);
        if !faults.is_empty() {
            return Err(PolicyError(faults));
        }
        let rules = raw.rules.into_iter().map(|(spec, _)| spec).collect();
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
    /// [`PolicyError`] with every fault of the file and of every rule.
    pub fn load(
        name: &str,
        text: &str,
        label: Option<&str>,
        granted: &[Granted],
        facts: Facts,
    ) -> Result<Self, PolicyError> {
        let source = Source { name, text };
        let mut compiler = Compiler::new(&facts);
        let raw = read(source, &mut compiler.faults);
        let mut lines = Lines::new(source);
        for (spec, rule) in &raw.rules {
            let place = lines.place(rule.span().start);
            compiler.add(Origin::File { source, rule, place: &place }, spec);
        }
        for grants in granted {
            for spec in &grants.rules {
                compiler.add(Origin::Granted(&grants.source), spec);
            }
        }
        compiler.faults.sort_by_key(|fault| line(&fault.place));
        let rules = compiler.finish()?;
        let trusted = raw.may_assert_requester.into_iter().map(|trusted| match trusted {
            Trusted::Ours(client) => (client, facts.issuer.clone()),
            Trusted::Of(Foreign { client, issuer }) => (client, issuer),
        });
        let may_assert_requester: Vec<_> = trusted.collect();
        let specs = raw.rules.iter().map(|(spec, _)| spec);
        let digest = digest(specs, granted, (&facts, &may_assert_requester));
        let label = label.or(raw.version.as_deref()).unwrap_or("unnamed");
        Ok(Self {
            version: format!("{label}+{digest}").into(),
            index: Index::new(&rules, &facts),
            looks_at_time: rules.iter().any(Rule::looks_at_time),
            looks_at_login: rules.iter().any(|rule| rule.login().is_some()),
            names: Names::of(&rules),
            limited: Limited::default(),
            rules,
            may_assert_requester,
            facts,
        })
    }
}

/// `file:line:column` of places that come in their order, without counting from the start each time.
struct Lines<'a> {
    source: Source<'a>,
    offset: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    const fn new(source: Source<'a>) -> Self {
        Self { source, offset: 0, line: 1 }
    }

    fn place(&mut self, offset: usize) -> String {
        let Some(between) = self.source.text.get(self.offset..offset) else {
            return self.source.place(offset);
        };
        self.line += between.matches('\n').count();
        self.offset = offset;
        let before = self.source.text.get(..offset).unwrap_or_default();
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        format!("{}:{}:{column}", self.source.name, self.line)
    }
}

/// The line in `file:line:column`.
fn line(place: &str) -> usize {
    place.rsplit(':').nth(1).and_then(|line| line.parse().ok()).unwrap_or(usize::MAX)
}

/// Twelve hex digits over everything that can change a decision. How the file is laid out, and what its comments say, cannot.
fn digest<'a>(
    rules: impl Iterator<Item = &'a RuleSpec>,
    granted: &[Granted],
    (facts, trusted): (&Facts, &[(String, String)]),
) -> String {
    // Who we are matters to those alone who are trusted at our own issuer.
    let facts = Facts { issuer: String::new(), ..facts.clone() };
    let mut context = Context::new(&SHA256);
    for rule in rules {
        context.update(format!("{rule:?}").as_bytes());
    }
    context.update(format!("{granted:?}{facts:?}{trusted:?}").as_bytes());
    let hash = context.finish();
    let start = hash.as_ref().iter().take(6);
    let number = start.fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{number:012x}")
}
