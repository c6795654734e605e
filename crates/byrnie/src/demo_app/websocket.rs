//! The little of WebSocket (RFC 6455) that the sample needs: the handshake's answer, and short frames.

use anyhow::{bail, ensure};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Longer frames are refused.
const LONGEST: usize = 64 << 10;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What the server says to the client's `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A fresh `Sec-WebSocket-Key`.
pub fn new_key() -> String {
    base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>())
}

/// Writes one text message. A client masks, a server does not.
pub async fn write_text(to: &mut (impl AsyncWrite + Unpin), text: &str, mask: bool) -> anyhow::Result<()> {
    write(to, TEXT, text.as_bytes(), mask).await
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    code: u8,
    payload: &[u8],
    mask: bool,
) -> anyhow::Result<()> {
    ensure!(payload.len() <= LONGEST, "a frame of {} bytes", payload.len());
    let mut frame = vec![0x80 | code];
    let masked = if mask { 0x80 } else { 0 };
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(masked | length as u8),
        Ok(length) => {
            frame.push(masked | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(masked | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    if mask {
        let key: [u8; 4] = rand::random();
        frame.extend(key);
        frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        frame.extend(payload);
    }
    to.write_all(&frame).await?;
    Ok(to.flush().await?)
}

/// The next text message; None when the other side closes. Pings are answered.
pub async fn read_text(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mask_answers: bool,
) -> anyhow::Result<Option<String>> {
    loop {
        let (code, payload) = read(stream).await?;
        match code {
            TEXT => return Ok(Some(String::from_utf8(payload)?)),
            CLOSE => return Ok(None),
            PING => write(stream, PONG, &payload, mask_answers).await?,
            PONG => {}
            other => bail!("a frame of kind {other}"),
        }
    }
}

async fn read(from: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<(u8, Vec<u8>)> {
    let first = from.read_u8().await?;
    ensure!(first & 0x80 != 0, "a message in several frames");
    let second = from.read_u8().await?;
    let length = match second & 0x7f {
        126 => usize::from(from.read_u16().await?),
        127 => usize::try_from(from.read_u64().await?)?,
        short => usize::from(short),
    };
    ensure!(length <= LONGEST, "a frame of {length} bytes");
    let mut key = [0; 4];
    if second & 0x80 != 0 {
        from.read_exact(&mut key).await?;
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    Ok((first & 0x0f, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn frames_of_every_length_in_both_directions() {
        for mask in [false, true] {
            for length in [0, 1, 125, 126, 127, 1000, 65535, 65536] {
                let (mut left, mut right) = tokio::io::duplex(1 << 20);
                let text = "x".repeat(length);
                write(&mut left, PING, b"?", mask).await.unwrap();
                write_text(&mut left, &text, mask).await.unwrap();
                write(&mut left, CLOSE, b"", mask).await.unwrap();
                assert_eq!(read_text(&mut right, !mask).await.unwrap().unwrap(), text);
                assert_eq!(read_text(&mut right, !mask).await.unwrap(), None);
                assert_eq!(read(&mut left).await.unwrap(), (PONG, b"?".to_vec()));
            }
        }
    }
}
