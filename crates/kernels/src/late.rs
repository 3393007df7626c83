//! Values that are computed where they are read.
//!
//! A join of channels and a batch norm cost little arithmetic and much memory. Whoever reads one row by row can compute it
//! on the way: a convolution while it copies its input between borders, forward and again backward. So neither the joined
//! nor the normalised activations of a network are ever stored, unless an op that needs them whole asks for them.

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor};

use crate::{
    cpu::{
        convolution, elementwise,
        memory::{Floats, tensor},
        norm::{self, Affine, Normal, Side},
        simd::Simd,
    },
    graph::{Gradient, NodeGradients},
};

/// Neighbouring channels that lie in memory on their own: contiguous f32 on the CPU, channels last.
#[derive(Debug)]
pub(crate) struct Part {
    tensor: Tensor,
    node: Option<usize>,
    /// Mean and biased variance of each channel, once somebody has asked for them.
    moments: OnceLock<(Vec<f32>, Vec<f32>)>,
}

impl Part {
    pub(crate) fn new(tensor: Tensor, node: Option<usize>) -> Arc<Self> {
        Arc::new(Self { tensor, node, moments: OnceLock::new() })
    }

    fn channels(&self) -> usize {
        self.tensor.dims().last().copied().unwrap_or(1)
    }
}

/// Parts side by side, perhaps normalised.
#[derive(Debug)]
pub(crate) struct Source {
    simd: Simd,
    parts: Vec<Arc<Part>>,
    affine: Option<Affine>,
}

impl Source {
    pub(crate) fn joined(simd: Simd, parts: Vec<Arc<Part>>) -> Self {
        Self { simd, parts, affine: None }
    }

    pub(crate) fn parts(&self) -> &[Arc<Part>] {
        &self.parts
    }

    pub(crate) fn is_normalised(&self) -> bool {
        self.affine.is_some()
    }

    /// The parts, normalised by what [`Affine`] says.
    pub(crate) fn normalised(self, affine: Affine) -> Self {
        Self { affine: Some(affine), ..self }
    }

    /// Mean and biased variance of each channel.
    pub(crate) fn moments(&self) -> Result<(Vec<f32>, Vec<f32>)> {
        let (mut means, mut variances) = (vec![], vec![]);
        for part in &self.parts {
            let (mean, variance) = match part.moments.get() {
                Some(moments) => moments,
                None => {
                    let found = norm::moments(self.simd, &Floats::of(&part.tensor)?, part.channels());
                    part.moments.get_or_init(|| found)
                }
            };
            means.extend(mean);
            variances.extend(variance);
        }
        Ok((means, variances))
    }

    /// Calls `f` with the parts' numbers.
    fn with_sides<R>(&self, f: impl FnOnce(&[Side]) -> R) -> Result<R> {
        let floats = self.parts.iter().map(|part| Floats::of(&part.tensor)).collect::<Result<Vec<_>>>()?;
        let mut sides = Vec::with_capacity(floats.len());
        let mut first = 0;
        for (x, part) in floats.iter().zip(&self.parts) {
            let channels = part.channels();
            sides.push(Side { x, channels, first });
            first += channels;
        }
        Ok(f(&sides))
    }

    /// Calls `f` with what a convolution reads of a normalised source.
    pub(crate) fn with_input<R>(&self, f: impl FnOnce(convolution::Input) -> R) -> Result<R> {
        let affine = self.affine.as_ref().expect("convolutions read plain joins whole");
        self.with_sides(|sides| f(convolution::Input::Normal(Normal::new(sides, affine))))
    }

    fn whole(&self) -> Result<Vec<f32>> {
        self.with_sides(|sides| match &self.affine {
            Some(affine) => Normal::new(sides, affine).apply(self.simd),
            None => elementwise::join(sides),
        })
    }

    /// The gradient of a join to its parts.
    pub(crate) fn split(&self, dy: Gradient, gradients: &mut NodeGradients) -> Result<()> {
        let dy = dy.floats()?;
        let columns = self.parts.iter().map(|part| part.channels()).sum();
        let mut first = 0;
        for part in &self.parts {
            let count = part.channels();
            gradients.give(part.node, || Ok(elementwise::cut(&dy, columns, first, count).into()))?;
            first += count;
        }
        Ok(())
    }

    /// The gradient of a batch norm to its parameters and the parts; `through_statistics` if mean and deviation were those
    /// of the parts.
    pub(crate) fn back_through_norm(
        &self,
        dy: Gradient,
        [gamma, beta]: [Option<usize>; 2],
        through_statistics: bool,
        gradients: &mut NodeGradients,
    ) -> Result<()> {
        let affine = self.affine.as_ref().expect("only norms are gone back through like this");
        let dy = dy.floats()?;
        let found = self.with_sides(|sides| Normal::new(sides, affine).parameter_gradients(self.simd, &dy))?;
        gradients.give(gamma, || Ok(found.gamma().into()))?;
        gradients.give(beta, || Ok(found.beta().into()))?;
        if self.parts.iter().all(|part| part.node.is_none()) {
            return Ok(());
        }
        // A part that stands twice among the parts has one gradient to be added to: the second time finds it gone.
        let targets = self.parts.iter().map(|part| match part.node {
            None => norm::Target::None,
            Some(node) => gradients.take_own(node).map_or(norm::Target::New, norm::Target::Sum),
        });
        let targets = targets.collect();
        let inputs = self.with_sides(|sides| {
            Normal::new(sides, affine).input_gradients(self.simd, &found, through_statistics, dy, targets)
        })?;
        for (part, input) in self.parts.iter().zip(inputs) {
            if let (Some(node), Some(input)) = (part.node, input) {
                gradients.add(node, input.into())?;
            }
        }
        Ok(())
    }
}

/// A [`Source`], and the whole of it once somebody has asked for that.
#[derive(Debug)]
pub(crate) struct Late {
    source: Arc<Source>,
    dims: Vec<usize>,
    whole: OnceLock<Tensor>,
}

impl Late {
    pub(crate) fn new(source: Arc<Source>, dims: Vec<usize>) -> Self {
        Self { source, dims, whole: OnceLock::new() }
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        self.whole.get_or_init(|| {
            // Both only fail on tensors that are not contiguous f32 on the CPU, of which no part is made.
            let whole = self.source.whole().and_then(|whole| tensor(whole, self.dims.as_slice()));
            whole.expect("parts are contiguous f32 on the CPU, of fitting shapes")
        })
    }
}
