//! `lastTransitionTime`: a condition keeps it as long as its status is the same.

use serde_json::Value;

/// Fills in the time of every condition in `ours`: as it stands in `old` where the condition's status is the same,
/// else `now` (RFC 3339). Entries of lists are found again by what names them.
pub fn fill(mut ours: Value, old: Option<&Value>, now: &str) -> Value {
    visit(&mut ours, old.unwrap_or(&Value::Null), now);
    ours
}

fn visit(ours: &mut Value, old: &Value, now: &str) {
    match ours {
        Value::Object(fields) => {
            if fields.contains_key("type") && fields.contains_key("status") {
                let same = old.get("status") == fields.get("status");
                let time = old.get("lastTransitionTime").filter(|time| same && time.as_str() != Some(""));
                let time = time.cloned().unwrap_or_else(|| Value::String(now.to_owned()));
                fields.insert("lastTransitionTime".to_owned(), time);
                return;
            }
            for (field, value) in fields {
                visit(value, old.get(field).unwrap_or(&Value::Null), now);
            }
        }
        Value::Array(entries) => {
            let old = old.as_array().map_or(&[][..], Vec::as_slice);
            for entry in entries {
                let before = old.iter().find(|before| is_same_entry(entry, before));
                visit(entry, before.unwrap_or(&Value::Null), now);
            }
        }
        _ => {}
    }
}

/// Conditions are named by `type`, listeners by `name`, a route's parents by `parentRef` and a policy's ancestors by
/// `ancestorRef`, both with `controllerName`.
fn is_same_entry(ours: &Value, old: &Value) -> bool {
    let is_same = |field: &str| ours.get(field) == old.get(field);
    is_same("type")
        && is_same("name")
        && is_same("parentRef")
        && is_same("ancestorRef")
        && is_same("controllerName")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(status: &str, time: Option<&str>) -> Value {
        let mut condition = json!({"type": "Accepted", "status": status, "reason": "R", "message": ""});
        if let Some(time) = time {
            condition["lastTransitionTime"] = json!(time);
        }
        condition
    }

    #[test]
    fn a_condition_keeps_its_time_until_its_status_changes() {
        let ours = |status| json!({"conditions": [condition(status, None)]});
        let first = fill(ours("True"), None, "t1");
        assert_eq!(first["conditions"][0]["lastTransitionTime"], "t1");
        assert_eq!(fill(ours("True"), Some(&first), "t2"), first);
        assert_eq!(fill(ours("False"), Some(&first), "t3")["conditions"][0]["lastTransitionTime"], "t3");
    }

    #[test]
    fn entries_are_found_again_by_what_names_them() {
        let parent = |name: &str, controller: &str, time| json!({"parentRef": {"name": name}, "controllerName": controller, "conditions": [condition("True", time)]});
        let listener = |name: &str, time| json!({"name": name, "conditions": [condition("True", time)]});
        let old = json!({
            "parents": [parent("a", "other", Some("t8")), parent("b", "us", Some("t7")), parent("a", "us", Some("t0"))],
            "listeners": [listener("x", Some("t5"))],
        });
        let ours = json!({"parents": [parent("a", "us", None)], "listeners": [listener("x", None), listener("y", None)]});
        let filled = fill(ours, Some(&old), "t9");
        let wanted = json!({
            "parents": [parent("a", "us", Some("t0"))],
            "listeners": [listener("x", Some("t5")), listener("y", Some("t9"))],
        });
        assert_eq!(filled, wanted);
    }
}
