//! The broker as clients see it: its name, the way to it, and whether what is in front of it passes what clients need.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use url::{Host, Url};

use crate::app::endpoints::{issuer, names};
use crate::app::map;
use crate::config::Config;
use crate::outbound::{Answer, Call, Limits, Outbound, OutboundError, PrivateTarget};
use crate::resource_server::well_known_url;
use crate::time::{Clock, Timestamp};

use super::forwarded::{self, CLAIMED, FORWARDED_FOR};
use super::{Area, Step, Verdict, lookup};

pub(super) const LIMITS: Limits =
    Limits { timeout: Duration::from_secs(10), max_bytes: 256 * 1024 };
const URL: &str = "server.public_url";
/// No token at all: whoever sees it refused knows that it arrived.
const NO_TOKEN: &str = "Bearer broker-doctor";
/// What verifiers commonly allow clocks to differ by.
const LEEWAY: Duration = Duration::from_mins(1);
const NOTICEABLE: Duration = Duration::from_secs(5);
/// Half of what clients wait whose patience is known.
const SLOW: Duration = Duration::from_secs(5);

pub(super) async fn look(config: &Config, clock: &Arc<dyn Clock>) -> Vec<Step> {
    let mut steps = vec![name(config, clock).await];
    let outbound = match client(config) {
        Ok(outbound) => outbound,
        Err(problem) => {
            steps.push(Step::bad(Area::PublicUrl, "outbound", problem));
            return steps;
        }
    };
    let Some((answer, at)) = health(config, &outbound, clock, &mut steps).await else {
        let why = "not asked, for the broker is not reached under its public name";
        steps.push(Step::skipped(Area::ProxyHeaders, why));
        steps.push(time(config, &outbound, clock, None).await);
        return steps;
    };
    steps.push(metadata(config, &outbound).await);
    steps.extend(headers(config, &outbound).await);
    steps.push(tls(config));
    steps.push(time(config, &outbound, clock, Some((&answer, at))).await);
    steps
}

/// A member that is a text.
pub(super) fn text<'a>(document: &'a Value, member: &str) -> Option<&'a str> {
    document.get(member).and_then(Value::as_str)
}

/// Whether the name has an address, and how soon that is known.
async fn name(config: &Config, clock: &Arc<dyn Clock>) -> Step {
    let url = &config.server.public_url;
    let Some(Host::Domain(host)) = url.host() else {
        return Step::skipped(Area::Dns, "server.public_url names an address");
    };
    let port = url.port_or_known_default().unwrap_or(443);
    lookup::judge(Area::Dns, host, &lookup::look_up(host, port, &**clock).await)
}

/// A client as the broker's, which may reach its own name wherever that is.
pub(super) fn client(config: &Config) -> Result<Outbound, String> {
    let mut settings = map::outbound(config);
    let host = config.server.public_url.host_str().unwrap_or_default();
    settings.allow_private.extend(host.trim_matches(['[', ']']).parse::<PrivateTarget>());
    Outbound::new(&settings).map_err(|error| error.to_string())
}

pub(super) fn below(config: &Config, path: &str) -> Url {
    let mut url = config.server.public_url.clone();
    url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    url
}

/// Whether a broker answers under the public name. With when it did: other steps take their time.
async fn health(
    config: &Config,
    outbound: &Outbound,
    clock: &Arc<dyn Clock>,
    steps: &mut Vec<Step>,
) -> Option<(Answer, Timestamp)> {
    let bad = |found: String| Step::bad(Area::PublicUrl, URL, found);
    let began = clock.monotonic();
    let answer = match outbound.send(Call::get(below(config, "/health")), LIMITS).await {
        Ok(answer) => answer,
        Err(error) => {
            steps.push(unreached(&error));
            return None;
        }
    };
    let at = clock.now();
    let took = clock.monotonic().saturating_sub(began);
    if took > SLOW {
        let found = format!("/health is answered after {}", super::seconds(took));
        let step = Step::warning(Area::PublicUrl, URL, found);
        steps.push(step.allowed("less than a second; Claude and ChatGPT wait for 10 s").hint(
            "ask the broker itself (broker health): slow there, look at its machine; fast there, at what is between",
        ));
    }
    let document: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let step = match (answer.status, text(&document, "service")) {
        (StatusCode::OK, Some("mcp-auth-broker")) => {
            let version = text(&document, "version").unwrap_or_default();
            steps.push(version_of(config, version));
            return Some((answer, at));
        }
        (StatusCode::MISDIRECTED_REQUEST, _) => bad(
            "the broker answers 421: it is asked for another host".to_owned(),
        )
        .allowed("the Host of server.public_url")
        .hint("let the proxy pass Host as it came, or name the other one in server.allowed_hosts"),
        (status, _) if status.is_redirection() => bad(format!("/health answers {status}"))
            .hint("server.public_url has to be the name that is not redirected"),
        (status, _) => bad(format!("/health answers {status}, and not as a broker does"))
            .hint("something else is there: look where the proxy sends this host and path"),
    };
    steps.push(step);
    None
}

