use std::collections::HashSet;

use proptest::prelude::*;
use resvg::usvg;

use super::legend::Legend;
use super::*;

fn lines(panels: usize) -> Figure {
    Figure::new("title").columns(2).panels((0..panels).map(|k| {
        Panel::new()
            .x(Axis::linear("x"))
            .y(Axis::linear("y"))
            .layer(Layer::theory("law", [(0.0, 1.0), (1.0, 0.0)]))
            .layer(Layer::line("ours", (0..5).map(|i| (i as f64, (i * k) as f64))))
            .layer(Layer::points("ours", [(0.5, 0.5)]).faint())
            .layer(Layer::band("theirs", [(0.0, 1.0, 0.5, 1.5), (1.0, 2.0, 1.5, 2.5)]))
            .layer(Layer::paper([(0.5, 0.5)]))
            .layer(Layer::horizontal("chance", 0.1))
            .layer(Layer::line("", [(0.0, 0.0), (1.0, 1.0)]))
    }))
}

fn parse(svg: &str) -> Result<usvg::Tree, usvg::Error> {
    usvg::Tree::from_str(svg, &usvg::Options::default())
}

/// Number of SVG texts that say exactly this.
fn texts(svg: &str, text: &str) -> usize {
    svg.matches(&format!(">\n{text}\n</text>")).count()
}

#[test]
fn saving_twice_gives_the_same_bytes_and_leaves_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("a/accuracy-0.5"), folder.path().join("b/accuracy-0.5"));
    lines(3).save(&one).unwrap();
    lines(3).save(&two).unwrap();
    lines(3).save(&two).unwrap();
    for file in ["accuracy-0.5.svg", "accuracy-0.5.png"] {
        let bytes = std::fs::read(folder.path().join("a").join(file)).unwrap();
        assert!(bytes.len() > 1000);
        assert_eq!(bytes, std::fs::read(folder.path().join("b").join(file)).unwrap());
    }
    assert_eq!(std::fs::read_dir(folder.path().join("b")).unwrap().count(), 2);
}

