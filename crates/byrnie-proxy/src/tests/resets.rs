//! Streams that are reset, by clients and by applications, and pushes that nobody asked for.

use byrnie_plan::AppProtocol;
use h2::Reason;
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::client::{Client, get};
use super::kit::{
    DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, Roads, STATUS_200, begin_by_hand, by_hand, read_head,
};
use crate::tcp::tests::mesh::{application, run, until};

async fn connect(address: std::net::SocketAddr) -> h2::client::SendRequest<bytes::Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::task::spawn_local(connection);
    sender.ready().await.unwrap()
}

#[test]
fn a_clients_reset_ends_the_request_at_an_http1_application_at_once() {
    run(async {
        let (begun, ended) = (tokio::sync::mpsc::channel(8), tokio::sync::mpsc::channel(8));
        let (begins, ends) = (begun.0, ended.0);
        let (mut begun, mut ended) = (begun.1, ended.1);
        let app = application(move |mut stream: TcpStream| {
            let (begins, ends) = (begins.clone(), ends.clone());
            async move {
                read_head(&mut stream).await;
                begins.send(()).await.unwrap();
                let _ = stream.read(&mut [0]).await;
                ends.send(()).await.unwrap();
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut sender = connect(address).await;
            let request = Request::get("http://web.shop/").body(()).unwrap();
            let (answer, mut stream) = sender.send_request(request, true).unwrap();
            begun.recv().await.unwrap();
            stream.send_reset(Reason::CANCEL);
            answer.await.unwrap_err();
            ended.recv().await.unwrap_or_else(|| panic!("{road}: the application's connection ends"));
        }
        until("nothing is left in flight", || roads.pair.endpoint.load.in_flight() == 0).await;
    });
}

#[test]
fn a_client_of_http1_that_resets_its_connection_is_not_waited_for() {
    run(async {
        let (ends, mut ended) = tokio::sync::mpsc::channel(8);
        let app = application(move |mut stream: TcpStream| {
            let ends = ends.clone();
            async move {
                read_head(&mut stream).await;
                ends.send("begun").await.unwrap();
                let _ = stream.read(&mut [0]).await;
                ends.send("ended").await.unwrap();
            }
        });
        let roads = Roads::new(app.await, AppProtocol::Http1).await;
        for (road, address) in roads.each() {
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            assert_eq!(ended.recv().await, Some("begun"), "{road}");
            client.stream.set_zero_linger().unwrap();
            drop(client);
            // Far from the next look at an idle connection, which is after 7.5 s.
            let told = tokio::time::timeout(std::time::Duration::from_secs(6), ended.recv()).await;
            assert_eq!(told, Ok(Some("ended")), "{road}");
        }
    });
}

/// Answers, says something, and resets the stream with the number that the path names.
async fn resetting(stream: TcpStream) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let reason: u32 = request.uri().path().trim_start_matches('/').parse().unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data("some".into(), false).unwrap();
        tokio::task::spawn_local(async move {
            // Only once the head and what is said have gone out.
            let mut body = request.into_body();
            let _ = body.data().await;
            stream.send_reset(reason.into());
        });
    }
}

#[test]
fn an_applications_reset_arrives_with_its_code() {
    run(async {
        let roads = Roads::new(application(resetting).await, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut sender = connect(address).await;
            for (sent, expected) in [
                (Reason::INTERNAL_ERROR, Reason::INTERNAL_ERROR),
                (Reason::ENHANCE_YOUR_CALM, Reason::ENHANCE_YOUR_CALM),
                (Reason::CANCEL, Reason::CANCEL),
                // Something was processed, whatever it says.
                (Reason::REFUSED_STREAM, Reason::INTERNAL_ERROR),
                (Reason::PROTOCOL_ERROR, Reason::INTERNAL_ERROR),
            ] {
                let request = Request::builder().method(Method::POST);
                let request = request.uri(format!("http://web.shop/{}", u32::from(sent))).body(()).unwrap();
                let (answer, mut stream) = sender.send_request(request, false).unwrap();
                let mut body = answer.await.unwrap().into_body();
                assert_eq!(body.data().await.unwrap().unwrap(), "some", "{road}");
                stream.send_data("go".into(), false).unwrap();
                let error = body.data().await.unwrap().unwrap_err();
                assert_eq!((error.is_reset(), error.reason()), (true, Some(expected)), "{road}: {sent:?}");
            }
        }
    });
}