fn version_of(config: &Config, version: &str) -> Step {
    let ours = env!("CARGO_PKG_VERSION");
    let url = &config.server.public_url;
    if version == ours {
        return Step::good(Area::PublicUrl, format!("{url} is a broker of version {version}"));
    }
    let found = format!("{url} is a broker of another version than this program, {ours}");
    Step::warning(Area::PublicUrl, URL, found).hint("use the program that runs there")
}

pub(super) fn unreached(error: &OutboundError) -> Step {
    let (area, hint) = match error {
        OutboundError::Tls { .. } => (
            Area::Tls,
            "the certificate has to be valid for this name, and its chain complete; a private CA is outbound.ca_file here",
        ),
        OutboundError::Connect { .. } => {
            (Area::PublicUrl, "is a broker running (broker health), and does the proxy listen?")
        }
        OutboundError::Timeout { .. } => (
            Area::PublicUrl,
            "a firewall that drops, or a proxy that waits for a broker that is not there",
        ),
        OutboundError::TooLarge { .. } => (
            Area::PublicUrl,
            "no answer of a broker is as large: something else answers there, look where the proxy sends this path",
        ),
        _ => (Area::PublicUrl, "look at what is in front of the broker"),
    };
    Step::bad(area, URL, error.to_string()).hint(hint)
}

/// Whether the documents that clients discover us by name us as we are configured.
async fn metadata(config: &Config, outbound: &Outbound) -> Step {
    let Some(name) = names(&config.server.public_url).into_iter().next() else {
        return Step::skipped(Area::PublicUrl, "server.public_url has no host");
    };
    let url = well_known_url(&name.resource);
    let document = match outbound.send(Call::get(url.clone()), LIMITS).await {
        Ok(answer) if answer.status == StatusCode::OK => answer.body,
        Ok(answer) => {
            let found = format!("{} answers {}", url.path(), answer.status);
            return Step::bad(Area::PublicUrl, URL, found)
                .hint("the proxy has to pass /.well-known/ to the broker, too");
        }
        Err(error) => return unreached(&error),
    };
    let document: Value = serde_json::from_slice(&document).unwrap_or_default();
    let ours = name.resource.as_str();
    if text(&document, "resource") != Some(ours) {
        return Step::bad(Area::PublicUrl, URL, "the metadata there is of another resource")
            .allowed(ours)
            .hint("the broker that runs there has another server.public_url");
    }
    let servers = document.get("authorization_servers").and_then(Value::as_array);
    let servers = servers.cloned().unwrap_or_default();
    let own = issuer(&config.server.public_url);
    if config.authorization_server.enabled && !servers.iter().any(|server| *server == *own) {
        return Step::bad(Area::PublicUrl, URL, "the metadata there names another issuer")
            .allowed(own);
    }
    Step::good(Area::PublicUrl, "clients find the endpoint and its issuer by the metadata")
}

/// Whether what is in front passes `Authorization` in and `WWW-Authenticate` out, without either of which no client logs in;
/// and who the request is taken for.
async fn headers(config: &Config, outbound: &Outbound) -> Vec<Step> {
    let mut call = Call::get(below(config, "/mcp"));
    call.method = Method::POST;
    let mut call = call.header(header::AUTHORIZATION, HeaderValue::from_static(NO_TOKEN));
    if let Ok(claimed) = HeaderValue::try_from(CLAIMED.to_string()) {
        call = call.header(FORWARDED_FOR, claimed);
    }
    let answer = match outbound.send(call, LIMITS).await {
        Ok(answer) => answer,
        Err(error) => return vec![unreached(&error)],
    };
    let step = passed(&answer);
    if step.verdict != Verdict::Good {
        return vec![step];
    }
    vec![step, forwarded::look(config, &answer).await]
}

