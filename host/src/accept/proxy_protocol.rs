//! The PROXY protocol, versions 1 and 2, with which a TCP proxy names its client.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};
use thiserror::Error;
use tokio::io::AsyncReadExt;

use crate::connection::socket::Stream;

/// The length of version 1's signature with the shortest valid remainder; shorter than any complete header.
const SIGNATURE_BYTES: usize = 12;

/// The longest header of version 1.
const MAX_LINE_BYTES: usize = 107;

/// The maximum payload of a version 2 header. The standard requires receivers to take 536 bytes; certificate names and
/// ids may make it longer.
const MAX_BLOCK_BYTES: usize = 4096;

/// PP2_TYPE_SSL, and the bit that says that the client used TLS.
const TYPE_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// The content of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// `None` for the proxy's own connections, such as health checks.
    pub(crate) address: Option<SocketAddr>,
    /// The proxy's client used TLS (version 2 only).
    pub(crate) secure: bool,
}

/// Why there is no valid header.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("none received")]
    Missing,
    #[error("too long")]
    TooLong,
    #[error("{0}")]
    Version1(#[from] v1::BinaryParseError),
    #[error("{0}")]
    Version2(#[from] v2::ParseError),
}

/// Reads exactly the header.
pub(crate) async fn read(stream: &mut Stream) -> Result<Forwarded, ProxyError> {
    let mut header = vec![0; SIGNATURE_BYTES];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        read_block(stream, &mut header).await?;
        Ok(of_block(&v2::Header::try_from(header.as_slice())?))
    } else if header.starts_with(b"PROXY ") {
        read_line(stream, &mut header).await?;
        Ok(of_line(&v1::Header::try_from(header.as_slice())?))
    } else {
        Err(ProxyError::Missing)
    }
}

async fn read_block(stream: &mut Stream, header: &mut Vec<u8>) -> Result<(), ProxyError> {
    let [kind, family, high, low] = {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        rest
    };
    header.extend([kind, family, high, low]);
    let (have, more) = (header.len(), usize::from(u16::from_be_bytes([high, low])));
    if more > MAX_BLOCK_BYTES {
        return Err(ProxyError::TooLong);
    }
    header.resize(have + more, 0);
    stream.read_exact(&mut header[have..]).await?;
    Ok(())
}

/// Version 1 has no length: peeks for the end, so as not to read past it. A Unix socket cannot be peeked and is read
/// byte by byte.
async fn read_line(stream: &mut Stream, header: &mut Vec<u8>) -> Result<(), ProxyError> {
    while !header.ends_with(b"\n") {
        let more = match stream {
            Stream::Tcp(tcp) => {
                let mut ahead = [0; MAX_LINE_BYTES];
                let seen = tcp.peek(&mut ahead).await?;
                let end = ahead[..seen].iter().position(|byte| *byte == b'\n');
                // At the end of the stream, peeking returns nothing but reading fails.
                end.map_or(seen.max(1), |at| at + 1)
            }
            Stream::Unix(_) => 1,
        };
        let have = header.len();
        if have + more > MAX_LINE_BYTES {
            return Err(ProxyError::TooLong);
        }
        header.resize(have + more, 0);
        stream.read_exact(&mut header[have..]).await?;
    }
    Ok(())
}

fn of_line(header: &v1::Header<'_>) -> Forwarded {
    let address = match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
        v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
    };
    Forwarded { address, secure: false }
}

fn of_block(header: &v2::Header<'_>) -> Forwarded {
    if header.command == v2::Command::Local {
        return Forwarded::default();
    }
    let address = match header.addresses {
        v2::Addresses::IPv4(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::IPv6(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    };
    let is_ssl = |value: &v2::TypeLengthValue<'_>| {
        value.kind == TYPE_SSL && value.value.first().is_some_and(|client| client & CLIENT_SSL != 0)
    };
    Forwarded { address, secure: header.tlvs().flatten().any(|value| is_ssl(&value)) }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    use super::*;

    /// Connected sockets of every kind.
    async fn pairs() -> [(Stream, Stream); 2] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let unix = UnixStream::pair().unwrap();
        [(Stream::Tcp(proxy), Stream::Tcp(stream)), (Stream::Unix(unix.0), Stream::Unix(unix.1))]
    }

    /// The result for a header, and the bytes left after it.
    async fn read_from(
        (mut proxy, mut stream): (Stream, Stream),
        parts: &[&[u8]],
    ) -> (Result<Forwarded, ProxyError>, Vec<u8>) {
        let parts: Vec<_> = parts.iter().map(|part| part.to_vec()).collect();
        let writing = tokio::spawn(async move {
            for part in parts {
                proxy.write_all(&part).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let forwarded = read(&mut stream).await;
        let mut rest = Vec::new();
        writing.await.unwrap();
        if forwarded.is_ok() {
            stream.read_to_end(&mut rest).await.unwrap();
        }
        (forwarded, rest)
    }

    fn block(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family], &length, content].concat()
    }

    #[tokio::test]
    async fn both_versions_are_read_and_nothing_after_the_header() {
        let v4 = block(0x21, 0x11, b"\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50");
        let tls = b"\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50\x20\x00\x05\x01\x00\x00\x00\x00";
        let not_tls = b"\xc0\x00\x02\x07\x7f\x00\x00\x01\x30\x39\x00\x50\x20\x00\x05\x00\x00\x00\x00\x00";
        let seven = Some(SocketAddr::from(([192, 0, 2, 7], 12345)));
        let six = Some(SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 5)));
        for (header, address, secure) in [
            (b"PROXY TCP4 192.0.2.7 127.0.0.1 12345 80\r\n".to_vec(), seven, false),
            (b"PROXY TCP6 2001:db8::1 ::1 5 80\r\n".to_vec(), six, false),
            (b"PROXY UNKNOWN\r\n".to_vec(), None, false),
            (v4, seven, false),
            (block(0x21, 0x11, tls), seven, true),
            (block(0x21, 0x11, not_tls), seven, false),
            (block(0x20, 0x00, b""), None, false),
            (block(0x21, 0x00, b""), None, false),
        ] {
            let whole = [&header, &b"\r\nGET"[..]].concat();
            let bytes: Vec<_> = whole.chunks(1).collect();
            for parts in [&[&whole[..]][..], &bytes, &[&whole[..13], &whole[13..]]] {
                for pair in pairs().await {
                    let (forwarded, rest) = read_from(pair, parts).await;
                    assert_eq!(
                        forwarded.unwrap(),
                        Forwarded { address, secure },
                        "{}",
                        header.escape_ascii()
                    );
                    assert_eq!(rest, b"\r\nGET");
                }
            }
        }
    }

    #[tokio::test]
    async fn an_invalid_header_is_an_error() {
        let long = [b"PROXY TCP4 ", &[b'1'; 200][..], b"\r\n"].concat();
        let longer = block(0x21, 0x11, &[0; MAX_BLOCK_BYTES + 1]);
        for (bytes, error) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "none received"),
            (b"PROXY TCP4", "eof"),
            (b"PROXY TCP4 192.0.2.7", "eof"),
            (&long, "too long"),
            (&longer, "too long"),
            (b"PROXY TCP4 192.0.2.777 127.0.0.1 12345 80\r\n", "address"),
            (&block(0x21, 0x11, b"short"), "length"),
        ] {
            for pair in pairs().await {
                let told = read_from(pair, &[bytes]).await.0.unwrap_err().to_string();
                assert!(told.to_lowercase().contains(error), "{told}");
            }
        }
    }
}
