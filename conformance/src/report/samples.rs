//! Small artificial reports for tests.

use super::*;

/// One case of each verdict, and one known failure.
pub(crate) fn report() -> Report {
    let cases = vec![
        case("closing/answered", Protocol::Draft76, Severity::Must, Verdict::FailsMust),
        case("closing/known", Protocol::Draft76, Severity::Should, Verdict::FailsShould)
            .known("its author knows"),
        case("handshake/75/plain", Protocol::Draft75, Severity::Must, Verdict::Pass),
        case("handshake/76/late", Protocol::Draft76, Severity::Should, Verdict::FailsShould),
        case("handshake/76/odd", Protocol::Draft76, Severity::Field, Verdict::Differs),
        case("http/post", Protocol::None, Severity::May, Verdict::NotApplicable),
    ];
    Report { format: FORMAT, server: server("sample"), started: "2010-05-06T12:00:00Z".into(), cases }
}

pub(super) fn server(name: &str) -> Server {
    Server {
        name: name.into(),
        url: "ws://127.0.0.1:8000/echo".into(),
        protocols: vec!["draft75".into(), "draft76".into()],
        refused: vec!["hybi7".into()],
        echo: true,
        settings: vec!["max-message-bytes 64".into()],
    }
}

pub(super) fn case(id: &str, protocol: Protocol, severity: Severity, verdict: Verdict) -> Case {
    let entry = |at, from, kind, bytes: &[u8]| Entry::new(Duration::from_millis(at), 1, from, kind, bytes);
    let accepted = Seen { connection: 1, turn: 1, what: "accepted".into() };
    let echoed = Seen { connection: 1, turn: 2, what: r#"message "h\u00e9""#.into() };
    let case = Case {
        id: id.into(),
        title: format!("the title of {id}"),
        protocol,
        section: "76 s5.2 step 5".into(),
        severity,
        requirements: Vec::new(),
        verdict,
        reason: String::new(),
        cause: String::new(),
        chunking: None,
        known: None,
        expected: vec![accepted.clone(), echoed.clone()],
        seen: vec![accepted.clone(), echoed],
        transcript: vec![
            entry(0, Side::Client, Kind::Head, b"GET /echo HTTP/1.1\r\nUpgrade: WebSocket\r\n\r\n"),
            entry(1, Side::Server, Kind::Head, b"HTTP/1.1 101 Web Socket Protocol Handshake\r\n\r\n"),
            entry(1, Side::Client, Kind::Wait, b""),
            entry(2, Side::Client, Kind::Text, b"\x00h\xc3\xa9\xff"),
            entry(3, Side::Server, Kind::Fin, b""),
        ],
    };
    match verdict {
        Verdict::Pass => case,
        Verdict::NotApplicable => {
            Case { reason: "the server does not echo".into(), seen: vec![], transcript: vec![], ..case }
        }
        _ => {
            let end = Seen { connection: 1, turn: 2, what: "end".into() };
            let cause = "expected a message, saw end".into();
            Case { reason: "the connection ended".into(), cause, seen: vec![accepted, end], ..case }
        }
    }
}

impl Case {
    pub(super) fn known(self, why: &str) -> Self {
        Self { known: Some(why.into()), ..self }
    }
}

pub(super) fn of(id: &str, verdict: Verdict) -> Case {
    case(id, Protocol::Draft76, Severity::Must, verdict)
}
