//! The sample application: people vote for their favourite bread.
//!
//! ```text
//! load ──► web ──► catalog (v1, v2)   HTTP/1.1; its route /specials fails a share of its requests
//!   │       └────► votes ──► store    gRPC; a line protocol over TCP, the server speaks first
//!   └────► feed ──► votes             WebSocket; a gRPC stream
//! ```
//!
//! Plain programs: none knows that there is a mesh. Each finds what it calls by `<SERVICE>_SERVICE_HOST` and
//! `<SERVICE>_SERVICE_PORT`, and runs on one thread, so that the demo stays small.

mod catalog;
mod feed;
mod grpc;
mod load;
mod plain;
mod store;
mod votes;
mod web;
mod websocket;

use std::net::{Ipv4Addr, SocketAddr};

use crate::cli::failure::Failure;

/// What `byrnie demo-app` was asked for.
#[derive(Clone, Debug)]
pub struct DemoAppOptions {
    /// `web`, `catalog`, `votes`, `feed`, `store` or `load`.
    pub service: String,
    /// `--port PORT` (all but `load`), `--version VERSION` and `--broken` (`catalog`), `--after PORT,PORT…` (`load`).
    pub args: Vec<String>,
}

/// Runs one service until the process is ended. Call it outside of any runtime.
pub fn run(options: &DemoAppOptions) -> Result<(), Failure> {
    let _ = byrnie_net::limits::large_pages(false);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::system)?;
    let argument = |name: &str| {
        let mut arguments = options.args.iter().skip_while(|argument| *argument != name);
        arguments.nth(1).cloned()
    };
    let version = argument("--version").unwrap_or_else(|| "v1".to_owned());
    runtime.block_on(async {
        if options.service == "load" {
            return load::run(&argument("--after").unwrap_or_default()).await;
        }
        let listener = listen(argument("--port")).await?;
        match options.service.as_str() {
            "web" => web::run(listener).await,
            "catalog" => {
                let broken = options.args.iter().any(|argument| argument == "--broken");
                catalog::run(listener, version, broken).await
            }
            "votes" => votes::run(listener).await,
            "feed" => feed::run(listener).await,
            "store" => store::run(listener).await,
            other => Err(Failure::argument(
                format!("the sample application has no service `{other}`"),
                "name one of web, catalog, votes, feed, store, load",
            )),
        }
    })
}

async fn listen(port: Option<String>) -> Result<tokio::net::TcpListener, Failure> {
    let missing = || Failure::argument("which port?", "byrnie demo-app SERVICE --port PORT");
    let port: u16 = port.and_then(|text| text.parse().ok()).ok_or_else(missing)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let failed = |error: std::io::Error| Failure::system(format!("cannot listen on {address}: {error}"));
    tokio::net::TcpListener::bind(address).await.map_err(failed)
}

/// Where a service is, from the environment, as in Kubernetes.
fn address_of(service: &str) -> Result<SocketAddr, Failure> {
    let variable = |end: &str| std::env::var(format!("{}_SERVICE_{end}", service.to_uppercase())).ok();
    let address = variable("HOST").zip(variable("PORT")).map(|(host, port)| format!("{host}:{port}"));
    address.and_then(|text| text.parse().ok()).ok_or_else(|| {
        let name = service.to_uppercase();
        Failure::argument(
            format!("{name}_SERVICE_HOST and {name}_SERVICE_PORT do not say where `{service}` is"),
            "start it through `byrnie up` or `byrnie run`, or set both",
        )
    })
}

/// Accepts for ever; what goes wrong on one connection is that connection's affair.
async fn accept<F: Future<Output = ()> + 'static>(
    listener: tokio::net::TcpListener,
    serve: impl Fn(tokio::net::TcpStream) -> F,
) -> Result<(), Failure> {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let _ = stream.set_nodelay(true);
                        tokio::task::spawn_local(serve(stream));
                    }
                    Err(error) => {
                        eprintln!("cannot accept: {error}");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
        })
        .await
}

/// A number below `end`; good enough to choose a bread.
fn any_below(end: usize) -> usize {
    rand::random_range(0..end)
}

#[cfg(test)]
mod tests;
