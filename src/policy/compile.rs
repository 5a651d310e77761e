//! From rules as they are written to rules that can be compared: every fault of every rule in one run.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;
use toml::Spanned;
use toml::de::DeValue;

use crate::id::{Permission, ProfileName, RuleId, TenantId};
use crate::scope::{Scope, ScopeToken};

use super::condition::Condition;
use super::decision::{Approval, Effect, Obligations};
use super::fault::{Fault, PolicyError, Source, locate, one_line};
use super::file::{GraphSpec, RuleSpec};
use super::quoted::written;
use super::rule::{GraphRule, Query, Rule, query_option};
use super::template::Template;
use super::tools::{PatternReader, ToolPatterns, why_none};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];
/// How the ids of rules begin that stand for the registration of a server.
pub(super) const REGISTERED: &str = "registered.";
/// How long an approval lasts where the rule does not say.
const APPROVAL_SECONDS: u32 = 600;

/// What rules are checked against: the parts of the configuration that a decision needs.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The issuer of this broker's own tokens.
    pub issuer: String,
    /// Graph credential profiles and the tenant each acts in.
    pub profiles: Vec<(ProfileName, TenantId)>,
    /// The resource of the configured cloud: used where a call names none.
    pub resource: String,
    /// The resources a call may name.
    pub allowed_resources: Vec<String>,
    /// The permissions any rule may use; `None`: those that the rules name.
    pub allowed_permissions: Option<Vec<Permission>>,
    /// Names of the tools there are, so that deciding about them needs no pattern matching.
    pub tools: Vec<String>,
    /// Those of them that only read; every other tool counts as one that writes.
    pub reading_tools: Vec<String>,
}

/// Compiles rules from one place after the other; their order is the order in which they are looked at.
pub(super) struct Compiler<'a> {
    facts: &'a Facts,
    rules: Vec<Rule>,
    ids: HashSet<String>,
    patterns: PatternReader,
    templates: HashMap<String, Template>,
    pub(super) faults: Vec<Fault>,
}

/// Where a rule is written.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    File { source: Source<'a>, rule: &'a Spanned<DeValue<'a>>, place: &'a str },
    Granted(&'a str),
}

impl<'a> Compiler<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        Self {
            facts,
            rules: Vec::new(),
            ids: HashSet::new(),
            patterns: PatternReader::default(),
            templates: HashMap::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, origin: Origin<'_>, spec: &RuleSpec) {
        let mut rule = RuleCompiler {
            origin,
            spec,
            facts: self.facts,
            patterns: &mut self.patterns,
            templates: &mut self.templates,
            faults: &mut self.faults,
        };
        let before = rule.faults.len();
        if !spec.id.is_empty() && !self.ids.insert(spec.id.clone()) {
            let hint = "give each rule an id of its own";
            rule.fault("id", "id is taken by an earlier rule", hint);
        }
        if spec.id.starts_with(REGISTERED) && matches!(origin, Origin::File { .. }) {
            let hint = "another id: decisions of the two could not be told apart";
            rule.fault(
                "id",
                "ids that begin with `registered.` are those of registered servers",
                hint,
            );
        }
        let compiled = rule.compile();
        if let (Some(compiled), true) = (compiled, self.faults.len() == before) {
            self.rules.push(compiled);
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Rule>, PolicyError> {
        if self.faults.is_empty() { Ok(self.rules) } else { Err(PolicyError(self.faults)) }
    }
}

/// One rule that is being compiled.
struct RuleCompiler<'a, 'c> {
    origin: Origin<'a>,
    spec: &'a RuleSpec,
    facts: &'c Facts,
    patterns: &'c mut PatternReader,
    templates: &'c mut HashMap<String, Template>,
    faults: &'c mut Vec<Fault>,
}

impl RuleCompiler<'_, '_> {
    /// `key` is where the fault is: `graph.paths[1]`.
    fn fault(&mut self, key: &str, message: impl Into<String>, hint: &str) {
        self.fault_within(key, None, &message.into(), hint);
    }

    /// The same, at one of the signs of the text that the key says.
    fn fault_within(&mut self, key: &str, sign: Option<(&str, usize)>, message: &str, hint: &str) {
        let place = match self.origin {
            Origin::Granted(name) => name.to_owned(),
            Origin::File { source, rule, .. } => {
                let at = locate(rule, key);
                let text = source.text.get(at..).unwrap_or_default();
                let within = sign.and_then(|(value, number)| written(text, value, number));
                source.place(at + within.unwrap_or_default())
            }
        };
        let rule = self.spec.id.clone();
        let message = one_line(message);
        self.faults.push(Fault { place, rule, message, hint: hint.to_owned() });
    }

