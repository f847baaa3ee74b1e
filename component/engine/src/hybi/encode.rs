//! Frames to a client: whole, and not masked (RFC 6455 section 5.1).

use alloc::vec::Vec;

use super::header::Opcode;

/// Bytes of the longest header without a key.
const MAX_HEADER_BYTES: usize = 10;

/// Appends one text message. It is the same for every client, so encode once what goes to several.
pub fn encode_text(text: &str, out: &mut Vec<u8>) {
    encode(Opcode::Text, text.as_bytes(), out);
}

/// Appends one binary message.
pub fn encode_binary(bytes: &[u8], out: &mut Vec<u8>) {
    encode(Opcode::Binary, bytes, out);
}

/// Appends one frame. Reserves once, so that messages can be appended to each other.
pub(super) fn encode(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(payload.len().saturating_add(MAX_HEADER_BYTES));
    // FIN: every message is one frame.
    out.push(0x80 | opcode as u8);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            let length = u64::try_from(payload.len()).unwrap_or(u64::MAX);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encode_text(text, &mut out);
        out
    }

    #[test]
    fn the_rfcs_examples() {
        assert_eq!(text("Hello"), b"\x81\x05Hello");
        let mut out = Vec::new();
        encode(Opcode::Ping, b"Hello", &mut out);
        assert_eq!(out, b"\x89\x05Hello");
        for (length, header) in
            [(256, &[0x82, 0x7e, 1, 0][..]), (65_536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0])]
        {
            let mut out = Vec::new();
            encode_binary(&alloc::vec![7; length], &mut out);
            assert_eq!(out, [header, &alloc::vec![7; length]].concat());
        }
    }

    #[test]
    fn each_length_has_its_shortest_form() {
        for (length, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            assert!(text(&"a".repeat(length)).starts_with(header), "{length}");
        }
    }

    #[test]
    fn messages_follow_each_other_in_one_buffer() {
        let mut out = text("a");
        encode_text("b", &mut out);
        encode_binary(b"", &mut out);
        assert_eq!(out, b"\x81\x01a\x81\x01b\x82\x00");
    }
}
