//! What a guest may send to a person's terminal.
//!
//! Text, colours, and moves of the cursor pass; the rest is dropped. The rule:
//! nothing passes that makes a terminal answer (its answer would be typed into
//! whatever reads from it next), that touches the clipboard, titles or files,
//! or that is not known here. Bytes come in parts that end anywhere.

use strongroom_core::text::turns_direction;

/// The longest sequence that is looked at, in bytes.
const SEQUENCE_LEN_MAX: usize = 64;
/// Sequences of one letter: cursor, lines, keypad, a full reset.
const LETTERS: &[u8] = b"78MDEc=>";
/// The ends of sequences with numbers that move, clear and colour.
const ENDS: &[u8] = b"ABCDEFGHJKLMPSTXZ@`adefmr";
/// Modes that may be set: cursor keys, wrapping, cursor, second screen, pasting.
const MODES: [&[u8]; 9] = [
    b"1", b"7", b"12", b"25", b"47", b"1047", b"1048", b"1049", b"2004",
];
const ESCAPE: u8 = 0x1b;

/// Where in a sequence the bytes have come to.
#[derive(Default)]
enum At {
    #[default]
    Text,
    Escape,
    /// After an opening parenthesis: a set of characters.
    Characters,
    /// Numbers, until a letter; what is too long is dropped.
    Numbers(Vec<u8>),
    /// A text for the terminal itself, dropped until its end.
    Dropped {
        escaped: bool,
    },
}

/// Passes on what is harmless.
#[derive(Default)]
pub struct Screen {
    at: At,
    /// The beginning of a character that is not whole yet.
    part: Vec<u8>,
}

impl Screen {
    /// Puts back what a guest may have changed.
    pub const RESET: &'static [u8] =
        b"\x1b[0m\x1b(B\x1b[?1049l\x1b[?2004l\x1b[?1l\x1b>\x1b[?7h\x1b[?25h\x1b7\x1b[r\x1b8";

    /// What of `bytes` may be shown.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for byte in bytes {
            self.step(*byte, &mut out);
        }
        out
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == ESCAPE && !matches!(self.at, At::Dropped { .. }) {
            self.part.clear();
            self.at = At::Escape;
            return;
        }
        match std::mem::take(&mut self.at) {
            At::Text => self.text(byte, out),
            At::Escape => self.escape(byte, out),
            At::Characters if b"0B".contains(&byte) => out.extend([ESCAPE, b'(', byte]),
            At::Characters => {}
            At::Numbers(sequence) => self.numbers(sequence, byte, out),
            At::Dropped { escaped } => match byte {
                // A bell, or an escape and a backslash.
                0x07 => {}
                b'\\' if escaped => {}
                _ => {
                    let escaped = byte == ESCAPE;
                    self.at = At::Dropped { escaped };
                }
            },
        }
    }

    fn text(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte.is_ascii() {
            self.part.clear();
            // New line, return, tab, back, bell; nothing else below a blank.
            if matches!(byte, b'\n' | b'\r' | b'\t' | 0x08 | 0x07 | b' '..=b'~') {
                out.push(byte);
            }
            return;
        }
        self.part.push(byte);
        match std::str::from_utf8(&self.part) {
            Ok(text) if !text.contains(|c: char| c.is_control() || turns_direction(c)) => {
                out.extend_from_slice(&self.part);
            }
            Ok(_) => {}
            Err(error) if error.error_len().is_none() && self.part.len() < 4 => return,
            Err(_) => out.extend("\u{fffd}".bytes()),
        }
        self.part.clear();
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            b'[' => self.at = At::Numbers(Vec::new()),
            b'(' => self.at = At::Characters,
            b']' | b'P' | b'X' | b'^' | b'_' => self.at = At::Dropped { escaped: false },
            _ if LETTERS.contains(&byte) => out.extend([ESCAPE, byte]),
            _ => {}
        }
    }

    fn numbers(&mut self, mut sequence: Vec<u8>, byte: u8, out: &mut Vec<u8>) {
        match byte {
            0x20..=0x3f => {
                if sequence.len() < SEQUENCE_LEN_MAX {
                    sequence.push(byte);
                }
                self.at = At::Numbers(sequence);
            }
            0x40..=0x7e if may_end(&sequence, byte) => {
                out.extend([ESCAPE, b'[']);
                out.extend(sequence);
                out.push(byte);
            }
            // Others below a blank would be obeyed in the middle of a sequence.
            _ => {}
        }
    }
}

