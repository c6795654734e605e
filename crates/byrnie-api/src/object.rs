//! An object of any kind: typed for those who act on it, and as it was written for those who print it.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::generated::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ListenerSet, ReferenceGrant, TCPRoute,
    TLSRoute, UDPRoute,
};
use crate::kind::{Kind, ObjectKey};
use crate::kinds::{
    AuthorizationPolicy, FaultPolicy, Mesh, Namespace, RateLimitPolicy, Service, ServiceAccount,
    ServiceProfile, ServiceSubset, TrafficPolicy, Workload,
};
use crate::meta::ObjectMeta;

/// An object of any kind. Cheap to clone.
///
/// [`Object::typed`] has defaults filled in; [`Object::to_value`] gives back what was written, field by field.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    typed: Arc<Typed>,
    value: Arc<Map<String, Value>>,
}

/// Why a value is not an object of a kind that is known here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Not a JSON object.
    #[error("not an object")]
    NotAnObject,
    /// `apiVersion` or `kind` is missing, or no text.
    #[error("apiVersion and kind must be given")]
    NoType,
    /// A kind that the mesh does not know.
    #[error("unknown kind {kind} of {api_version}")]
    UnknownKind {
        /// The `apiVersion`.
        api_version: String,
        /// The `kind`.
        kind: String,
    },
    /// The fields do not fit the kind.
    #[error("not a valid {kind}: {message}")]
    Shape {
        /// The kind.
        kind: Kind,
        /// What does not fit.
        message: String,
    },
}

macro_rules! typed_kinds {
    ($($kind:ident),* $(,)?) => {
        /// An object of any kind, typed.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(missing_docs, reason = "each is its own name")]
        #[allow(clippy::large_enum_variant)] // always behind an Arc
        pub enum Typed {
            $($kind($kind),)*
        }

        impl Typed {
            /// The kind.
            pub fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind(_) => Kind::$kind,)*
                }
            }

            /// Name, labels and so on.
            pub fn metadata(&self) -> &ObjectMeta {
                match self {
                    $(Self::$kind(object) => &object.metadata,)*
                }
            }

            fn metadata_mut(&mut self) -> &mut ObjectMeta {
                match self {
                    $(Self::$kind(object) => &mut object.metadata,)*
                }
            }

            fn read(kind: Kind, value: Value) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(Kind::$kind => Self::$kind(serde_json::from_value(value)?),)*
                })
            }

            fn write(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$kind(object) => serde_json::to_value(object),)*
                }
            }
        }

        $(impl From<$kind> for Typed {
            fn from(object: $kind) -> Self {
                Self::$kind(object)
            }
        })*
    };
}

typed_kinds!(
    Namespace,
    Service,
    ServiceAccount,
    GatewayClass,
    Gateway,
    ListenerSet,
    HTTPRoute,
    GRPCRoute,
    TCPRoute,
    TLSRoute,
    UDPRoute,
    ReferenceGrant,
    BackendTLSPolicy,
    Mesh,
    Workload,
    TrafficPolicy,
    AuthorizationPolicy,
    ServiceProfile,
    ServiceSubset,
    RateLimitPolicy,
    FaultPolicy,
);

impl Object {
    /// From a value that was read strictly before: from the store, or from a control plane.
    pub fn from_value(value: Value) -> Result<Self, ObjectError> {
        let Value::Object(mut value) = value else {
            return Err(ObjectError::NotAnObject);
        };
        let text = |key: &str| value.get(key).and_then(Value::as_str).ok_or(ObjectError::NoType);
        let (api_version, name) = (text("apiVersion")?, text("kind")?);
        let kind = Kind::from_type(api_version, name).ok_or_else(|| ObjectError::UnknownKind {
            api_version: api_version.to_owned(),
            kind: name.to_owned(),
        })?;
        value.insert("apiVersion".to_owned(), Value::String(kind.api_version()));
        let typed = Typed::read(kind, Value::Object(value.clone()))
            .map_err(|error| ObjectError::Shape { kind, message: error.to_string() })?;
        Ok(Self { typed: Arc::new(typed), value: Arc::new(value) })
    }

    /// From a typed object that a program made.
    pub fn from_typed(typed: impl Into<Typed>) -> Result<Self, ObjectError> {
        let typed = typed.into();
        let kind = typed.kind();
        let shape = |message: String| ObjectError::Shape { kind, message };
        let Value::Object(fields) = typed.write().map_err(|error| shape(error.to_string()))? else {
            return Err(ObjectError::NotAnObject);
        };
        let mut value = Map::new();
        value.insert("apiVersion".to_owned(), Value::String(kind.api_version()));
        value.insert("kind".to_owned(), Value::String(kind.name().to_owned()));
        value.extend(fields);
        Ok(Self { typed: Arc::new(typed), value: Arc::new(value) })
    }

    /// As it was written, with what the store added.
    pub fn to_value(&self) -> Value {
        Value::Object((*self.value).clone())
    }

    /// As it was written, without a copy.
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.value
    }

    /// Typed, with defaults filled in.
    pub fn typed(&self) -> &Typed {
        &self.typed
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.typed.kind()
    }

    /// Name, labels and so on.
    pub fn metadata(&self) -> &ObjectMeta {
        self.typed.metadata()
    }

    /// Kind, namespace and name.
    pub fn key(&self) -> ObjectKey {
        let metadata = self.metadata();
        ObjectKey::new(self.kind(), metadata.namespace.as_str(), metadata.name.as_str())
    }

    /// The `status`, if there is one.
    pub fn status(&self) -> Option<&Value> {
        self.value.get("status")
    }

    /// The same object with changed metadata.
    pub fn with_metadata(&self, change: impl FnOnce(&mut ObjectMeta)) -> Result<Self, ObjectError> {
        let mut typed = (*self.typed).clone();
        change(typed.metadata_mut());
        let kind = typed.kind();
        let metadata = serde_json::to_value(typed.metadata())
            .map_err(|error| ObjectError::Shape { kind, message: error.to_string() })?;
        let mut value = (*self.value).clone();
        value.insert("metadata".to_owned(), metadata);
        Ok(Self { typed: Arc::new(typed), value: Arc::new(value) })
    }

    /// The same object with another `status`; `None` removes it.
    pub fn with_status(&self, status: Option<Value>) -> Result<Self, ObjectError> {
        let mut value = (*self.value).clone();
        match status {
            Some(status) => value.insert("status".to_owned(), status),
            None => value.shift_remove("status"),
        };
        Self::from_value(Value::Object(value))
    }

    /// Whether both say the same beside metadata and status. A change of this raises `metadata.generation`.
    pub fn same_spec(&self, other: &Self) -> bool {
        let spec = |object: &Self| -> Map<String, Value> {
            let fields =
                object.value.iter().filter(|(key, _)| !matches!(key.as_str(), "metadata" | "status"));
            fields.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        spec(self) == spec(other)
    }
}
