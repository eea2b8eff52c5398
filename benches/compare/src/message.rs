//! What is sent: numbered messages whose length and bytes the receiver can check.

use anyhow::{ensure, Result};

/// Longest message of any measurement, in bytes.
pub const LONGEST: usize = 2044;

/// Set in the number of the last message; the other bits say how many came before it.
pub const END: u64 = 1 << 63;

/// Length of the last message.
const END_LEN: usize = 16;

/// How long the messages of a measurement are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// All of one length.
    Fixed(usize),
    /// As lines of a log: 16 to 127 bytes, 64 on average, mixed.
    Lines,
}

impl Size {
    /// By its name on the command line.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "lines" => Some(Self::Lines),
            number => {
                let len = number.parse().ok()?;
                (END_LEN..=LONGEST).contains(&len).then_some(Self::Fixed(len))
            }
        }
    }

    /// As tables show it.
    pub fn name(self) -> String {
        match self {
            Self::Fixed(len) => format!("{len} B"),
            Self::Lines => "lines".into(),
        }
    }

    /// Longest message.
    pub fn longest(self) -> usize {
        match self {
            Self::Fixed(len) => len,
            Self::Lines => 127,
        }
    }

    /// Length of message `number`.
    #[inline]
    fn len(self, number: u64) -> usize {
        match self {
            Self::Fixed(len) => len,
            Self::Lines => {
                // Two draws: the middle lengths are the frequent ones, the mean is 64.
                let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let draw = |shift: u32, below: u64| (((hash >> shift) & 0xffff) * below) >> 16;
                END_LEN + (draw(48, 49) + draw(32, 49)) as usize
            }
        }
    }
}

fn seal(number: u64) -> u64 {
    number.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5348_4d44
}

/// Makes messages one after another, in one buffer.
pub struct Writer {
    size: Size,
    text: [u8; LONGEST],
}

impl Writer {
    pub fn new(size: Size) -> Self {
        let mut text = [0; LONGEST];
        for (i, byte) in text.iter_mut().enumerate() {
            *byte = b'a' + (i % 26) as u8;
        }
        Self { size, text }
    }

    /// Message `number`; with [`END`] in it, the last one.
    #[inline]
    pub fn message(&mut self, number: u64) -> &[u8] {
        let len = if number & END == 0 { self.size.len(number) } else { END_LEN };
        self.text[..8].copy_from_slice(&number.to_ne_bytes());
        // The last bytes say that all before them came along.
        self.text[len - 8..len].copy_from_slice(&seal(number).to_ne_bytes());
        &self.text[..len]
    }
}

/// Checks message after message.
pub struct Reader {
    size: Size,
    next: u64,
}

impl Reader {
    pub fn new(size: Size) -> Self {
        Self { size, next: 0 }
    }

    /// Checks that this is the next message; true: it is the last one.
    #[inline]
    pub fn check(&mut self, message: &[u8]) -> Result<bool> {
        let (first, last) = (message.first_chunk(), message.last_chunk());
        let (Some(first), Some(last)) = (first, last) else {
            anyhow::bail!("message {} has {} bytes", self.next, message.len());
        };
        let number = u64::from_ne_bytes(*first);
        let end = number == self.next | END;
        ensure!(end || number == self.next, "message {number:#x} came, not {}", self.next);
        let len = if end { END_LEN } else { self.size.len(number) };
        let whole = message.len() == len && u64::from_ne_bytes(*last) == seal(number);
        ensure!(whole, "message {number:#x} is torn, {} bytes", message.len());
        self.next += 1;
        Ok(end)
    }

    /// Messages checked.
    pub fn count(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_long_as_said() {
        let lens: Vec<usize> = (0..10_000).map(|n| Size::Lines.len(n)).collect();
        let mean = lens.iter().sum::<usize>() / lens.len();
        assert!((63..=65).contains(&mean), "{mean}");
        assert!(lens.iter().all(|len| (16..=Size::Lines.longest()).contains(len)));
    }

    #[test]
    fn a_reader_takes_what_a_writer_makes_and_nothing_else() {
        for size in [Size::Fixed(16), Size::Fixed(64), Size::Lines] {
            let (mut writer, mut reader) = (Writer::new(size), Reader::new(size));
            for number in 0..100 {
                assert!(!reader.check(writer.message(number)).unwrap());
            }
            assert!(reader.check(writer.message(99)).is_err(), "again");
            assert!(reader.check(writer.message(101)).is_err(), "left out");
            let mut torn = writer.message(100).to_vec();
            torn.rotate_left(1);
            assert!(reader.check(&torn).is_err(), "torn");
            let short = writer.message(100);
            assert!(reader.check(&short[..short.len() - 1]).is_err(), "short");
            assert!(reader.check(writer.message(99 | END)).is_err(), "a wrong end");
            assert!(reader.check(writer.message(100 | END)).unwrap());
        }
    }
}
