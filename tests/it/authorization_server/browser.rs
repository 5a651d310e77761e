//! A browser by hand: keeps cookies, sends forms, follows nothing by itself.

use std::collections::BTreeMap;

use url::form_urlencoded::Serializer;

use crate::support::product::Product;
use crate::support::raw_http::{self, Answer, Request};

pub(super) const PASSWORD: &str = "correct horse battery staple";

pub(super) struct Browser<'a> {
    authority: &'a str,
    pub(super) cookies: BTreeMap<String, String>,
    /// What it says with forms: where their page is.
    pub(super) origin: String,
}

impl<'a> Browser<'a> {
    pub(super) fn new(product: &'a Product) -> Self {
        Self::at(product.authority.as_str())
    }

    pub(super) fn at(authority: &'a str) -> Self {
        Self { authority, cookies: BTreeMap::new(), origin: format!("http://{authority}") }
    }

    /// One in which the first administrator has just chosen a password.
    pub(super) async fn of_the_administrator(product: &'a Product) -> Self {
        let mut browser = Self::new(product);
        browser.chooses_a_password(product.first_link().path()).await;
        browser
    }

    /// Goes through a one-time link.
    pub(super) async fn chooses_a_password(&mut self, link: &str) {
        let page = self.get(link).await;
        assert_eq!(page.status, 200, "{page:?}");
        let form = hidden(&page.body, "form");
        let fields = [("form", form.as_str()), ("password", PASSWORD), ("again", PASSWORD)];
        let set = self.post(link, &fields).await;
        assert_eq!(set.status, 303, "{set:?}");
        assert!(set.header("location").ends_with("/account"), "{set:?}");
    }

    /// Logs in as the administrator, who has chosen a password before.
    pub(super) async fn logs_in(&mut self) {
        let login = self.get("/login").await;
        let form = hidden(&login.body, "form");
        let fields = [("form", form.as_str()), ("username", "admin"), ("password", PASSWORD)];
        let answer = self.post("/login", &fields).await;
        assert_eq!(answer.status, 303, "{answer:?}");
    }

    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::new("GET", path)).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = Request::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", &self.origin)
            .body(body);
        self.send(request).await
    }

    async fn send(&mut self, request: Request) -> Answer {
        let cookies: Vec<_> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() {
            request
        } else {
            request.header("cookie", &cookies.join("; "))
        };
        let answer = raw_http::exchange(self.authority, &request.bytes(self.authority)).await;
        for line in answer.head.lines() {
            let Some((name, value)) = line.split_once(':') else { continue };
            if !name.eq_ignore_ascii_case("set-cookie") {
                continue;
            }
            let pair = value.split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.trim().split_once('=') {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Goes from `/authorize` to the consent page, and says yes or no there; gives where the browser is sent.
    pub(super) async fn answers(&mut self, authorize: &str, decision: &str) -> String {
        let page = self.asked(authorize).await;
        let (form, request) = (hidden(&page.body, "form"), hidden(&page.body, "request"));
        let fields = [("form", form.as_str()), ("request", &request), ("decision", decision)];
        let answered = self.post(&action(&page.body), &fields).await;
        assert_eq!(answered.status, 303, "{answered:?}");
        answered.header("location")
    }

    /// The consent page for this request.
    pub(super) async fn asked(&mut self, authorize: &str) -> Answer {
        let mut next = self.get(authorize).await;
        while next.status == 303 {
            let location = next.header("location");
            assert!(location.starts_with('/'), "{location}");
            next = self.get(&location).await;
        }
        assert_eq!(next.status, 200, "{next:?}");
        next
    }
}

/// Where the first form of the page leads.
pub(super) fn action(html: &str) -> String {
    let rest = html.split_once("method=\"post\" action=\"").unwrap_or_else(|| panic!("{html}")).1;
    rest.split('"').next().unwrap().to_owned()
}

/// The value of a hidden field.
pub(super) fn hidden(html: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = html.split_once(&start).unwrap_or_else(|| panic!("no field {name} in {html}")).1;
    rest.split('"').next().unwrap().to_owned()
}
