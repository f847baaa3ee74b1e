//! Masking (RFC 6455 section 5.3).

use alloc::vec::Vec;

/// How many bytes are copied before they are unmasked: few enough to be in the L1 cache still. More than 2 kB has
/// memcpy copy in a way that is ten times slower where source and destination lie badly.
const PIECE: usize = 2048;

/// A masking key, turned to the next byte of the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// The next byte of the payload, unmasked; the one after it is still the next.
    #[inline]
    pub(super) fn peek(self, byte: u8) -> u8 {
        let [key, ..] = self.0;
        byte ^ key
    }

    /// Unmasks the next bytes of the payload in place. Words of 64 bits are what LLVM makes SIMD of, on every target.
    #[inline]
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        let [a, b, c, d] = self.0;
        let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let length = bytes.len();
        let (words, rest) = bytes.as_chunks_mut();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        self.0.rotate_left(length % 4);
    }

    /// Appends the next bytes of the payload, unmasked.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.chunks(PIECE) {
            let start = out.len();
            out.extend_from_slice(piece);
            self.apply(out.get_mut(start..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::vec;
    use core::hint::black_box;
    use std::time::Instant;

    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn every_byte_meets_its_byte_of_the_key_at_any_cut() {
        let bytes: Vec<u8> = (0..100).collect();
        let expected: Vec<u8> = bytes.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let mut mask = Mask::new(KEY);
            let mut out = head.to_vec();
            mask.apply(&mut out);
            mask.append(tail, &mut out);
            assert_eq!(out, expected, "cut at {cut}");
        }
    }

    /// `cargo test --release -p legacy-websocket unmasking_speed -- --ignored --nocapture`
    #[test]
    #[ignore = "measures"]
    fn unmasking_speed() {
        const TOTAL: usize = 2 << 30;
        for length in [16, 64, 125, 1024, 16_384, 65_536, 1 << 20] {
            let bytes = vec![b'x'; length];
            let mut out = Vec::with_capacity(length);
            let rounds = TOTAL / length.max(64);
            let start = Instant::now();
            for _ in 0..rounds {
                out.clear();
                Mask::new(black_box(KEY)).append(black_box(&bytes), &mut out);
                black_box(&mut out);
            }
            let seconds = start.elapsed().as_secs_f64();
            let megabytes = (rounds * length) as f64 / 1e6;
            std::println!("{length:>8} bytes: {:>7.0} MB/s", megabytes / seconds);
        }
    }
}
