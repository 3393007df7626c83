use std::fs;

use approx::assert_abs_diff_eq;
use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::Seed;

/// Balanced labels in shuffled-looking order.
fn labels(n: usize, classes: usize) -> Vec<u32> {
    (0..n).map(|k| (k * 7919 % classes) as u32).collect()
}

fn every_kind(matrix: &std::path::Path) -> Vec<NoiseKind> {
    vec![
        NoiseKind::Clean,
        NoiseKind::Symmetric,
        NoiseKind::SymmetricInclusive,
        NoiseKind::Pair,
        NoiseKind::CifarAsymmetric,
        NoiseKind::ClassConditional { matrix_seed: 3 },
        NoiseKind::Matrix { path: matrix.to_owned() },
    ]
}

/// A file with a matrix of 10 classes that favours low labels.
fn matrix_file(dir: &tempfile::TempDir) -> PathBuf {
    let rows: Vec<Vec<f64>> = (0..10)
        .map(|i| (0..10).map(|j| (if i == j { 0.45 } else { 0.0 }) + 0.55 * (10 - j) as f64 / 55.0).collect())
        .collect();
    let path = dir.path().join("matrix.csv");
    TransitionMatrix::from_rows(&rows).unwrap().write_csv(&path).unwrap();
    path
}

/// Share of `n` trials within five standard deviations of `p`.
fn assert_rate(realised: f64, p: f64, n: usize, what: &str) {
    let bound = 5.0 * (p * (1.0 - p) / n as f64).sqrt() + 1e-12;
    assert!((realised - p).abs() <= bound, "{what}: {realised} instead of {p} ± {bound}");
}

#[test]
fn matrices_say_what_the_conventions_say() {
    let t = TransitionMatrix::symmetric(10, 0.4).unwrap();
    assert_abs_diff_eq!(t.get(3, 3), 0.6);
    assert_abs_diff_eq!(t.get(3, 7), 0.4 / 9.0, epsilon = 1e-15);
    let t = TransitionMatrix::symmetric_inclusive(10, 0.4).unwrap();
    assert_abs_diff_eq!(t.get(3, 3), 0.64, epsilon = 1e-15);
    assert_abs_diff_eq!(t.get(3, 7), 0.04, epsilon = 1e-15);
    let t = TransitionMatrix::pair(10, 0.3).unwrap();
    assert_eq!((t.get(9, 0), t.get(0, 1), t.get(0, 9)), (0.3, 0.3, 0.0));
    // airplane automobile bird cat deer dog frog horse ship truck
    let t = TransitionMatrix::cifar_asymmetric(10, 0.3).unwrap();
    let targets: Vec<(usize, usize)> =
        (0..100).map(|k| (k / 10, k % 10)).filter(|(i, j)| i != j && t.get(*i, *j) > 0.0).collect();
    assert_eq!(targets, [(2, 0), (3, 5), (4, 7), (5, 3), (9, 1)]);
    assert!(targets.iter().all(|(i, j)| t.get(*i, *j) == 0.3 && t.get(*i, *i) == 0.7));
    let t = TransitionMatrix::class_conditional(10, 0.3, Seed(1)).unwrap();
    assert!((0..10).all(|i| t.get(i, i) == 0.7));
    assert_ne!(t, TransitionMatrix::class_conditional(10, 0.3, Seed(2)).unwrap());
    assert!(t.get(0, 1) != t.get(0, 2));
    // One proportion for every level.
    let double = TransitionMatrix::class_conditional(10, 0.6, Seed(1)).unwrap();
    assert_abs_diff_eq!(double.get(2, 5), 2.0 * t.get(2, 5), epsilon = 1e-15);
}

