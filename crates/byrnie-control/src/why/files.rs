//! `why` on objects that no mesh runs yet: the answer that a mesh of nothing but these would give, with every proxy up.

use byrnie_api::{Kind, Object};
use byrnie_mesh::{Compiler, Options};
use serde_json::json;

use super::why;
use crate::api::{ErrorBody, WhyQuery, WhyResponse};
use crate::table::{Change, Table};

/// The run in which the proxies of these objects are taken to be.
const RUN: &str = "files";

/// Explains what would happen to a request in a mesh of these objects.
pub fn why_files(objects: Vec<Object>, query: &WhyQuery) -> Result<WhyResponse, ErrorBody> {
    let mut compiler = Compiler::new(Options { run_id: RUN.to_owned(), ..Options::default() });
    let changes: Vec<byrnie_mesh::Change> =
        objects.into_iter().map(running).map(byrnie_mesh::Change::Applied).collect();
    compiler.apply(&changes);
    let table = Table::default();
    let resources = compiler.resources();
    let states = resources.map(|resource| Change {
        key: resource.key(),
        state: Some((byrnie_wire::encode(resource), resource.clone())),
    });
    table.publish(states.collect());
    why(&table, &compiler, None, query)
}

/// A Workload whose proxy has said where it is. The address itself decides nothing.
fn running(object: Object) -> Object {
    if object.kind() != Kind::Workload {
        return object;
    }
    let status = json!({"proxy": {"meshAddress": "127.0.0.1:1", "run": RUN}});
    object.with_status(Some(status)).unwrap_or(object)
}
