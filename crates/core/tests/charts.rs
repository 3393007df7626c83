//! Checks that hold for every figure of the gallery.

#[allow(dead_code)]
#[path = "../examples/charts.rs"]
mod gallery;

use std::sync::Arc;

use resvg::usvg::{self, Node, Rect};

/// Boxes of all texts on the page, with what they say.
fn texts(nodes: &[Node], found: &mut Vec<(String, Rect)>) {
    for node in nodes {
        match node {
            Node::Group(group) => texts(group.children(), found),
            Node::Text(text) => {
                let said = text.chunks().iter().map(|chunk| chunk.text()).collect();
                found.push((said, text.abs_bounding_box()));
            }
            _ => {}
        }
    }
}

#[test]
fn no_text_is_cut_off_or_overlaps_another() {
    let mut fonts = usvg::fontdb::Database::new();
    for font in [dejavu::sans::regular(), dejavu::sans::bold()] {
        fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(font)));
    }
    let options = usvg::Options { fontdb: Arc::new(fonts), ..Default::default() };
    for (name, figure) in gallery::figures() {
        let tree = usvg::Tree::from_str(&figure.svg(), &options).unwrap();
        let mut found = Vec::new();
        texts(tree.root().children(), &mut found);
        assert!(!found.is_empty());
        for (i, (text, a)) in found.iter().enumerate() {
            let inside = a.left() >= 0.0
                && a.top() >= 0.0
                && a.right() <= tree.size().width()
                && a.bottom() <= tree.size().height();
            assert!(inside, "{name}: {text:?} reaches over the edge: {a:?}");
            for (other, b) in &found[i + 1..] {
                // The boxes span the font's full height, of which digits and lower case leave the ends empty.
                let (a_top, b_top) = (a.top() + 2.0, b.top() + 2.0);
                let side_by_side = a.right() <= b.left() || b.right() <= a.left();
                let apart = side_by_side || a.bottom() <= b_top || b.bottom() <= a_top;
                assert!(apart, "{name}: {text:?} {a:?} overlaps {other:?} {b:?}");
            }
        }
    }
}
