//! The strings of a trace, as text.

use crate::parse_error::Problem;
use crate::{Literal, Piece, Variable};

/// Maximum bytes from all repetitions of a trace. A trace may come from an untrusted source.
pub(crate) const MAX_REPEATED_BYTES: usize = 64 << 20;

/// One string, optionally repeated.
pub(crate) fn literal(text: &str) -> Result<Literal, Problem> {
    let not = || Problem::NotAString(text.into());
    let mut rest = text.trim_end().strip_prefix('"').ok_or_else(not)?;
    let mut found = Literal::default();
    loop {
        let stop = rest.find(['"', '\\', '$']).ok_or_else(not)?;
        let (plain, from) = rest.split_at(stop);
        if !plain.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(not());
        }
        push(&mut found, Piece::Bytes(plain.into(), 1));
        if let Some(behind) = from.strip_prefix('"') {
            return repeat(found, behind).ok_or_else(not)?;
        }
        let piece;
        (piece, rest) = if from.starts_with('$') { variable(from)? } else { escape(from)? };
        push(&mut found, piece);
    }
}

fn variable(text: &str) -> Result<(Piece, &str), Problem> {
    let found = text.strip_prefix("${").and_then(|text| text.split_once('}'));
    let (name, rest) = found.ok_or_else(|| Problem::Escape("$".into()))?;
    let variable = Variable::parse(name).ok_or_else(|| Problem::Escape(format!("${{{name}}}")))?;
    Ok((Piece::Variable(variable), rest))
}

fn escape(text: &str) -> Result<(Piece, &str), Problem> {
    let wrong = || Problem::Escape(text.chars().take(4).collect());
    let byte = match text.as_bytes().get(1).ok_or_else(wrong)? {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        byte @ (b'\\' | b'"' | b'$') => *byte,
        b'x' => {
            let digits = text.get(2..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?;
            return Ok((Piece::Bytes(vec![byte], 1), text.get(4..).unwrap_or_default()));
        }
        _ => return Err(wrong()),
    };
    Ok((Piece::Bytes(vec![byte], 1), text.get(2..).unwrap_or_default()))
}

/// What follows the closing quote: nothing, or `*` and a number.
fn repeat(literal: Literal, behind: &str) -> Option<Result<Literal, Problem>> {
    if behind.is_empty() {
        return Some(Ok(literal));
    }
    let times: usize = behind.strip_prefix('*')?.parse().ok()?;
    let bytes = match literal.0.as_slice() {
        [] => return Some(Ok(literal)),
        [Piece::Bytes(bytes, 1)] => bytes.clone(),
        _ => return None,
    };
    if bytes.len().checked_mul(times).is_none_or(|length| length > MAX_REPEATED_BYTES) {
        return Some(Err(Problem::TooLong));
    }
    Some(Ok(Literal(if times == 0 { Vec::new() } else { vec![Piece::Bytes(bytes, times)] })))
}

/// Appends to the last piece if that is plain bytes too.
pub(crate) fn push(literal: &mut Literal, piece: Piece) {
    match (literal.0.last_mut(), piece) {
        (_, Piece::Bytes(bytes, _)) if bytes.is_empty() => {}
        (Some(Piece::Bytes(held, 1)), Piece::Bytes(bytes, 1)) => held.extend_from_slice(&bytes),
        (_, piece) => literal.0.push(piece),
    }
}
