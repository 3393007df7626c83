//! Charts that all papers use.
//!
//! A [`Figure`] is a description: panels in a grid, each with two axes and layers of data. Series are known by name, so
//! one legend serves the whole figure, and the paper's own numbers look the same everywhere. [`Figure::save`] writes an
//! SVG drawn by plotters and a PNG rendered from it; the same figure gives the same bytes on every machine, with the
//! embedded DejaVu fonts and no others.
//!
//! ```
//! use retrial_core::chart::{Axis, Figure, Layer, Panel};
//!
//! let levels = [0.0, 0.2, 0.4, 0.6, 0.8];
//! let figure = Figure::new("Is accuracy on noisy labels quadratic in the noise rate?")
//!     .subtitle("MNIST, 5 seeds; bands are 95 % intervals")
//!     .panel(
//!         Panel::new()
//!             .x(Axis::linear("noise rate ε").range(0.0, 1.0))
//!             .y(Axis::linear("agreement with noisy labels"))
//!             .layer(Layer::theory("(1−ε)² + ε²/9", levels.map(|e| (e, (1.0 - e) * (1.0 - e) + e * e / 9.0))))
//!             .layer(Layer::band("MLP", levels.map(|e| (e, 1.0 - e, 0.95 - e, 1.05 - e))))
//!             .layer(Layer::paper([(0.2, 0.66), (0.5, 0.3)])),
//!     );
//! assert!(figure.svg().contains("noise rate ε"));
//! ```

mod axis;
mod canvas;
mod image;
mod layer;
mod layout;
mod legend;
mod marks;
mod style;
#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub use axis::Axis;
pub use image::Image;
pub use layer::{Bins, Layer};
pub use style::{Color, Dash, Marker};

/// Why a figure could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be written.
    #[error("{}: cannot write the figure: {source}; check that the folder exists and has room", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The SVG could not be turned into a PNG.
    #[error("the figure cannot be rendered: {0}")]
    Render(String),
}

/// A picture with a title, a legend and panels in a grid.
#[derive(Clone, Debug)]
pub struct Figure {
    title: String,
    subtitle: String,
    caption: String,
    panels: Vec<Panel>,
    columns: usize,
    width: f64,
    heights: Vec<f64>,
    share_x: Share,
    share_y: Share,
}

/// Which panels show the same range. Shared axes are labelled at the left and the bottom only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Share {
    /// Each panel has its own range.
    #[default]
    Own,
    /// The x axes of a column, or the y axes of a row.
    Line,
    /// All panels.
    All,
}

impl Figure {
    /// An empty figure. The title says which question it answers.
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            subtitle: String::new(),
            caption: String::new(),
            panels: Vec::new(),
            columns: 1,
            width: 850.0,
            heights: Vec::new(),
            share_x: Share::Own,
            share_y: Share::Own,
        }
    }

    /// What was measured: data, model, seeds, meaning of bands and bars.
    pub fn subtitle(mut self, text: &str) -> Self {
        self.subtitle = text.to_owned();
        self
    }

    /// Footnote under the panels.
    pub fn caption(mut self, text: &str) -> Self {
        self.caption = text.to_owned();
        self
    }

    /// Adds a panel, row by row.
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// Adds panels, row by row.
    pub fn panels(mut self, panels: impl IntoIterator<Item = Panel>) -> Self {
        self.panels.extend(panels);
        self
    }

    /// Number of panels in a row; one unless said otherwise.
    pub fn columns(mut self, columns: usize) -> Self {
        self.columns = columns.max(1);
        self
    }

    /// Width of the figure in pixels; 850 unless said otherwise.
    pub fn width(mut self, pixels: f64) -> Self {
        self.width = if pixels.is_finite() { pixels.clamp(200.0, 4000.0) } else { 850.0 };
        self
    }

    /// Heights of the rows' plotting areas in pixels; the last one holds for all further rows.
    pub fn heights(mut self, pixels: impl IntoIterator<Item = f64>) -> Self {
        self.heights = pixels.into_iter().filter(|h| h.is_finite()).map(|h| h.clamp(20.0, 4000.0)).collect();
        self
    }

    /// Which panels have the same x range.
    pub fn share_x(mut self, share: Share) -> Self {
        self.share_x = share;
        self
    }

    /// Which panels have the same y range.
    pub fn share_y(mut self, share: Share) -> Self {
        self.share_y = share;
        self
    }

    /// The figure as an SVG document.
    pub fn svg(&self) -> String {
        layout::draw(self)
    }

    /// Writes `<stem>.svg` and `<stem>.png`, making the folder if needed. Each file appears whole or not at all.
    pub fn save(&self, stem: &Path) -> Result<(), Error> {
        let svg = self.svg();
        let png = canvas::render_png(&svg)?;
        // Appended, not `with_extension`: a stem such as `accuracy-0.5` keeps its last digits.
        let file = |extension: &str| {
            let mut path = stem.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        write(&file(".svg"), svg.as_bytes())?;
        write(&file(".png"), &png)
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().suffix(".tmp").tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    #[cfg(unix)]
    {
        // Temporary files are private; figures are for everyone.
        use std::os::unix::fs::PermissionsExt as _;
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Two axes and what is drawn between them, or a sheet of pictures.
#[derive(Clone, Debug, Default)]
pub struct Panel {
    title: String,
    x: Axis,
    y: Axis,
    layers: Vec<Layer>,
    aspect: Option<f64>,
    sheet: Option<(usize, Vec<Thumbnail>)>,
}

impl Panel {
    /// An empty panel.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sheet of small pictures, `columns` in a row.
    pub fn sheet(columns: usize, thumbnails: impl IntoIterator<Item = Thumbnail>) -> Self {
        Self { sheet: Some((columns.max(1), thumbnails.into_iter().collect())), ..Self::default() }
    }

    /// A line above the panel that tells it from the others.
    pub fn title(mut self, text: &str) -> Self {
        self.title = text.to_owned();
        self
    }

    /// The horizontal axis.
    pub fn x(mut self, axis: Axis) -> Self {
        self.x = axis;
        self
    }

    /// The vertical axis.
    pub fn y(mut self, axis: Axis) -> Self {
        self.y = axis;
        self
    }

    /// Adds a layer on top of the earlier ones of its kind.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds layers in order.
    pub fn layers(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.layers.extend(layers);
        self
    }

    /// Height of the plotting area as a share of its width: 1 for a square.
    pub fn aspect(mut self, height_per_width: f64) -> Self {
        self.aspect = Some(height_per_width).filter(|a| a.is_finite()).map(|a| a.clamp(0.05, 20.0));
        self
    }

    fn thumbnails(&self) -> &[Thumbnail] {
        self.sheet.as_ref().map_or(&[], |(_, thumbnails)| thumbnails)
    }
}

/// A small picture with words under it.
#[derive(Clone, Debug)]
pub struct Thumbnail {
    image: Image,
    caption: String,
    frame: Option<(String, Color)>,
}

impl Thumbnail {
    /// A picture with a caption, which may be empty.
    pub fn new(image: Image, caption: &str) -> Self {
        Self { image, caption: caption.to_owned(), frame: None }
    }

    /// A frame that marks a group; the legend names it.
    pub fn frame(mut self, name: &str, color: Color) -> Self {
        self.frame = Some((name.to_owned(), color));
        self
    }
}
