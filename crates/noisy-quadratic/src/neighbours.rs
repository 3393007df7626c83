//! Exact nearest neighbours: the controls whose law is known.
//!
//! With one neighbour the scaled 1-NN law M1 must hold, with k neighbours the vote M6: if not, the pipeline is at fault and
//! not the network. Noise changes labels only, so neighbours are found once and vote again at every level.
//!
//! Distances of images are whole numbers and exact; distances of vectors sum in a fixed order. Either way the same
//! input gives the same neighbours on every machine.

use retrial_core::data::Inputs;

/// Why there are no neighbours.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// Points of different kinds or sizes have no distance.
    #[error("training and query inputs differ in kind or size: {train} and {query}")]
    Shapes {
        /// Training inputs in words.
        train: String,
        /// Query inputs in words.
        query: String,
    },
    /// More neighbours than there are points, or none.
    #[error("{k} neighbours of {points} training points")]
    Count {
        /// Neighbours asked for.
        k: usize,
        /// Training points.
        points: usize,
    },
    /// The length of the values is no multiple of the size of one input.
    #[error("{values} values do not make whole inputs of {size} values each")]
    Partial {
        /// Number of values.
        values: usize,
        /// Values of one input.
        size: usize,
    },
    /// A NaN or an infinity has no neighbours.
    #[error("input {row} holds {value}")]
    NotFinite {
        /// Its position, from 0.
        row: usize,
        /// The value.
        value: f32,
    },
    /// Labels that do not belong to the training points.
    #[error("{labels} labels for {points} training points")]
    Labels {
        /// Number of labels.
        labels: usize,
        /// Number of training points.
        points: usize,
    },
    /// A label that is no class.
    #[error("label {label} of training point {row} with {classes} classes")]
    Class {
        /// The label.
        label: u32,
        /// Position of the training point, from 0.
        row: usize,
        /// Number of classes.
        classes: usize,
    },
}

/// The nearest training points of every query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// Training points, `[queries, k]`, nearest first; equally near ones by index.
    indices: Vec<u32>,
    k: usize,
    points: usize,
}

impl Neighbours {
    /// Finds the `k` nearest training points of every query by Euclidean distance. Equally near points are taken in the
    /// order of their index. Fails on inputs of different kind or size, on values that are not finite, and unless
    /// 1 ≤ k ≤ number of training points.
    pub fn find(train: &Inputs, query: &Inputs, k: usize) -> Result<Self, Error> {
        let size = values_of(train);
        if std::mem::discriminant(train) != std::mem::discriminant(query) || size != values_of(query) {
            return Err(Error::Shapes { train: in_words(train), query: in_words(query) });
        }
        let points = count(train, size)?;
        count(query, size)?;
        if k == 0 || k > points {
            return Err(Error::Count { k, points });
        }
        let indices = match (train, query) {
            (Inputs::Images { pixels: train, .. }, Inputs::Images { pixels: query, .. }) => {
                search(&widen(train), &widen(query), size, k)
            }
            (Inputs::Vectors { values: train, .. }, Inputs::Vectors { values: query, .. }) => {
                finite(train, size)?;
                finite(query, size)?;
                search(train, query, size, k)
            }
            _ => unreachable!("kinds were compared"),
        };
        Ok(Neighbours { indices, k, points })
    }

    /// The class that most of the `k` nearest training points carry, for every query; of equally frequent classes the
    /// lowest. `k` is at most the number of neighbours that were found.
    pub fn vote(&self, labels: &[u32], classes: usize, k: usize) -> Result<Vec<u32>, Error> {
        if labels.len() != self.points {
            return Err(Error::Labels { labels: labels.len(), points: self.points });
        }
        if k == 0 || k > self.k {
            return Err(Error::Count { k, points: self.k });
        }
        if let Some((row, &label)) = labels.iter().enumerate().find(|(_, label)| **label as usize >= classes) {
            return Err(Error::Class { label, row, classes });
        }
        let mut votes = vec![0usize; classes];
        let winners = self.indices.chunks_exact(self.k).map(|nearest| {
            votes.fill(0);
            for &i in &nearest[..k] {
                votes[labels[i as usize] as usize] += 1;
            }
            let mut best = 0;
            for class in 1..classes {
                if votes[class] > votes[best] {
                    best = class;
                }
            }
            best as u32
        });
        Ok(winners.collect())
    }

    /// The neighbours of one query, nearest first.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.indices[query * self.k..][..self.k]
    }
}

fn values_of(inputs: &Inputs) -> usize {
    match inputs {
        Inputs::Images { channels, height, width, .. } => channels * height * width,
        Inputs::Vectors { dim, .. } => *dim,
    }
}

