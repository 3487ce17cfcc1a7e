//! Literals outside JSON's grammar: Python's (`repr` of a dictionary, as in Amazon's metadata of 2014) and the `NaN` and
//! `Infinity` of `json.dumps`.
//!
//! The parser is our own, because `py_literal` reads neither `NaN` and `inf`, nor `null` and `true`, nor numpy's output, keeps
//! numbers as big integers, and brings a parser generator with it.
//!
//! Readers call it with text that `serde_json` refused. A literal has the value that `ast.literal_eval` gives it; values that
//! JSON has no name for (`None`, `nan`, infinities) are null.

use std::fmt;

use serde_json::{Map, Number, Value};

/// Deepest nesting, the limit of `serde_json`.
const MAX_DEPTH: usize = 128;

/// Why a text isn't a literal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LiteralError {
    /// Place of the error, from 1.
    pub byte: usize,
    pub reason: &'static str,
}

impl fmt::Display for LiteralError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.byte)
    }
}

/// Parses JSON or a Python literal. Tuples and sets become lists; keys become text; of equal keys the last one counts.
///
/// # Errors
/// The text isn't a literal; the error has the place.
pub(crate) fn parse(text: &str) -> Result<Value, LiteralError> {
    Parser { text, place: 0, printed: false }.whole()
}

/// [`parse`] for a table's cell into which a program printed a list or an object: numpy prints lists without commas and wraps
/// them in `array(…, dtype=object)`.
pub(crate) fn parse_printed(text: &str) -> Result<Value, LiteralError> {
    Parser { text, place: 0, printed: true }.whole()
}

struct Parser<'a> {
    text: &'a str,
    /// Number of bytes read.
    place: usize,
    /// Whether numpy's output is read too.
    printed: bool,
}