/// Answers with some of what it has, and resets the stream with NO_ERROR.
async fn abandons(mut stream: TcpStream, flags: u8) {
    let rest = [(DATA, flags, &b"some"[..]), (RST_STREAM, 0, &[0; 4])];
    let frames = [(HEADERS, END_HEADERS, STATUS_200), rest[0], rest[1]];
    begin_by_hand(&mut stream).await;
    while by_hand(&mut stream, &frames).await.is_some() {}
}

#[test]
fn an_answer_that_is_cut_off_politely_is_cut_off() {
    run(async {
        let app = application(|stream| abandons(stream, 0)).await;
        let roads = Roads::new(app, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut sender = connect(address).await;
            let request = Request::get("http://web.shop/").body(()).unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            let whole = async {
                let (head, mut body) = answer.await?.into_parts();
                while let Some(data) = body.data().await {
                    data?;
                }
                Ok::<_, h2::Error>(head.status)
            };
            // Where the head had not left it is an error of ours.
            match whole.await {
                Ok(status) => assert_eq!(status, 502, "{road}"),
                Err(error) => assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR), "{road}"),
            }
            // Over HTTP/1 there is no last chunk.
            let mut client = Client::to(address).await;
            client.say(get("/")).await;
            let head = client.head().await;
            let said = client.rest().await;
            assert!(head.status == 502 || !said.ends_with(b"0\r\n\r\n"), "{road}: {head:?} {said:?}");
        }
        // Who has answered all of it may want no more of the request.
        let app = application(|stream| abandons(stream, END_STREAM)).await;
        let roads = Roads::new(app, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut sender = connect(address).await;
            let request = Request::post("http://web.shop/").body(()).unwrap();
            let (answer, _upload) = sender.send_request(request, false).unwrap();
            let mut body = answer.await.unwrap().into_body();
            assert_eq!(body.data().await.unwrap().unwrap(), "some", "{road}");
            assert!(body.data().await.is_none_or(|end| end.unwrap().is_empty()), "{road}");
        }
    });
}

/// HTTP/2 by hand: pushes instead of answering its first request, and then keeps what the other side says about it.
async fn pushing(mut stream: TcpStream, told: CancellationToken) {
    begin_by_hand(&mut stream).await;
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return;
        }
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            1 => {
                // PUSH_PROMISE of stream 2: GET http://a/.
                let mut push = vec![0, 0, 10, 5, 4];
                push.extend(&head[5..9]);
                push.extend([0, 0, 0, 2, 0x82, 0x86, 0x84, 0x41, 1, b'a']);
                stream.write_all(&push).await.unwrap();
            }
            // GOAWAY: PROTOCOL_ERROR.
            7 if payload.get(4..8) == Some(&[0, 0, 0, 1]) => told.cancel(),
            _ => {}
        }
    }
}

#[test]
fn a_push_that_nobody_allowed_ends_the_connection_and_is_no_answer() {
    run(async {
        let told = CancellationToken::new();
        let tell = told.clone();
        let app = application(move |stream| pushing(stream, tell.clone())).await;
        let roads = Roads::new(app, AppProtocol::Http2).await;
        for (road, address) in roads.each() {
            let mut sender = connect(address).await;
            let request = Request::post("http://web.shop/").body(()).unwrap();
            let (answer, _) = sender.send_request(request, true).unwrap();
            assert_eq!(answer.await.unwrap().status(), 502, "{road}");
        }
        told.cancelled().await;
    });
}
