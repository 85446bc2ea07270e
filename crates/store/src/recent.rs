//! The last few things that were looked at, by their names.
//!
//! It is only for what never changes under its name, so that nothing in it can
//! be out of date. What came first goes first.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Mutex, PoisonError},
};

/// A bounded memory.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    most: usize,
    kept: Mutex<(HashMap<K, V>, VecDeque<K>)>,
}

impl<K: Clone + Eq + Hash, V: Clone> Recent<K, V> {
    pub fn new(most: usize) -> Self {
        Self {
            most,
            kept: Mutex::default(),
        }
    }

    pub fn get(&self, key: &K) -> Option<V> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.get(key).cloned()
    }

    pub fn put(&self, key: K, value: V) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (values, order) = &mut *kept;
        if values.insert(key.clone(), value).is_some() {
            return;
        }
        order.push_back(key);
        if self.most < order.len()
            && let Some(oldest) = order.pop_front()
        {
            values.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn a_memory_is_bounded_and_forgets_what_came_first() {
        let recent = Recent::new(2);
        for (key, value) in [(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd')] {
            recent.put(key, value);
        }
        assert_eq!(
            [1, 2, 3].map(|key| recent.get(&key)),
            [None, Some('b'), Some('d')]
        );
    }
}
