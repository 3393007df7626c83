//! The tools on the user's own numbers, through the same functions as the command line.

use std::fs;
use std::path::Path;

use noisy_quadratic::fit_tool::{self, Report};
use noisy_quadratic::fits::Outcome;
use noisy_quadratic::laws::{Law, Setting};
use noisy_quadratic::predict_tool::{self, Prediction};
use rand_distr::{Distribution, StandardNormal};
use retrial_core::Seed;
use retrial_core::noise::TransitionMatrix;
use retrial_core::tool::Error;

/// Points read from the authors' own plot of accuracy on noisy labels (CIFAR-10, symmetric noise).
const PUBLISHED: &str = "noise_ratio,accuracy\n0,0.903\n0.1,0.753\n0.2,0.611\n0.3,0.482\n0.4,0.360\n0.5,0.263\n0.6,0.184\n\
                         0.7,0.138\n0.8,0.109\n0.9,0.102\n1.0,0.106\n";

fn fit(arguments: &[&str]) -> Result<(), Error> {
    let matches = fit_tool::command().try_get_matches_from([&["fit"], arguments].concat()).unwrap();
    fit_tool::run(&matches)
}

fn report(text: &str, setting: Setting) -> Result<Report, Error> {
    Report::new(Path::new("mine.csv"), text, setting, None, 200)
}

fn problem(text: &str) -> String {
    report(text, Setting::symmetric(10)).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string()
}

/// Rows of five seeds of a law, a little apart.
fn rows(law: Law, theta: &[f64], setting: Setting, scored_on: &str) -> String {
    let curve = law.with(setting, theta);
    let mut text = String::new();
    let mut stream = Seed(1).stream("rows");
    for seed in 0..5 {
        for level in 0..=9 {
            let x = f64::from(level) / 10.0;
            let value = if scored_on == "clean" { curve.clean(x).unwrap() } else { curve.noisy(x) };
            let error: f64 = StandardNormal.sample(&mut stream);
            let wobble = 0.004 * (value * (1.0 - value)).max(0.0).sqrt() * error;
            text += &format!("{x},{},{seed},{scored_on}\n", (value + wobble).clamp(0.0, 1.0));
        }
    }
    text
}

const HEADER: &str = "noise_ratio,accuracy,seed,scored_on\n";

#[test]
fn files_hold_what_was_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.csv");
    let out = folder.path().join("new/results");
    fs::write(&file, PUBLISHED).unwrap();
    fit(&[file.to_str().unwrap(), "--out", out.to_str().unwrap()]).unwrap();
    let mut table = csv::Reader::from_path(out.join("fit.csv")).unwrap();
    let header: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
    let columns = ["model", "k", "parameters", "chi2", "aicc", "delta_aicc", "bic", "akaike_weight", "loo_rmse"];
    assert_eq!(header, columns);
    let records: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 12);
    let scaled = records.iter().find(|record| &record[0] == "M1 scaled 1-NN").unwrap();
    assert_eq!(&scaled[1], "1");
    assert!(scaled[2].starts_with("a0=0.91") || scaled[2].starts_with("a0=0.92"), "{}", &scaled[2]);
    let weights: f64 = records.iter().map(|record| record[7].parse().unwrap_or(0.0)).sum();
    assert!((weights - 1.0).abs() < 1e-4);
    let least = records.iter().filter_map(|record| record[5].parse().ok()).fold(f64::INFINITY, f64::min);
    assert_eq!(least, 0.0);
    let estimates = fs::read_to_string(out.join("estimates.csv")).unwrap();
    assert!(estimates.starts_with("estimate,value,ci_low,ci_high,level,method\nK,0.01"), "{estimates}");
    assert!(estimates.lines().any(|line| line.starts_with("gamma,1.0")), "{estimates}");
    let svg = fs::read_to_string(out.join("fit.svg")).unwrap();
    for words in ["a line at best", "a parabola at best", "Eq. 4 (M0)", "scaled 1-NN (M1)", "data"] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(fs::read(out.join("fit.png")).unwrap().starts_with(b"\x89PNG"));
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 4, "{left:?}");
}

