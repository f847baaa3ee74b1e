//! Text from peers and applications, made safe for the log, a page, and a terminal.

use core::fmt::{Display, Formatter, Result, Write};

/// Characters shown of one text.
const MAX_CHARS: usize = 200;

/// Text without anything that controls a terminal: unprintable characters are escaped as in Rust, invalid UTF-8 bytes
/// as `\xff`.
#[derive(Clone, Copy, Debug)]
pub struct Printable<'t> {
    text: &'t [u8],
    max_chars: usize,
}

/// The same as a log field's value: quoted, unless it is graphic ASCII without quotation marks.
#[derive(Clone, Copy, Debug)]
pub struct LogValue<'t>(pub &'t [u8]);

impl<'t> Printable<'t> {
    /// At most 200 characters; a longer text ends in `...`.
    pub fn cut(text: &'t [u8]) -> Self {
        Self { text, max_chars: MAX_CHARS }
    }

    /// Text of any length: the caller has limited it.
    pub fn whole(text: &'t [u8]) -> Self {
        Self { text, max_chars: usize::MAX }
    }
}

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_escaped(self.text, self.max_chars, &[], f)
    }
}

impl Display for LogValue<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"\\".contains(byte);
        if !self.0.is_empty() && self.0.iter().all(plain) {
            return write_escaped(self.0, MAX_CHARS, &[], f);
        }
        f.write_char('"')?;
        write_escaped(self.0, MAX_CHARS, &['"', '\\'], f)?;
        f.write_char('"')
    }
}

fn write_escaped(text: &[u8], max_chars: usize, also: &[char], f: &mut Formatter<'_>) -> Result {
    let mut left = max_chars;
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            if left == 0 {
                return f.write_str("...");
            }
            left = left.saturating_sub(1);
            match char {
                '"' | '\'' | '\\' if !also.contains(&char) => f.write_char(char)?,
                _ => write!(f, "{}", char.escape_debug())?,
            }
        }
        for byte in chunk.invalid() {
            if left == 0 {
                return f.write_str("...");
            }
            left = left.saturating_sub(1);
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        let text = "a\u{1b}[31m\r\n\0\u{7f}\u{9b}\u{202e}\u{200b}é\"'\\";
        let shown = Printable::cut(text.as_bytes()).to_string();
        assert_eq!(shown, r#"a\u{1b}[31m\r\n\0\u{7f}\u{9b}\u{202e}\u{200b}é"'\"#);
        assert_eq!(Printable::cut(b"\xffa\xe2\x82").to_string(), r"\xffa\xe2\x82");
    }

    #[test]
    fn long_values_are_truncated() {
        let (fits, long) = ("é".repeat(MAX_CHARS), "é".repeat(MAX_CHARS + 1));
        assert_eq!(Printable::cut(fits.as_bytes()).to_string(), fits);
        assert_eq!(Printable::cut(long.as_bytes()).to_string(), format!("{fits}..."));
        let long = vec![0xff; 100_000];
        assert_eq!(Printable::cut(&long).to_string().len(), 4 * MAX_CHARS + 3);
        assert_eq!(Printable::whole(&long).to_string().len(), 4 * long.len());
    }

    #[test]
    fn a_value_cannot_forge_another_field() {
        for (text, shown) in [
            ("http://example.com:80/?a='b'", "http://example.com:80/?a='b'"),
            ("", r#""""#),
            ("1.2.3.4 status=101", r#""1.2.3.4 status=101""#),
            (r#"a" b"#, r#""a\" b""#),
            (r"\n", r#""\\n""#),
            ("é", "\"é\""),
        ] {
            assert_eq!(LogValue(text.as_bytes()).to_string(), shown);
        }
    }
}
