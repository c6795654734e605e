//! Whose connection it was, as the server sees it.

use std::io::{BufRead, BufReader};
use std::sync::Arc;

use byrnie_plan::{AccessLog, AppProtocol, Dialect, MeshSettings, TrafficSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::mesh::{Accepts, Mesh, application, call, echo, identity, listen, meshed, run, web};
use crate::config::Config;
use crate::front::Entrance;

#[test]
fn the_servers_log_says_whose_connection_it_was() {
    run(async {
        let (lines, log) = std::io::pipe().unwrap();
        let mesh = Mesh::new();
        let (client, server) = (mesh.proxy("front"), mesh.proxy_logging("web", log));
        Accepts::new(application(echo).await).put_in_force(&server);
        let before = server.config();
        let settings = MeshSettings { access_log: AccessLog::All, ..MeshSettings::default() };
        let config = Config {
            generation: before.generation + 1,
            settings: Arc::new(settings),
            inbound: before.inbound.clone(),
            ..Config::default()
        };
        server.process.config.store(Arc::new(config));
        let endpoint = meshed(listen(&server, Entrance::Mesh).await, "web", Dialect::Byrnie);
        call(&client, AppProtocol::Tcp, TrafficSettings::default(), vec![endpoint]);
        let mut stream = TcpStream::connect(listen(&client, Entrance::Upstream(web())).await).await.unwrap();
        let own = stream.local_addr().unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        drop(stream);
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(lines).read_line(&mut line).unwrap();
            line
        });
        let line: serde_json::Value = serde_json::from_str(&line.await.unwrap()).unwrap();
        assert_eq!(line["clientAddress"], own.to_string(), "{line}");
        assert_ne!(line["peerAddress"], own.to_string());
        assert_eq!(line["sourceId"], identity("front").to_string());
    });
}