#[test]
fn text_names_both_curves_and_the_assumptions() {
    let report = report(PUBLISHED, Setting::symmetric(10)).unwrap();
    let text = report.text(Path::new("."));
    for words in [
        "mine.csv: accuracy on noisy labels, 9 noise ratios that count, one run each, 10 classes, symmetric noise",
        "the size of the test set is not known",
        "K = 0.01",
        "gamma = 1.0",
        "clean labels (a line at",
        "noisy labels (a parabola at best)",
        "do not count",
    ] {
        assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(words), "{words} not in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn seeds_and_scales_are_told_apart() {
    let symmetric = Setting::symmetric(10);
    let clean = HEADER.to_owned() + &rows(Law::Scaled, &[0.9], symmetric, "clean");
    let found = report(&clean, symmetric).unwrap();
    assert_eq!(found.statistics.seeds, 5);
    assert!(found.statistics.clean.is_some() && found.statistics.noisy.is_none());
    assert_eq!(found.verdict.outcomes, [Outcome::Shape], "{}", found.verdict.text);
    let both = clean.clone() + &rows(Law::Scaled, &[0.9], symmetric, "noisy");
    let found = report(&both, symmetric).unwrap();
    assert!(found.statistics.clean.is_some() && found.statistics.noisy.is_some());
    let folder = tempfile::tempdir().unwrap();
    found.save(folder.path()).unwrap();
    assert!(folder.path().join("fit-noisy.csv").exists());
    let averaging = HEADER.to_owned() + &rows(Law::Vote, &[0.95, 5.0], symmetric, "noisy");
    let found = report(&averaging, symmetric).unwrap();
    assert_eq!(found.verdict.outcomes[0], Outcome::Averages, "{}", found.verdict.text);
    assert!(found.verdict.text.contains("vote of about 5 neighbours"), "{}", found.verdict.text);
    // Under pair noise the curve on clean labels does not follow, so it is not drawn.
    let pair = Setting::pair(10);
    let noisy = HEADER.to_owned() + &rows(Law::Scaled, &[0.9], pair, "noisy");
    let found = report(&noisy, pair).unwrap();
    assert_eq!(found.verdict.outcomes[0], Outcome::Shape, "{}", found.verdict.text);
    let svg = found.figure().svg();
    println!("{}", found.text(Path::new(".")));
    assert!(svg.contains("a parabola at best") && !svg.contains("a line at best"));
    // Columns in another order, values in quotes, comments, blank lines, another line ending, a mark at the start.
    let odd = "\u{feff}# mine\r\n\r\naccuracy, noise_ratio\r\n0.9,0\r\n\"0.75\",0.1\r\n\r\n0.61,0.2\r\n0.48,0.30\r\n0.36,0.4\r\n";
    assert_eq!(report(odd, symmetric).unwrap().statistics.levels, [0.0, 0.1, 0.2, 0.3, 0.4]);
}

#[test]
fn levels_that_a_seed_lacks_are_left_out_and_named() {
    let symmetric = Setting::symmetric(10);
    let text = HEADER.to_owned() + &rows(Law::Scaled, &[0.9], symmetric, "noisy").replacen("0.3,", "0.35,", 1);
    let found = report(&text, symmetric).unwrap();
    assert!(!found.statistics.levels.contains(&0.3));
    assert!(found.text(Path::new(".")).contains("left out, not measured for every seed: noise ratio 0.3, 0.35"));
    let problem = problem("noise_ratio,accuracy,seed\n0,0.9,a\n0.1,0.8,b\n0.2,0.7,a\n0.3,0.6,b\n");
    assert!(problem.contains("only 0 usable noise ratios have a value for every seed"), "{problem}");
}

#[test]
fn malformed_files_are_named_by_line() {
    let cases = [
        ("", "mine.csv: is empty; the columns are noise_ratio,accuracy and, if wanted, seed and scored_on"),
        ("noise_ratio,accuracy\n", "mine.csv: has a header and no rows; write one row for each noise ratio and seed"),
        ("0.1,0.9\n", "mine.csv, line 1: unknown column `0.1`"),
        ("noise_ratio,acc\n", "mine.csv, line 1: unknown column `acc`"),
        ("noise_ratio,seed\n", "mine.csv, line 1: no column accuracy"),
        ("accuracy\n", "mine.csv, line 1: no column noise_ratio"),
        ("noise_ratio,accuracy,accuracy\n", "mine.csv, line 1: column accuracy stands there twice"),
        ("noise_ratio,accuracy\n0,0.9\n\n0.1\n", "mine.csv, line 4: 1 values under 2 columns"),
        ("noise_ratio,accuracy\n0,0.9,1\n", "mine.csv, line 2: 3 values under 2 columns"),
        ("noise_ratio,accuracy\n0,high\n", "mine.csv, line 2: accuracy is `high`, not a number"),
        ("noise_ratio,accuracy\n,0.9\n", "mine.csv, line 2: noise_ratio is ``, not a number"),
        ("noise_ratio,accuracy\n0,NaN\n", "mine.csv, line 2: accuracy is NaN, outside 0 to 1"),
        ("noise_ratio,accuracy\n0,inf\n", "mine.csv, line 2: accuracy is inf, outside 0 to 1"),
        ("noise_ratio,accuracy\n-0.1,0.9\n", "mine.csv, line 2: noise_ratio is -0.1, outside 0 to 1"),
        (
            "# percent\nnoise_ratio,accuracy\n0,85.1\n",
            "mine.csv, line 3: accuracy is 85.1, outside 0 to 1; write shares, not percent",
        ),
        ("noise_ratio,accuracy,scored_on\n0,0.9,test\n", "mine.csv, line 2: scored_on is `test`; it is noisy or clean"),
        (
            "noise_ratio,accuracy\n0.1,0.8\n0.10,0.7\n",
            "mine.csv, line 3: noise ratio 0.1 has a value on line 2 already; tell runs apart by a column seed",
        ),
        (
            "noise_ratio,accuracy,seed\n0.1,0.8,1\n0.1,0.7,2\n0.1,0.7,1\n",
            "mine.csv, line 4: noise ratio 0.1 of seed `1` has a value on line 2 already",
        ),
        (
            "noise_ratio,accuracy\n0,0.9\n0.9,0.1\n1.0,0.1\n",
            "mine.csv: 1 of the noise ratios count (0 to 0.80, none within 0.1 of 0.90); at least 3 are needed",
        ),
        (
            "noise_ratio,accuracy,seed\n0,0.9,1\n0.1,0.8,1\n0.2,0.7,1\n0,0.9,2\n0.1,0.8,2\n0.2,0.7,2\n",
            "mine.csv: the seeds agree in every digit",
        ),
    ];
    for (text, expected) in cases {
        let found = problem(text);
        assert!(found.starts_with(expected), "{text:?}\n{found}\n{expected}");
        assert!(!found.contains('\n'));
    }
}

#[test]
fn files_that_cannot_be_read_or_written_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.csv");
    let error = fit(&[missing.to_str().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("none.csv: cannot be read"), "{error}");
    let file = folder.path().join("mine.csv");
    fs::write(&file, b"noise_ratio,accuracy\n0,\xff\n").unwrap();
    let error = fit(&[file.to_str().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("mine.csv, line 2: ") && error.ends_with("save the file as UTF-8"), "{error}");
    fs::write(&file, PUBLISHED).unwrap();
    let error = fit(&[file.to_str().unwrap(), "--out", file.to_str().unwrap()]).unwrap_err().to_string();
    assert!(error.contains("mine.csv: cannot be written"), "{error}");
}

#[test]
fn flags_are_checked() {
    fit_tool::command().debug_assert();
    predict_tool::command().debug_assert();
    for wrong in [&["fit"][..], &["fit", "a.csv", "--classes", "1"], &["fit", "a.csv", "--noise", "uniform"]] {
        fit_tool::command().try_get_matches_from(wrong).unwrap_err();
    }
    for wrong in ["90", "1.5", "-0.1", "high", "NaN"] {
        let error = predict_tool::command()
            .try_get_matches_from(["predict", "--matrix", "T.csv", &format!("--accuracy={wrong}")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("not a number") || error.contains("outside 0 to 1"), "{error}");
    }
}

#[test]
fn prediction_for_a_matrix() {
    let t = TransitionMatrix::symmetric(10, 0.4).unwrap();
    let literal = Prediction::new(&t, 1.0).unwrap();
    assert!((literal.memoriser - (0.36 + 0.16 / 9.0)).abs() < 1e-12);
    assert!((literal.memoriser_clean - 0.6).abs() < 1e-12);
    assert!((literal.robust - 0.6).abs() < 1e-12);
    let law = Law::Scaled.with(Setting::symmetric(10), &[0.9]);
    let scaled = Prediction::new(&t, 0.9).unwrap();
    assert!((scaled.memoriser - law.noisy(0.4)).abs() < 1e-12);
    assert!((scaled.robust - (0.9 * 0.6 + 0.1 * 0.4 / 9.0)).abs() < 1e-12);
    let text = scaled.to_string();
    assert!(text.starts_with("10 classes, 0.4000 of the labels wrong\n"), "{text}");
    assert!(text.contains(&format!("{:.4} on noisy labels", scaled.memoriser)), "{text}");
    assert!(!text.contains("by class"));
    // Half of the classes are spoilt: classes differ.
    let uneven = TransitionMatrix::cifar_asymmetric(10, 0.4).unwrap();
    assert!(Prediction::new(&uneven, 1.0).unwrap().to_string().contains("from 0.5200 (class 2) to 1.0000 (class 0)"));
    assert!(Prediction::new(&TransitionMatrix::identity(1).unwrap(), 1.0).is_err());
}

#[test]
fn prediction_reads_a_file_and_names_its_faults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("T.csv");
    let run = || {
        let arguments = ["predict", "--matrix", file.to_str().unwrap(), "--accuracy", "0.9"];
        predict_tool::run(&predict_tool::command().try_get_matches_from(arguments).unwrap())
    };
    TransitionMatrix::pair(4, 0.3).unwrap().write_csv(&file).unwrap();
    run().unwrap();
    fs::write(&file, "0.9,0.1\n0.2,0.7\n").unwrap();
    let error = run().unwrap_err().to_string();
    assert!(error.contains("T.csv, line 2: sums to"), "{error}");
    fs::write(&file, "1\n").unwrap();
    let error = run().unwrap_err().to_string();
    assert!(error.contains("T.csv: holds one class") && error.contains("at least two"), "{error}");
    fs::remove_file(&file).unwrap();
    assert!(run().unwrap_err().to_string().contains("T.csv: cannot be read"));
}
