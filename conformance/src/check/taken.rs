//! Whether a server has read everything written to it. Linux reports this for sockets on the same machine
//! (sock_diag(7)); otherwise it cannot be known.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;

/// The offset of the count in an answer: after its header of 16 bytes, in `inet_diag_msg`.
const STATE: usize = 16 + 1;
const RECEIVE_QUEUE: usize = 16 + 56;

/// Whether no bytes are waiting to be read at the other end of a connection, as far as can be known.
pub(super) fn is_taken(ours: SocketAddr, theirs: SocketAddr) -> bool {
    // A connection within one machine has the same address at both ends.
    if !cfg!(target_os = "linux") || ours.ip() != theirs.ip() {
        return true;
    }
    // Without help from the kernel, the pause alone must suffice.
    waiting(theirs, ours).is_none_or(|bytes| bytes == 0)
}

/// How many bytes are waiting to be read from a socket on this machine, by its local and remote address.
fn waiting(local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let answer = ask(&request(local, remote)).ok()?;
    let of_type = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    // If the listener answers, the connection's own socket is gone.
    if of_type != SOCK_DIAG_BY_FAMILY || *answer.get(STATE)? == TCP_LISTEN {
        return None;
    }
    Some(u32::from_ne_bytes(answer.get(RECEIVE_QUEUE..RECEIVE_QUEUE + 4)?.try_into().ok()?))
}

/// A header, and `inet_diag_req_v2`.
fn request(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut request = Vec::with_capacity(72);
    request.extend(72_u32.to_ne_bytes());
    request.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence and sender.
    request.extend([0; 8]);
    request.extend([family, IPPROTO_TCP, 0, 0]);
    // All states.
    request.extend(u32::MAX.to_ne_bytes());
    request.extend(local.port().to_be_bytes());
    request.extend(remote.port().to_be_bytes());
    request.extend(address(local));
    request.extend(address(remote));
    // Any interface, and no cookie.
    request.extend([0; 4]);
    request.extend([0xff; 8]);
    request
}

fn address(address: SocketAddr) -> [u8; 16] {
    let mut bytes = [0; 16];
    match address.ip() {
        IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes = ip.octets(),
    }
    bytes
}

fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let mut socket =
        Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
    // If the kernel answers, it does so immediately.
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    socket.write_all(request)?;
    let mut answer = vec![0; 4096];
    let count = socket.read(&mut answer)?;
    answer.truncate(count);
    Ok(answer)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn bytes_count_as_taken_once_read() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(any) else { continue };
            let theirs = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(theirs).unwrap();
            let ours = client.local_addr().unwrap();
            assert!(is_taken(ours, theirs));
            client.write_all(b"hello").unwrap();
            // Even before the server accepts it.
            assert_eq!(waiting(theirs, ours), Some(5));
            let (mut server, _) = listener.accept().unwrap();
            server.read_exact(&mut [0; 4]).unwrap();
            assert!(!is_taken(ours, theirs));
            server.read_exact(&mut [0; 1]).unwrap();
            assert!(is_taken(ours, theirs));
            drop(server);
            drop(listener);
            assert!(is_taken(ours, theirs));
        }
    }
}
