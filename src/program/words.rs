//! The words of a command line, one argument after another, as getopt_long(3) has them: `-abc`, `-kVALUE`,
//! `-k VALUE`, `--key=VALUE`, `--key VALUE`; behind `--` there are operands alone. No option's name may be
//! abbreviated.
//!
//! Source: [getopt(3)](https://man7.org/linux/man-pages/man3/getopt.3.html).

use super::values::usage;
use anyhow::Result;
use std::env::ArgsOs;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What is left of the word that was read last, behind its option.
enum Rest {
    Nothing,
    /// Of `--option=value`.
    Value {
        option: String,
        value: Vec<u8>,
    },
    /// Of `-abc` or `-kvalue`.
    Letters {
        option: String,
        letters: Vec<u8>,
    },
}

/// The words still to be read.
pub(super) struct Words<I = ArgsOs> {
    words: I,
    rest: Rest,
    /// No option comes any more.
    operands: bool,
}

impl Words {
    /// Of this process, behind its name.
    pub(super) fn of_process() -> Self {
        let mut words = std::env::args_os();
        words.next();
        Self::new(words)
    }
}

impl<I: Iterator<Item = OsString>> Words<I> {
    /// All that are left there.
    pub(super) fn new(words: I) -> Self {
        Self { words, rest: Rest::Nothing, operands: false }
    }

    /// The next argument, as it is to be named in messages, and whether it is an operand. Options come with
    /// their dashes.
    pub(super) fn next(&mut self) -> Result<Option<(String, bool)>> {
        match core::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Letters { letters, .. } if !letters.is_empty() && letters[0] != b'=' => {
                return Ok(Some((self.letter(&letters), false)))
            }
            Rest::Letters { letters, .. } if letters.is_empty() => {}
            Rest::Value { option, .. } | Rest::Letters { option, .. } => {
                return Err(usage(format!("{option}: takes no value")))
            }
            Rest::Nothing => {}
        }
        let Some(word) = self.words.next() else { return Ok(None) };
        let option = match (word.as_bytes(), self.operands) {
            (b"--", false) => {
                self.operands = true;
                return self.next();
            }
            ([b'-', b'-', ..], false) => self.long(word.as_bytes()),
            ([b'-', letters @ ..], false) if !letters.is_empty() => self.letter(letters),
            _ => return Ok(Some((word.to_string_lossy().into_owned(), true))),
        };
        Ok(Some((option, false)))
    }

    fn long(&mut self, word: &[u8]) -> String {
        let mut parts = word.splitn(2, |byte| *byte == b'=');
        let option = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        if let Some(value) = parts.next() {
            self.rest = Rest::Value { option: option.clone(), value: value.to_vec() };
        }
        option
    }

    /// The option of the first letter. Others than those of ASCII are one option with all behind them: there is
    /// none.
    fn letter(&mut self, letters: &[u8]) -> String {
        let len = if letters[0].is_ascii() { 1 } else { letters.len() };
        let option = format!("-{}", String::from_utf8_lossy(&letters[..len]));
        self.rest = Rest::Letters { option: option.clone(), letters: letters[len..].to_vec() };
        option
    }

    /// The value of `option`, which was the last: of any bytes, and whatever the word looks like.
    pub(super) fn value(&mut self, option: &str) -> Result<OsString> {
        match core::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Value { value, .. } => Ok(OsString::from_vec(value)),
            Rest::Letters { letters, .. } if !letters.is_empty() => {
                let value = letters.strip_prefix(b"=").unwrap_or(&letters);
                Ok(OsString::from_vec(value.to_vec()))
            }
            _ => self.words.next().ok_or_else(|| usage(format!("{option}: a value is missing"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each argument; an option that holds `k` takes a value.
    fn read(words: &[&[u8]]) -> core::result::Result<Vec<String>, String> {
        let words: Vec<OsString> =
            words.iter().map(|word| OsString::from_vec(word.to_vec())).collect();
        let mut words = Words::new(words.into_iter());
        let mut all = Vec::new();
        while let Some((argument, operand)) = words.next().map_err(|e| e.to_string())? {
            if !operand && argument.contains('k') {
                let value = words.value(&argument).map_err(|e| e.to_string())?;
                all.push(format!("{argument} {value:?}"));
            } else {
                all.push(if operand { format!("({argument})") } else { argument });
            }
        }
        Ok(all)
    }

    #[test]
    fn options_values_and_operands() {
        let cases: [(&[&[u8]], &[&str]); 9] = [
            (&[], &[]),
            (&[b"-vv", b"-q", b"x"], &["-v", "-v", "-q", "(x)"]),
            (
                &[b"-k", b"1", b"-k2", b"-k=3", b"-vk4"],
                &[r#"-k "1""#, r#"-k "2""#, r#"-k "3""#, "-v", r#"-k "4""#],
            ),
            (
                &[b"--key", b"1", b"--key=2", b"--key="],
                &[r#"--key "1""#, r#"--key "2""#, r#"--key """#],
            ),
            (
                &[b"--key=a=b", b"-k", b"--", b"-k", b"-v"],
                &[r#"--key "a=b""#, r#"-k "--""#, r#"-k "-v""#],
            ),
            (&[b"-", b"", b"a-b"], &["(-)", "()", "(a-b)"]),
            (&[b"-v", b"--", b"-v", b"--", b"--key=1"], &["-v", "(-v)", "(--)", "(--key=1)"]),
            (&[b"-k\xff", b"\xfe"], &[r#"-k "\xFF""#, "(\u{fffd})"]),
            (&["-ü".as_bytes(), b"-v\xff"], &["-ü", "-v", "-\u{fffd}"]),
        ];
        for (words, expected) in cases {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(read(words), Ok(expected));
        }
    }

    #[test]
    fn a_value_too_many_or_too_few_is_told() {
        for (words, told) in [
            (&[&b"--null=1"[..], b"x"][..], "--null: takes no value"),
            (&[b"-v=1"], "-v: takes no value"),
            (&[b"--null=1"], "--null: takes no value"),
            (&[b"--=1"], "--: takes no value"),
            (&[b"-k"], "-k: a value is missing"),
            (&[b"-v", b"--key"], "--key: a value is missing"),
        ] {
            assert_eq!(read(words), Err(told.into()));
        }
    }
}
