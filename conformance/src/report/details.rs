//! The content of the page's cells once opened, as JSON without repetitions.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use super::matrix::Matrix;
use super::{Case, Entry, Kind, Seen, Side};
use crate::requirements::{Requirement, requirements};

/// The details of all cells, as JSON that is safe inside a `<script>`. `script.js` reads it.
pub(super) fn json(matrix: &Matrix<'_>) -> serde_json::Result<String> {
    let mut pool = Pool::default();
    pool.texts.index(String::new());
    let mut cells = Vec::with_capacity(matrix.rows.len());
    for row in &matrix.rows {
        cells.push(row.cells.iter().map(|case| case.map(|case| pool.cell(case))).collect());
    }
    // Requirements of the drafts are quoted if a case names them; other reports' cases may name others.
    let known = requirements().unwrap_or_default();
    let quoted = matrix.rows.iter().map(|row| pool.requirements(row.case, &known)).collect();
    let servers = matrix.columns.iter().map(|column| column.name).collect();
    let Pool { texts, lists } = pool;
    let details = Details { servers, texts: texts.items, lists: lists.items, requirements: quoted, cells };
    // `</script>` and `<!--` would end or change the element; in JSON the character occurs in strings only.
    Ok(serde_json::to_string(&details)?.replace('<', "\\u003c"))
}

#[derive(Serialize)]
struct Details<'a> {
    servers: Vec<&'a str>,
    texts: Vec<String>,
    /// Of (connection, turn, text).
    lists: Vec<Vec<(u32, u32, usize)>>,
    /// Of each row (texts).
    requirements: Vec<Vec<usize>>,
    cells: Vec<Vec<Option<Cell>>>,
}

/// Reason, known (texts); expected, seen (lists); transcript.
#[derive(Serialize)]
struct Cell(usize, usize, usize, usize, Vec<Message>);

/// Time, connection, side and kind (a text), length, bytes (texts, each character a byte), the frame (a text).
#[derive(Serialize)]
struct Message(f64, u32, usize, usize, Vec<usize>, usize);

#[derive(Default)]
struct Pool {
    texts: Interned<String>,
    lists: Interned<Vec<(u32, u32, usize)>>,
}

impl Pool {
    fn cell(&mut self, case: &Case) -> Cell {
        let known = case.known.as_deref().unwrap_or_default();
        let transcript = case.transcript.iter().map(|entry| self.message(entry)).collect();
        let (expected, seen) = (self.list(&case.expected), self.list(&case.seen));
        Cell(self.text(&case.reason), self.text(known), expected, seen, transcript)
    }

    fn requirements(&mut self, case: &Case, known: &[Requirement]) -> Vec<usize> {
        let named = known.iter().filter(|known| case.requirements.contains(&known.id));
        named
            .map(|it| self.text(&format!("{} ({}, {}, {})", it.text, it.title(), it.section, it.severity)))
            .collect()
    }

    fn list(&mut self, list: &[Seen]) -> usize {
        let list = list.iter().map(|seen| (seen.connection, seen.turn, self.text(&seen.what))).collect();
        self.lists.index(list)
    }

    fn message(&mut self, entry: &Entry) -> Message {
        let kind = self.text(&format!("{} {}", side(entry.from), kind(entry.kind)));
        // Line by line, because heads differ in only a few lines.
        let lines = entry.bytes.split_inclusive(|byte| *byte == b'\n');
        let bytes =
            lines.map(|line| self.texts.index(line.iter().copied().map(char::from).collect())).collect();
        let frame = self.text(&entry.frame);
        Message((entry.at * 100.0).round() / 100.0, entry.connection, kind, entry.length, bytes, frame)
    }

    fn text(&mut self, text: &str) -> usize {
        self.texts.index(text.into())
    }
}

struct Interned<T> {
    items: Vec<T>,
    indices: HashMap<T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { items: Vec::new(), indices: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn index(&mut self, item: T) -> usize {
        *self.indices.entry(item).or_insert_with_key(|item| {
            self.items.push(item.clone());
            self.items.len() - 1
        })
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Head => "head",
        Kind::Challenge => "challenge",
        Kind::Text => "text",
        Kind::Binary => "binary",
        Kind::Continuation => "continuation",
        Kind::Ping => "ping",
        Kind::Pong => "pong",
        Kind::Closing => "closing",
        Kind::Reserved => "reserved",
        Kind::Other => "other",
        Kind::Fin => "fin",
        Kind::Reset => "reset",
        Kind::Wait => "wait",
        Kind::Timeout => "timeout",
        Kind::Application => "application",
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Report, samples};
    use super::*;

    #[test]
    fn equal_values_are_stored_once() {
        let reports = ["one", "two", "three"].map(|name| {
            let mut report: Report = samples::report();
            report.server.name = name.into();
            report
        });
        let json = json(&Matrix::new(&reports)).unwrap();
        for once in ["GET /echo", "Upgrade: WebSocket", "the connection ended", "message "] {
            assert_eq!(json.matches(once).count(), 1, "{once}");
        }
        insta::assert_snapshot!("details", json.replace("]]],", "]]],\n").replace("],\"", "],\n\""));
    }

    #[test]
    fn bytes_round_trip_and_cannot_end_the_script() {
        let mut report = samples::report();
        let bytes: Vec<u8> = (0..=255).chain(*b"</script><!--").collect();
        report.cases[0].transcript[0].bytes = bytes.clone();
        report.server.name = "</ScRiPt>".into();
        let json = json(&Matrix::new(&[report])).unwrap();
        assert!(!json.contains('<'));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["servers"][0], "</ScRiPt>");
        let pieces = value["cells"][0][0][4][0][4].as_array().unwrap();
        let text = pieces.iter().map(|at| value["texts"][at.as_u64().unwrap() as usize].as_str().unwrap());
        let read: Vec<u8> = text.collect::<String>().chars().map(|char| char as u8).collect();
        assert_eq!(read, bytes);
    }
}
