//! Operations from the services of a protobuf file. Imports are not needed: only names are read.

use prost_types::uninterpreted_option::NamePart;
use prost_types::{MethodDescriptorProto, UninterpretedOption};

use super::{Call, Operation};

/// The methods of all services, in the order of the file.
pub fn operations(text: &str, file: &str) -> Result<Vec<Operation>, String> {
    let file = protox_parse::parse(file, text).map_err(|error| error.to_string())?;
    let package = file.package();
    let mut operations = Vec::new();
    for service in &file.service {
        let name = match package {
            "" => service.name().to_owned(),
            package => format!("{package}.{}", service.name()),
        };
        for method in &service.method {
            let call = Call::Grpc { service: name.clone(), method: method.name().to_owned() };
            operations.push(Operation { retryable: is_idempotent(method), ..Operation::new(call) });
        }
    }
    Ok(operations)
}

/// `option idempotency_level = IDEMPOTENT` or `NO_SIDE_EFFECTS`.
fn is_idempotent(method: &MethodDescriptorProto) -> bool {
    let is_level = |option: &&UninterpretedOption| matches!(option.name.as_slice(), [NamePart { name_part, .. }] if name_part == "idempotency_level");
    let options = method.options.iter().flat_map(|options| &options.uninterpreted_option);
    let level = options.filter(is_level).find_map(|option| option.identifier_value.as_deref());
    matches!(level, Some("IDEMPOTENT" | "NO_SIDE_EFFECTS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_a_package() {
        let text = r#"
syntax = "proto3";
package emojivoto.v1;
import "google/protobuf/empty.proto";
message VoteRequest {}
service VotingService {
  rpc VoteGhost (VoteRequest) returns (stream google.protobuf.Empty);
  rpc Results (VoteRequest) returns (VoteRequest) { option idempotency_level = NO_SIDE_EFFECTS; }
}
service Other { rpc Do (VoteRequest) returns (VoteRequest) { option idempotency_level = IDEMPOTENCY_UNKNOWN; } }
"#;
        let read = operations(text, "v.proto").unwrap();
        let shown: Vec<String> = read
            .iter()
            .map(|operation| match &operation.call {
                Call::Grpc { service, method } => format!("{service}/{method} {}", operation.retryable),
                Call::Http { .. } => "http".to_owned(),
            })
            .collect();
        let expected = [
            "emojivoto.v1.VotingService/VoteGhost false",
            "emojivoto.v1.VotingService/Results true",
            "emojivoto.v1.Other/Do false",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn without_package_and_without_sense() {
        let read =
            operations("syntax = \"proto3\"; service A { rpc B (C) returns (C); }", "v.proto").unwrap();
        assert_eq!(read[0].call, Call::Grpc { service: "A".into(), method: "B".into() });
        assert!(operations("service {", "v.proto").is_err());
    }
}
