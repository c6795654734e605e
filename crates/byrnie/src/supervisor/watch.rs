//! Follows the objects in the store and brings what runs to what they ask for.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use byrnie_api::{Object, ObjectKey, Typed};
use byrnie_control::api::{ListQuery, WatchEvent, WatchEventType};
use byrnie_control::client::{Client, Lines};
use tokio::sync::mpsc;

use super::desired::{UnitKey, Way, units};
use super::environment::{PortNames, add_port_names};
use super::shared::Shared;
use super::show;
use super::units::Units;
use crate::cli::failure::Failure;

/// The kinds that matter here.
const KINDS: [&str; 4] = ["workloads", "gateways", "services", "meshes"];
/// The last one matters only where traffic is captured.
const USUAL: usize = 3;
/// Events that wait to be looked at.
const WAITING: usize = 256;
/// Between two tries to reach a control plane that is away.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// What one watch says.
enum News {
    /// A watch begins: what is there comes next.
    Begin,
    /// An object is there, or changed.
    Is(Object),
    /// An object is gone.
    Gone(ObjectKey),
    /// All that was there at the beginning has been told.
    Complete,
}

/// The objects of one kind: as last known, and while a watch begins again, as told so far.
#[derive(Default)]
struct Known {
    objects: BTreeMap<ObjectKey, Object>,
    told: Option<BTreeMap<ObjectKey, Object>>,
    complete: bool,
}

impl Known {
    fn hear(&mut self, news: News) {
        let told = self.told.as_mut().unwrap_or(&mut self.objects);
        match news {
            News::Begin => self.told = Some(BTreeMap::new()),
            News::Is(object) => {
                told.insert(object.key(), object);
            }
            News::Gone(key) => {
                told.remove(&key);
            }
            News::Complete => {
                self.complete = true;
                self.objects = self.told.take().unwrap_or_default();
            }
        }
    }
}

/// Follows the objects for ever. While the control plane is away, everything keeps running as it was.
pub async fn reconcile(shared: &Rc<Shared>, running: &Units) -> Result<(), Failure> {
    let (sender, mut news) = mpsc::channel(WAITING);
    let count = if shared.ground.is_some() { KINDS.len() } else { USUAL };
    for (index, kind) in KINDS.into_iter().take(count).enumerate() {
        tokio::task::spawn_local(follow(shared.client.clone(), index, kind, sender.clone()));
    }
    let mut known: Vec<Known> = std::iter::repeat_with(Known::default).take(count).collect();
    while let Some((index, first)) = news.recv().await {
        known[index].hear(first);
        while let Ok((index, more)) = news.try_recv() {
            known[index].hear(more);
        }
        if known.iter().all(|known| known.complete) {
            begin_network(shared, &known).await?;
            bring(shared, running, &known);
        }
    }
    Ok(())
}

/// Sets up the network of captured workloads, as the Mesh has it at the start.
async fn begin_network(shared: &Rc<Shared>, known: &[Known]) -> Result<(), Failure> {
    let Some(ground) = &shared.ground else { return Ok(()) };
    let objects = known.iter().flat_map(|known| known.objects.values());
    let mesh =
        objects.filter(|object| object.metadata().name == MESH).find_map(|object| match object.typed() {
            Typed::Mesh(mesh) => Some(mesh.spec.capture.clone()),
            _ => None,
        });
    ground.begin(&mesh.unwrap_or_default(), &shared.run_id).await
}

/// The only Mesh that counts.
const MESH: &str = "default";

fn bring(shared: &Rc<Shared>, running: &Units, known: &[Known]) {
    let objects = || known.iter().flat_map(|known| known.objects.values());
    let mut names = PortNames::new();
    objects().for_each(|object| add_port_names(object, &mut names));
    *shared.port_names.borrow_mut() = names;
    let transparent = shared.ground.is_some();
    let desired: BTreeMap<UnitKey, Way> = objects().flat_map(|object| units(object, transparent)).collect();
    for key in running.bring(shared, &desired) {
        let Some(ready) = running.ready(&key) else { continue };
        let object = objects().find(|object| units(object, transparent).iter().any(|(unit, _)| *unit == key));
        tokio::task::spawn_local(show::addresses(Rc::clone(shared), key, object.cloned(), ready));
    }
}

/// Watches one kind, again and again.
async fn follow(client: Client, index: usize, kind: &'static str, news: mpsc::Sender<(usize, News)>) {
    while !news.is_closed() {
        if let Ok(lines) = client.watch(kind, &ListQuery::default()).await {
            pass_on(lines, index, &news).await;
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
}

/// Passes on what one watch says, until it ends or nobody listens.
async fn pass_on(mut lines: Lines<WatchEvent>, index: usize, news: &mpsc::Sender<(usize, News)>) {
    let mut item = Some(News::Begin);
    loop {
        if let Some(item) = item
            && news.send((index, item)).await.is_err()
        {
            return;
        }
        item = match lines.next().await {
            Some(Ok(event)) if event.event != WatchEventType::Error => read(event),
            _ => return,
        };
    }
}

fn read(event: WatchEvent) -> Option<News> {
    if event.event == WatchEventType::Bookmark {
        return Some(News::Complete);
    }
    match Object::from_value(event.object) {
        Ok(object) if event.event == WatchEventType::Deleted => Some(News::Gone(object.key())),
        Ok(object) => Some(News::Is(object)),
        Err(error) => {
            tracing::error!(%error, "the control plane sent an object that cannot be read");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(name: &str) -> Object {
        let value = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_watch_that_begins_again_changes_nothing_until_it_is_complete() {
        let mut known = Known::default();
        for news in [News::Begin, News::Is(namespace("a")), News::Is(namespace("b")), News::Complete] {
            known.hear(news);
        }
        let names = |known: &Known| known.objects.keys().map(|key| key.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&known), ["a", "b"]);
        known.hear(News::Gone(namespace("a").key()));
        known.hear(News::Is(namespace("c")));
        assert_eq!(names(&known), ["b", "c"]);
        for news in [News::Begin, News::Is(namespace("d"))] {
            known.hear(news);
        }
        assert_eq!(names(&known), ["b", "c"]);
        known.hear(News::Complete);
        assert_eq!(names(&known), ["d"]);
    }
}
