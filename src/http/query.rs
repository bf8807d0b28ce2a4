//! What stands behind the `?`: every parameter is known, stands there once, and has a value that its rule allows.

use std::{collections::BTreeMap, future::ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use quorate_protocol::{Feed, UnixMillis};
use utoipa::IntoParams;

use super::{problem::Problem, reader::Reader};
use crate::config::values::{Moment, Wrong, moment, parsed};
use crate::show::rfc3339;

/// The parameters of one question.
pub(super) trait Query: Sized + IntoParams {
    /// Takes each by its name.
    ///
    /// # Errors
    /// The first that is wrong.
    fn read(given: &mut Given<'_>) -> Result<Self, Problem>;
}

/// A question whose parameters are right.
pub(super) struct Asked<Q>(pub(super) Q);

impl<Q: Query + 'static> FromRequest for Asked<Q> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(reader) = request.app_data::<web::Data<Reader>>() else {
            return ready(Err(Problem::unavailable(
                "this node shows no records",
                "ask another",
            )));
        };
        ready(Given::read(request.query_string(), reader).and_then(|mut given| {
            let query = Q::read(&mut given)?;
            given.finish::<Q>()?;
            Ok(Self(query))
        }))
    }
}

/// What was given and not yet taken.
pub(super) struct Given<'a> {
    left: BTreeMap<String, String>,
    reader: &'a Reader,
    /// The present time, for those that are told from it.
    now: UnixMillis,
}

impl<'a> Given<'a> {
    fn read(query: &str, reader: &'a Reader) -> Result<Self, Problem> {
        let mut left = BTreeMap::new();
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query).map_err(|error| {
            Problem::parameter(
                "?",
                query,
                &format!("cannot be read ({error})"),
                "write ?name=value&name=value",
            )
        })?;
        for (name, value) in pairs.into_inner() {
            if left.insert(name.clone(), value.clone()).is_some() {
                return Err(Problem::parameter(
                    &name,
                    &value,
                    "is given twice",
                    "give it once",
                ));
            }
        }
        let now = reader.now();
        Ok(Self { left, reader, now })
    }

    /// The value of a parameter, if it is given.
    pub(super) fn take<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.left.remove(name) else {
            return Ok(None);
        };
        let wrong = |wrong: Wrong| Problem::parameter(name, &value, &wrong.rule, wrong.remedy);
        parse(&value).map(Some).map_err(wrong)
    }

    /// The feed: one of the node's, which needs no name where there is only one.
    pub(super) fn feed(&mut self) -> Result<Feed, Problem> {
        let named = self.take("feed", parsed::<Feed>("a feed"))?;
        self.reader.feed(named)
    }

    /// A moment: `2026-01-31T12:00:00Z`, a day, milliseconds since 1970, or how long ago.
    pub(super) fn moment(&mut self, name: &str) -> Result<Option<UnixMillis>, Problem> {
        let now = self.now;
        self.take(name, |text| match text.parse() {
            // Shorter ones are no year of this century, and most likely seconds.
            Ok(millis) if text.len() >= 12 => Ok(Moment::At(UnixMillis::new(millis)).when(now)),
            _ => moment(text).map(|moment| moment.when(now)),
        })
    }

    /// From when to when; if not given, up to now and `before` that.
    pub(super) fn span(&mut self, from: UnixMillis) -> Result<(UnixMillis, UnixMillis), Problem> {
        let shown = self.left.get("from").cloned().unwrap_or_default();
        let (begin, end) = (
            self.moment("from")?.unwrap_or(from),
            self.moment("to")?.unwrap_or(self.now),
        );
        if begin >= end {
            return Err(Problem::parameter(
                "from",
                &shown,
                "is not before to",
                "swap them, or leave one out",
            ));
        }
        Ok((begin, end))
    }

    /// The range is short enough to be summed up.
    pub(super) fn check_windows(&self, from: UnixMillis, to: UnixMillis, most: u64) -> Result<(), Problem> {
        let window = self.reader.rules.write_interval;
        let windows = to.min(self.now).since(from).as_millis() / window.as_millis().max(1);
        if windows <= u128::from(most) {
            return Ok(());
        }
        let rule = format!("is {windows} write windows before to");
        let longest = (window * u32::try_from(most).unwrap_or(u32::MAX)).as_secs() / 3600;
        let remedy = format!("ask for at most {longest} hours at a time");
        Err(Problem::parameter("from", &rfc3339(from), &rule, remedy))
    }

    /// The present time.
    pub(super) fn now(&self) -> UnixMillis {
        self.now
    }

    fn finish<Q: Query>(self) -> Result<(), Problem> {
        let Some((name, value)) = self.left.into_iter().next() else {
            return Ok(());
        };
        let known: Vec<String> = Q::into_params(|| None)
            .into_iter()
            .map(|parameter| parameter.name)
            .collect();
        let remedy = format!("the parameters are {}", known.join(", "));
        Err(Problem::parameter(
            &name,
            &value,
            "is for an unknown parameter",
            remedy,
        ))
    }
}