#[test]
fn bad_matrices_and_levels_are_refused() {
    let row = |m: Result<TransitionMatrix>| m.unwrap_err().to_string();
    assert_eq!(
        row(TransitionMatrix::new(2, vec![1.0, 0.0, 0.6, 0.5])),
        "row 2 of the transition matrix: sums to 1.1; make it sum to 1 within 0.000000001"
    );
    assert_eq!(
        row(TransitionMatrix::new(2, vec![1.5, -0.5, 0.5, 0.5])),
        "row 1 of the transition matrix: entry 1 is 1.5; probabilities lie in [0, 1]"
    );
    assert!(TransitionMatrix::new(2, vec![f64::NAN, 1.0, 0.5, 0.5]).is_err());
    assert!(TransitionMatrix::new(2, vec![1.0]).is_err());
    assert!(TransitionMatrix::new(0, vec![]).is_err());
    assert!(TransitionMatrix::from_rows(&[vec![1.0, 0.0], vec![1.0]]).is_err());
    // Within the tolerance, and just beyond it.
    assert!(TransitionMatrix::new(2, vec![1.0, 0.0, 0.5, 0.5 + 9e-10]).is_ok());
    assert!(TransitionMatrix::new(2, vec![1.0, 0.0, 0.5, 0.5 + 2e-9]).is_err());
    for level in [-0.1, 1.1, f64::NAN] {
        for kind in every_kind(std::path::Path::new("absent.csv")) {
            assert!(matches!(kind.matrix(10, level), Err(Error::Level(_))), "{kind:?}");
        }
    }
    assert!(matches!(NoiseKind::CifarAsymmetric.matrix(9, 0.1), Err(Error::Classes { .. })));
    for kind in [NoiseKind::Symmetric, NoiseKind::SymmetricInclusive, NoiseKind::Pair] {
        assert!(matches!(kind.matrix(1, 0.1), Err(Error::Classes { .. })));
        assert!(matches!(kind.matrix(0, 0.1), Err(Error::Classes { .. })));
    }
    assert!(corrupt(&[0, 3], &NoiseKind::Symmetric, 0.1, 3, Seed(0), "train").is_err());
    assert!(corrupt(&[], &NoiseKind::Symmetric, 0.1, 3, Seed(0), "train").unwrap().given.is_empty());
}

#[test]
fn matrix_files_come_back_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let matrix = TransitionMatrix::class_conditional(7, 0.37, Seed(5)).unwrap();
    matrix.write_csv(&path).unwrap();
    assert_eq!(TransitionMatrix::read_csv(&path).unwrap(), matrix);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    fs::write(&path, "\u{feff}# two classes\n 0.9, 0.1 \n\n0.2 ,0.8\n").unwrap();
    assert_eq!(TransitionMatrix::read_csv(&path).unwrap().row(1), [0.2, 0.8]);
}

#[test]
fn a_bad_matrix_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    let message = |text: &str| {
        fs::write(&path, text).unwrap();
        let message = TransitionMatrix::read_csv(&path).unwrap_err().to_string();
        message.strip_prefix(path.to_str().unwrap()).expect("the file comes first").to_owned()
    };
    assert_eq!(
        message("a,b\n0.9,0.1\n0.2,0.8\n"),
        ", line 1: entry 1 is `a`, not a number; write numbers only, no header"
    );
    assert_eq!(
        message("0.9,0.1\n\n0.2,0.7\n"),
        ", line 3: sums to 0.8999999999999999; make it sum to 1 within 0.000000001"
    );
    assert_eq!(message("0.9,0.1\n1.2,-0.2\n"), ", line 2: entry 1 is 1.2; probabilities lie in [0, 1]");
    assert_eq!(
        message("0.9,0.1\n0.2,0.8\n0,1\n"),
        ", line 1: 2 entries in a file of 3 rows; the matrix must be square"
    );
    assert_eq!(message(""), ": is empty; write one row of probabilities for each class");
    assert!(message("0.9,\n0.2,0.8\n").contains("line 1: entry 2 is ``"));
    let absent = dir.path().join("absent.csv");
    assert!(TransitionMatrix::read_csv(&absent).unwrap_err().to_string().contains("absent.csv: cannot be read"));
    fs::write(&path, [0xff, 0xfe, b',', b'1', b'\n']).unwrap();
    assert!(TransitionMatrix::read_csv(&path).unwrap_err().to_string().contains("t.csv: cannot be read"));
    let nowhere = dir.path().join("absent").join("t.csv");
    let matrix = TransitionMatrix::identity(2).unwrap();
    assert!(matrix.write_csv(&nowhere).unwrap_err().to_string().contains("cannot be written"));
    matrix.write_csv(&path).unwrap();
    let kind = NoiseKind::Matrix { path };
    assert!(kind.matrix(3, 1.0).unwrap_err().to_string().ends_with("2 classes, but the data have 3"));
}