fn in_words(inputs: &Inputs) -> String {
    match inputs {
        Inputs::Images { channels, height, width, .. } => format!("images of {channels} x {height} x {width}"),
        Inputs::Vectors { dim, .. } => format!("vectors of {dim}"),
    }
}

fn count(inputs: &Inputs, size: usize) -> Result<usize, Error> {
    let values = match inputs {
        Inputs::Images { pixels, .. } => pixels.len(),
        Inputs::Vectors { values, .. } => values.len(),
    };
    if size == 0 || values % size != 0 {
        return Err(Error::Partial { values, size });
    }
    Ok(values / size)
}

fn finite(values: &[f32], size: usize) -> Result<(), Error> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::NotFinite { row: i / size, value: values[i] }),
        None => Ok(()),
    }
}

fn widen(pixels: &[u8]) -> Vec<i16> {
    pixels.iter().map(|&p| i16::from(p)).collect()
}

/// Queries that share one pass over a training point.
const TOGETHER: usize = 4;
/// Bytes of training points that are compared with all queries of a block before the next ones are loaded.
const BLOCK_BYTES: usize = 1 << 17;
/// Queries of a block.
const QUERIES: usize = 64;

/// What distances are made of.
trait Value: Copy + Default {
    /// What products add up to.
    type Sum: Copy + PartialOrd;
    /// Dot products of one training point with four queries.
    fn dots(point: &[Self], queries: [&[Self]; TOGETHER]) -> [Self::Sum; TOGETHER];
    /// |t|² − 2q·t, which orders training points t as their distance from q does.
    fn score(norm: Self::Sum, dot: Self::Sum) -> Self::Sum;
}

impl Value for i16 {
    type Sum = i64;

    fn dots(point: &[i16], queries: [&[i16]; TOGETHER]) -> [i64; TOGETHER] {
        // Sums of 16,384 products of bytes fit 32 bits.
        let mut totals = [0i64; TOGETHER];
        let mut start = 0;
        while start < point.len() {
            let end = point.len().min(start + 16_384);
            let p = &point[start..end];
            let [a, b, c, d] = queries.map(|q| &q[start..end]);
            let mut sums = [0i32; TOGETHER];
            for ((((p, a), b), c), d) in p.iter().zip(a).zip(b).zip(c).zip(d) {
                let p = i32::from(*p);
                sums[0] += p * i32::from(*a);
                sums[1] += p * i32::from(*b);
                sums[2] += p * i32::from(*c);
                sums[3] += p * i32::from(*d);
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += i64::from(sum);
            }
            start = end;
        }
        totals
    }

    fn score(norm: i64, dot: i64) -> i64 {
        norm - 2 * dot
    }
}

impl Value for f32 {
    type Sum = f64;

    fn dots(point: &[f32], queries: [&[f32]; TOGETHER]) -> [f64; TOGETHER] {
        // Eight partial sums each, added in a fixed order: fast, and the same on every machine.
        const LANES: usize = 8;
        let mut sums = [[0f32; LANES]; TOGETHER];
        let whole = point.len() / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            let p = &point[start..start + LANES];
            for (sum, query) in sums.iter_mut().zip(queries) {
                let q = &query[start..start + LANES];
                for lane in 0..LANES {
                    sum[lane] += p[lane] * q[lane];
                }
            }
        }
        let mut totals = [0f64; TOGETHER];
        for ((total, sum), query) in totals.iter_mut().zip(sums).zip(queries) {
            *total = sum.iter().map(|&x| f64::from(x)).sum();
            for (p, q) in point[whole..].iter().zip(&query[whole..]) {
                *total += f64::from(*p) * f64::from(*q);
            }
        }
        totals
    }

    fn score(norm: f64, dot: f64) -> f64 {
        norm - 2.0 * dot
    }
}

fn search<V: Value>(train: &[V], query: &[V], size: usize, k: usize) -> Vec<u32> {
    let points: Vec<&[V]> = train.chunks_exact(size).collect();
    let norms: Vec<V::Sum> = points.iter().map(|p| V::dots(p, [p; TOGETHER])[0]).collect();
    let block = (BLOCK_BYTES / (size * size_of::<V>())).max(1);
    let mut indices = Vec::with_capacity(query.len() / size * k);
    for queries in query.chunks(QUERIES * size) {
        let queries: Vec<&[V]> = queries.chunks_exact(size).collect();
        let mut nearest: Vec<Vec<(V::Sum, u32)>> = vec![Vec::with_capacity(k + 1); queries.len()];
        for first in (0..points.len()).step_by(block) {
            let last = points.len().min(first + block);
            for (group, four) in queries.chunks(TOGETHER).enumerate() {
                // A short last group is filled up with its first query.
                let mut together = [four[0]; TOGETHER];
                together[..four.len()].copy_from_slice(four);
                for i in first..last {
                    let dots = V::dots(points[i], together);
                    for (offset, &dot) in dots[..four.len()].iter().enumerate() {
                        insert(&mut nearest[group * TOGETHER + offset], k, V::score(norms[i], dot), i as u32);
                    }
                }
            }
        }
        indices.extend(nearest.iter().flatten().map(|(_, i)| i));
    }
    indices
}

