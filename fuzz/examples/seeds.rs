//! Writes seeds into `corpus/`: the engine's vectors, and what the clients of the conformance corpus send.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use legacy_websocket_fuzz::support::{KEY3, head_hybi, head75, head76, hybi};
use legacy_websocket_trace::{EXTENSION, Step, Trace, Variables};
use serde_json::Value;

fn main() -> Result<(), Box<dyn Error>> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Seeds { folder: here.join("corpus"), count: 0 };
    let vectors = here.join("../component/engine/tests/vectors");
    let framing: Value = serde_json::from_slice(&fs::read(vectors.join("framing-vectors.json"))?)?;
    for vector in framing.as_array().ok_or("framing")? {
        let bytes = hex(vector["bytes_hex"].as_str().ok_or("bytes_hex")?)?;
        for flags in [0, 1, 0x40, 0x41] {
            seeds.write("frames", &[&[flags, 200, 3][..], &bytes].concat())?;
        }
        seeds.write("connection", &[&[0x05, 200, 7][..], &head75(""), &bytes].concat())?;
        seeds.write("connection", &[&[0x08, 200, 9][..], &head76(""), KEY3, &bytes].concat())?;
    }
    for first in [0x81, 0x01, 0x82, 0x00, 0x80, 0x89, 0x8a, 0x88] {
        let frames = [hybi::text("é"), hybi::frame(first, b"\x03\xe8"), hybi::text("b")].concat();
        seeds.write("hybi", &[&[0, 200, 3][..], &frames].concat())?;
        for flags in [0, 0x04, 0x08] {
            seeds.write("connection", &[&[flags, 200, 9][..], &head_hybi(13, ""), &frames].concat())?;
        }
    }
    let handshakes: Value = serde_json::from_slice(&fs::read(vectors.join("handshake-vectors.json"))?)?;
    for good in handshakes["good"].as_array().ok_or("good")? {
        let text = |name: &str| good[name].as_str().ok_or("a key");
        let head = format!(
            "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: a\r\nOrigin: http://a\r\n\
             Sec-WebSocket-Key1: {}\r\nSec-WebSocket-Key2: {}\r\n\r\n",
            text("key1")?,
            text("key2")?
        );
        seeds.write("handshake", &[&[0, 200, 11][..], head.as_bytes(), &hex(text("key3_hex")?)?].concat())?;
    }
    for file in traces(&here.join("../conformance/corpus"))? {
        let text = fs::read_to_string(&file)?;
        let trace: Trace = text.parse().map_err(|error| format!("{}: {error}", file.display()))?;
        seeds.write("trace", text.as_bytes())?;
        let bytes: Vec<u8> = trace.steps.iter().filter_map(sent).flatten().collect();
        for target in ["handshake", "connection"] {
            seeds.write(target, &[&[0x01, 200, 13][..], &bytes].concat())?;
        }
    }
    println!("{} seeds in {}", seeds.count, seeds.folder.display());
    Ok(())
}

fn sent(step: &Step) -> Option<Vec<u8>> {
    match step {
        Step::Client { connection: 1, bytes } => Some(bytes.bytes(&Variables::default())),
        _ => None,
    }
}

struct Seeds {
    folder: PathBuf,
    count: usize,
}

impl Seeds {
    fn write(&mut self, target: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        // A seed longer than this teaches a fuzzer nothing.
        if bytes.len() <= 4096 {
            let folder = self.folder.join(target);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("seed-{:05}", self.count)), bytes)?;
            self.count += 1;
        }
        Ok(())
    }
}

fn traces(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?));
    pairs.collect()
}
