//! An endpoint that disappears: what is idle closes at once, what is under way goes on.

use std::sync::Arc;

use byrnie_plan::{AppProtocol, TrafficSettings};

use super::allowed::{Origin, asking};
use super::client::{Client, get};
use super::kit::{direct, origin, pair, text};
use super::limits::{direct2, gated};
use crate::config::Endpoint;
use crate::tcp::tests::mesh::{run, until, web};
use crate::worker::Worker;

fn only_endpoint(worker: &Worker) -> Arc<Endpoint> {
    Arc::clone(&worker.config().destinations[&web()].cluster.endpoints.load().endpoints[0])
}

#[test]
fn idle_connections_close_with_their_endpoint() {
    run(async {
        let app = origin(async |_| text("ok")).await;
        let pair = pair(app, AppProtocol::Http1).await;
        let (plain, address) = direct(TrafficSettings::default(), &[app]).await;
        for (worker, address) in [(&plain, address), (&pair.client, pair.address)] {
            let mut client = Client::to(address).await;
            assert_eq!(client.ask(get("/")).await.text(), "ok");
            let upstream = &worker.process.counters.upstream;
            assert_eq!(upstream.get(), 1);
            // Nobody sweeps here.
            only_endpoint(worker).leave();
            until("it is closed", || upstream.get() == 0).await;
        }
    });
}

#[test]
fn what_is_under_way_goes_on_when_its_endpoint_is_gone() {
    run(async {
        let (app, gate, waiting) = gated().await;
        let (worker, address) = direct(TrafficSettings::default(), &[app]).await;
        let mut client = asking(address).await;
        until("it is served", || waiting.get() == 1).await;
        only_endpoint(&worker).leave();
        gate.add_permits(1);
        assert_eq!(client.answer().await.text(), "ok");
        until("it is closed", || worker.process.counters.upstream.get() == 0).await;

        let (origin, app) = Origin::allowing(100).await;
        let (worker, address) = direct2(TrafficSettings::default(), app).await;
        let mut first = asking(address).await;
        until("it is asked", || origin.asked() == [0]).await;
        only_endpoint(&worker).leave();
        // Who has not heard of it yet is served, on a connection of its own.
        let mut second = asking(address).await;
        until("another connection is opened", || origin.asked() == [0, 1]).await;
        for (request, client) in [&mut first, &mut second].into_iter().enumerate() {
            origin.answer(request);
            assert_eq!(client.head().await.status, 200);
        }
        until("both are closed", || worker.process.counters.upstream.get() == 0).await;
    });
}
