//! The hard-margin support vector machine of points in the plane, exactly: the shortest segment between two convex hulls.

/// A point.
pub type Point = [f64; 2];

/// The widest strip between two classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separator {
    /// Unit normal, towards the positive class.
    pub normal: Point,
    /// The middle of the strip.
    pub middle: Point,
    /// Distance from the middle line to the nearest points.
    pub margin: f64,
}

/// The maximum-margin separator; none if the classes cannot be separated by a line.
pub fn max_margin(positives: &[Point], negatives: &[Point]) -> Option<Separator> {
    let (p, n) = (hull(positives), hull(negatives));
    let mut best: Option<(f64, Point, Point)> = None;
    // The shortest segment between two convex polygons ends at a corner of one of them.
    for (a, b, swapped) in [(&p, &n, false), (&n, &p, true)] {
        for &corner in a {
            for i in 0..b.len() {
                let foot = nearest(corner, b[i], b[(i + 1) % b.len()]);
                let distance = norm(minus(corner, foot));
                if best.is_none_or(|(d, ..)| distance < d) {
                    best = Some(if swapped { (distance, foot, corner) } else { (distance, corner, foot) });
                }
            }
        }
    }
    let (distance, p0, n0) = best?;
    let normal = minus(p0, n0).map(|x| x / distance);
    let middle = [(p0[0] + n0[0]) / 2., (p0[1] + n0[1]) / 2.];
    // Overlapping hulls have a shortest segment too, but no strip.
    let height = |x: &Point| dot(normal, minus(*x, middle));
    let clear = 0.5 * distance * (1. - 1e-9);
    let separated = distance > 0. && p.iter().all(|x| height(x) >= clear) && n.iter().all(|x| height(x) <= -clear);
    separated.then_some(Separator { normal, middle, margin: distance / 2. })
}

/// Scalar product.
pub fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1]
}

/// Euclidean length.
pub fn norm(a: Point) -> f64 {
    dot(a, a).sqrt()
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

/// The point of the segment from `a` to `b` that is nearest to `x`.
fn nearest(x: Point, a: Point, b: Point) -> Point {
    let along = minus(b, a);
    let length2 = dot(along, along);
    let share = if length2 > 0. { (dot(minus(x, a), along) / length2).clamp(0., 1.) } else { 0. };
    [a[0] + share * along[0], a[1] + share * along[1]]
}

/// Corners of the convex hull, counter-clockwise (Andrew's monotone chain).
fn hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let turns_right = |a: Point, b: Point, c: Point| {
        let (u, v) = (minus(b, a), minus(c, a));
        u[0] * v[1] - u[1] * v[0] <= 0.
    };
    let chain = |points: &mut dyn Iterator<Item = Point>| {
        let mut corners: Vec<Point> = vec![];
        for x in points {
            while corners.len() >= 2 && turns_right(corners[corners.len() - 2], corners[corners.len() - 1], x) {
                corners.pop();
            }
            corners.push(x);
        }
        corners
    };
    let mut lower = chain(&mut sorted.iter().copied());
    let mut upper = chain(&mut sorted.iter().rev().copied());
    if sorted.len() > 1 {
        lower.pop();
        upper.pop();
    }
    lower.extend(upper);
    lower
}

#[cfg(test)]
mod tests {
    use approx::assert_abs_diff_eq;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn by_hand() {
        let s = max_margin(&[[2., 0.], [3., 1.], [3., -1.]], &[[-1., 1.], [-1., -1.], [-2., 0.]]).unwrap();
        assert_abs_diff_eq!(s.margin, 1.5, epsilon = 1e-12);
        assert_abs_diff_eq!(s.normal[0], 1., epsilon = 1e-12);
        assert_abs_diff_eq!(s.middle[0], 0.5, epsilon = 1e-12);
        assert_eq!(max_margin(&[[0., 0.], [1., 1.]], &[[0., 1.], [1., 0.]]), None);
        assert_eq!(max_margin(&[[0., 0.], [3., 0.], [0., 3.]], &[[1., 1.]]), None);
    }

    proptest! {
        /// No other direction has a wider strip.
        #[test]
        fn no_direction_is_wider(
            points in prop::collection::vec((-1f64..1., -1f64..1.), 6..30), shift in 1.2f64..3., angle in 0f64..std::f64::consts::TAU,
        ) {
            let positives: Vec<Point> = points.iter().step_by(2).map(|p| [p.0 + shift, p.1]).collect();
            let negatives: Vec<Point> = points.iter().skip(1).step_by(2).map(|p| [p.0 - shift, p.1]).collect();
            let s = max_margin(&positives, &negatives).unwrap();
            let direction = [angle.cos(), angle.sin()];
            let low = positives.iter().map(|p| dot(direction, *p)).fold(f64::INFINITY, f64::min);
            let high = negatives.iter().map(|p| dot(direction, *p)).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!((low - high) / 2. <= s.margin + 1e-9);
        }
    }
}
