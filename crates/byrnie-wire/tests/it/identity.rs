//! Asking for a certificate: what comes back, and every way it does not.

use byrnie_wire::generated as pb;
use byrnie_wire::generated::identity_server::{Identity, IdentityServer};
use byrnie_wire::identity::{SignError, sign};
use byrnie_wire::server;
use tonic::{Request, Response, Status};

use crate::plane::{nowhere, pipes};

/// Answers by the credential.
struct Authority;

#[tonic::async_trait]
impl Identity for Authority {
    async fn sign(&self, request: Request<pb::SignRequest>) -> Result<Response<pb::SignResponse>, Status> {
        let request = request.into_inner();
        let good = pb::SignResponse {
            chain_der: vec![request.csr_der],
            not_before: 10,
            not_after: 20,
            trust_domain: "cluster.local".into(),
            roots_der: vec![vec![1]],
        };
        Ok(Response::new(match request.credential.as_slice() {
            b"good" => good,
            b"empty" => pb::SignResponse { chain_der: Vec::new(), ..good },
            b"over" => pb::SignResponse { not_after: 10, ..good },
            b"untrusted" => pb::SignResponse { roots_der: vec![Vec::new()], ..good },
            b"endless" => pb::SignResponse { chain_der: vec![vec![1]; 9], ..good },
            b"busy" => return Err(Status::resource_exhausted("BYR0325: later")),
            _ => return Err(Status::unauthenticated("BYR0324: no")),
        }))
    }
}

#[tokio::test]
async fn what_the_control_plane_answers() {
    let connector = pipes(server::transport().add_service(IdentityServer::new(Authority)));
    let signed = sign(&connector, b"good", b"csr").await.unwrap();
    assert_eq!((signed.chain_der, signed.not_after), (vec![b"csr".to_vec()], 20));
    assert_eq!(signed.trust.roots_der, [[1]]);
    let refused = SignError::Refused("BYR0324: no".into());
    assert_eq!(sign(&connector, b"stale", b"csr").await, Err(refused));
    let busy = SignError::Unavailable("BYR0325: later".into());
    assert_eq!(sign(&connector, b"busy", b"csr").await, Err(busy));
    for (credential, path) in [
        ("empty", "chain_der"),
        ("over", "not_after"),
        ("untrusted", "trust.roots_der[0]"),
        ("endless", "chain_der"),
    ] {
        let Err(SignError::Unreadable(error)) = sign(&connector, credential.as_bytes(), b"csr").await else {
            panic!("{credential} must be refused")
        };
        assert_eq!(error.path, path);
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_that_is_away() {
    let Err(SignError::Unavailable(why)) = sign(&nowhere(), b"good", b"csr").await else { panic!() };
    assert!(why.starts_with("BYR0369"), "{why}");
    let refusing: byrnie_wire::client::Connector =
        std::sync::Arc::new(|| Box::pin(async { Err(std::io::Error::other("connection refused")) }));
    let Err(SignError::Unavailable(why)) = sign(&refusing, b"good", b"csr").await else { panic!() };
    assert!(why.starts_with("BYR0367") && why.ends_with("connection refused"), "{why}");
}
