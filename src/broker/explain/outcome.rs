//! How a request ended, in words, with what the client meets and which setting is in its way.

use serde_json::Value;

use super::clients::Situation;
use super::record::{Attempt, Event, PAGE};
use super::setting;
use super::view::{OutcomeView, SentView};

pub(super) struct Outcome {
    pub(super) endpoint: String,
    pub(super) sent: Vec<SentView>,
    pub(super) told: OutcomeView,
    /// What to change, where that is a setting and no rule.
    pub(super) changes: Vec<String>,
    /// `None`: the client got what it asked for, or there is none.
    pub(super) situation: Option<Situation>,
}

/// What one event says of it.
struct Said {
    endpoint: String,
    code: String,
    says: String,
    situation: Option<Situation>,
    /// Among what [`setting`] knows.
    about: Option<&'static str>,
}

pub(super) fn of(attempt: &Attempt) -> Outcome {
    let Some(event) = attempt.last() else {
        return Outcome {
            endpoint: String::new(),
            sent: Vec::new(),
            told: OutcomeView { refused: false, code: String::new(), says: String::new() },
            changes: Vec::new(),
            situation: None,
        };
    };
    let mut said = said(attempt, event);
    if let Some(shown) = attempt.event(PAGE).filter(|_| event.event_type != PAGE)
        && let Some(says) = shown.text("says")
    {
        said.says = format!("{}; {says}", said.says);
    }
    let advice = said.about.and_then(|about| setting::to_change(about, &said.code));
    Outcome {
        endpoint: said.endpoint,
        sent: sent(event).chain(question(attempt)).collect(),
        told: OutcomeView {
            refused: said.situation.is_some() || said.about.is_some(),
            code: said.code,
            says: said.says,
        },
        changes: advice.into_iter().map(str::to_owned).collect(),
        situation: said.situation,
    }
}

fn said(attempt: &Attempt, event: &Event) -> Said {
    match event.event_type.as_str() {
        "auth.token.rejected" => rejected(event),
        "auth.scope.insufficient" => challenged(
            event,
            "insufficient_scope",
            "scopes alone stand in the way; the client is told which",
            Situation::ScopeMissing,
        ),
        "auth.login.insufficient" => challenged(
            event,
            "insufficient_user_authentication",
            "the rule asks for another log-in of the same person",
            Situation::LoginWanted,
        ),
        "result.emitted"
        | "policy.decided"
        | "provider.called"
        | "approval.requested"
        | "approval.refused"
        | "policy.condition.failed" => called(attempt, event),
        "tools.listed" => plain("tools/list", "ok", "a list of tools was answered"),
        "oauth.token.refused" | "oauth.token.reuse_detected" => token_refused(event),
        "oauth.authorization.refused" => authorization_refused(event),
        "oauth.authorization.denied" => Said {
            situation: Some(Situation::SentBack),
            ..plain("/consent", "access_denied", "the person did not allow it")
        },
        "oauth.client.refused" => Said {
            endpoint: endpoint(event, "/register"),
            situation: Some(Situation::RegistrationRefused),
            about: Some("registration"),
            says: description(event, "the registration was refused"),
            code: code(event, "error"),
        },
        "person.login.failed" => Said {
            about: Some("login"),
            ..plain("/login", &code(event, "reason"), "somebody did not get in")
        },
        "person.logout.refused" => Said {
            about: Some("logout"),
            ..plain(
                "/login/logout/{provider}",
                &code(event, "reason"),
                "a logout token of an identity provider was not taken",
            )
        },
        PAGE => page(event),
        "admin.request.ended" => administration(event),
        "oauth.userinfo.asked" => userinfo(event),
        other => plain("", other, "this is no refusal; what is on record of it is below"),
    }
}

fn plain(endpoint: &str, code: &str, says: &str) -> Said {
    Said {
        endpoint: endpoint.to_owned(),
        code: code.to_owned(),
        says: says.to_owned(),
        situation: None,
        about: None,
    }
}

