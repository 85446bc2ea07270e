//! Hides secrets in what is written down.
//!
//! A secret is looked for as it is, and as it becomes in a URL, in JSON, in
//! hexadecimal and in base64 at each of the three places where it can begin.
//! This is no wall: whoever holds a secret can write it in a way that nobody
//! thought of. It keeps accidents out of logs.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// What stands where a secret was.
const HIDDEN: &str = "[secret]";
/// Secrets shorter than this are not looked for: they would be found in
/// everything.
const BYTES_MIN: usize = 4;

/// The secrets of one stage, in every spelling that is looked for.
#[derive(Clone, Default)]
pub struct Mask {
    /// The longest first.
    spellings: Vec<String>,
}

impl Mask {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut spellings: Vec<String> = secrets
            .into_iter()
            .filter(|secret| BYTES_MIN <= secret.len())
            .flat_map(spellings)
            .collect();
        spellings.sort_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
        spellings.dedup();
        Self { spellings }
    }

    /// The text without secrets.
    pub fn hide(&self, text: String) -> String {
        let found = self
            .spellings
            .iter()
            .filter(|secret| text.contains(*secret));
        let found: Vec<&String> = found.collect();
        found
            .into_iter()
            .fold(text, |text, secret| text.replace(secret.as_str(), HIDDEN))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask of {} spellings", self.spellings.len())
    }
}

fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let mut all = vec![
        secret.to_owned(),
        json[1..json.len() - 1].to_owned(),
        percent(secret, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
        }),
        percent(secret, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte)
        }),
        percent(secret, |byte| {
            byte.is_ascii_alphanumeric() || b"-._~ ".contains(&byte)
        })
        .replace(' ', "+"),
        hex(secret, false),
        hex(secret, true),
    ];
    // A line breaks a log line, so each line of a secret counts for itself.
    let lines = secret.lines().map(str::trim).filter(|line| 8 <= line.len());
    all.extend(lines.map(str::to_owned));
    for before in 0..3 {
        let shifted = [vec![0; before], secret.as_bytes().to_vec()].concat();
        for text in [
            STANDARD_NO_PAD.encode(&shifted),
            URL_SAFE_NO_PAD.encode(&shifted),
        ] {
            // The first and last letters mix with what stands beside it.
            let first = [0, 2, 3][before];
            let last = text.len() - usize::from(shifted.len() % 3 != 0);
            if 8 <= last.saturating_sub(first) {
                all.push(text[first..last].to_owned());
            }
        }
    }
    all
}

fn percent(secret: &str, is_plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::new();
    for byte in secret.bytes() {
        match is_plain(byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn hex(secret: &str, upper: bool) -> String {
    let digits = secret.bytes().map(|byte| format!("{byte:02x}"));
    let digits: String = digits.collect();
    match upper {
        true => digits.to_uppercase(),
        false => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "p@ss/w\"ord +1";

    fn hidden(text: &str) -> String {
        Mask::new([SECRET]).hide(text.to_owned())
    }

    #[test]
    fn a_secret_is_hidden_in_every_spelling() {
        let json = serde_json::json!({ "key": SECRET }).to_string();
        for text in [
            format!("key={SECRET}!"),
            json,
            "https://a.org/?key=p%40ss%2Fw%22ord%20%2B1".to_owned(),
            "https://a.org/?key=p%40ss%2Fw%22ord+%2B1".to_owned(),
            "https://a.org/p%40ss/w%22ord%20%2B1/".to_owned(),
            "70407373".to_owned() + "2f7722" + "6f7264202b31",
        ] {
            let shown = hidden(&text);
            assert!(shown.contains(HIDDEN), "{text} became {shown}");
        }
    }

    #[test]
    fn a_secret_is_hidden_in_base64_wherever_it_begins() {
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        for before in ["", "u", "us", "user:", "user1:", "user12:"] {
            for after in ["", "!", "!!", "!!!"] {
                let plain = format!("{before}{SECRET}{after}");
                for text in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
                    let shown = hidden(&format!("Basic {text}"));
                    assert!(shown.contains(HIDDEN), "{plain}: {text} became {shown}");
                }
            }
        }
    }

    #[test]
    fn other_text_stays_as_it_is() {
        let text = "nothing to hide: p@ss, w\"ord";
        assert_eq!(hidden(text), text);
        assert_eq!(Mask::new(["a", ""]).hide("banana".to_owned()), "banana");
    }

    #[test]
    fn a_secret_within_another_leaves_nothing_of_the_longer() {
        let mask = Mask::new(["abcd", "abcdefgh"]);
        assert_eq!(mask.hide("x abcdefgh y".to_owned()), "x [secret] y");
    }
}
