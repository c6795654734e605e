//! What the filters of a rule and of its backends do to a request.

use byrnie_decide::{RequestView, rewrite_path};
use byrnie_plan::{BackendTarget, Filter, HeaderModifier, PathMatch};

use super::{Request, step, words};
use crate::api::WhyStep;

/// A request as it goes on.
#[derive(Clone)]
pub struct Onward {
    pub method: String,
    pub path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Onward {
    /// As it came.
    pub fn new(request: &Request) -> Self {
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers: request.headers.clone(),
        }
    }

    /// As limits and faults see it.
    pub fn view(&self) -> RequestView<'_, [(String, String)]> {
        RequestView {
            method: &self.method,
            host: "",
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }

    /// First `set`, then `add`, then `remove`.
    fn change(&mut self, change: &HeaderModifier) {
        for (name, value) in &change.set {
            self.remove(name);
            self.headers.push((name.to_ascii_lowercase(), value.clone()));
        }
        for (name, value) in &change.add {
            self.headers.push((name.to_ascii_lowercase(), value.clone()));
        }
        for name in &change.remove {
            self.remove(name);
        }
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }
}

/// Does and tells what filters do. `Some`: they answer with a redirect of this status.
pub fn follow(
    filters: &[Filter],
    matched: &PathMatch,
    rule: &str,
    onward: &mut Onward,
    steps: &mut Vec<WhyStep>,
) -> Option<u16> {
    let mut tell = |detail: String| steps.push(step("route", true, rule, detail));
    for filter in filters {
        match filter {
            Filter::Redirect(redirect) => {
                tell(format!("answers with {}", redirect.status));
                return Some(redirect.status);
            }
            Filter::Rewrite(rewrite) => {
                if let Some(host) = &rewrite.hostname {
                    tell(format!("rewrites the host to {host}"));
                }
                if let Some(to) = &rewrite.path {
                    onward.path = rewrite_path(&onward.path, matched, to).into_owned();
                    tell(format!("rewrites the path to {}", onward.path));
                }
            }
            Filter::Mirror(mirror) => {
                if let BackendTarget::Service { service, port, .. } = &mirror.target {
                    let share = format!("{} of {} requests", mirror.numerator, mirror.denominator);
                    tell(format!("copies {share} to {service}:{port}, whose answers are discarded"));
                }
            }
            Filter::RequestHeaders(change) => {
                onward.change(change);
                tell(format!("changes headers of the request: {}", words::headers(change)));
            }
            Filter::ResponseHeaders(change) => {
                tell(format!("changes headers of the response: {}", words::headers(change)));
            }
            Filter::Cors(cors) => {
                let origins = cors.allow_origins.join(", ");
                tell(format!("answers preflight requests itself; origins that may call: {origins}"));
            }
        }
    }
    None
}
