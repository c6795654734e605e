//! Who a captured workload's command runs as, read from the host's lists of users and groups.

use std::collections::BTreeMap;
use std::path::Path;

use byrnie_net::capture::confine::User;

/// A user that this host does not know.
pub const UNKNOWN_USER: &str = "BYR0497";

/// A user, with what programs expect in their environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Numbers.
    pub user: User,
    /// The name and the home directory; none for a number that is in no list.
    pub named: Option<(String, String)>,
}

impl Known {
    /// What a program expects to find in its environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let Some((name, home)) = &self.named else { return BTreeMap::new() };
        let variables = [("USER", name), ("LOGNAME", name), ("HOME", home)];
        variables.map(|(variable, value)| (variable.to_owned(), value.clone())).into()
    }
}

/// Who a Workload's command runs as: its `spec.runAs`, else who called this program.
pub fn of_command(run_as: Option<&str>) -> Result<Known, String> {
    run_as.map_or_else(|| Ok(invoking()), parse)
}

/// Who called this program: through `sudo`, the user who did; else the user of this process.
fn invoking() -> Known {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let lists = Lists::read();
    match (number("SUDO_UID"), number("SUDO_GID")) {
        (Some(uid), Some(gid)) if uid != 0 => lists.known(uid, Some(gid)),
        _ => lists.known(byrnie_net::unix::own_uid(), None),
    }
}

/// `name`, `1000`, `name:group`, `1000:1000`.
pub fn parse(text: &str) -> Result<Known, String> {
    let known = Lists::read().parse(text);
    known.ok_or_else(|| format!("{UNKNOWN_USER}: this host knows no user or group {text:?}"))
}

/// `/etc/passwd` and `/etc/group`.
struct Lists {
    users: String,
    groups: String,
}

impl Lists {
    fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self { users: read("/etc/passwd"), groups: read("/etc/group") }
    }

    fn parse(&self, text: &str) -> Option<Known> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let gid = match group {
            Some(group) => Some(self.gid(group)?),
            None => None,
        };
        let by_name = rows(&self.users).find(|row| row.first() == Some(&user));
        let uid = match by_name {
            Some(row) => row.get(2)?.parse().ok()?,
            None => user.parse().ok()?,
        };
        Some(self.known(uid, gid))
    }

    fn gid(&self, group: &str) -> Option<u32> {
        match rows(&self.groups).find(|row| row.first() == Some(&group)) {
            Some(row) => row.get(2)?.parse().ok(),
            None => group.parse().ok(),
        }
    }

    /// A number that is in no list is its own group, and in no other.
    fn known(&self, uid: u32, gid: Option<u32>) -> Known {
        let text = uid.to_string();
        let row = rows(&self.users).find(|row| row.get(2) == Some(&text.as_str()));
        let own = row.as_ref().and_then(|row| row.get(3)?.parse().ok()).unwrap_or(uid);
        let named = row.and_then(|row| Some(((*row.first()?).to_owned(), (*row.get(5)?).to_owned())));
        let groups = named.as_ref().map(|(name, _)| self.groups_of(name)).unwrap_or_default();
        Known { user: User { uid, gid: gid.unwrap_or(own), groups }, named }
    }

    fn groups_of(&self, name: &str) -> Vec<u32> {
        let has = |row: &Vec<&str>| row.get(3).is_some_and(|all| all.split(',').any(|member| member == name));
        rows(&self.groups).filter(has).filter_map(|row| row.get(2)?.parse().ok()).collect()
    }
}

fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_as_a_table() {
        let lists = Lists {
            users: "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100::/srv/ann:/bin/sh\n".to_owned(),
            groups: "root:x:0:\nusers:x:100:\nsudo:x:27:bob,ann\nweb:x:33:ann\nempty:x:34:\n".to_owned(),
        };
        for (text, uid, gid, groups) in [
            ("ann", 1000, 100, vec![27, 33]),
            ("1000", 1000, 100, vec![27, 33]),
            ("ann:web", 1000, 33, vec![27, 33]),
            ("ann:7", 1000, 7, vec![27, 33]),
            ("4711", 4711, 4711, vec![]),
            ("0", 0, 0, vec![]),
        ] {
            let known = lists.parse(text).unwrap();
            assert_eq!(known.user, User { uid, gid, groups }, "{text}");
        }
        let ann = lists.parse("ann").unwrap();
        assert_eq!(ann.named, Some(("ann".to_owned(), "/srv/ann".to_owned())));
        for bad in ["bob", "", "ann:nobody", "-1", "ann:"] {
            assert_eq!(lists.parse(bad), None, "{bad}");
        }
    }
}
