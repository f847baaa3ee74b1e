//! What is answered, in both versions of WASI.

use std::env;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU32, Ordering};

/// How much is sent at once, in bytes.
pub(crate) const CHUNK: usize = 64 << 10;

static REQUESTS: AtomicU32 = AtomicU32::new(0);

/// What the path asks for.
pub(crate) enum Answer {
    Text(u16, String),
    Echo,
    Bytes(usize),
    Events,
    /// Nothing, ever.
    Wait,
    /// Half a response, and a trap.
    Cut,
    /// A text, and later a line on standard output.
    After(String),
    Error,
}

/// `request`: a description of it.
pub(crate) fn answer(path: &str, request: impl FnOnce() -> String) -> Answer {
    let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
    let path = path.split('?').next().unwrap_or_default();
    let (first, rest) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
    match first {
        "" => Answer::Text(200, request()),
        "count" => Answer::Text(200, count.to_string()),
        "env" => Answer::Text(200, env::var(rest).unwrap_or_else(|_| "unset".into())),
        "print" => {
            println!("{rest}");
            Answer::Text(200, "printed".into())
        }
        "after" => Answer::After(rest.into()),
        "echo" => Answer::Echo,
        "bytes" => Answer::Bytes(rest.parse().unwrap_or_default()),
        "events" => Answer::Events,
        "wait" => Answer::Wait,
        "cut" => Answer::Cut,
        "error" => Answer::Error,
        "trap" => panic!("as told"),
        "spin" => loop {
            spin_loop();
        },
        "grow" => {
            let mut taken = Vec::new();
            loop {
                taken.push(black_box(vec![1_u8; CHUNK]));
            }
        }
        _ => Answer::Text(404, "not here".into()),
    }
}

/// The bytes of `/bytes`, from this place on.
pub(crate) fn bytes(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|place| (place % 251) as u8).collect()
}