/// Whether a sequence with these numbers may end so.
fn may_end(sequence: &[u8], end: u8) -> bool {
    if SEQUENCE_LEN_MAX <= sequence.len() {
        return false;
    }
    let are_numbers = |text: &[u8]| {
        let mut bytes = text.iter();
        bytes.all(|byte| byte.is_ascii_digit() || *byte == b';')
    };
    match (sequence, end) {
        ([b'?', modes @ ..], b'h' | b'l') => modes
            .split(|byte| *byte == b';')
            .all(|mode| MODES.contains(&mode)),
        // Insertion instead of writing over.
        (b"4", b'h' | b'l') => true,
        (numbers, end) => are_numbers(numbers) && ENDS.contains(&end),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Screen;

    #[track_caller]
    fn shows(sent: &[u8], shown: &[u8]) {
        assert_eq!(
            Screen::default().pass(sent).escape_ascii().to_string(),
            shown.escape_ascii().to_string()
        );
        // The same in parts of one byte.
        let mut screen = Screen::default();
        let parts: Vec<u8> = sent.iter().flat_map(|byte| screen.pass(&[*byte])).collect();
        assert_eq!(parts, shown);
    }

    #[test]
    fn text_colours_and_moves_pass() {
        for sent in [
            &b"plain\r\n\ttext\x08\x07"[..],
            "h\u{e4}\u{1f427}".as_bytes(),
            b"\x1b[1;31mred\x1b[0m\x1b[m",
            b"\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[3A\x1b[1;5r",
            b"\x1b[?25l\x1b[?1049h\x1b[?1049l\x1b[?2004h\x1b[4h",
            b"\x1b7\x1b8\x1bM\x1b(0\x1b(B\x1b=\x1b>",
            Screen::RESET,
        ] {
            shows(sent, sent);
        }
    }

    #[test]
    fn nothing_passes_that_a_terminal_would_answer_or_that_outlives_the_shell() {
        for (sent, shown) in [
            // Who are you, where are you, what is your title, what is set.
            (&b"a\x1b[c\x1b[>c\x1b[0c\x1bZb"[..], &b"ab"[..]),
            (b"a\x1b[6n\x1b[?6n\x1b[5nb", b"ab"),
            (b"a\x1b[21t\x1b[18tb", b"ab"),
            (b"a\x1bP$qm\x1b\\b", b"ab"),
            (b"a\x1b[?u\x1b[>1u\x1b[ub", b"ab"),
            (b"a\x1b[?1$p\x1b[!p\x1b[1 qb", b"ab"),
            (b"a\x05b", b"ab"),
            // Clipboard, title, links, files.
            (b"a\x1b]52;c;cm0gLXJmIH4=\x07b", b"ab"),
            (b"a\x1b]0;title\x1b\\b", b"ab"),
            (b"a\x1b]8;;http://a.example\x07b", b"ab"),
            (b"a\x1b]1337;File=x:AAAA\x07b", b"ab"),
            (b"a\x1b_G\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\b", b"ab"),
            // Mice and focus.
            (b"a\x1b[?1000h\x1b[?1004h\x1b[?1;1006hb", b"ab"),
            (b"a\x1b[?;hb", b"ab"),
            // The same beginnings in eight bits, alone and as characters.
            (b"a\x9b6nb", b"a\xef\xbf\xbd6nb"),
            ("a\u{202e}b".as_bytes(), b"ab"),
            ("a\u{9b}6n\u{9d}0;x\u{7}b".as_bytes(), b"a6n0;x\x07b"),
            // Sequences inside of others, and without an end.
            (b"\x1b[3\x1b[6nx", b"x"),
            (b"\x1b[3\x186nx", b"6nx"),
            (b"\x1b]0;\x1b[6nx\x07y", b"y"),
            (b"\x1b[", b""),
            (b"\x1b(A\x1b)0x", b"0x"),
            (b"\xff\xc3\x28", b"\xef\xbf\xbd("),
        ] {
            shows(sent, shown);
        }
        let long = [b"\x1b[".to_vec(), vec![b'1'; 1000], b"mx".to_vec()].concat();
        shows(&long, b"x");
    }
}
