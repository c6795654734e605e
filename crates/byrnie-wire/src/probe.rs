//! Questions of health checks: one connection, one question, one answer. Asked by a workload's proxy, or by the control
//! plane where there is none.

use std::net::SocketAddr;
use std::time::Duration;

use byrnie_plan::{HealthCheck, HealthProtocol};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of an answer that is looked at, in bytes: the status stands in its first line.
const MAX_HEAD: usize = 8 * 1024;
/// Longest answer to a gRPC check, in bytes.
const MAX_MESSAGE: usize = 4 * 1024;
/// `HealthCheckResponse { status: SERVING }` (grpc.health.v1).
const SERVING: [u8; 2] = [0x08, 0x01];

/// Asks once. `Err`: why the answer is not a good one.
pub async fn ask(check: &HealthCheck) -> Result<(), String> {
    let (address, limit) = (check.address, check.timeout);
    let what = match &check.protocol {
        HealthProtocol::Http { path, .. } => format!("GET http://{address}{path}"),
        HealthProtocol::Grpc { service } => format!("gRPC health of {service:?} at {address}"),
        HealthProtocol::Tcp => format!("connecting to {address}"),
    };
    let answer = async {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        match &check.protocol {
            HealthProtocol::Tcp => Ok(()),
            HealthProtocol::Http { path, host } => http(stream, address, path, host).await,
            HealthProtocol::Grpc { service } => grpc(stream, service).await,
        }
    };
    match tokio::time::timeout(limit, answer).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(why)) => Err(format!("{what}: {why}")),
        Err(_) => Err(format!("{what}: no answer within {}", in_seconds(limit))),
    }
}

fn in_seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

async fn http(mut stream: TcpStream, address: SocketAddr, path: &str, host: &str) -> Result<(), String> {
    let host = if host.is_empty() { address.to_string() } else { host.to_owned() };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: byrnie-health/1\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') && head.len() < MAX_HEAD {
        match stream.read_buf(&mut head).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    match status(&head) {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("status {status}")),
        None => Err("the answer is no HTTP".to_owned()),
    }
}

/// The status of `HTTP/1.1 200 OK`.
fn status(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|byte| *byte == b'\r' || *byte == b'\n').next()?).ok()?;
    let rest = line.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.parse().ok().filter(|status| (100..=599).contains(status))
}

async fn grpc(stream: TcpStream, service: &str) -> Result<(), String> {
    let failed = |error: h2::Error| error.to_string();
    let (client, connection) = h2::client::handshake(stream).await.map_err(failed)?;
    let asking = async {
        let mut client = client.ready().await.map_err(failed)?;
        let request = http::Request::post("http://health/grpc.health.v1.Health/Check")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .map_err(|error| error.to_string())?;
        let (response, mut body) = client.send_request(request, false).map_err(failed)?;
        body.send_data(message(service), true).map_err(failed)?;
        let (head, mut body) = response.await.map_err(failed)?.into_parts();
        if head.status != 200 {
            return Err(format!("status {}", head.status.as_u16()));
        }
        let mut bytes = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(failed)?;
            let _ = body.flow_control().release_capacity(data.len());
            bytes.put(data);
            if bytes.len() > MAX_MESSAGE {
                return Err("the answer is too long".to_owned());
            }
        }
        let trailers = body.trailers().await.map_err(failed)?.unwrap_or(head.headers);
        match trailers.get("grpc-status").and_then(|status| status.to_str().ok()) {
            Some("0") => {}
            Some(code) => return Err(format!("gRPC status {code}")),
            None => return Err("no gRPC status".to_owned()),
        }
        // Behind the frame's five bytes; status is the only field.
        match bytes.get(5..) {
            Some(answer) if answer == SERVING => Ok(()),
            _ => Err("it does not serve".to_owned()),
        }
    };
    tokio::select! {
        answer = asking => answer,
        ended = connection => Err(ended.err().map_or("it closed the connection".to_owned(), failed)),
    }
}

/// `HealthCheckRequest { service }` in its frame.
fn message(service: &str) -> Bytes {
    // Names are shorter than 254 bytes; their length may still need two bytes.
    let mut body = BytesMut::new();
    if !service.is_empty() {
        body.put_u8(0x0a);
        prost::encoding::encode_varint(service.len() as u64, &mut body);
        body.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    frame.put(body);
    frame.freeze()
}

#[cfg(test)]
mod tests;