fn rejected(event: &Event) -> Said {
    let reason = code(event, "reason");
    let (says, situation) = match reason.as_str() {
        "missing" => ("no access token came with the request", Situation::NoToken),
        _ => ("the access token was not accepted", Situation::TokenRejected),
    };
    Said {
        endpoint: endpoint(event, "an endpoint that needs an access token"),
        code: reason,
        says: says.to_owned(),
        situation: Some(situation),
        about: Some("token"),
    }
}

fn challenged(event: &Event, code: &str, says: &str, situation: Situation) -> Said {
    let tool = event.text("tool_name").unwrap_or_default();
    // Records of older releases do not say it.
    let method = event.text("method").unwrap_or("tools/call");
    Said { situation: Some(situation), ..plain(&format!("{method} {tool}"), code, says) }
}

fn called(attempt: &Attempt, event: &Event) -> Said {
    let tool = attempt.text("tool_name").map(|tool| format!(" {tool}")).unwrap_or_default();
    let method = attempt.text("method").unwrap_or("tools/call");
    let code = attempt.text("error_code").unwrap_or_else(|| match event.event_type.as_str() {
        "approval.requested" => "policy.approval_required",
        _ if attempt.text("decision") == Some("deny") => "policy.denied",
        _ if attempt.text("decision") == Some("ask") => "policy.approval_required",
        _ if attempt.text("status") == Some("cancelled") => "cancelled",
        _ => "ok",
    });
    let situation = match code {
        "ok" | "cancelled" => None,
        "policy.approval_required" => Some(Situation::ApprovalWanted),
        "policy.rate_limited" => Some(Situation::TooMany),
        _ => Some(Situation::ToolRefused),
    };
    let mut says = setting::code_in_words(code).to_owned();
    if let Some(class) = attempt.event("approval.refused").and_then(|event| event.text("class")) {
        says = format!("{says}; the approval: {}", class.replace('_', " "));
    }
    Said {
        endpoint: format!("{method}{tool}"),
        code: code.to_owned(),
        says,
        situation,
        about: situation.map(|_| "call"),
    }
}

fn token_refused(event: &Event) -> Said {
    let reused = event.event_type == "oauth.token.reuse_detected";
    let error = if reused { "invalid_grant".to_owned() } else { code(event, "error") };
    let assertion = error == "invalid_grant" && event.text("grant_type") == Some("jwt_bearer");
    let situation = if assertion { Situation::AssertionRefused } else { refused(&error) };
    let says = match event.text("what") {
        Some(what) if reused => format!(
            "the {} came a second time, which proves a theft or a client that repeats itself: the grant is revoked",
            what.replace('_', " ")
        ),
        _ => description(event, "the client got no tokens"),
    };
    let says = match event.text("rule") {
        Some(rule) => format!("{says}; what of it is not as it has to be: {rule}"),
        None => says,
    };
    let about = match (reused, assertion) {
        (true, _) => "reuse",
        (false, true) => "assertion",
        (false, false) => "oauth",
    };
    let endpoint = endpoint(event, "/token");
    Said { endpoint, code: error, says, situation: Some(situation), about: Some(about) }
}

/// What a client that is told itself has met.
fn refused(error: &str) -> Situation {
    match error {
        "invalid_client" | "unauthorized_client" => Situation::ClientRefused,
        "invalid_grant" => Situation::GrantRefused,
        _ => Situation::OAuthRefused,
    }
}

fn authorization_refused(event: &Event) -> Said {
    let error = code(event, "error");
    let at = endpoint(event, "/authorize");
    // A client that sent its request itself has the answer.
    if matches!(at.as_str(), "/par" | "/device_authorization") {
        return Said {
            says: description(event, "the authorization request was refused"),
            situation: Some(refused(&error)),
            about: Some("authorize"),
            endpoint: at,
            code: error,
        };
    }
    // Nothing proves that the redirect URI is the client's: it is told nothing.
    let page =
        matches!(error.as_str(), "invalid_client" | "invalid_redirect_uri" | "invalid_request_uri");
    let says = match error.as_str() {
        "invalid_client" => {
            "the client is not known here, or its document cannot be read".to_owned()
        }
        "invalid_redirect_uri" => {
            "the redirect URI is none that the client has registered".to_owned()
        }
        "invalid_request_uri" => {
            "the request that was pushed is over, or of another client".to_owned()
        }
        _ => description(event, "the authorization request was refused"),
    };
    Said {
        endpoint: at,
        code: error,
        says,
        situation: Some(if page { Situation::PageShown } else { Situation::SentBack }),
        about: Some("authorize"),
    }
}