#[test]
fn kinds_are_written_in_kebab_case() {
    let text = |kind: &NoiseKind| serde_json::to_string(kind).unwrap();
    assert_eq!(text(&NoiseKind::SymmetricInclusive), "\"symmetric-inclusive\"");
    assert_eq!(text(&NoiseKind::ClassConditional { matrix_seed: 3 }), r#"{"class-conditional":{"matrix-seed":3}}"#);
    let kinds = every_kind(std::path::Path::new("t.csv"));
    let mut conventions: Vec<String> = kinds.iter().map(NoiseKind::convention).collect();
    conventions.sort();
    conventions.dedup();
    assert_eq!(conventions.len(), kinds.len());
    for kind in kinds {
        assert_eq!(serde_json::from_str::<NoiseKind>(&text(&kind)).unwrap(), kind);
    }
}

/// An implementation apart from this one, in Python's standard library:
///
/// ```python
/// import hashlib, struct
/// def stream(seed, usage, rounds=8):  # ChaCha8; the upper 53 bits of each 64-bit number
///     key = hashlib.sha256(struct.pack('<QQ', seed, 0) + usage.encode()).digest()
///     rot = lambda x, n: ((x << n) | (x >> (32 - n))) & 0xffffffff
///     for counter in range(1000):
///         s = [*struct.unpack('<4I', b'expand 32-byte k'), *struct.unpack('<8I', key), counter, 0, 0, 0]
///         x = s[:]
///         def quarter(a, b, c, d):
///             for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
///                 x[p] = (x[p] + x[q]) & 0xffffffff; x[r] = rot(x[r] ^ x[p], n)
///         for _ in range(rounds // 2):
///             for i in range(4): quarter(i, 4 + i, 8 + i, 12 + i)
///             for i in range(4): quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
///         words = [(a + b) & 0xffffffff for a, b in zip(x, s)]
///         yield from ((words[i] | words[i + 1] << 32) >> 11 for i in range(0, 16, 2))
/// def given(n, level, seed, usage, classes=10):  # sample k is of class k mod c
///     draws = stream(seed, 'noise/' + usage); out = []
///     for k in range(n):
///         u, v = next(draws) / 2**53, next(draws) / 2**53
///         other = int(v * (classes - 1))
///         out.append(other + (other >= k % classes) if u < level else k % classes)
///     return out
/// print(given(30, .5, 42, 'train')); print(given(30, .5, 42, 'held-out'))
/// ```
#[test]
fn draws_are_the_same_in_every_version() {
    let truth: Vec<u32> = (0..30).map(|k| k % 10).collect();
    let given = |usage| corrupt(&truth, &NoiseKind::Symmetric, 0.5, 10, Seed(42), usage).unwrap().given;
    let train = [3, 6, 2, 3, 4, 5, 4, 7, 4, 9, 7, 5, 3, 3, 2, 8, 9, 7, 7, 9, 0, 1, 2, 3, 4, 5, 0, 7, 8, 9];
    let held_out = [0, 9, 9, 8, 0, 5, 6, 7, 8, 3, 7, 4, 1, 3, 6, 2, 6, 7, 5, 5, 8, 1, 3, 3, 4, 1, 6, 5, 8, 0];
    assert_eq!(given("train"), train);
    assert_eq!(given("held-out"), held_out);
}

#[test]
fn rates_are_those_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let truth = labels(20_000, 10);
    for kind in every_kind(&matrix_file(&dir)) {
        for level in [0.0, 0.1, 0.5, 0.9, 1.0] {
            let noisy = corrupt(&truth, &kind, level, 10, Seed(1), "train").unwrap();
            let expected = match &kind {
                NoiseKind::Clean => 0.0,
                NoiseKind::Symmetric | NoiseKind::Pair | NoiseKind::ClassConditional { .. } => level,
                NoiseKind::SymmetricInclusive => level * 0.9,
                NoiseKind::CifarAsymmetric => level * 0.5,
                // Balanced classes: one minus the mean of the diagonal.
                NoiseKind::Matrix { .. } => level * (1.0 - 0.45 - 0.055),
            };
            assert_eq!(noisy.requested, level);
            assert_abs_diff_eq!(noisy.expected, expected, epsilon = 1e-9);
            assert_rate(noisy.realised, expected, truth.len(), &format!("{kind:?} at {level}"));
            assert_eq!(noisy.truth, truth);
            let frequencies = class_frequencies(&truth, 10).unwrap();
            let rate = kind.matrix(10, level).unwrap().flip_rate(&frequencies).unwrap();
            assert_abs_diff_eq!(rate, noisy.expected, epsilon = 1e-12);
        }
    }
}

#[test]
fn realised_flips_converge_to_the_matrix() {
    let dir = tempfile::tempdir().unwrap();
    for kind in every_kind(&matrix_file(&dir)) {
        let matrix = kind.matrix(10, 0.6).unwrap();
        let mut worst = [0.0f64; 2];
        for (n, worst) in [2_000, 200_000].into_iter().zip(&mut worst) {
            let truth = labels(n, 10);
            let noisy = corrupt(&truth, &kind, 0.6, 10, Seed(2), "train").unwrap();
            let realised = TransitionMatrix::estimate(&truth, &noisy.given, 10).unwrap();
            for i in 0..10 {
                for j in 0..10 {
                    assert_rate(realised.get(i, j), matrix.get(i, j), n / 10, &format!("{kind:?} {i} to {j}"));
                }
            }
            *worst = realised.total_variations(&matrix).unwrap().into_iter().fold(0.0, f64::max);
        }
        assert!(kind == NoiseKind::Clean || worst[1] < worst[0] / 4.0, "{kind:?}: {worst:?}");
    }
}

