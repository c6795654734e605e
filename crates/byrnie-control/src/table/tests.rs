use byrnie_plan::{ObjectName, Upstreams};

use byrnie_wire::Version;

use super::*;

fn key(name: &str) -> Key {
    Key::Upstreams(ObjectName::new("shop", name))
}

fn set(name: &str, content: &'static [u8]) -> Change {
    let upstreams = Upstreams {
        workload: ObjectName::new("shop", name),
        upstreams: Vec::new(),
        http_proxy: false,
        overrides: Vec::new(),
    };
    let encoded = Encoded { version: Version::of(content), bytes: content.into() };
    let state = (encoded, Resource::Upstreams(upstreams));
    Change { key: key(name), state: Some(state) }
}

fn clear(name: &str) -> Change {
    Change { key: key(name), state: None }
}

#[test]
fn tells_only_subscribers_and_only_of_differences() {
    let table = Table::default();
    let (one, two) = (Mailbox::new(1), Mailbox::new(2));
    assert!(table.subscribe(&key("a"), &one).published.is_none());
    table.subscribe(&key("b"), &two);

    assert_eq!(table.publish(vec![set("a", b"1"), set("c", b"1")]), 2);
    assert_eq!(one.take(10), [key("a")]);
    assert!(two.take(10).is_empty());

    assert_eq!(table.publish(vec![set("a", b"1"), clear("b")]), 0, "nothing differs");
    assert!(one.take(10).is_empty());

    table.publish(vec![set("a", b"2"), set("a", b"3")]);
    assert_eq!(one.take(10), [key("a")], "coalesced");
    assert_eq!(&table.see(&key("a")).published.unwrap().encoded.bytes[..], b"3");
}

#[test]
fn numbers_grow_also_over_a_removal() {
    let table = Table::default();
    let mailbox = Mailbox::new(1);
    assert_eq!(table.subscribe(&key("a"), &mailbox).seq, 0);
    table.publish(vec![set("a", b"1")]);
    let first = table.see(&key("a")).seq;
    table.publish(vec![clear("a")]);
    let gone = table.see(&key("a"));
    assert!(gone.published.is_none() && gone.seq > first);
    table.publish(vec![set("a", b"1")]);
    assert!(table.see(&key("a")).seq > gone.seq);
}

#[test]
fn forgets_who_left() {
    let table = Table::default();
    let mailbox = Mailbox::new(1);
    table.subscribe(&key("a"), &mailbox);
    table.publish(vec![set("a", b"1")]);
    table.unsubscribe([&key("a")], &mailbox);
    assert!(mailbox.take(10).is_empty());
    table.publish(vec![set("a", b"2")]);
    assert!(mailbox.take(10).is_empty());
    assert_eq!(table.size(), (1, 0));
}

#[test]
fn takes_in_parts() {
    let mailbox = Mailbox::new(1);
    for name in ["a", "b", "c"] {
        mailbox.put(key(name));
    }
    assert_eq!(mailbox.take(2), [key("a"), key("b")]);
    assert_eq!(mailbox.take(2), [key("c")]);
}

#[tokio::test]
async fn a_waiter_wakes_for_what_came_before_and_after() {
    let mailbox = Mailbox::new(1);
    mailbox.put(Key::MeshSettings);
    mailbox.changed().await;
    mailbox.take(10);
    let waiter = Arc::clone(&mailbox);
    let task = tokio::spawn(async move { waiter.changed().await });
    mailbox.put(Key::TrustBundle);
    task.await.unwrap();
}
