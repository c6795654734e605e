//! The network of a mesh that captures traffic: a switch, and for each captured workload a namespace with an address.
//!
//! A namespace comes with the first of its workload's processes and goes with the last. Nothing has a name on the
//! host but the switch's one interface, and that goes with the switch: also when this process is killed.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use byrnie_api::kinds::{CaptureNetworks, CaptureSettings};
use byrnie_net::Namespace;
use byrnie_net::capture::link::{self, Addresses, Switch};
use byrnie_net::capture::rules::DNS;
use byrnie_net::capture::{ToolError, check};
use byrnie_net::socket::{DEFAULT_BACKLOG, listen};
use byrnie_proxy::{CAPTURE_FILE, CaptureOptions};
use tokio::sync::OnceCell as Once;

use super::users;
use crate::cli::failure::Failure;

/// Capture is not possible here.
pub const NO_CAPTURE: &str = "BYR0495";
/// The network cannot be set up.
pub const NETWORK: &str = "BYR0496";

/// Whether this process may capture traffic, and has what it takes.
pub fn possible() -> Result<(), Failure> {
    if byrnie_net::unix::own_uid() != 0 {
        return Err(Failure::new(
            NO_CAPTURE,
            "--transparent needs root: it makes network namespaces and rules",
        )
        .help("run it through sudo; the Workloads' commands then run as you, without privileges"));
    }
    check().map_err(|error| Failure::new(NO_CAPTURE, error.to_string()))
}

/// The network, once the settings of the Mesh are known.
#[derive(Debug, Default)]
pub struct Ground {
    network: OnceCell<Network>,
    places: RefCell<Places>,
    used: RefCell<BTreeSet<u32>>,
    /// Where the search for a free address begins: one that was just given back is taken last.
    next: Cell<u32>,
}

/// Who holds which address, by namespace and name of the Workload.
type Places = BTreeMap<(String, String), Weak<Place>>;

#[derive(Debug)]
struct Network {
    switch: Arc<Switch>,
    networks: CaptureNetworks,
    has_v6: bool,
    rules: Spared,
}

/// What is not captured.
#[derive(Clone, Debug)]
struct Spared {
    outbound_ports: Vec<u16>,
    inbound_ports: Vec<u16>,
    users: Vec<u32>,
    original_source: bool,
}

/// How each mesh's interface on the host begins.
const INTERFACE_PREFIX: &str = "byrnie-";