#[test]
fn training_and_held_out_labels_are_independent() {
    let truth = labels(50_000, 10);
    let noisy = |usage| corrupt(&truth, &NoiseKind::Symmetric, 0.4, 10, Seed(3), usage).unwrap();
    let (train, held_out) = (noisy("train"), noisy("held-out"));
    let share = |holds: &dyn Fn(usize) -> bool| (0..truth.len()).filter(|k| holds(*k)).count() as f64 / 50_000.0;
    assert_rate(share(&|k| train.flipped[k] && held_out.flipped[k]), 0.16, truth.len(), "flipped in both");
    // Two independent draws agree as often as the law of the memoriser says.
    let law = TransitionMatrix::symmetric(10, 0.4).unwrap().memoriser_accuracy(&[0.1; 10]).unwrap();
    assert_abs_diff_eq!(law, 0.36 + 0.16 / 9.0, epsilon = 1e-12);
    assert_rate(share(&|k| train.given[k] == held_out.given[k]), law, truth.len(), "agreement");
    // Neither the class nor the neighbour of a sample says whether it flips.
    assert_rate(share(&|k| k > 0 && train.flipped[k - 1] && train.flipped[k]), 0.16, truth.len(), "neighbours");
}

#[test]
fn instance_dependent_noise_takes_the_lowest_margins() {
    let truth = labels(5_000, 10);
    let mut stream = Seed(4).stream("margins");
    let margins: Vec<f64> = truth.iter().map(|_| stream.random()).collect();
    let noisy = |level| corrupt_low_margins(&truth, &margins, level, 10, Seed(4), "train").unwrap();
    let (low, high) = (noisy(0.2), noisy(0.5));
    assert_eq!((low.realised, low.expected, high.realised), (0.2, 0.2, 0.5));
    let bound = margins.iter().zip(&low.flipped).filter(|(_, f)| **f).map(|(m, _)| *m).fold(0.0, f64::max);
    assert!(margins.iter().zip(&low.flipped).all(|(m, flipped)| *flipped == (*m <= bound)));
    assert!((0..5_000).all(|k| !low.flipped[k] || high.given[k] == low.given[k]));
    let counts = class_frequencies(&noisy(1.0).given, 10).unwrap();
    counts.iter().for_each(|share| assert_rate(*share, 0.1, 5_000, "replacements"));
    // The same replacements as symmetric noise of that seed.
    let symmetric = corrupt(&truth, &NoiseKind::Symmetric, 1.0, 10, Seed(4), "train").unwrap();
    assert_eq!(noisy(1.0).given, symmetric.given);
    assert!(corrupt_low_margins(&truth, &margins[1..], 0.2, 10, Seed(4), "train").is_err());
    assert!(corrupt_low_margins(&[0], &[f64::NAN], 0.2, 10, Seed(4), "train").is_err());
}

#[test]
fn accuracies_against_noisy_labels() {
    let t = TransitionMatrix::pair(4, 0.3).unwrap();
    let balanced = [0.25; 4];
    assert_abs_diff_eq!(t.memoriser_accuracy(&balanced).unwrap(), 0.49 + 0.09, epsilon = 1e-12);
    assert_abs_diff_eq!(
        t.noisy_accuracy(&balanced, &TransitionMatrix::identity(4).unwrap()).unwrap(),
        0.7,
        epsilon = 1e-12
    );
    assert!(t.memoriser_accuracy(&[0.5; 4]).is_err());
    assert!(t.memoriser_accuracy(&[0.5; 2]).is_err());
    assert!(t.noisy_accuracy(&balanced, &TransitionMatrix::identity(3).unwrap()).is_err());
    assert!(t.expected_accuracy(&[0], &[0, 1]).is_err());
    assert!(t.expected_accuracy(&[0], &[4]).is_err());
    assert_eq!(t.expected_accuracy(&[], &[]).unwrap(), 0.0);
    assert!(matches!(TransitionMatrix::estimate(&[0, 0], &[0, 1], 2), Err(Error::EmptyClass(1))));
}

