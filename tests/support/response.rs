//! Responses over plain HTTP, as a client of HTTP/1.1 reads them.

use super::client::Client;

impl Client {
    /// Reads a response with a known length or chunks: its head, and its body.
    #[track_caller]
    pub(crate) fn read_response(&mut self) -> (String, Vec<u8>) {
        let head = String::from_utf8(self.read_until(b"\r\n\r\n")).unwrap();
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let body = match length {
            Some(length) => self.read_exact(length.parse().unwrap()),
            None if lower.contains("\r\ntransfer-encoding: chunked\r\n") => {
                let mut body = Vec::new();
                while let Some(chunk) = self.read_chunk() {
                    body.extend(chunk);
                }
                body
            }
            None => panic!("no length in {head}"),
        };
        (head, body)
    }

    /// Reads a chunk (RFC 9112 section 7.1); `None` for the last, with its trailers.
    #[track_caller]
    pub(crate) fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.read_until(b"\r\n")).unwrap();
        let length =
            usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("{line:?} as length"));
        if length == 0 {
            while self.read_until(b"\r\n") != b"\r\n" {}
            return None;
        }
        let chunk = self.read_exact(length);
        self.expect(b"\r\n");
        Some(chunk)
    }
}
