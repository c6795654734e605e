//! What a process of a role is started with: its arguments, its sockets and identity, a credential, its log.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use byrnie_control::api::CredentialRequest;
use byrnie_net::{Output, Spawn};

use super::life::Life;
use super::{Keeping, Role};
use crate::supervisor::desired::{CapturedWay, Kind, UnitKey};
use crate::supervisor::home;
use crate::supervisor::shared::{GENERATION, RUN, WORKERS};

/// How long a control plane may take to hand out a credential before the proxy starts without a fresh one.
const CREDENTIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The same for a proxy whose sockets and certificate are kept: it can serve without one.
const KEPT_CREDENTIAL_TIMEOUT: Duration = Duration::from_millis(300);

impl Keeping {
    /// Another process, with what is kept for it.
    pub(super) async fn spawn(&mut self) -> std::io::Result<Life> {
        let mut what = match self.role.clone() {
            Role::ControlPlane => self.control_plane()?,
            Role::Proxy { key, captured: None } => self.proxy(&key).await?,
            Role::Proxy { key, captured: Some(way) } => {
                let mut what = self.proxy(&key).await?;
                self.capture(&key, way, &mut what).await.map_err(std::io::Error::other)?;
                what
            }
        };
        what.descriptors.extend(self.store.duplicates()?);
        let log = self.log();
        if let Some(directory) = log.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let log = home::open_log(&log)?;
        self.log_before = log.metadata()?.len();
        what.output = Output::File(log);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        self.generation = self.generation.saturating_add(1).max(now);
        let what = what.env(GENERATION, self.generation.to_string());
        let (child, pid, messages) = self.shared.start(what)?;
        Ok(Life::new(child, pid, messages))
    }

    fn control_plane(&self) -> std::io::Result<Spawn> {
        let home = &self.shared.home;
        let data_dir = home.path.as_os_str();
        let arguments = [
            "--data-dir".as_ref(),
            data_dir,
            "control-plane".as_ref(),
            "--run-id".as_ref(),
            self.shared.run_id.as_ref(),
        ];
        let mut what = Spawn::new(self.shared.program.path(), arguments);
        what.arguments.extend(self.shared.ground.is_some().then(|| "--transparent".into()));
        what.descriptors.push((crate::roles::LOCK.to_owned(), home.lock()?));
        Ok(what)
    }

    async fn proxy(&self, key: &UnitKey) -> std::io::Result<Spawn> {
        let home = &self.shared.home;
        let credential = self.credential(key).await;
        let xds = home.control_plane().map_err(std::io::Error::other)?.xds;
        let role = if key.kind == Kind::Gateway { "gateway" } else { "sidecar" };
        let mut what =
            Spawn::new(self.shared.program.path(), ["proxy", "--role", role, "--control-plane", &xds]);
        what.arguments.extend(["--workload".into(), format!("{}/{}", key.namespace, key.name).into()]);
        what.arguments.extend(["--trust-bundle".into(), home.trust_bundle().into_os_string()]);
        what.arguments.extend(["--state-dir".into(), home.proxy(key).into_os_string()]);
        what.environment.push((RUN.into(), self.shared.run_id.clone().into()));
        what.environment
            .extend(self.shared.proxy_workers.map(|count| (WORKERS.into(), count.to_string().into())));
        what.descriptors.extend(credential.map(|descriptor| ("credential".to_owned(), descriptor)));
        Ok(what)
    }

    /// The proxy works in the workload's namespace, which is there from now on.
    async fn capture(&mut self, key: &UnitKey, way: CapturedWay, what: &mut Spawn) -> Result<(), String> {
        let place = match &self.place {
            Some(place) => Rc::clone(place),
            None => Rc::clone(self.place.insert(self.shared.place(key)?)),
        };
        let state_dir = self.shared.home.proxy(key);
        let made = place.make_ready(&state_dir, &key.namespace).await?;
        place.describe(&state_dir, way.original_source)?;
        what.arguments.push("--transparent".into());
        what.descriptors.extend(made.descriptors().map_err(|error| error.to_string())?);
        Ok(())
    }

    /// A fresh one-time credential; none while the control plane is away: the proxy then lives on what is stored.
    async fn credential(&self, key: &UnitKey) -> Option<OwnedFd> {
        let request = CredentialRequest {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            role: if key.kind == Kind::Gateway { "gateway" } else { "sidecar" }.to_owned(),
        };
        let patience = if self.store.is_empty() { CREDENTIAL_TIMEOUT } else { KEPT_CREDENTIAL_TIMEOUT };
        let answer = tokio::time::timeout(patience, self.shared.client.credential(&request)).await;
        match answer {
            Ok(Ok(credential)) => byrnie_net::memfd::sealed("credential", credential.token.as_bytes()).ok(),
            Ok(Err(refusal)) => {
                tracing::warn!(%key, %refusal, "no fresh credential");
                None
            }
            Err(_) => None,
        }
    }
}