fn kind() -> impl Strategy<Value = NoiseKind> {
    prop_oneof![
        Just(NoiseKind::Symmetric),
        Just(NoiseKind::SymmetricInclusive),
        Just(NoiseKind::Pair),
        Just(NoiseKind::CifarAsymmetric),
        (0u64..50).prop_map(|matrix_seed| NoiseKind::ClassConditional { matrix_seed }),
    ]
}

proptest! {
    #[test]
    fn draws_are_nested(kind in kind(), a in 0.0..=1.0f64, b in 0.0..=1.0f64, seed in any::<u64>()) {
        let truth = labels(300, 10);
        let draw = |level| corrupt(&truth, &kind, level, 10, Seed(seed), "train").unwrap();
        let (low, high) = (draw(a.min(b)), draw(a.max(b)));
        for (k, class) in truth.iter().enumerate() {
            prop_assert!(low.given[k] < 10 && high.given[k] < 10);
            prop_assert_eq!(low.flipped[k], low.given[k] != *class);
            prop_assert!(!low.flipped[k] || high.given[k] == low.given[k]);
        }
    }

    #[test]
    fn kinds_share_the_samples_that_flip(level in 0.0..=1.0f64, seed in any::<u64>()) {
        let truth = labels(300, 10);
        let draw = |kind: NoiseKind, level| corrupt(&truth, &kind, level, 10, Seed(seed), "train").unwrap();
        let symmetric = draw(NoiseKind::Symmetric, level);
        prop_assert_eq!(&symmetric.flipped, &draw(NoiseKind::Pair, level).flipped);
        prop_assert_eq!(&symmetric.flipped, &draw(NoiseKind::ClassConditional { matrix_seed: 1 }, level).flipped);
        // The two symmetric conventions differ in what the level means and in nothing else.
        let inclusive = draw(NoiseKind::SymmetricInclusive, level);
        prop_assert_eq!(&inclusive.given, &draw(NoiseKind::Symmetric, level * 9.0 / 10.0).given);
        prop_assert_eq!(inclusive.requested, level);
    }

    /// Each sample has its own numbers: labels of others, and how many follow, do not move them.
    #[test]
    fn a_draw_depends_on_its_own_sample(kind in kind(), n in 1usize..200, seed in any::<u64>(), other in 0u32..10) {
        let truth = labels(200, 10);
        let whole = corrupt(&truth, &kind, 0.5, 10, Seed(seed), "train").unwrap();
        let part = corrupt(&truth[..n], &kind, 0.5, 10, Seed(seed), "train").unwrap();
        prop_assert_eq!(&whole.given[..n], &part.given[..]);
        let mut changed = truth.clone();
        changed[n - 1] = other;
        let changed = corrupt(&changed, &kind, 0.5, 10, Seed(seed), "train").unwrap();
        for k in (0..200).filter(|k| *k != n - 1) {
            prop_assert_eq!(changed.given[k], whole.given[k]);
        }
    }

    /// A = ε/(c-1) + m (1 - cε/(c-1)) for symmetric noise, whatever the predictions (section 1.2 of the protocol).
    #[test]
    fn noisy_accuracy_of_symmetric_noise_is_a_line_in_clean_accuracy(
        level in 0.0..=1.0f64,
        pairs in prop::collection::vec((0u32..10, 0u32..10), 1..400),
    ) {
        let (truth, predictions): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let t = TransitionMatrix::symmetric(10, level).unwrap();
        let exact = t.expected_accuracy(&truth, &predictions).unwrap();
        let clean = truth.iter().zip(&predictions).filter(|(y, p)| y == p).count() as f64 / truth.len() as f64;
        prop_assert!((exact - (level / 9.0 + clean * (1.0 - level * 10.0 / 9.0))).abs() < 1e-9);
    }

    /// The mean over samples and the sum over classes are the same number.
    #[test]
    fn two_ways_to_expected_accuracy_agree(seed in any::<u64>(), level in 0.0..=1.0f64) {
        let truth = labels(400, 7);
        let t = TransitionMatrix::class_conditional(7, level, Seed(seed)).unwrap();
        let learner = TransitionMatrix::symmetric(7, 0.4).unwrap();
        let predictions = learner.draw(&truth, &mut Seed(seed).stream("predictions")).unwrap();
        let confusion = TransitionMatrix::estimate(&truth, &predictions, 7).unwrap();
        let by_class = t.noisy_accuracy(&class_frequencies(&truth, 7).unwrap(), &confusion).unwrap();
        prop_assert!((t.expected_accuracy(&truth, &predictions).unwrap() - by_class).abs() < 1e-12);
    }
}
