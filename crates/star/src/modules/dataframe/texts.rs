//! A column of texts in one piece of memory.

/// Texts, one after the other; some may be missing.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    bytes: String,
    ends: Vec<usize>,
    /// Empty while nothing is missing.
    missing: Vec<bool>,
}

impl Texts {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn push(&mut self, text: Option<&str>) {
        if text.is_none() && self.missing.is_empty() {
            self.missing = vec![false; self.ends.len()];
        }
        if text.is_none() || !self.missing.is_empty() {
            self.missing.push(text.is_none());
        }
        self.bytes.push_str(text.unwrap_or_default());
        self.ends.push(self.bytes.len());
    }

    pub fn get(&self, at: usize) -> Option<&str> {
        if self.missing.get(at).copied().unwrap_or_default() {
            return None;
        }
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(&self.bytes[start..self.ends[at]])
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        (0..self.len()).map(|at| self.get(at))
    }

    pub fn has_missing(&self) -> bool {
        self.missing.contains(&true)
    }
}

impl<'a> FromIterator<Option<&'a str>> for Texts {
    fn from_iter<I: IntoIterator<Item = Option<&'a str>>>(all: I) -> Self {
        let mut texts = Self::default();
        all.into_iter().for_each(|text| texts.push(text));
        texts
    }
}
