//! The named ways of splitting clients' writes.

use clap::ValueEnum;
use legacy_websocket_trace::{Protocol, Step, Variables};

use crate::corpus::Case;
use crate::plan::Chunking;

/// After the head, this many bytes are split at each position as well.
const SPLIT_FRAMES: usize = 48;

/// Handshakes longer than this are not split at each position.
const LONG: usize = 50_000;

/// Random chunkings of each case.
const SEEDS: u64 = 4;

/// A name for one or more [`Chunking`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "all that the harness knows")]
pub enum Chunkings {
    /// As in the trace; then split inside each part: a frame's type, text, character and length, the closing frame,
    /// and, in cases about the handshake, its head and key3
    Parts,
    /// As in the trace
    Written,
    /// One write up to each wait
    Whole,
    /// One byte per write
    Bytes,
    /// Split once, at every position of the handshake and of the first frames: one run each
    Splits,
    /// Split at random, in four runs
    Random,
}

impl Chunkings {
    /// The chunkings with this name. The seeds of random ones count up from `seed`.
    #[must_use]
    pub fn of(self, case: &Case, seed: u64) -> Vec<Chunking> {
        match self {
            Self::Parts => {
                vec![Chunking::Written, Chunking::Parts { handshake: is_about_handshake(case) }]
            }
            Self::Written => vec![Chunking::Written],
            Self::Whole => vec![Chunking::Whole],
            Self::Bytes => vec![Chunking::Bytes],
            Self::Splits => splits(case),
            Self::Random => (0..SEEDS).map(|more| Chunking::Random(seed.wrapping_add(more))).collect(),
        }
    }
}

/// In other cases, a handshake that does not survive splitting would hide what the case tests.
fn is_about_handshake(case: &Case) -> bool {
    let area = case.id.rsplit_once('/').map_or("", |(area, _)| area);
    case.trace.protocol == Protocol::None || area.contains("handshake") || area.starts_with("refuse")
}

fn splits(case: &Case) -> Vec<Chunking> {
    let sent = first_connection(case);
    let head = sent.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |end| end + 4);
    // Long messages take long, and the handshake before them is nothing special.
    let first = if sent.len() > LONG { head } else { 1 };
    (first..sent.len().min(head + SPLIT_FRAMES)).map(Chunking::Split).collect()
}

fn first_connection(case: &Case) -> Vec<u8> {
    let variables = Variables::default();
    let step = |step: &Step| match step {
        Step::Client { connection: 1, bytes } => bytes.bytes(&variables),
        _ => Vec::new(),
    };
    case.trace.steps.iter().flat_map(step).collect()
}