    /// Whether the rule has the key: what it lacks was reported where it was read.
    fn says(&self, key: &str) -> bool {
        match self.origin {
            Origin::Granted(_) => true,
            Origin::File { rule, .. } => rule.get_ref().get(key).is_some(),
        }
    }

    /// Parses each text; what does not parse is reported at its place.
    fn parse<T: FromStr>(&mut self, key: &str, texts: &[String], hint: &str) -> Vec<T>
    where
        T::Err: fmt::Display,
    {
        let mut parsed = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(value) => parsed.push(value),
                Err(error) => {
                    let message = format!("{key}: `{text}`: {error}");
                    self.fault(&format!("{key}[{index}]"), message, hint);
                }
            }
        }
        parsed
    }

    fn compile(&mut self) -> Option<Rule> {
        let spec = self.spec;
        let id = self.id();
        let hint = "a scope is one word without quotes, such as graph:read";
        let scopes: Scope =
            self.parse::<ScopeToken>("scopes", &spec.scopes, hint).into_iter().collect();
        let tools = self.tools();
        let (paths, graph) = spec.graph.as_ref().map(|graph| self.graph(graph)).unzip();
        let when = spec.when.as_ref().and_then(|text| self.when(text, paths.as_deref()));
        self.arguments();
        self.assurance();
        let obligations = self.obligations();
        let place = match self.origin {
            Origin::File { place, .. } => Arc::from(place),
            Origin::Granted(name) => name.into(),
        };
        Some(Rule {
            id: id?,
            effect: spec.effect,
            tools: tools?,
            scopes,
            principals: spec.principals.clone(),
            graph: graph.map_or(Some(None), |graph| graph.map(Some))?,
            arguments: spec.arguments.clone().into_iter().collect(),
            when,
            obligations,
            place,
        })
    }

    /// A client is told which log-in would open the rule, and asks for it in a list with spaces between (`OpenID` Connect Core
    /// §3.1.2.1): what has no place there nobody could ever ask for.
    fn assurance(&mut self) {
        let spec = self.spec;
        let legal = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        let wanted = spec.principals.assurance.iter().flatten().enumerate();
        for (index, value) in wanted.filter(|_| spec.effect != Effect::Deny) {
            if value.is_empty() || !value.chars().all(legal) {
                let key = format!("principals.assurance[{index}]");
                let message = format!("principals.assurance: `{value}` is no value to ask for");
                let hint = "a value of acr is one word without spaces, quotes and backslashes, such as phr";
                self.fault(&key, message, hint);
            }
        }
    }

    fn id(&mut self) -> Option<RuleId> {
        if self.spec.id.is_empty() {
            return None; // reported where it was read
        }
        match self.spec.id.parse() {
            Ok(id) => Some(id),
            Err(error) => {
                let hint = "use letters, digits, `.`, `_` and `-`";
                self.fault("id", format!("id {error}"), hint);
                None
            }
        }
    }

    fn tools(&mut self) -> Option<ToolPatterns> {
        let mut patterns = Vec::with_capacity(self.spec.tools.len());
        for (index, text) in self.spec.tools.iter().enumerate() {
            if let Some(pattern) = self.patterns.read(text) {
                patterns.push(pattern);
            } else {
                let (why, hint) = why_none(text);
                let message = format!("tools: `{text}` {why}");
                self.fault(&format!("tools[{index}]"), message, hint);
            }
        }
        if self.spec.tools.is_empty() && self.says("tools") {
            let hint = "tools = [\".*\"] means every tool";
            self.fault("tools", "tools is empty, so the rule is about nothing", hint);
        }
        (patterns.len() == self.spec.tools.len() && !patterns.is_empty())
            .then(|| ToolPatterns::new(patterns))
    }

    fn when(&mut self, text: &str, paths: Option<&[Template]>) -> Option<Condition> {
        match Condition::compile(text, paths) {
            Ok(condition) => Some(condition),
            Err(faults) => {
                for fault in faults {
                    let message = format!("when: {}", fault.message);
                    let sign = Some((text, fault.offset));
                    self.fault_within("when", sign, &message, &fault.hint);
                }
                None
            }
        }
    }

    fn arguments(&mut self) {
        for (path, allowed) in &self.spec.arguments {
            let plain = |value: &Value| !value.is_object() && !value.is_array();
            if path.is_empty() || path.split('.').any(str::is_empty) {
                let hint = "arguments = { \"customer.region\" = [\"eu\"] }";
                self.fault("arguments", format!("arguments: `{path}` is no dotted path"), hint);
            }
            if allowed.is_empty() || !allowed.iter().all(plain) {
                let message =
                    format!("arguments.{path}: is no list of texts, numbers or truth values");
                let hint = "such as arguments = { \"customer.region\" = [\"eu\", 7, true] }";
                self.fault("arguments", message, hint);
            }
        }
    }

    fn obligations(&mut self) -> Obligations {
        let spec = self.spec;
        let conceal_links = spec.effect != Effect::Deny
            && spec.graph.as_ref().is_some_and(|graph| !graph.reveal_links);
        if spec.effect != Effect::Ask {
            for (key, given) in [
                ("approvers", !spec.approvers.is_empty()),
                ("valid_for_seconds", spec.valid_for_seconds.is_some()),
                ("self_approval", spec.self_approval),
            ] {
                if given {
                    let hint = "write effect = \"ask\", or leave it out";
                    self.fault(key, format!("{key} is for rules that ask"), hint);
                }
            }
            return Obligations { conceal_links, ..Obligations::default() };
        }
        let valid_for_seconds = spec.valid_for_seconds.unwrap_or(APPROVAL_SECONDS);
        if !(30..=86_400).contains(&valid_for_seconds) {
            let message = format!("valid_for_seconds is {valid_for_seconds}: choose 30 to 86400");
            self.fault("valid_for_seconds", message, "leave it out for 600");
        }
        let (approvers, self_approval) = (spec.approvers.clone(), spec.self_approval);
        let approval = Approval { approvers, valid_for_seconds, self_approval };
        Obligations { approval: Some(Arc::new(approval)), conceal_links, ..Obligations::default() }
    }

    /// The paths that can be read, also where the rest has faults: what a condition says of them is none.
    fn graph(&mut self, spec: &GraphSpec) -> (Vec<Template>, Option<GraphRule>) {
        for (index, method) in spec.methods.iter().enumerate() {
            if !METHODS.contains(&method.as_str()) {
                let message =
                    format!("graph.methods: `{method}` is not one of {}", METHODS.join(", "));
                let upper = method.to_ascii_uppercase();
                let hint = match METHODS.iter().find(|known| **known == upper) {
                    Some(known) => format!("write {known}"),
                    None => "Graph has no operation with another method".to_owned(),
                };
                self.fault(&format!("graph.methods[{index}]"), message, &hint);
            }
        }
        if spec.methods.is_empty() || spec.paths.is_empty() {
            let hint = "such as graph = { methods = [\"GET\"], paths = [\"/v1.0/users/{id}\"] }";
            self.fault("graph", "graph needs at least one of methods and one of paths", hint);
        }
        let paths = self.paths(&spec.paths);
        let hint = "a permission of Graph by its name, such as User.Read.All";
        let permissions: Vec<Permission> = self.parse("graph.permissions", &spec.permissions, hint);
        let listed =
            spec.query.as_ref().map(|names| names.iter().map(|name| query_option(name)).collect());
        let query = match (self.spec.effect, listed) {
            (Effect::Deny, Some(list)) => Query::Using(list),
            (Effect::Deny, None) => Query::Any,
            (Effect::Allow | Effect::Ask, Some(list)) => Query::Only(list),
            (Effect::Allow | Effect::Ask, None) => Query::Usual,
        };
        let (methods, reveal_links) = (spec.methods.clone(), spec.reveal_links);
        let rule = self.profile(spec).map(|profile| {
            let paths = paths.clone();
            GraphRule { profile, methods, paths, permissions, query, reveal_links }
        });
        (paths, rule)
    }

    fn paths(&mut self, texts: &[String]) -> Vec<Template> {
        let mut paths = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            if let Some(known) = self.templates.get(text) {
                paths.push(known.clone());
                continue;
            }
            match text.parse::<Template>() {
                Ok(path) => {
                    self.templates.insert(text.clone(), path.clone());
                    paths.push(path);
                }
                Err(error) => {
                    let hint = "such as /v1.0/users/{id}/messages";
                    let message = format!("graph.paths: `{text}`: {error}");
                    self.fault(&format!("graph.paths[{index}]"), message, hint);
                }
            }
        }
        paths
    }

    /// The profile a rule acts with: the one it names, else the only one there is.
    fn profile(&mut self, spec: &GraphSpec) -> Option<ProfileName> {
        let profiles = self.facts.profiles.as_slice();
        let found = match (&spec.profile, profiles) {
            (Some(wanted), _) => profiles.iter().find(|(name, _)| name.as_str() == wanted),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        if found.is_none() {
            let known: Vec<&str> = profiles.iter().map(|(name, _)| name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let wanted = spec.profile.as_deref().unwrap_or("(not named)");
            let message =
                format!("graph.profile: `{wanted}` is not a configured [[graph.profile]]");
            self.fault("graph.profile", message, &format!("configured profiles: {known}"));
        }
        found.map(|(name, _)| name.clone())
    }
}
