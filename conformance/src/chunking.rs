//! The ways to cut what clients write that a case is tried with, by their names.

use clap::ValueEnum;
use legacy_websocket_trace::{Draft, Step, Variables};

use crate::corpus::Case;
use crate::plan::Chunking;

/// Behind the head so many bytes are cut at each position, too.
const SPLIT_FRAMES: usize = 48;

/// More bytes than this are not cut at each position of their handshake.
const LONG: usize = 50_000;

/// Random chunkings of each case.
const SEEDS: u64 = 4;

/// A name for one or more [`Chunking`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "all that the harness knows")]
pub enum Chunkings {
    /// As the trace has it; then cut inside each part: a frame's type, text, character and length, the closing
    /// frame, and, in cases about the handshake, its head and key3
    Parts,
    /// As the trace has it
    Written,
    /// One write up to each wait
    Whole,
    /// One byte a write
    Bytes,
    /// Cut once, at every position of the handshake and of the first frames: a run for each
    Splits,
    /// Cut anywhere, four times
    Random,
}

impl Chunkings {
    /// What the name stands for. The seeds of the random ones count up from `seed`.
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

/// Elsewhere a handshake that does not survive a cut would hide what the case is about.
fn is_about_handshake(case: &Case) -> bool {
    let area = case.id.rsplit_once('/').map_or("", |(area, _)| area);
    case.trace.draft == Draft::Neither || area.contains("handshake") || area.starts_with("refuse")
}

fn splits(case: &Case) -> Vec<Chunking> {
    let sent = first_connection(case);
    let head = sent.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |end| end + 4);
    // Long messages take long, and the handshake before them is like any other.
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
