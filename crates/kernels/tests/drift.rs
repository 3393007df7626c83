//! A training through the kernels goes the way of a training through candle expressions, as far as rounding lets it.
//! All networks: `make bench-drift`.

#[path = "../examples/networks/mod.rs"]
mod networks;

/// 200 steps; every kind of op but the LSTM in networks that plain candle trains in seconds.
fn rounding_explains(model: &str, batch: usize) {
    let (rows, explained) = networks::drift::compare(model, batch, &[1, 20, 200]).expect("trainings");
    assert!(explained, "{}{rows}", networks::drift::HEADER);
}

#[test]
fn rounding_explains_the_drift_of_the_small_cnn() {
    rounding_explains("cnn", 2);
}

#[test]
fn rounding_explains_the_drift_of_the_mlp() {
    rounding_explains("mlp", 2);
}