fn page(event: &Event) -> Said {
    let says = event.text("says").unwrap_or("a page could not do what it was asked to");
    Said { about: Some("page"), ..plain("a page for people", "page.refused", says) }
}

fn administration(event: &Event) -> Said {
    let status = event.payload.get("status").and_then(Value::as_u64).unwrap_or(0);
    let route = event.text("route").unwrap_or("/api");
    let refusal = event.text("refusal");
    let says = match refusal {
        Some("scope_missing") => "the token has not the scope broker:admin",
        Some(_) => "the token is not of an administrator any more",
        None => "the admin API answered",
    };
    let endpoint = format!("{} {route}", event.text("method").unwrap_or("?"));
    Said {
        about: (status >= 400).then_some("admin"),
        ..plain(&endpoint, refusal.unwrap_or(&format!("http {status}")), says)
    }
}

fn userinfo(event: &Event) -> Said {
    match event.text("error") {
        None => plain("/userinfo", "ok", "the person was told of"),
        Some(error) => Said {
            situation: Some(Situation::OAuthRefused),
            about: Some("token"),
            ..plain("/userinfo", error, "the person was not told of")
        },
    }
}

fn endpoint(event: &Event, otherwise: &str) -> String {
    event.text("endpoint").unwrap_or(otherwise).to_owned()
}

fn code(event: &Event, member: &str) -> String {
    event.text(member).unwrap_or("unknown").to_owned()
}

fn description(event: &Event, otherwise: &str) -> String {
    event.text("error_description").unwrap_or(otherwise).to_owned()
}

/// The parameters that came, by name and length.
fn sent(event: &Event) -> impl Iterator<Item = SentView> {
    let parameters = event.payload.get("parameters").and_then(Value::as_array);
    let parameters = parameters.into_iter().flatten().filter_map(|parameter| {
        let name = parameter.get("name")?.as_str()?.to_owned();
        let shape = match parameter.get("characters").and_then(Value::as_u64) {
            Some(1) => "1 character".to_owned(),
            Some(count) => format!("{count} characters"),
            None => "there".to_owned(),
        };
        Some(SentView { name, shape })
    });
    let resource = event.text("resource").map(|resource| SentView {
        name: "resource".to_owned(),
        shape: format!("{resource} (without its query)"),
    });
    parameters.chain(resource)
}

/// What was asked of policy: the tool, the operation as its rules see it, scopes and groups; no argument.
fn question(attempt: &Attempt) -> Vec<SentView> {
    let Some((_, replay)) = attempt.question() else { return Vec::new() };
    let question = replay.question;
    let mut all = vec![("issuer", question.issuer.to_string())];
    if !question.scopes.is_empty() {
        all.push(("scopes", question.scopes.to_string()));
    }
    let groups: Vec<&str> = question.groups.iter().map(|group| &**group).collect();
    if !groups.is_empty() {
        all.push(("groups that rules name", groups.join(", ")));
    }
    let roles: Vec<&str> = question.roles.iter().map(|role| &**role).collect();
    if !roles.is_empty() {
        all.push(("roles that rules name", roles.join(", ")));
    }
    if let Some(operation) = &question.operation {
        let path = operation.segments.join("/");
        all.push(("operation", format!("{} /{}/{path}", operation.method, operation.version)));
        let names: Vec<&str> = operation.query.iter().map(|name| &**name).collect();
        if !names.is_empty() {
            all.push(("query options", names.join(", ")));
        }
    }
    if let Some(step) = question.clock_step_ms {
        let held = "rules on time were held against both times";
        all.push(("step of our clock", format!("{} s; {held}", step / 1000)));
    }
    if !question.withheld.is_empty() {
        all.push(("claims that are not on record", question.withheld.join(", ")));
    }
    let view = |(name, shape): (&str, String)| SentView { name: name.to_owned(), shape };
    all.into_iter().map(view).collect()
}

#[cfg(test)]
mod tests;
