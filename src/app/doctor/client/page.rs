//! What a browser lets a page do and see (Fetch, CORS).

use http::{HeaderName, HeaderValue, Method, header};
use url::Url;

use crate::app::doctor::clients::Place;
use crate::app::doctor::outside::below;
use crate::app::doctor::{Area, Step};
use crate::app::mounting::origins;
use crate::broker::Situation;
use crate::outbound::{Answer, Call};

use super::{URL, VERSION, Walk};

const LET_PASS: &str = "a proxy answers OPTIONS itself, or takes Access-Control-Allow-Origin away: let both pass, the broker answers them for every page";

impl Walk<'_> {
    /// Sends what the client's own code sends: from a page, a browser says which.
    pub(super) async fn fetch(&mut self, call: Call) -> Result<Answer, Step> {
        let call = match self.client.place {
            Place::Page(origin) => call.header(header::ORIGIN, HeaderValue::from_static(origin)),
            Place::Computer | Place::MakersServers => call,
        };
        self.send(call).await
    }

    /// Whether the page is shown an answer of a path that all pages may read.
    pub(super) fn readable(&self, path: &str, answer: &Answer) -> Result<(), Step> {
        match self.client.place {
            Place::Page(origin) if !admits(answer, origin) => {
                Err(self.hidden(URL, format!("pages of {origin} may not read {path}"), LET_PASS))
            }
            _ => Ok(()),
        }
    }

    /// Asks before a request that no form could make.
    pub(super) async fn preflight(&mut self, url: &Url, wanted: &str) -> Result<(), Step> {
        let Place::Page(origin) = self.client.place else { return Ok(()) };
        if self.is_let(url, origin, wanted).await? {
            return Ok(());
        }
        let found = format!("pages of {origin} may not call {}", url.path());
        Err(self.hidden(URL, found, LET_PASS))
    }

    /// A document is asked for without a header of its own where the browser refuses that.
    pub(super) async fn preflight_of_documents(&mut self, url: &Url) -> Result<(), Step> {
        let Place::Page(origin) = self.client.place else { return Ok(()) };
        if self.is_let(url, origin, VERSION.as_str()).await? {
            return Ok(());
        }
        let found = format!("pages of {origin} may not ask for {} with {VERSION}", url.path());
        let step = Step::warning(Area::Client, URL, found)
            .allowed("this client asks again without that header; others stop here");
        self.steps.push(step.hint(LET_PASS));
        Ok(())
    }

    /// The endpoint itself: its pages are listed in the settings.
    pub(super) async fn endpoint_from_page(&mut self, origin: &'static str) -> Result<(), Step> {
        let key = "server.allowed_origins";
        let listed = origins(self.config).permits(&HeaderValue::from_static(origin));
        let hint = if listed {
            "server.allowed_origins has it: a proxy answers OPTIONS itself, or takes Access-Control-Allow-Origin away".to_owned()
        } else {
            format!("server.allowed_origins = [\"{origin}\"]")
        };
        let url = below(self.config, "/mcp");
        let wanted = "authorization,content-type,mcp-protocol-version";
        let found = format!("pages of {origin} may not call the endpoint");
        if !self.is_let(&url, origin, wanted).await? {
            return Err(self.hidden(key, found, hint));
        }
        let mut call = Call::get(url);
        call.method = Method::POST;
        let answer = self.fetch(call).await?;
        if !admits(&answer, origin) {
            return Err(self.hidden(key, found, hint));
        }
        if !has(&answer, &header::ACCESS_CONTROL_EXPOSE_HEADERS, "www-authenticate") {
            let found = format!("pages of {origin} may not read WWW-Authenticate of the 401");
            let step = Step::warning(Area::Client, URL, found)
                .allowed("Access-Control-Expose-Headers with WWW-Authenticate");
            self.steps.push(step.hint("a proxy takes that header away, or writes its own: pages then look for the metadata where it usually is, and miss the scopes of a step-up"));
        }
        Ok(())
    }

    async fn is_let(
        &mut self,
        url: &Url,
        origin: &'static str,
        wanted: &str,
    ) -> Result<bool, Step> {
        let mut call = Call::get(url.clone())
            .header(header::ORIGIN, HeaderValue::from_static(origin))
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        if let Ok(wanted) = HeaderValue::from_str(wanted) {
            call = call.header(header::ACCESS_CONTROL_REQUEST_HEADERS, wanted);
        }
        call.method = Method::OPTIONS;
        let answer = self.send(call).await?;
        let headers = &header::ACCESS_CONTROL_ALLOW_HEADERS;
        let all = wanted.split(',').all(|wanted| has(&answer, headers, wanted));
        Ok(answer.status.is_success() && admits(&answer, origin) && all)
    }

    fn hidden(&self, key: &'static str, found: String, hint: impl Into<String>) -> Step {
        let step = Step::bad(Area::Client, key, found)
            .allowed("Access-Control-Allow-Origin with that origin, or with *")
            .hint(hint);
        match self.client.family.own_way(Situation::NoToken) {
            Some(then) => step.then(then),
            None => step,
        }
    }
}

fn admits(answer: &Answer, origin: &str) -> bool {
    let allowed = answer.header(&header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap_or_default();
    allowed == origin || allowed == "*"
}

/// Whether a list of header names has this one, or stands for all.
fn has(answer: &Answer, list: &HeaderName, name: &str) -> bool {
    let values = answer.headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.any(|listed| listed == "*" || listed.eq_ignore_ascii_case(name))
}
