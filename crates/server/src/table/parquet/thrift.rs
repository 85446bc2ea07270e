//! A walk through one struct of Thrift's compact protocol, which Parquet's
//! footer and page headers are.
//!
//! It reads nothing into memory and goes no deeper than a bound, so that what
//! a file declares can be judged before a parser believes it. Every list that
//! it walked through really has as many elements as it says.

/// The deepest nesting; Parquet's own is half of it.
const DEPTH_MAX: usize = 16;

/// What a walk comes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A whole number in the field that the path leads to.
    Number(i64),
    /// The end of a struct that the path leads to.
    End,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ThriftError {
    #[error("it ends within its description")]
    Short,
    #[error("its description is malformed")]
    Malformed,
    #[error("its description nests too deep")]
    Deep,
}

struct Walk<'a, F> {
    bytes: &'a [u8],
    /// The ids of the fields that lead here; lists add none.
    path: Vec<i16>,
    see: &'a mut F,
}

/// Walks through a struct; how many bytes it has.
pub fn walk<F: FnMut(&[i16], Seen)>(bytes: &[u8], see: &mut F) -> Result<usize, ThriftError> {
    let mut walk = Walk {
        bytes,
        path: Vec::new(),
        see,
    };
    walk.structure(0)?;
    Ok(bytes.len() - walk.bytes.len())
}

impl<F: FnMut(&[i16], Seen)> Walk<'_, F> {
    fn byte(&mut self) -> Result<u8, ThriftError> {
        let (first, rest) = self.bytes.split_first().ok_or(ThriftError::Short)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn skip(&mut self, count: u64) -> Result<(), ThriftError> {
        let count = usize::try_from(count).map_err(|_| ThriftError::Short)?;
        self.bytes = self.bytes.get(count..).ok_or(ThriftError::Short)?;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, ThriftError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ThriftError::Malformed)
    }

    fn zigzag(&mut self) -> Result<i64, ThriftError> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn structure(&mut self, depth: usize) -> Result<(), ThriftError> {
        if DEPTH_MAX < depth {
            return Err(ThriftError::Deep);
        }
        let mut last = 0i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                (self.see)(&self.path, Seen::End);
                return Ok(());
            }
            let id = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| ThriftError::Malformed)?,
                delta => last
                    .checked_add(i16::from(delta))
                    .ok_or(ThriftError::Malformed)?,
            };
            last = id;
            self.path.push(id);
            // A field that is a truth value has it in its head.
            if !matches!(head & 0x0f, 1 | 2) {
                self.value(head & 0x0f, depth)?;
            }
            self.path.pop();
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<(), ThriftError> {
        match kind {
            1..=3 => self.skip(1),
            4..=6 => {
                let number = self.zigzag()?;
                (self.see)(&self.path, Seen::Number(number));
                Ok(())
            }
            7 => self.skip(8),
            8 => {
                let length = self.varint()?;
                self.skip(length)
            }
            9 | 10 => self.list(depth + 1),
            11 => self.map(depth + 1),
            12 => self.structure(depth + 1),
            _ => Err(ThriftError::Malformed),
        }
    }

    fn list(&mut self, depth: usize) -> Result<(), ThriftError> {
        if DEPTH_MAX < depth {
            return Err(ThriftError::Deep);
        }
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        // Each element has a byte at least.
        if (self.bytes.len() as u64) < count {
            return Err(ThriftError::Short);
        }
        for _ in 0..count {
            self.value(head & 0x0f, depth)?;
        }
        Ok(())
    }

    fn map(&mut self, depth: usize) -> Result<(), ThriftError> {
        if DEPTH_MAX < depth {
            return Err(ThriftError::Deep);
        }
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        if (self.bytes.len() as u64) < count {
            return Err(ThriftError::Short);
        }
        let kinds = self.byte()?;
        for _ in 0..count {
            self.value(kinds >> 4, depth)?;
            self.value(kinds & 0x0f, depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn numbers(bytes: &[u8]) -> Result<Vec<(Vec<i16>, i64)>, ThriftError> {
        let mut seen = Vec::new();
        walk(bytes, &mut |path, what| {
            if let Seen::Number(number) = what {
                seen.push((path.to_vec(), number));
            }
        })?;
        Ok(seen)
    }

    #[test]
    fn a_walk_sees_every_number_with_the_way_to_it() {
        // 1: i32 -1, 3: list of two structs { 2: i64 150 }.
        let bytes = [
            0x15, 0x01, 0x29, 0x2c, 0x26, 0xac, 0x02, 0, 0x26, 0xac, 0x02, 0, 0,
        ];
        let wanted = [(vec![1], -1), (vec![3, 2], 150), (vec![3, 2], 150)];
        assert_eq!(numbers(&bytes).unwrap(), wanted);
        for end in 0..bytes.len() {
            assert_eq!(numbers(&bytes[..end]), Err(ThriftError::Short), "{end}");
        }
    }

    #[test]
    fn a_walk_ends_whatever_the_bytes_say() {
        assert_eq!(numbers(&[0x1c; 64]), Err(ThriftError::Deep));
        assert_eq!(numbers(&[0x19; 64]), Err(ThriftError::Deep));
        let many = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(numbers(&many), Err(ThriftError::Short));
        assert_eq!(numbers(&[0x1e]), Err(ThriftError::Malformed));
        assert_eq!(numbers(&[0x15; 32]), Err(ThriftError::Short));
        assert_eq!(
            numbers(&[0x16, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]),
            Err(ThriftError::Malformed)
        );
    }
}
