//! One status from the parts of several owners. The rule stands at [`crate::Store::write`].

use serde_json::{Map, Value};

/// A field that two owners claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub path: String,
    pub owner: String,
}

/// Unites the parts, `owner → part`. `writer` is who is writing now: a conflict is told as the other's.
pub(crate) fn unite(parts: &Map<String, Value>, writer: &str) -> Result<Value, Claimed> {
    let mut owners: Vec<&String> = parts.keys().collect();
    owners.sort();
    let mut united = Value::Null;
    for (i, owner) in owners.iter().enumerate() {
        if let Err(path) = join(&mut united, &parts[owner.as_str()], "") {
            // Of the owners so far, the one whose part alone already clashes; there is always one.
            let other = owners[..i].iter().find(|earlier| {
                join(&mut parts[earlier.as_str()].clone(), &parts[owner.as_str()], "").is_err()
            });
            let other = other.map_or(owner.as_str(), |other| other.as_str());
            let owner = if other == writer { owner.as_str() } else { other }.to_owned();
            return Err(Claimed { path, owner });
        }
    }
    Ok(united)
}

/// Adds `more` to `all`; the path of the first field that is in both, if any.
fn join(all: &mut Value, more: &Value, path: &str) -> Result<(), String> {
    match (all, more) {
        (all @ Value::Null, more) => {
            *all = more.clone();
            Ok(())
        }
        (Value::Object(all), Value::Object(more)) => {
            for (field, value) in more {
                let dot = if path.is_empty() { "" } else { "." };
                let path = format!("{path}{dot}{field}");
                join(all.entry(field.clone()).or_insert(Value::Null), value, &path)?;
            }
            Ok(())
        }
        (Value::Array(all), Value::Array(more)) => {
            for element in more {
                let kind = element.get("type").and_then(Value::as_str);
                if kind.is_some() && all.iter().any(|other| other["type"].as_str() == kind) {
                    return Err(format!("{path}[{}]", kind.unwrap_or_default()));
                }
                all.push(element.clone());
            }
            Ok(())
        }
        _ => Err(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn united(parts: Value, writer: &str) -> Result<Value, Claimed> {
        unite(parts.as_object().unwrap(), writer)
    }

    #[test]
    fn parts_are_united_and_clashes_named() {
        let parts = json!({
            "b": {"parents": [{"controllerName": "b"}], "conditions": [{"type": "Ready"}]},
            "a": {"parents": [{"controllerName": "a"}], "conditions": [{"type": "Accepted"}], "proxy": {"x": 1}},
            "c": {"proxy": {"y": 2}},
        });
        assert_eq!(
            united(parts, "a").unwrap(),
            json!({
                "parents": [{"controllerName": "a"}, {"controllerName": "b"}],
                "conditions": [{"type": "Accepted"}, {"type": "Ready"}],
                "proxy": {"x": 1, "y": 2},
            })
        );
        assert_eq!(united(json!({}), "a").unwrap(), Value::Null);
        let scalar = json!({"a": {"proxy": {"x": 1}}, "b": {"proxy": {"x": 2}}});
        let claimed = |path: &str, owner: &str| Claimed { path: path.to_owned(), owner: owner.to_owned() };
        assert_eq!(united(scalar.clone(), "b"), Err(claimed("proxy.x", "a")));
        assert_eq!(united(scalar, "a"), Err(claimed("proxy.x", "b")));
        let condition = json!({"a": {"c": [{"type": "T"}]}, "b": {"c": [{"type": "T"}]}});
        assert_eq!(united(condition, "b"), Err(claimed("c[T]", "a")));
    }
}