/// Keeps the `k` least scores in order. Points come by index, so an equal score goes behind those already there.
fn insert<S: Copy + PartialOrd>(nearest: &mut Vec<(S, u32)>, k: usize, score: S, index: u32) {
    if nearest.len() == k && score >= nearest[k - 1].0 {
        return;
    }
    let place = nearest.partition_point(|(other, _)| *other <= score);
    nearest.insert(place, (score, index));
    nearest.truncate(k);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::RngExt;
    use retrial_core::Seed;

    use super::*;

    fn images(pixels: Vec<u8>, width: usize) -> Inputs {
        Inputs::Images { pixels, channels: 1, height: 1, width }
    }

    fn vectors(values: Vec<f32>, dim: usize) -> Inputs {
        Inputs::Vectors { values, dim }
    }

    /// The definition, read out: all squared distances, sorted by distance and index.
    fn by_sorting(train: &[f64], query: &[f64], dim: usize, k: usize) -> Vec<u32> {
        let mut result = Vec::new();
        for q in query.chunks(dim) {
            let distance = |t: &[f64]| t.iter().zip(q).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
            let mut order: Vec<(f64, u32)> =
                train.chunks(dim).enumerate().map(|(i, t)| (distance(t), i as u32)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            result.extend(order[..k].iter().map(|(_, i)| i));
        }
        result
    }

    proptest! {
        /// Few distinct values make many equal distances.
        #[test]
        fn images_agree_with_sorting(
            (dim, train, query, k) in (1usize..40).prop_flat_map(|dim| {
                let rows = move |n| prop::collection::vec(prop::sample::select(vec![0u8, 1, 200, 255]), n * dim);
                (Just(dim), (1usize..90).prop_flat_map(rows), (1usize..70).prop_flat_map(rows), 1usize..20)
            })
        ) {
            let k = k.min(train.len() / dim);
            let exact = |pixels: &[u8]| pixels.iter().map(|&p| f64::from(p)).collect::<Vec<f64>>();
            let expected = by_sorting(&exact(&train), &exact(&query), dim, k);
            let found = Neighbours::find(&images(train, dim), &images(query, dim), k).unwrap();
            prop_assert_eq!(found.indices, expected);
        }

        /// Small whole numbers are exact in floating point too.
        #[test]
        fn vectors_agree_with_sorting(
            (dim, train, query, k) in (1usize..40).prop_flat_map(|dim| {
                let rows = move |n| prop::collection::vec((-3i8..4).prop_map(f32::from), n * dim);
                (Just(dim), (1usize..90).prop_flat_map(rows), (1usize..70).prop_flat_map(rows), 1usize..20)
            })
        ) {
            let k = k.min(train.len() / dim);
            let exact = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
            let expected = by_sorting(&exact(&train), &exact(&query), dim, k);
            let found = Neighbours::find(&vectors(train, dim), &vectors(query, dim), k).unwrap();
            prop_assert_eq!(found.indices, expected);
        }
    }

    /// Large images need sums beyond 32 bits.
    #[test]
    fn sums_do_not_overflow() {
        let dim = 40_000;
        let mut train = vec![255u8; 2 * dim];
        train[dim..].fill(254);
        let found = Neighbours::find(&images(train, dim), &images(vec![254; dim], dim), 2).unwrap();
        assert_eq!(found.of(0), [1, 0]);
    }

    #[test]
    fn ties_go_to_the_lower_index_and_the_lower_class() {
        let train = vectors(vec![1.0, -1.0, 1.0, 5.0], 1);
        let found = Neighbours::find(&train, &vectors(vec![0.0, 5.0], 1), 3).unwrap();
        assert_eq!(found.of(0), [0, 1, 2]);
        assert_eq!(found.of(1), [3, 0, 2]);
        let labels = [2, 1, 0, 2];
        assert_eq!(found.vote(&labels, 3, 1).unwrap(), [2, 2]);
        assert_eq!(found.vote(&labels, 3, 2).unwrap(), [1, 2]);
        assert_eq!(found.vote(&labels, 3, 3).unwrap(), [0, 2]);
    }

    #[test]
    fn bad_input_is_named() {
        let train = vectors(vec![0.0; 6], 2);
        let find = |query: Inputs, k| Neighbours::find(&train, &query, k).unwrap_err().to_string();
        assert_eq!(
            find(images(vec![0; 4], 2), 1),
            "training and query inputs differ in kind or size: vectors of 2 and images of 1 x 1 x 2"
        );
        assert_eq!(
            find(vectors(vec![0.0; 3], 3), 1),
            "training and query inputs differ in kind or size: vectors of 2 and vectors of 3"
        );
        assert_eq!(find(vectors(vec![0.0; 3], 2), 1), "3 values do not make whole inputs of 2 values each");
        assert_eq!(find(vectors(vec![0.0, f32::NAN], 2), 1), "input 0 holds NaN");
        assert_eq!(find(vectors(vec![0.0; 2], 2), 4), "4 neighbours of 3 training points");
        assert_eq!(find(vectors(vec![0.0; 2], 2), 0), "0 neighbours of 3 training points");
        let found = Neighbours::find(&train, &vectors(vec![0.0; 2], 2), 2).unwrap();
        assert_eq!(found.vote(&[0, 1], 2, 1).unwrap_err().to_string(), "2 labels for 3 training points");
        assert_eq!(found.vote(&[0, 1, 2], 2, 1).unwrap_err().to_string(), "label 2 of training point 2 with 2 classes");
        assert!(found.vote(&[0, 1, 1], 2, 3).is_err());
        assert!(Neighbours::find(&train, &vectors(vec![], 2), 1).unwrap().vote(&[0; 3], 2, 1).unwrap().is_empty());
    }

    /// `cargo test --release -- --ignored --nocapture speed`
    #[test]
    #[ignore = "measures"]
    fn speed() {
        let mut random = Seed(1).stream("speed");
        let mut pixels = |n: usize| (0..n * 784).map(|_| random.random::<u8>()).collect::<Vec<u8>>();
        let (train, query) = (pixels(5000), pixels(10000));
        let floats = |pixels: &[u8]| vectors(pixels.iter().map(|&p| f32::from(p) / 255.0).collect(), 784);
        for (train, query) in [(floats(&train), floats(&query)), (images(train, 784), images(query, 784))] {
            let start = std::time::Instant::now();
            Neighbours::find(&train, &query, 15).unwrap();
            println!("{}: {:?}", in_words(&train), start.elapsed());
        }
    }

    /// With perfect features the votes follow the laws of one and of k neighbours.
    #[test]
    fn clusters_follow_the_laws() {
        use crate::laws::{Plurality, Setting};
        let (classes, per_class, noise_ratio) = (10u32, 4000usize, 0.4);
        let mut random = Seed(1).stream("test");
        let mut values = Vec::new();
        let (mut truth, mut given) = (Vec::new(), Vec::new());
        for class in 0..classes {
            for _ in 0..per_class {
                values.push(100.0 * class as f32 + random.random::<f32>());
                truth.push(class);
                let flipped = random.random::<f64>() < noise_ratio;
                let other = (class + random.random_range(1..classes)) % classes;
                given.push(if flipped { other } else { class });
            }
        }
        let n = 20;
        let query: Vec<f32> =
            (0..classes).flat_map(|c| (0..n).map(move |i| 100.0 * c as f32 + i as f32 / 20.0)).collect();
        let found = Neighbours::find(&vectors(values, 1), &vectors(query, 1), 100).unwrap();
        // Neighbours of neighbouring queries overlap little at this density: 40,000 points, 200 queries.
        let mut agreement = [0.0; 2];
        for (slot, k) in [(0, 1), (1, 5)] {
            let mut right = 0.0;
            let mut votes = 0.0;
            for query in 0..(classes as usize * n) {
                for nearest in found.of(query).chunks_exact(k) {
                    let part = Neighbours { indices: nearest.to_vec(), k, points: given.len() };
                    right += f64::from(u8::from(
                        part.vote(&given, classes as usize, k).unwrap()[0] == truth[nearest[0] as usize],
                    ));
                    votes += 1.0;
                }
            }
            agreement[slot] = right / votes;
        }
        let law = |k| Plurality::new(Setting::symmetric(10), k).probability(noise_ratio);
        assert!((agreement[0] - law(1)).abs() < 0.015, "{agreement:?}");
        assert!((agreement[1] - law(5)).abs() < 0.025, "{agreement:?}");
    }
}