#[test]
fn the_png_is_twice_as_large_and_shows_text_and_pictures() {
    let red = Image::new(2, 2, |_, _| Color(255, 0, 0));
    let figure = Figure::new("M").panel(Panel::new().layer(Layer::image(red, (0.0, 1.0), (0.0, 1.0))));
    let svg = figure.svg();
    let size = parse(&svg).unwrap().size();
    let bytes = canvas::render_png(&svg).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (2 * size.width() as u32, 2 * size.height() as u32));
    let count = |wanted: [u8; 3]| pixels.chunks_exact(3).filter(|p| *p == wanted).count();
    assert!(count([255, 0, 0]) > 100_000, "the picture is there");
    assert!(count([38, 38, 38]) > 20, "the title is there");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = lines(1).save(&folder.path().join("file/figure")).unwrap_err().to_string();
    assert!(error.contains("figure.svg") && error.contains("cannot write"), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn text_is_escaped() {
    let rude = "a < b & \"c\" 'd' </text><script>\u{0}\u{8}\u{fffe}";
    let panel = Panel::new()
        .title(rude)
        .x(Axis::linear(rude))
        .y(Axis::categories(rude, [rude]))
        .layer(Layer::forest(rude, [(1.0, 0.0, 2.0)]))
        .layer(Layer::note(rude, 1.0, 0.0));
    let svg = Figure::new(rude).subtitle(rude).caption(rude).panel(panel).svg();
    parse(&svg).unwrap();
    assert!(!svg.contains("<script"));
    assert!(svg.contains("a &lt; b &amp; &quot;c&quot;"));
}

#[test]
fn the_legend_holds_each_series_once() {
    let figure = lines(4);
    assert_eq!(Legend::of(&figure.panels).names(), ["ours", "theirs", "law", "paper", "chance"]);
    let svg = figure.svg();
    for name in ["ours", "theirs", "law", "paper", "chance"] {
        assert_eq!(texts(&svg, name), 1, "{name}");
    }
}

#[test]
fn series_differ_in_color_and_in_dash_or_marker() {
    let dense = |k: usize| Layer::line(&format!("line {k}"), (0..50).map(|i| (i as f64, 0.0)));
    let sparse = |k: usize| Layer::points(&format!("points {k}"), [(0.0, 0.0)]);
    let panel = Panel::new().layers((0..6).map(dense)).layers((0..6).map(sparse));
    let legend = Legend::of(std::slice::from_ref(&panel));
    let looks: Vec<_> = panel.layers.iter().map(|layer| legend.look(layer)).collect();
    for half in looks.chunks(6) {
        let colors: HashSet<_> = half.iter().map(|look| look.color).collect();
        assert_eq!(colors.len(), 6);
    }
    let distinct = |names: Vec<String>| names.iter().collect::<HashSet<_>>().len();
    assert_eq!(distinct(looks[..6].iter().map(|look| format!("{:?}", look.dash)).collect()), 6);
    assert_eq!(distinct(looks[6..].iter().map(|look| format!("{:?}", look.marker)).collect()), 6);
}

#[test]
fn the_papers_points_look_the_same_in_every_figure() {
    let layer = Layer::paper([(0.0, 1.0)]);
    let first = Panel::new().layer(layer.clone());
    let later = Panel::new().layer(Layer::points("a", [(0.0, 0.0)])).layer(layer.clone());
    let looks = [first, later].map(|panel| Legend::of(&[panel]).look(&layer));
    assert_eq!(looks[0], looks[1]);
    assert_eq!((looks[0].color, looks[0].marker), (Color::BLACK, Marker::Diamond));
}

#[test]
fn a_series_like_another_takes_its_color() {
    let (last, best) =
        (Layer::line("last", [(0.0, 1.0)]), Layer::line("best", [(0.0, 2.0)]).like("last").dash(Dash::Dashed));
    let legend = Legend::of(&[Panel::new().layer(Layer::line("other", [])).layer(best.clone()).layer(last.clone())]);
    assert_eq!(legend.look(&best).color, legend.look(&last).color);
    assert_eq!((legend.look(&best).dash, legend.look(&last).dash), (Dash::Dashed, Dash::Solid));
}

#[test]
fn gaps_break_lines() {
    let values = [1.0, 2.0, f64::NAN, 2.0, 1.0, f64::INFINITY, 3.0].into_iter().enumerate();
    let line = Layer::line("", values.map(|(i, y)| (i as f64, y))).markers(false);
    let svg = Figure::new("").panel(Panel::new().layer(line)).svg();
    // Two lines of two points, and a dot (with its rim) for the value that stands alone.
    assert_eq!(svg.matches("stroke=\"#0072B2\" stroke-width=\"20\"").count(), 2);
    assert_eq!(svg.matches("<circle").count(), 2);
}

#[test]
fn a_histogram_of_all_groups_has_area_one() {
    let bins = Bins { low: 0.0, high: 1.0, count: 7 };
    let groups = [vec![0.0, 0.1, 0.5, 1.0], vec![0.3, 0.3]];
    let mut area = 0.0;
    for group in &groups {
        let layer::Mark::Histogram { edges, heights } = Layer::histogram("", group, bins, 6).mark else {
            unreachable!()
        };
        area += heights.iter().zip(edges.windows(2)).map(|(h, e)| h * (e[1] - e[0])).sum::<f64>();
    }
    assert!((area - 1.0).abs() < 1e-12);
    // Nothing to count, nowhere to put it, or nowhere between: still a picture.
    for (values, low, high, count) in
        [(&[][..], 0.0, 1.0, 3), (&[1.0][..], 0.0, 1.0, 0), (&[1.0, f64::NAN][..], 1.0, 1.0, 4)]
    {
        parse(
            &Figure::new("")
                .panel(Panel::new().layer(Layer::histogram("", values, Bins { low, high, count }, 0)))
                .svg(),
        )
        .unwrap();
    }
}

#[test]
fn areas_stack() {
    let layers = [
        Layer::area("a", [(0.0, 1.0), (1.0, 2.0)]),
        Layer::line("", []),
        Layer::area("b", [(0.0, 3.0), (1.0, f64::NAN)]),
    ];
    let stacks = layer::stacks(&layers);
    assert_eq!(stacks[2], Some((vec![(0.0, 1.0), (1.0, 2.0)], vec![(0.0, 4.0), (1.0, 2.0)])));
    assert!(stacks[1].is_none());
}

#[test]
fn inner_panels_share_their_labels() {
    let panel = |high: f64| {
        Panel::new().x(Axis::linear("epoch")).y(Axis::linear("loss")).layer(Layer::line("", [(0.0, 0.0), (1.0, high)]))
    };
    let figure = Figure::new("").columns(2).panels([1.0, 2.0, 3.0, 4.0].map(panel));
    let shared = figure.clone().share_x(Share::All).share_y(Share::All).svg();
    assert_eq!((texts(&shared, "epoch"), texts(&shared, "loss")), (2, 2));
    // All four panels reach up to the largest value, and only the left ones say so.
    assert_eq!(texts(&shared, "4"), 2);
    assert_eq!(texts(&figure.svg(), "4"), 1);
}

#[test]
fn pictures_without_pixels_and_sheets_without_pictures_are_drawn() {
    let nothing = Image::new(0, 5, |_, _| Color::BLACK);
    let figure = Figure::new("")
        .panel(Panel::sheet(0, []))
        .panel(Panel::sheet(
            3,
            [Thumbnail::new(nothing.clone(), "none"), Thumbnail::new(Image::from_planes(2, 2, &[1]), "")],
        ))
        .panel(Panel::new().layer(Layer::image(nothing, (0.0, 0.0), (1.0, f64::NAN))))
        .panel(Panel::new().layer(Layer::heat_map("", vec![])))
        .panel(Panel::new().x(Axis::categories("", [""; 0])).layer(Layer::bars("", [])));
    canvas::render_png(&figure.svg()).unwrap();
    canvas::render_png(&Figure::new("").svg()).unwrap();
}

#[test]
fn planes_become_pixels() {
    assert_eq!(Image::from_planes(2, 1, &[10, 20]).rgb, [10, 10, 10, 20, 20, 20]);
    assert_eq!(Image::from_planes(2, 1, &[1, 2, 3, 4, 5, 6]).rgb, [1, 3, 5, 2, 4, 6]);
}

/// Numbers that break charts, among ordinary ones.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0,
        2 => proptest::num::f64::ANY,
        1 => prop::sample::select(vec![0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, -1e308, 1e308, 5e-324, 1e-160]),
    ]
}