impl Parser<'_> {
    fn whole(mut self) -> Result<Value, LiteralError> {
        let value = self.value(MAX_DEPTH)?;
        if self.peek().is_some() { self.wrong("trailing characters") } else { Ok(value) }
    }

    fn wrong<T>(&self, reason: &'static str) -> Result<T, LiteralError> {
        Err(LiteralError { byte: self.place + 1, reason })
    }

    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.place..]
    }

    /// The next byte that isn't space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.rest();
        self.place += rest.len() - rest.trim_ascii_start().len();
        self.rest().first().copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.place += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Value, LiteralError> {
        let Some(first) = self.peek() else { return self.wrong("the value is missing") };
        if depth == 0 && matches!(first, b'{' | b'[' | b'(') {
            return self.wrong("nested too deep");
        }
        match first {
            b'{' => self.braces(depth),
            b'[' => Ok(Value::Array(self.list(b']', depth)?)),
            b'(' => self.parentheses(depth),
            b'\'' | b'"' => Ok(Value::String(self.string(false)?)),
            b'+' | b'-' | b'.' | b'0'..=b'9' => self.number(),
            _ => self.word(depth),
        }
    }

    /// A dictionary, or a set.
    fn braces(&mut self, depth: usize) -> Result<Value, LiteralError> {
        self.place += 1;
        let mut map = Map::new();
        if self.take(b'}') {
            return Ok(Value::Object(map));
        }
        let first = self.value(depth - 1)?;
        if self.peek() != Some(b':') {
            let mut set = vec![first];
            if self.take(b',') {
                self.elements(b'}', depth, &mut set)?;
            } else if !self.take(b'}') {
                return self.wrong("a `:`, `,` or `}` is missing");
            }
            return Ok(Value::Array(set));
        }
        let mut key = first;
        loop {
            let key_text = match key {
                Value::String(text) => text,
                Value::Array(_) | Value::Object(_) => return self.wrong("a key is neither text nor number"),
                other => other.to_string(),
            };
            if !self.take(b':') {
                return self.wrong("a `:` is missing");
            }
            let value = self.value(depth - 1)?;
            map.insert(key_text, value);
            let comma = self.take(b',');
            if self.take(b'}') {
                return Ok(Value::Object(map));
            }
            if !comma {
                return self.wrong("a `,` or `}` is missing");
            }
            key = self.value(depth - 1)?;
        }
    }

    /// A tuple, or a value in parentheses.
    fn parentheses(&mut self, depth: usize) -> Result<Value, LiteralError> {
        self.place += 1;
        if self.take(b')') {
            return Ok(Value::Array(Vec::new()));
        }
        let first = self.value(depth - 1)?;
        if self.take(b')') {
            return Ok(first);
        }
        if !self.take(b',') {
            return self.wrong("a `,` or `)` is missing");
        }
        let mut tuple = vec![first];
        self.elements(b')', depth, &mut tuple)?;
        Ok(Value::Array(tuple))
    }

    fn list(&mut self, end: u8, depth: usize) -> Result<Vec<Value>, LiteralError> {
        self.place += 1;
        let mut list = Vec::new();
        self.elements(end, depth, &mut list)?;
        Ok(list)
    }

    /// Elements up to `end`, the last one with or without a comma.
    fn elements(&mut self, end: u8, depth: usize, list: &mut Vec<Value>) -> Result<(), LiteralError> {
        while !self.take(end) {
            list.push(self.value(depth - 1)?);
            if !self.take(b',') && self.peek() != Some(end) && !self.printed {
                return self.wrong("a `,` is missing between the elements of a list");
            }
        }
        Ok(())
    }

    /// A string whose opening quote is next; in a raw one a backslash is a character.
    fn string(&mut self, raw: bool) -> Result<String, LiteralError> {
        let quote = self.rest()[0];
        self.place += 1;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let Some(plain) = rest.iter().position(|&b| b == quote || b == b'\\') else {
                return self.wrong("a string is not closed");
            };
            // In both languages a string ends in its line.
            if rest[..plain].contains(&b'\n') {
                return self.wrong("a string runs over a line end");
            }
            let closed = rest[plain] == quote;
            // Quotes and backslashes are whole characters, so both ends are boundaries.
            text.push_str(&self.text[self.place..self.place + plain]);
            self.place += plain + 1;
            if closed {
                return Ok(text);
            }
            if raw {
                text.push('\\');
                self.one_character(&mut text);
            } else {
                self.escape(quote, &mut text)?;
            }
        }
    }

    fn one_character(&mut self, text: &mut String) {
        if let Some(c) = self.text[self.place..].chars().next() {
            text.push(c);
            self.place += c.len_utf8();
        }
    }

    /// Reads what follows a backslash.
    fn escape(&mut self, quote: u8, text: &mut String) -> Result<(), LiteralError> {
        let Some(&kind) = self.rest().first() else { return self.wrong("a string is not closed") };
        let plain = match kind {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'a' => '\u{7}',
            b'v' => '\u{b}',
            b'\\' | b'\'' | b'"' => char::from(kind),
            // JSON's; Python keeps the backslash, and writes none before a slash.
            b'/' if quote == b'"' => '/',
            b'x' => return self.code(2, text),
            b'u' => return self.code(4, text),
            b'U' => return self.code(8, text),
            b'0'..=b'7' => {
                let digits = self.rest().iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let code = self.rest()[..digits].iter().fold(0, |n, &b| n * 8 + u32::from(b - b'0'));
                self.place += digits;
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                return Ok(());
            }
            b'N' => return self.wrong("characters by name (`\\N`) are not read"),
            _ => {
                text.push('\\');
                self.one_character(text);
                return Ok(());
            }
        };
        self.place += 1;
        text.push(plain);
        Ok(())
    }

    /// Reads a code of `digits` hexadecimal digits after its letter. Two surrogates are one character, as Python 2 and JSON write
    /// those beyond 0xFFFF; a lone one is none and is replaced.
    fn code(&mut self, digits: usize, text: &mut String) -> Result<(), LiteralError> {
        self.place += 1;
        let Some(code) = self.hex(digits) else { return self.wrong("an escape lacks its digits") };
        self.place += digits;
        if (0xD800..0xDC00).contains(&code) && self.rest().starts_with(b"\\u") {
            self.place += 2;
            if let Some(low) = self.hex(4).filter(|low| (0xDC00..0xE000).contains(low)) {
                self.place += 4;
                let whole = 0x1_0000 + ((code - 0xD800) << 10) + (low - 0xDC00);
                text.push(char::from_u32(whole).unwrap_or(char::REPLACEMENT_CHARACTER));
                return Ok(());
            }
            self.place -= 2;
        }
        if code > 0x10_FFFF {
            return self.wrong("an escape is no character");
        }
        text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        Ok(())
    }

    fn hex(&self, digits: usize) -> Option<u32> {
        let digits = self.rest().get(..digits)?;
        let all = digits.iter().all(u8::is_ascii_hexdigit);
        let text = std::str::from_utf8(digits).ok().filter(|_| all)?;
        u32::from_str_radix(text, 16).ok()
    }

    fn number(&mut self) -> Result<Value, LiteralError> {
        let rest = self.rest();
        let sign = usize::from(matches!(rest[0], b'+' | b'-'));
        if rest[sign..].first().is_some_and(u8::is_ascii_alphabetic) {
            // `-Infinity`, `-inf`, `-nan`.
            self.place += sign;
            let word = self.letters().to_owned();
            self.place += word.len();
            return if is_no_number(&word) { Ok(Value::Null) } else { self.wrong("a value is no literal") };
        }
        let long = |&&b: &&u8| matches!(b, b'+' | b'-' | b'.' | b'_') || b.is_ascii_alphanumeric();
        let length = rest.iter().take_while(long).count();
        let text = self.text[self.place..self.place + length].trim_start_matches('+');
        // Python 2 wrote long integers with a suffix.
        let text = text.strip_suffix('L').unwrap_or(text);
        let digits = text.strip_prefix('-').unwrap_or(text);
        let value = if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            // Neither JSON nor Python 3 has `05`; in Python 2 it is octal, and from an id the zero would be lost.
            if digits.starts_with('0') && digits.bytes().any(|b| b != b'0') {
                return self.wrong("a number begins with zeros, which only a text in quotes keeps");
            }
            integer(text)
        } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && !digits.contains('_') {
            text.parse().ok().map(|x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number))
        } else {
            None
        };
        match value {
            Some(value) => {
                self.place += length;
                Ok(value)
            }
            None => self.wrong("a number can't be read"),
        }
    }

    fn letters(&self) -> &str {
        let rest = &self.text[self.place..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        &rest[..end]
    }

    /// A name of a value, or the prefix of a string.
    fn word(&mut self, depth: usize) -> Result<Value, LiteralError> {
        let word = self.letters().to_owned();
        let next = self.rest().get(word.len()).copied();
        let value = match word.as_str() {
            "True" | "true" => Value::Bool(true),
            "False" | "false" => Value::Bool(false),
            "None" | "null" => Value::Null,
            word if is_no_number(word) => Value::Null,
            "u" | "U" | "b" | "B" | "r" | "R" | "ur" | "br" | "rb" if matches!(next, Some(b'\'' | b'"')) => {
                self.place += word.len();
                return Ok(Value::String(self.string(word.contains(['r', 'R']))?));
            }
            "array" if self.printed && next == Some(b'(') && depth > 0 => {
                self.place += word.len() + 1;
                let value = self.value(depth - 1)?;
                // `, dtype=object` doesn't affect the values.
                let Some(end) = self.rest().iter().position(|&b| b == b')') else {
                    return self.wrong("an array is not closed");
                };
                self.place += end + 1;
                return Ok(value);
            }
            _ => return self.wrong("a value is no literal"),
        };
        self.place += word.len();
        Ok(value)
    }
}

fn is_no_number(word: &str) -> bool {
    matches!(word, "NaN" | "nan" | "Infinity" | "inf" | "Inf")
}

/// Beyond 64 bits a float, as in `serde_json`.
fn integer(text: &str) -> Option<Value> {
    if let Ok(n) = text.parse::<u64>() {
        return Some(n.into());
    }
    if let Ok(n) = text.parse::<i64>() {
        return Some(n.into());
    }
    text.parse().ok().map(|x: f64| Number::from_f64(x).map_or(Value::Null, Value::Number))
}

#[cfg(test)]
mod tests;
