//! What is said when a question cannot be answered: `application/problem+json` (RFC 9457), with what is wrong and what to do.

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use quorate_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// A database that is away is asked again by the node within seconds.
const RETRY_AFTER_S: u64 = 5;

/// Longer values are cut: what somebody sent is not ours to repeat whole.
const SHOWN_CHARS: usize = 80;

/// Why there is no answer. Texts are boxed, so that a result with it stays small.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Which problem it is, for programs: `urn:quorate:problem:` and a name.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:quorate:problem:parameter")]
    kind: Box<str>,
    /// The same in a few words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong, for people.
    #[schema(value_type = String)]
    detail: Box<str>,
    /// The parameter that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    parameter: Option<Box<str>>,
    /// Its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    value: Option<Box<str>>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    remedy: Option<Box<str>>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

impl Problem {
    fn new(name: &str, title: &'static str, status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:quorate:problem:{name}").into(),
            title,
            status: status.as_u16(),
            detail: detail.into().into(),
            parameter: None,
            value: None,
            remedy: None,
            retry_after_s: None,
        }
    }

    /// A parameter breaks a rule. The rule reads after the value: `is not a time`.
    pub(super) fn parameter(name: &str, value: &str, rule: &str, remedy: impl Into<String>) -> Self {
        let value: String = value.chars().take(SHOWN_CHARS).collect();
        let detail = format!("{name}: {value:?} {rule}");
        Self {
            parameter: Some(name.into()),
            value: Some(value.into()),
            remedy: Some(remedy.into().into()),
            ..Self::new("parameter", "wrong parameter", StatusCode::BAD_REQUEST, detail)
        }
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into().into()),
            ..Self::new("not-found", "not found", StatusCode::NOT_FOUND, detail)
        }
    }

    /// Somebody asks more than the others would like.
    pub(super) fn too_many(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self {
            remedy: Some(format!("ask again in {retry_after_s} s, and less often").into()),
            retry_after_s: Some(retry_after_s),
            ..Self::new(
                "too-many-requests",
                "too many requests",
                StatusCode::TOO_MANY_REQUESTS,
                detail,
            )
        }
    }

    /// The node cannot answer now.
    pub(super) fn unavailable(detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into().into()),
            retry_after_s: Some(RETRY_AFTER_S),
            ..Self::new(
                "unavailable",
                "not available now",
                StatusCode::SERVICE_UNAVAILABLE,
                detail,
            )
        }
    }
}

/// Every error of a read is the node's or its database's, and passes.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::unavailable(
            error.to_string(),
            "ask again later, or another node; /api/v1/records/latest answers without the database",
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        // The content type that is set first stays.
        response.content_type("application/problem+json").json(self)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    #[actix_rt::test]
    async fn names_the_parameter_its_value_and_the_remedy() {
        let problem = Problem::parameter("limit", "0", "is out of range", "write a number from 1 to 1000");
        let response = problem.error_response();
        assert_eq!(
            response.headers().get(header::CONTENT_TYPE).unwrap(),
            "application/problem+json"
        );
        let body = to_bytes(response.into_body()).await.unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&body).unwrap(),
            json!({
                "type": "urn:quorate:problem:parameter", "title": "wrong parameter", "status": 400,
                "detail": "limit: \"0\" is out of range", "parameter": "limit", "value": "0",
                "remedy": "write a number from 1 to 1000",
            })
        );
    }

    #[test]
    fn what_passes_says_when_to_ask_again() {
        let away = StoreError::Unavailable {
            reason: "connection refused".to_owned(),
        };
        let response = Problem::from(away).error_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers().get(header::RETRY_AFTER).unwrap(), "5");
    }

    #[test]
    fn a_value_of_any_length_is_shown_in_part() {
        let problem = Problem::parameter("feed", &"x".repeat(10_000), "is no feed", "write ETH/USD");
        assert!(problem.to_string().len() < 200);
    }
}
