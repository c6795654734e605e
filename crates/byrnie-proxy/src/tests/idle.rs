//! Requests in which nothing moves.

use std::time::{Duration, Instant};

use byrnie_plan::TrafficSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Client, ask, get};
use super::kit::{counted, direct, read_head};
use crate::tcp::tests::mesh::{application, run, until};

const IDLE: Duration = Duration::from_millis(400);

fn settings() -> TrafficSettings {
    TrafficSettings { idle_timeout: Some(IDLE), ..TrafficSettings::default() }
}

#[test]
fn a_response_that_does_not_come_or_stops_is_ended_and_one_that_drips_is_not() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            let Some(head) = read_head(&mut stream).await else { return };
            let (pieces, pause) = match head.split(' ').nth(1).unwrap() {
                "/mute" => (0, IDLE * 50),
                "/stops" => (2, IDLE / 4),
                _ => (8, IDLE / 4),
            };
            if pieces > 0 {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n").await;
            }
            for _ in 0..pieces {
                let _ = stream.write_all(b"x").await;
                tokio::time::sleep(pause).await;
            }
            let _ = stream.read_u8().await;
        })
        .await;
        let (worker, address) = direct(settings(), &[app]).await;
        let began = Instant::now();
        let answer = ask(address, get("/mute")).await;
        assert_eq!((answer.status, &answer.header("byrnie-error")[..7]), (504, "BYR0208"));
        assert!(answer.text().contains("idle"), "{}", answer.text());
        assert!(began.elapsed() >= IDLE);
        assert_eq!(ask(address, get("/drips")).await.text(), "xxxxxxxx", "it takes longer, but moves");
        let mut client = Client::to(address).await;
        client.say(get("/stops")).await;
        assert_eq!(client.head().await.status, 200);
        assert_eq!(client.rest().await, b"xx", "cut");
        until("it is counted", || counted(&worker).iter().any(|d| d.outcome.error == "BYR0208")).await;
    });
}

#[test]
fn a_request_whose_body_drips_is_not_idle() {
    run(async {
        let app = application(async |mut stream: TcpStream| {
            read_head(&mut stream).await.unwrap();
            let mut body = [0; 8];
            stream.read_exact(&mut body).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            let _ = stream.read_u8().await;
        })
        .await;
        let (_worker, address) = direct(settings(), &[app]).await;
        let mut client = Client::to(address).await;
        client.say("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 8\r\n\r\n").await;
        for _ in 0..8 {
            client.say("x").await;
            tokio::time::sleep(IDLE / 4).await;
        }
        assert_eq!(client.answer().await.text(), "ok");
    });
}