/// The kernel takes the interface of a mesh that was killed away some time after its processes.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The interface that has this network and keeps it: one of a mesh gets time to leave.
async fn who_stays_at(address: Ipv4Addr, prefix: u8) -> std::io::Result<Option<String>> {
    let begun = Instant::now();
    loop {
        let taken = link::who_has(address, prefix)?;
        let may_leave = taken.as_ref().is_some_and(|interface| interface.starts_with(INTERFACE_PREFIX));
        if !may_leave || begun.elapsed() > LEAVES_WITHIN {
            return Ok(taken);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// The host has the first address of the network.
const HOST: u32 = 1;

impl Ground {
    /// Sets the network up, unless it is already. `run` becomes a part of the name of the interface on the host.
    pub async fn begin(&self, settings: &CaptureSettings, run: &str) -> Result<(), Failure> {
        if self.network.get().is_some() {
            return Ok(());
        }
        let failed = |why: String| Failure::new(NETWORK, format!("the network of the mesh: {why}"));
        let networks = settings.networks().map_err(|(field, why)| failed(format!("{field}: {why}")))?;
        let users = settings.exclude_users.iter().map(|user| users::parse(user).map(|known| known.user.uid));
        let rules = Spared {
            outbound_ports: settings.exclude_outbound_ports.clone(),
            inbound_ports: settings.exclude_inbound_ports.clone(),
            users: users.collect::<Result<_, _>>().map_err(failed)?,
            original_source: settings.original_source,
        };
        // An interface's name has at most 15 bytes.
        let name = format!("{INTERFACE_PREFIX}{run:.8}");
        let taken = who_stays_at(networks.v4.addr(), networks.v4.prefix_len()).await;
        if let Some(interface) = taken.map_err(|error| failed(error.to_string()))? {
            let why = format!("{} is in use on this host, by interface {interface}", networks.v4);
            return Err(failed(why).help("set another spec.capture.ipv4Range in the Mesh named default"));
        }
        let has_v6 = networks.v6.is_some() && link::has_v6();
        let host = addresses(&networks, has_v6, HOST);
        let switch = Switch::create(&name, host).map_err(|error| failed(error.to_string()))?;
        let network = Network { switch: Arc::new(switch), networks, has_v6, rules };
        let _ = self.network.set(network);
        Ok(())
    }

    /// The place of a workload: the one that it has, or a new one.
    pub fn place(self: &Rc<Self>, namespace: &str, name: &str) -> Result<Rc<Place>, String> {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(place) = self.places.borrow().get(&key).and_then(Weak::upgrade) {
            return Ok(place);
        }
        let network = self.network.get().ok_or("the network of the mesh is not set up yet")?;
        let number = self.free(network)?;
        let place = Rc::new(Place {
            number,
            addresses: addresses(&network.networks, network.has_v6, number),
            switch: Arc::clone(&network.switch),
            made: Once::new(),
            ground: Rc::downgrade(self),
        });
        self.places.borrow_mut().insert(key, Rc::downgrade(&place));
        Ok(place)
    }

    fn free(&self, network: &Network) -> Result<u32, String> {
        let range = network.networks.v4;
        // Neither the network's own address, nor the host's, nor the one for all.
        let last = (1_u32 << (32 - u32::from(range.prefix_len()))) - 2;
        let mut used = self.used.borrow_mut();
        let count = last - HOST;
        let begin = self.next.get();
        let free = (0..count).map(|i| HOST + 1 + (begin + i) % count).find(|number| !used.contains(number));
        let number = free.ok_or_else(|| {
            format!(
                "{NETWORK}: all {count} addresses of {range} are taken; set a larger spec.capture.ipv4Range"
            )
        })?;
        used.insert(number);
        self.next.set((number - HOST) % count);
        Ok(number)
    }

    /// How a workload's traffic is captured.
    fn options(&self, place: &Place) -> Option<CaptureOptions> {
        let Network { networks, rules, .. } = self.network.get()?;
        let v4 = (IpAddr::V4(networks.v4.addr()), networks.v4.prefix_len());
        let v6 = networks.v6.map(|net| (IpAddr::V6(net.addr()), net.prefix_len()));
        Some(CaptureOptions {
            v4: place.addresses.v4.0,
            v6: place.addresses.v6.map(|(address, _)| address),
            networks: [v4].into_iter().chain(v6).collect(),
            spared_outbound_ports: rules.outbound_ports.clone(),
            spared_outbound_networks: networks.excluded.clone(),
            spared_inbound_ports: rules.inbound_ports.clone(),
            spared_users: rules.users.clone(),
            original_source: rules.original_source,
        })
    }
}

fn addresses(networks: &CaptureNetworks, has_v6: bool, number: u32) -> Addresses {
    let v4 = Ipv4Addr::from_bits(networks.v4.addr().to_bits() + number);
    let v6 = networks.v6.filter(|_| has_v6);
    Addresses {
        v4: (v4, networks.v4.prefix_len()),
        v6: v6.map(|net| (Ipv6Addr::from_bits(net.addr().to_bits() + u128::from(number)), net.prefix_len())),
    }
}

/// A workload's place in the network. It is given back when the last of the workload's processes is gone.
#[derive(Debug)]
pub struct Place {
    number: u32,
    addresses: Addresses,
    switch: Arc<Switch>,
    made: Once<Made>,
    ground: Weak<Ground>,
}

/// A namespace, and the sockets in it where its proxy answers for names: what is asked while the proxy is away waits.
#[derive(Debug)]
pub struct Made {
    /// The namespace.
    pub namespace: Namespace,
    resolver: Vec<(String, OwnedFd)>,
}

impl Made {
    /// What a proxy of this workload is handed.
    pub fn descriptors(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut all = vec![(byrnie_proxy::NAMESPACE.to_owned(), self.namespace.descriptor()?)];
        for (name, socket) in &self.resolver {
            all.push((name.clone(), socket.try_clone()?));
        }
        Ok(all)
    }
}

/// Where questions for names are redirected to, by both families and both protocols. Call it in the namespace.
fn resolver_sockets(v6: bool) -> io::Result<Vec<(String, OwnedFd)>> {
    let mut sockets = Vec::new();
    let v4 = ("4", IpAddr::V4(Ipv4Addr::LOCALHOST));
    for (name, ip) in [v4].into_iter().chain(v6.then_some(("6", IpAddr::V6(Ipv6Addr::LOCALHOST)))) {
        let address = SocketAddr::new(ip, DNS);
        sockets.push((format!("dns:udp{name}"), UdpSocket::bind(address)?.into()));
        sockets.push((format!("dns:tcp{name}"), listen(address, DEFAULT_BACKLOG)?.into()));
    }
    Ok(sockets)
}

/// The file in a proxy's directory that takes the place of `/etc/resolv.conf` for the command.
const RESOLVER: &str = "resolv.conf";

impl Place {
    /// Writes into `state_dir` how the workload's traffic is captured, for its next proxy.
    pub fn describe(&self, state_dir: &Path, original_source: Option<bool>) -> Result<(), String> {
        let ground = self.ground.upgrade().ok_or("the mesh ends")?;
        let mut options = ground.options(self).ok_or("the network of the mesh is not set up yet")?;
        options.original_source = original_source.unwrap_or(options.original_source);
        let described = serde_json::to_vec_pretty(&options).map_err(|error| error.to_string())?;
        std::fs::write(state_dir.join(CAPTURE_FILE), described).map_err(|error| error.to_string())
    }

    /// The namespace, made if it is not there yet: plugged in, its rules in force. The command's resolvers are in
    /// `state_dir` then.
    pub async fn make_ready(&self, state_dir: &Path, namespace: &str) -> Result<&Made, String> {
        self.made.get_or_try_init(|| self.make(state_dir.to_owned(), namespace)).await
    }

    async fn make(&self, state_dir: PathBuf, namespace: &str) -> Result<Made, String> {
        let ground = self.ground.upgrade().ok_or("the mesh ends")?;
        let options = ground.options(self).ok_or("the network of the mesh is not set up yet")?;
        let resolver = resolver(namespace, &std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
        let (switch, number, addresses) = (Arc::clone(&self.switch), self.number, self.addresses);
        let making = move || -> Result<Made, ToolError> {
            std::fs::create_dir_all(&state_dir)?;
            std::fs::write(state_dir.join(RESOLVER), resolver)?;
            let namespace = Namespace::create()?;
            // First: nothing ever leaves it uncaptured.
            options.rules().apply(&namespace)?;
            switch.plug_in(&namespace, number, &addresses)?;
            let resolver = namespace.run(|| resolver_sockets(addresses.v6.is_some()))?;
            Ok(Made { namespace, resolver })
        };
        let made = tokio::task::spawn_blocking(making).await.map_err(|error| error.to_string())?;
        made.map_err(|error| format!("{NETWORK}: {error}"))
    }

    /// The namespace, if it is there.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.made.get().map(|made| &made.namespace)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made.get().is_some() {
            self.switch.unplug(self.number);
        }
        if let Some(ground) = self.ground.upgrade() {
            ground.used.borrow_mut().remove(&self.number);
        }
    }
}

/// Where the command finds what takes the place of `/etc/resolv.conf`.
pub fn resolver_file(state_dir: &Path) -> PathBuf {
    state_dir.join(RESOLVER)
}

/// Names are searched as in Kubernetes, then as on the host. Which server is asked does not matter: the question is
/// captured.
fn resolver(namespace: &str, host: &str) -> String {
    let mut search = host.lines().filter_map(|line| line.trim().strip_prefix("search"));
    let search = search.next_back().unwrap_or_default().split_ascii_whitespace();
    let mut domains = vec![
        format!("{namespace}.svc.cluster.local"),
        "svc.cluster.local".to_owned(),
        "cluster.local".to_owned(),
    ];
    // glibc before 2.26 takes six.
    domains.extend(search.filter(|domain| *domain != ".").map(str::to_owned).take(3));
    let why = "# byrnie: whom you ask does not matter, the proxy answers";
    format!("{why}\nnameserver 127.0.0.1\nsearch {}\n", domains.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_searched_in_the_own_namespace_first() {
        let text = resolver("shop", "nameserver 192.0.2.1\nsearch example.com corp.example\n");
        assert!(text.ends_with(
            "nameserver 127.0.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local example.com \
             corp.example\n"
        ));
        assert!(resolver("shop", "").ends_with("svc.cluster.local cluster.local\n"));
    }

    #[test]
    fn addresses_are_counted_through_the_range() {
        let networks = CaptureSettings::default().networks().unwrap();
        let found = addresses(&networks, true, 258);
        assert_eq!(found.v4, ("10.213.1.2".parse().unwrap(), 16));
        assert_eq!(found.v6, Some(("fd62:7972:6e69:65::102".parse().unwrap(), 64)));
        assert_eq!(addresses(&networks, false, 2).v6, None);
    }
}
