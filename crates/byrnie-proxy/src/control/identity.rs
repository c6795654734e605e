//! This proxy's certificate: the first one for a one-time credential, each further one for the one before.
//!
//! Runs beside the control loop and tells it what happened. The key is made here and leaves the process only in a
//! sealed memory file that the supervisor keeps for the next life.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use byrnie_identity::{KeyPair, Svid};
use byrnie_plan::TrustBundle;
use byrnie_wire::client::{Backoff, Connector};
use byrnie_wire::identity::{SignError, sign};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

/// The name of the descriptor that holds a one-time credential.
pub const CREDENTIAL: &str = "credential";
/// The name of the descriptor that holds key and certificate.
pub const IDENTITY: &str = "identity";
/// Largest credential or identity that is read, in bytes.
pub const LIMIT: usize = 256 * 1024;

/// The wall clock may jump: it is looked at this often.
const LOOK: Duration = Duration::from_secs(30);
/// How long a probe of the control plane's port may take.
const PROBE: Duration = Duration::from_secs(5);
/// Refused streams in a row after which this process can only begin anew.
const REFUSALS: u32 = 3;

/// What happened.
pub enum IdentityEvent {
    /// A new certificate, and the roots that came with it.
    New(Arc<Svid>, TrustBundle),
    /// No certificate this time; it is tried again.
    Failed(String),
    /// This process will not get one: another one may, with a fresh credential.
    Lost(String),
}

/// Keeps a certificate in force.
pub struct Keeper {
    /// For renewals.
    pub mutual: Connector,
    /// For the credential.
    pub bootstrap: Connector,
    /// Where the control plane is.
    pub address: Arc<str>,
    /// What is in force.
    pub svid: Option<Arc<Svid>>,
    /// Good for one certificate.
    pub credential: Option<Vec<u8>>,
    /// The control plane refused a stream: it may know this proxy under another identity now.
    pub refused: Arc<Notify>,
    /// Where to tell.
    pub events: mpsc::Sender<IdentityEvent>,
}

impl Keeper {
    /// Runs until nobody listens, or until the identity is lost.
    pub async fn run(mut self) {
        let had_credential = self.credential.is_some();
        let mut refusals = 0;
        while !self.events.is_closed() {
            let obtained = match self.svid.clone() {
                None => self.first().await,
                Some(svid) => tokio::select! {
                    renewed = self.renew(&svid) => renewed,
                    () = self.refused.notified() => {
                        refusals += 1;
                        self.after_refusal(had_credential && refusals >= REFUSALS).await
                    }
                },
            };
            match obtained {
                Obtained::New(svid, trust) => {
                    refusals = 0;
                    self.svid = Some(Arc::clone(&svid));
                    let _ = self.events.send(IdentityEvent::New(svid, trust)).await;
                }
                Obtained::Nothing => {}
                Obtained::Lost(why) => {
                    let _ = self.events.send(IdentityEvent::Lost(why)).await;
                    return;
                }
            }
        }
    }

    /// Without a certificate: redeems the credential, however long the control plane is away.
    async fn first(&mut self) -> Obtained {
        let mut backoff = pauses();
        loop {
            let Some(credential) = &self.credential else { return self.without_credential().await };
            match ask(&self.bootstrap, credential).await {
                Ok((svid, trust)) => {
                    self.credential = None;
                    return Obtained::New(svid, trust);
                }
                Err(SignError::Refused(why)) => return Obtained::Lost(why),
                Err(error) => self.failed(error.to_string()).await,
            }
            sleep(backoff.next_pause()).await;
        }
    }

    /// Nothing can be asked for. Once the control plane is back, whoever starts this process again has a credential.
    async fn without_credential(&self) -> Obtained {
        self.failed("BYR0367: no certificate and no credential; waiting for the control plane".to_owned())
            .await;
        let mut backoff = pauses();
        while !matches!(timeout(PROBE, TcpStream::connect(&*self.address)).await, Ok(Ok(_))) {
            sleep(backoff.next_pause()).await;
        }
        Obtained::Lost("the control plane is there; a fresh credential is needed".to_owned())
    }

    /// With a certificate: waits for the time of renewal, and tries until it succeeds or the certificate is over.
    async fn renew(&self, svid: &Svid) -> Obtained {
        until(svid.renew_at(rand::random())).await;
        let mut backoff = pauses();
        while SystemTime::now() < svid.not_after() {
            match ask(&self.mutual, b"").await {
                Ok((svid, trust)) => return Obtained::New(svid, trust),
                Err(error) => self.failed(error.to_string()).await,
            }
            sleep(backoff.next_pause()).await;
        }
        // Nobody accepts it any more: as if there were none.
        match &self.credential {
            Some(credential) => match ask(&self.bootstrap, credential).await {
                Ok((svid, trust)) => Obtained::New(svid, trust),
                Err(error) => self.after_failure(error).await,
            },
            None => self.without_credential().await,
        }
    }

    async fn after_failure(&self, error: SignError) -> Obtained {
        if let SignError::Refused(why) = error {
            return Obtained::Lost(why);
        }
        self.failed(error.to_string()).await;
        sleep(Duration::from_secs(1)).await;
        Obtained::Nothing
    }

    /// The certificate in force is not the workload's any more, as the control plane sees it. It stays in force for
    /// as long as it is valid; a credential of this start can still bring the right one.
    async fn after_refusal(&mut self, hopeless: bool) -> Obtained {
        match self.credential.take() {
            Some(credential) => match ask(&self.bootstrap, &credential).await {
                Ok((svid, trust)) => Obtained::New(svid, trust),
                Err(error) => {
                    self.failed(error.to_string()).await;
                    Obtained::Nothing
                }
            },
            None if hopeless => Obtained::Lost("the control plane refuses this proxy's identity".to_owned()),
            None => Obtained::Nothing,
        }
    }

    async fn failed(&self, why: String) {
        let _ = self.events.send(IdentityEvent::Failed(why)).await;
    }
}

enum Obtained {
    New(Arc<Svid>, TrustBundle),
    Nothing,
    Lost(String),
}

fn pauses() -> Backoff {
    Backoff::new(Duration::from_millis(50), Duration::from_secs(5))
}

/// One attempt with a new key.
async fn ask(connector: &Connector, credential: &[u8]) -> Result<(Arc<Svid>, TrustBundle), SignError> {
    // A library that cannot make a key now may do so later.
    let own = |error: byrnie_identity::IdentityError| SignError::Unavailable(error.to_string());
    let key = KeyPair::generate().map_err(own)?;
    let request = key.csr_der().map_err(own)?;
    let signed = sign(connector, credential, &request).await?;
    let svid = Svid::new(key, signed.chain_der, SystemTime::now()).map_err(own)?;
    Ok((Arc::new(svid), signed.trust))
}

async fn until(moment: SystemTime) {
    while let Ok(left) = moment.duration_since(SystemTime::now())
        && !left.is_zero()
    {
        sleep(left.min(LOOK)).await;
    }
}
