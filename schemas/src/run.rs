//! A run: sorted packed keys with their totals, immutable once made.
//!
//! Invariant: keys strictly ascend and no key has only zeros, so that a total which was added and
//! retracted leaves nothing. Totals are exact: they widen to 128 bits rather than wrap.

/// Sorted keys with `width` totals each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    width: usize,
    keys: Vec<u128>,
    totals: Totals,
}

/// Totals row by row. Almost every run fits 64 bits; one that does not is held wide.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Totals {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl Run {
    /// A run of rows that are already sorted by key, distinct and not all zero.
    ///
    /// # Panics
    /// When the rows are not strictly sorted, which would be a bug in an operator.
    pub fn from_sorted<const N: usize>(rows: impl Iterator<Item = (u128, [i64; N])>) -> Self {
        let mut keys = Vec::with_capacity(rows.size_hint().0);
        let mut totals = Vec::with_capacity(rows.size_hint().0 * N);
        for (key, row) in rows {
            assert!(keys.last().is_none_or(|last| *last < key), "a run's keys must ascend");
            if row.iter().any(|total| *total != 0) {
                keys.push(key);
                totals.extend_from_slice(&row);
            }
        }
        Self { width: N, keys, totals: Totals::Narrow(totals) }
    }

    /// A run without keys.
    #[must_use]
    pub fn empty(width: usize) -> Self {
        Self { width, keys: Vec::new(), totals: Totals::Narrow(Vec::new()) }
    }

    /// How many keys the run has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the run has no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys in ascending order.
    #[must_use]
    pub fn keys(&self) -> &[u128] {
        &self.keys
    }

    /// Adds the totals of a key, if the run has it, to `into`.
    pub fn add_to(&self, key: u128, into: &mut [i128]) {
        if let Ok(row) = self.keys.binary_search(&key) {
            for (place, total) in into.iter_mut().enumerate() {
                *total += self.total(row, place);
            }
        }
    }

    /// Calls `each` with every key and its totals, in ascending order.
    pub fn for_each(&self, mut each: impl FnMut(u128, &[i128])) {
        let mut totals = vec![0; self.width];
        for (row, key) in self.keys.iter().enumerate() {
            for (place, total) in totals.iter_mut().enumerate() {
                *total = self.total(row, place);
            }
            each(*key, &totals);
        }
    }

    fn total(&self, row: usize, place: usize) -> i128 {
        let at = row * self.width + place;
        match &self.totals {
            Totals::Narrow(totals) => totals[at].into(),
            Totals::Wide(totals) => totals[at],
        }
    }

    /// The sum of two runs of the same view.
    ///
    /// # Panics
    /// When the runs have different widths.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        assert_eq!(self.width, other.width, "runs of different views cannot be added");
        if let (Totals::Narrow(a), Totals::Narrow(b)) = (&self.totals, &other.totals) {
            let narrow = merge((&self.keys, a), (&other.keys, b), self.width, i64::checked_add);
            if let Some((keys, totals)) = narrow {
                return Self { width: self.width, keys, totals: Totals::Narrow(totals) };
            }
        }
        let (a, b) = (self.wide(), other.wide());
        // 128 bits hold 10^25 of the largest amounts; a sum beyond that cannot come from facts.
        let sum = |a: i128, b: i128| Some(a.saturating_add(b));
        let (keys, totals) =
            merge((&self.keys, &a), (&other.keys, &b), self.width, sum).unwrap_or_default();
        Self { width: self.width, keys, totals: Totals::Wide(totals) }
    }

    fn wide(&self) -> Vec<i128> {
        match &self.totals {
            Totals::Narrow(totals) => totals.iter().map(|total| i128::from(*total)).collect(),
            Totals::Wide(totals) => totals.clone(),
        }
    }
}

/// Merges two sorted runs, adding equal keys; `None` when a sum does not fit.
fn merge<I: Copy + Default + PartialEq>(
    (a_keys, a): (&[u128], &[I]),
    (b_keys, b): (&[u128], &[I]),
    width: usize,
    sum: impl Fn(I, I) -> Option<I>,
) -> Option<(Vec<u128>, Vec<I>)> {
    let mut keys = Vec::with_capacity(a_keys.len() + b_keys.len());
    let mut totals = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a_keys.len() && j < b_keys.len() {
        let (x, y) = (&a[i * width..(i + 1) * width], &b[j * width..(j + 1) * width]);
        match a_keys[i].cmp(&b_keys[j]) {
            std::cmp::Ordering::Less => {
                keys.push(a_keys[i]);
                totals.extend_from_slice(x);
                i += 1;
            }
            std::cmp::Ordering::Greater => {
                keys.push(b_keys[j]);
                totals.extend_from_slice(y);
                j += 1;
            }
            std::cmp::Ordering::Equal => {
                let start = totals.len();
                for (x, y) in x.iter().zip(y) {
                    totals.push(sum(*x, *y)?);
                }
                if totals[start..].iter().all(|total| *total == I::default()) {
                    totals.truncate(start);
                } else {
                    keys.push(a_keys[i]);
                }
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    keys.extend_from_slice(&a_keys[i..]);
    totals.extend_from_slice(&a[i * width..]);
    keys.extend_from_slice(&b_keys[j..]);
    totals.extend_from_slice(&b[j * width..]);
    Some((keys, totals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn run(rows: &BTreeMap<u128, [i64; 2]>) -> Run {
        Run::from_sorted(rows.iter().map(|(key, totals)| (*key, *totals)))
    }

    fn contents(run: &Run) -> BTreeMap<u128, Vec<i128>> {
        let mut rows = BTreeMap::new();
        run.for_each(|key, totals| {
            rows.insert(key, totals.to_vec());
        });
        rows
    }

    proptest! {
        #[test]
        fn merging_adds_key_by_key(
            a in prop::collection::btree_map(0..20_u128, any::<[i64; 2]>(), 0..20),
            b in prop::collection::btree_map(0..20_u128, any::<[i64; 2]>(), 0..20),
        ) {
            let mut expected: BTreeMap<u128, Vec<i128>> = BTreeMap::new();
            for (key, totals) in a.iter().chain(&b) {
                let sums = expected.entry(*key).or_insert_with(|| vec![0; 2]);
                for (sum, total) in sums.iter_mut().zip(totals) {
                    *sum += i128::from(*total);
                }
            }
            expected.retain(|_, totals| totals.iter().any(|total| *total != 0));
            let merged = run(&a).merge(&run(&b));
            prop_assert_eq!(contents(&merged), expected.clone());
            for (key, totals) in &expected {
                let mut found = [0; 2];
                merged.add_to(*key, &mut found);
                prop_assert_eq!(&found[..], &totals[..]);
            }
        }

        #[test]
        fn what_is_retracted_leaves_nothing(
            a in prop::collection::btree_map(0..20_u128, [-1000..1000_i64, 0..9], 0..20),
        ) {
            let negated = a.iter().map(|(key, totals)| (*key, totals.map(|t| -t))).collect();
            prop_assert!(run(&a).merge(&run(&negated)).is_empty());
        }
    }
}
