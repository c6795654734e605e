//! The resource kinds of the mesh: types, strict reading, validation, findings' codes, CRDs and reference pages.
//!
//! Owns what a kind looks like and what its fields mean. Must never know about stores, sockets, proxies or clients
//! of Kubernetes: it turns text into [`Object`]s and [`Finding`]s, and back.

mod code_pages;
pub mod codes;
pub mod duration;
pub mod generated;
pub mod kinds;
pub mod labels;
pub mod meta;
pub mod names;

mod checks;
mod crd;
mod finding;
mod go_duration;
mod kind;
mod metadata;
mod node;
mod object;
mod read;
mod reference;
mod schema;
mod walk;
mod yaml;

pub use code_pages::{code_example, code_page};
pub use codes::Code;
pub use crd::crds;
pub use finding::{Finding, Severity, SourceLocation};
pub use go_duration::parse_go_duration;
pub use kind::{GATEWAY_GROUP, KINDS, Kind, KindInfo, LINKERD_GROUP, MESH_GROUP, ObjectKey, Scope};
pub use object::{Object, ObjectError, Typed};
pub use read::{FILE_LIMIT, OBJECT_LIMIT, OBJECTS_LIMIT, Reading, read_bytes, read_documents, read_value};
pub use reference::reference;
pub use schema::schema;
pub use yaml::read_document;
