//! The form of an answer: JSON or CSV, with what caches and browsers need to know about it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, http::header};
use serde::Serialize;

/// For how long others may keep an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It will never change.
    Forever,
    /// It may be another after this.
    For(Duration),
}

impl Keep {
    fn header(self) -> String {
        match self {
            Self::Forever => "public, max-age=31536000, immutable".to_owned(),
            Self::For(time) if time < Duration::from_secs(1) => "public, no-cache".to_owned(),
            Self::For(time) => format!("public, max-age={}", time.as_secs()),
        }
    }
}

/// An answer in the making.
pub(super) struct Reply<'r> {
    request: &'r HttpRequest,
    tag: String,
    keep: Keep,
    next: Option<String>,
}

impl<'r> Reply<'r> {
    /// `version` is what the answer depends on: with the same, and the same question, it is the same in all that matters.
    pub(super) fn new(request: &'r HttpRequest, version: &impl Hash, keep: Keep) -> Self {
        let mut hasher = DefaultHasher::new();
        (request.query_string(), version).hash(&mut hasher);
        // One form is not the other.
        request
            .headers()
            .get(header::ACCEPT)
            .map(|accept| accept.as_bytes())
            .hash(&mut hasher);
        Self {
            request,
            tag: format!("W/\"{:016x}\"", hasher.finish()),
            keep,
            next: None,
        }
    }

    /// There is more behind this cursor.
    pub(super) fn next(self, cursor: Option<String>) -> Self {
        Self { next: cursor, ..self }
    }

    /// As JSON.
    pub(super) fn json(self, body: &impl Serialize) -> HttpResponse {
        self.with(|response| response.json(body))
    }

    /// As CSV.
    pub(super) fn csv(self, text: String) -> HttpResponse {
        self.with(|response| {
            let kind = "text/csv; charset=utf-8; header=present";
            response.content_type(kind).body(text)
        })
    }

    /// With this body, unless the client has it already.
    fn with(self, body: impl FnOnce(&mut HttpResponseBuilder) -> HttpResponse) -> HttpResponse {
        let known = self.request.headers().get_all(header::IF_NONE_MATCH);
        let is_known = known
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || tag.trim() == self.tag);
        let mut response = if is_known {
            HttpResponse::NotModified()
        } else {
            HttpResponse::Ok()
        };
        response
            .insert_header((header::ETAG, self.tag))
            .insert_header((header::CACHE_CONTROL, self.keep.header()))
            .insert_header((header::VARY, "Accept"));
        if let Some(cursor) = self.next {
            let others = self.request.query_string().split('&');
            let others = others.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
            let query: Vec<&str> = others.collect();
            let question = format!("{}?{}", self.request.path(), query.join("&"));
            let joint = if question.ends_with('?') { "" } else { "&" };
            response.insert_header((
                header::LINK,
                format!("<{question}{joint}cursor={cursor}>; rel=\"next\""),
            ));
        }
        if is_known {
            response.finish()
        } else {
            body(&mut response)
        }
    }
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Format {
    #[default]
    Json,
    Csv,
}

impl Format {
    /// What is written behind `format=`.
    pub(super) const CHOICES: &'static [(&'static str, Self)] = &[("json", Self::Json), ("csv", Self::Csv)];

    /// What is named, or else accepted.
    pub(super) fn of(named: Option<Self>, request: &HttpRequest) -> Self {
        named.unwrap_or_else(|| {
            let accepted = request
                .headers()
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok());
            let first = accepted.and_then(|accepted| accepted.split([',', ';']).next());
            if first.is_some_and(|kind| kind.trim() == "text/csv") {
                Self::Csv
            } else {
                Self::Json
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_client_that_has_the_answer_gets_no_other() {
        let request = TestRequest::with_uri("/api/v1/records?limit=2&cursor=a").to_http_request();
        let reply = || Reply::new(&request, &7, Keep::Forever).next(Some("b".to_owned()));
        let first = reply().json(&"body");
        assert_eq!(first.status(), 200);
        assert_eq!(
            first.headers().get(header::CACHE_CONTROL).unwrap(),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(
            first.headers().get(header::LINK).unwrap(),
            "</api/v1/records?limit=2&cursor=b>; rel=\"next\""
        );
        let tag = first.headers().get(header::ETAG).unwrap().clone();
        let again = TestRequest::with_uri("/api/v1/records?limit=2&cursor=a")
            .insert_header((header::IF_NONE_MATCH, tag))
            .to_http_request();
        assert_eq!(Reply::new(&again, &7, Keep::Forever).json(&"body").status(), 304);
        assert_eq!(Reply::new(&again, &8, Keep::Forever).json(&"body").status(), 200);
    }

    #[test]
    fn csv_is_for_those_who_ask_for_it() {
        let accepting = |kinds| {
            TestRequest::default()
                .insert_header((header::ACCEPT, kinds))
                .to_http_request()
        };
        assert_eq!(Format::of(None, &accepting("text/csv;q=0.9, */*")), Format::Csv);
        assert_eq!(Format::of(None, &accepting("*/*")), Format::Json);
        assert_eq!(
            Format::of(Some(Format::Csv), &accepting("application/json")),
            Format::Csv
        );
    }
}
