//! Objects as the compiler takes them, for commands that compute on files or on all that a mesh holds.

use byrnie_api::{KINDS, Object};
use byrnie_control::api::ListQuery;

use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::files::Document;

/// The objects of files.
pub fn of(documents: &[Document]) -> Result<Vec<Object>, Failure> {
    documents
        .iter()
        .map(|document| Object::from_value(document.object.clone()).map_err(Failure::system))
        .collect()
}

/// Every object of the running mesh.
pub async fn live(context: &Context) -> Result<Vec<Object>, Failure> {
    let mut objects = Vec::new();
    for row in KINDS {
        let list = context.client.list(row.plural, &ListQuery::default()).await;
        for value in list.map_err(|body| context.refused(body))?.items {
            objects.push(Object::from_value(value).map_err(Failure::system)?);
        }
    }
    Ok(objects)
}