fn passed(answer: &Answer) -> Step {
    let challenge = answer.header(&header::WWW_AUTHENTICATE);
    let bad = |found: String| Step::bad(Area::ProxyHeaders, URL, found);
    match (answer.status, challenge) {
        (StatusCode::UNAUTHORIZED, Some(challenge)) if challenge.contains("invalid_token") => {
            Step::good(Area::ProxyHeaders, "Authorization arrives, and the challenge comes back")
        }
        (StatusCode::UNAUTHORIZED, Some(_)) => {
            bad("Authorization does not arrive at the broker".to_owned())
                .hint("the proxy takes it away, as one that authenticates by itself does")
        }
        (StatusCode::UNAUTHORIZED, None) => bad("WWW-Authenticate does not come back".to_owned())
            .hint(
                "the proxy takes it away, or answers 401 itself: clients cannot log in without it",
            ),
        (status, _) => bad(format!("/mcp answers {status} to a token that is none"))
            .allowed("401 Unauthorized")
            .hint("look where the proxy sends POST /mcp"),
    }
}

/// A chain that was accepted is all that is known from here.
fn tls(config: &Config) -> Step {
    if config.server.public_url.scheme() == "https" {
        Step::good(Area::Tls, "the certificate is valid for the name, and its chain is trusted")
    } else {
        Step::skipped(Area::Tls, "server.public_url is http")
    }
}

/// Ours against that of others: a token of another clock is not valid yet, or ended.
async fn time(
    config: &Config,
    outbound: &Outbound,
    clock: &Arc<dyn Clock>,
    broker: Option<(&Answer, Timestamp)>,
) -> Step {
    let mut seen: Vec<(String, i64)> = Vec::new();
    let mut note = |who: &str, answer: &Answer, now: Timestamp| {
        let date = answer.header(&header::DATE).and_then(seconds);
        seen.extend(date.map(|date| (who.to_owned(), date - now.unix_seconds())));
    };
    if let Some((answer, at)) = broker {
        note("the public URL", answer, at);
    }
    let others = config.resource_server.issuers.iter().map(|issuer| issuer.issuer.to_string());
    let providers = config.authorization_server.identity_providers.iter();
    let others = others.chain(providers.map(|provider| provider.issuer.clone()));
    for other in others.filter(|issuer| issuer.starts_with("http")) {
        let Ok(url) = Url::parse(&other) else { continue };
        if let Ok(answer) = outbound.send(Call::get(url), LIMITS).await {
            note(&other, &answer, clock.now());
        }
    }
    judge(&seen)
}

fn judge(seen: &[(String, i64)]) -> Step {
    let Some((who, off)) = seen.iter().max_by_key(|(_, off)| off.abs()) else {
        return Step::skipped(Area::Clock, "nobody whose clock could be compared was reached");
    };
    let found = format!("this clock and that of {who} differ by {} s", off.abs());
    let away = Duration::from_secs(off.unsigned_abs());
    let hint = "let the machines keep time (chrony, systemd-timesyncd)";
    match away {
        _ if away > LEEWAY => Step::new(Area::Clock, Verdict::Bad, found)
            .allowed(format!("{} s at most", LEEWAY.as_secs()))
            .hint(hint),
        _ if away > NOTICEABLE => Step::new(Area::Clock, Verdict::Warning, found).hint(hint),
        _ => Step::good(Area::Clock, found),
    }
}

/// Seconds since the epoch of an HTTP date (RFC 9110 §5.6.7), in the one form that is sent today.
fn seconds(date: &str) -> Option<i64> {
    Some(jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_the_one_that_is_furthest_away() {
        let verdict = |offs: &[i64]| {
            let seen: Vec<_> = offs.iter().map(|off| ("x".to_owned(), *off)).collect();
            judge(&seen).verdict
        };
        assert_eq!(verdict(&[]), Verdict::Skipped);
        assert_eq!(verdict(&[0, -3]), Verdict::Good);
        assert_eq!(verdict(&[0, 20]), Verdict::Warning);
        assert_eq!(verdict(&[1, -61]), Verdict::Bad);
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    }
}
