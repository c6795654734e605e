//! The `Identity` service: certificates for who has proven to be somebody.
//!
//! One port serves both kinds of callers; a client certificate is optional there. Without one, a one-time credential
//! must say who asks. With one, exactly that identity is renewed, as long as a workload still has it.

use std::sync::Arc;
use std::time::SystemTime;

use byrnie_identity::{CredentialError, SignedSvid};
use byrnie_plan::WorkloadIdentity;
use byrnie_wire::generated::identity_server::Identity;
use byrnie_wire::generated::{SignRequest, SignResponse};
use tonic::{Request, Response, Status};

use crate::state::Control;
use crate::tls::Peer;

/// The service.
pub struct SignService {
    /// Everything it stands on.
    pub control: Arc<Control>,
}

#[tonic::async_trait]
impl Identity for SignService {
    async fn sign(&self, request: Request<SignRequest>) -> Result<Response<SignResponse>, Status> {
        let peer = request.extensions().get::<Peer>().and_then(Peer::proven);
        let request = request.into_inner();
        let signed =
            self.attest(peer, &request.credential).and_then(|identity| self.issue(&request, &identity));
        match &signed {
            Ok(_) => self.control.metrics.signed.inc(),
            Err(status) => {
                self.control.metrics.sign_refused.inc();
                tracing::warn!(reason = status.message(), "a certificate was refused");
            }
        }
        signed.map(Response::new)
    }
}

impl SignService {
    /// Who asks.
    fn attest(&self, peer: Option<WorkloadIdentity>, credential: &[u8]) -> Result<WorkloadIdentity, Status> {
        // First, so that whoever is told to come back still has a credential.
        if !self.control.authority.admit() {
            let later = "BYR0325: too many certificate requests; try again in a second";
            return Err(Status::resource_exhausted(later));
        }
        if credential.is_empty() {
            let identity =
                peer.ok_or_else(|| Status::unauthenticated("BYR0324: neither credential nor certificate"))?;
            if !self.control.has_identity(&identity) {
                return Err(gone(&identity));
            }
            return Ok(identity);
        }
        let refused = |why: CredentialError| {
            tracing::warn!(code = why.code(), %why, "a credential was refused");
            Status::unauthenticated(CredentialError::FOR_CALLER)
        };
        let token = std::str::from_utf8(credential).map_err(|_| refused(CredentialError::Unknown))?;
        let (identity, workload) = self.control.authority.redeem(token).map_err(refused)?;
        match self.control.identity_of(&workload) {
            Some(now) if now == identity => Ok(identity),
            _ => Err(gone(&identity)),
        }
    }

    fn issue(&self, request: &SignRequest, identity: &WorkloadIdentity) -> Result<SignResponse, Status> {
        let signed = self
            .control
            .authority
            .sign(&request.csr_der, identity)
            .map_err(|why| Status::invalid_argument(why.to_string()))?;
        tracing::info!(%identity, serial = signed.serial, "signed a certificate");
        let bundle = self.control.authority.bundle();
        let SignedSvid { chain_der, not_before, not_after, .. } = signed;
        Ok(SignResponse {
            chain_der,
            not_before: seconds(not_before),
            not_after: seconds(not_after),
            trust_domain: bundle.trust_domain,
            roots_der: bundle.roots_der,
        })
    }
}

fn gone(identity: &WorkloadIdentity) -> Status {
    Status::permission_denied(format!(
        "BYR0326: no workload of this mesh has the identity {identity} any more"
    ))
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
