//! Choosing by labels: `-l app=web,version!=v2`, and the selectors of objects.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::meta::LabelSelector;

/// A selector as kubectl's `-l` takes it. All requirements must hold; none: everything is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
}

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no label selector: write key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
)]
pub struct SelectorError {
    text: String,
}

/// Whether `labels` has every label of `selector` with the same value. An empty selector chooses everything:
/// where it must choose nothing, as in a Service, the caller says so.
pub fn has_all(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

impl Selector {
    /// Whether labels are chosen.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.matches(labels))
    }

    /// Whether everything is chosen.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.operator {
            Operator::In(values) => value.is_some_and(|v| values.contains(v)),
            // As in Kubernetes, a label that is not there is not in any list.
            Operator::NotIn(values) => value.is_none_or(|v| !values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = SelectorError;

    fn try_from(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let equal = selector.match_labels.iter().map(|(key, value)| Requirement {
            key: key.clone(),
            operator: Operator::In(vec![value.clone()]),
        });
        let mut requirements: Vec<Requirement> = equal.collect();
        for expression in &selector.match_expressions {
            let values = expression.values.clone();
            let operator = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Operator::In(values),
                ("NotIn", false) => Operator::NotIn(values),
                ("Exists", true) => Operator::Exists,
                ("DoesNotExist", true) => Operator::DoesNotExist,
                _ => {
                    return Err(SelectorError {
                        text: format!("{} {}", expression.key, expression.operator),
                    });
                }
            };
            requirements.push(Requirement { key: expression.key.clone(), operator });
        }
        Ok(Self { requirements })
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let parts = split_outside_parentheses(text);
        let parts = parts.into_iter().map(str::trim).filter(|_| !text.trim().is_empty());
        let requirements =
            parts.map(|part| requirement(part).ok_or_else(|| SelectorError { text: part.to_owned() }));
        Ok(Self { requirements: requirements.collect::<Result<_, _>>()? })
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let (key, operator) = if let Some((key, value)) = part.split_once("!=") {
        (key.trim(), Operator::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        (key.trim(), Operator::In(vec![value.trim().to_owned()]))
    } else if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        match head.trim().rsplit_once(char::is_whitespace)? {
            (key, "in") => (key.trim(), Operator::In(values)),
            (key, "notin") => (key.trim(), Operator::NotIn(values)),
            _ => return None,
        }
    } else if let Some(key) = part.strip_prefix('!') {
        (key.trim(), Operator::DoesNotExist)
    } else {
        (part, Operator::Exists)
    };
    let values_are_good = match &operator {
        Operator::In(values) | Operator::NotIn(values) => {
            values.iter().all(|value| crate::names::is_label_value(value))
        }
        Operator::Exists | Operator::DoesNotExist => true,
    };
    (crate::names::is_label_key(key) && values_are_good)
        .then(|| Requirement { key: key.to_owned(), operator })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn selectors_choose_as_kubectl_does() {
        let web = labels(&[("app", "web"), ("version", "v1")]);
        for (text, chosen) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , version != v2", true),
            ("app=web,version=v2", false),
            ("app!=web", false),
            ("other!=x", true),
            ("app in (web, api),version notin (v2,v3)", true),
            ("app in (api)", false),
            ("other notin (a)", true),
            ("app", true),
            ("other", false),
            ("!other", true),
            ("!app", false),
        ] {
            assert_eq!(text.parse::<Selector>().unwrap().matches(&web), chosen, "{text}");
        }
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for text in
            ["=x", "a b", "a in web", "a in (x", "a,,b", "a=b=c", "a in (x) y", "a=(", "!", ",", "a on (b)"]
        {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }

    #[test]
    fn selectors_of_objects() {
        let selector = |json: &str| Selector::try_from(&serde_json::from_str::<LabelSelector>(json).unwrap());
        let web = labels(&[("app", "web")]);
        assert!(selector("{}").unwrap().matches(&web));
        assert!(selector(r#"{"matchLabels":{"app":"web"}}"#).unwrap().matches(&web));
        let expression = r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]}"#;
        assert!(!selector(expression).unwrap().matches(&web));
        assert!(selector(r#"{"matchExpressions":[{"key":"app","operator":"Like"}]}"#).is_err());
        assert!(selector(r#"{"matchExpressions":[{"key":"app","operator":"In"}]}"#).is_err());
        assert!(has_all(&labels(&[("app", "web")]), &labels(&[("app", "web"), ("x", "y")])));
        assert!(!has_all(&labels(&[("app", "api")]), &web));
    }
}