fn layer_of(kind: usize, values: &[(f64, f64, f64)]) -> Layer {
    let four = values.iter().map(|&(a, b, c)| (a, b, b - c, b + c));
    let two = values.iter().map(|&(a, b, _)| (a, b));
    let first = values.first().copied().unwrap_or((0.0, f64::NAN, 1.0));
    match kind {
        0 => Layer::band("series", four),
        1 => Layer::intervals("series", four),
        2 => Layer::forest("series", values.to_vec()),
        3 => Layer::bar_intervals("series", values.to_vec()),
        4 => Layer::area("series", two),
        5 => Layer::heat_map("series", values.iter().map(|v| vec![v.0, v.1]).collect()),
        6 => Layer::heat_map("series", values.iter().map(|v| vec![v.0, v.1, v.2]).collect()).diverging().numbers(2),
        7 => Layer::histogram(
            "series",
            &values.iter().map(|v| v.0).collect::<Vec<_>>(),
            Bins { low: first.1, high: first.2, count: 5 },
            3,
        ),
        8 => Layer::x_span("series", first.0, first.1),
        9 => Layer::y_span("series", first.0, first.1),
        10 => Layer::note("series", first.0, first.1),
        11 => Layer::image(Image::new(2, 2, |_, _| Color::BLUE), (first.0, first.1), (first.1, first.2)),
        12 => Layer::horizontal("series", first.0),
        13 => Layer::vertical("series", first.0),
        14 => Layer::diagonal("series"),
        _ => Layer::line("series", two).faint(),
    }
}

fn axis_of(kind: usize, low: Option<f64>, high: Option<f64>, ticks: &[f64]) -> Axis {
    let axis = match kind {
        0 => Axis::log("axis"),
        1 => Axis::log2("axis"),
        2 => Axis::categories("axis", ["one", "two words"]),
        3 => Axis::linear("axis").ticks(ticks.iter().copied()),
        4 => Axis::linear("axis").whole(),
        _ => Axis::linear("axis"),
    };
    let axis = if let Some(low) = low { axis.from(low) } else { axis };
    if let Some(high) = high { axis.to(high) } else { axis }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_input_gives_a_picture(
        layers in prop::collection::vec((0usize..16, prop::collection::vec((number(), number(), number()), 0..6)), 0..4),
        kinds in (0usize..8, 0usize..8),
        ends in prop::array::uniform4(prop::option::weighted(0.3, number())),
        ticks in prop::collection::vec(number(), 0..4),
        aspect in prop::option::of(number()),
        sizes in (number(), number()),
    ) {
        let mut panel = Panel::new()
            .title("panel")
            .x(axis_of(kinds.0, ends[0], ends[1], &ticks))
            .y(axis_of(kinds.1, ends[2], ends[3], &ticks))
            .layers(layers.iter().map(|(kind, values)| layer_of(*kind, values)));
        if let Some(aspect) = aspect {
            panel = panel.aspect(aspect);
        }
        let figure = Figure::new("title").columns(2).width(100.0 * sizes.0).heights([100.0 * sizes.1]);
        let svg = figure.panel(panel.clone()).panel(panel).share_y(Share::All).svg();
        prop_assert!(parse(&svg).is_ok());
        prop_assert!(!["=\"NaN", "=\"inf", "=\"-inf"].iter().any(|broken| svg.contains(broken)), "{}", svg);
        prop_assert!(svg.len() < 200_000);
    }
}
