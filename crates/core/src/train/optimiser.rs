//! First-order optimisers.

use std::collections::BTreeMap;

use candle_core::{CpuStorage, DType, InplaceOp3, Layout, Result, Tensor, bail};
use retrial_kernels::Gradients;
use serde::{Deserialize, Serialize};

use crate::model::Parameters;

/// An optimiser by name, without its learning rate: `{"kind": "sgd", "momentum": 0.9, "weight_decay": 1e-4}`.
///
/// Update rules are those of PyTorch. With the coupled weight decay `l`, `l w` is added to the gradient; a penalty written
/// as `a |w|^2` in a paper (Keras's `l2(a)`) is `weight_decay = 2 a` here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimiserConfig {
    /// `v <- momentum v + g`, `w <- w - rate v`; Nesterov: `w <- w - rate (g + momentum v)`.
    Sgd {
        /// Share of the velocity that is kept.
        #[serde(default)]
        momentum: f64,
        /// Looks ahead along the velocity.
        #[serde(default)]
        nesterov: bool,
        /// Coupled.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Kingma and Ba 2015, with coupled weight decay.
    Adam {
        /// Share of the first moment that is kept.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Share of the second moment that is kept.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the corrected second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Coupled.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Loshchilov and Hutter 2019: as Adam, but decay shrinks the weight by `rate weight_decay` and stays out of the
    /// moments.
    #[serde(rename = "adamw")]
    AdamW {
        /// Share of the first moment that is kept.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Share of the second moment that is kept.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the corrected second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Decoupled.
        #[serde(default)]
        weight_decay: f64,
    },
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn epsilon() -> f64 {
    1e-8
}

impl OptimiserConfig {
    /// SGD with (classical) momentum and coupled weight decay.
    pub fn sgd(momentum: f64, weight_decay: f64) -> Self {
        Self::Sgd { momentum, nesterov: false, weight_decay }
    }

    /// Adam with its usual constants and coupled weight decay.
    pub fn adam(weight_decay: f64) -> Self {
        Self::Adam { beta1: beta1(), beta2: beta2(), epsilon: epsilon(), weight_decay }
    }

    /// AdamW with Adam's usual constants and decoupled weight decay.
    pub fn adamw(weight_decay: f64) -> Self {
        Self::AdamW { beta1: beta1(), beta2: beta2(), epsilon: epsilon(), weight_decay }
    }
}

/// Moves parameters against their gradients.
#[derive(Debug)]
pub struct Optimiser {
    config: OptimiserConfig,
    /// Of each parameter that was moved, by its name.
    moments: BTreeMap<String, Moments>,
}

/// What an optimiser remembers of a parameter.
#[derive(Debug)]
struct Moments {
    steps: u32,
    /// SGD: velocity. Adam: mean gradient.
    first: Tensor,
    /// Adam: mean squared gradient.
    second: Option<Tensor>,
}

impl Optimiser {
    /// An optimiser that has seen nothing yet.
    pub fn new(config: OptimiserConfig) -> Self {
        Self { config, moments: BTreeMap::new() }
    }

    /// What it was made with.
    pub fn config(&self) -> &OptimiserConfig {
        &self.config
    }

    /// Moves every trainable parameter that is not frozen by one step of size `rate`. Running statistics are left alone.
    ///
    /// # Errors
    /// If a parameter got no gradient: the loss does not depend on it, which is a fault unless it is frozen. Then nothing
    /// was moved.
    pub fn step(&mut self, parameters: &Parameters, gradients: &Gradients, rate: f64) -> Result<()> {
        let moving = || parameters.trainable.iter().filter(|(_, p)| !p.frozen);
        if let Some((name, _)) = moving().find(|(_, p)| gradients.get(&p.var).is_none()) {
            bail!("the loss does not depend on parameter {name}: freeze it, or use it")
        }
        for (name, parameter) in moving() {
            let (w, Some(g)) = (parameter.var.as_tensor(), gradients.get(&parameter.var)) else { continue };
            let decayed = |weight_decay: f64| if parameter.decay { weight_decay } else { 0. };
            match self.config {
                OptimiserConfig::Sgd { momentum: 0., weight_decay, .. } => {
                    let keep = 1. - rate * decayed(weight_decay);
                    Update::Linear { keep, a: -rate, b: 0. }.apply(w, g, g)?;
                }
                OptimiserConfig::Sgd { momentum, nesterov, weight_decay } => {
                    let decay = decayed(weight_decay);
                    let v = &Moments::of(&mut self.moments, name, w, false)?.first;
                    Update::Linear { keep: momentum, a: 1., b: decay }.apply(v, g, w)?;
                    if nesterov {
                        Update::Linear { keep: 1. - rate * decay, a: -rate, b: -rate * momentum }.apply(w, g, v)?;
                    } else {
                        Update::Linear { keep: 1., a: -rate, b: 0. }.apply(w, v, v)?;
                    }
                }
                OptimiserConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                    let moments = Moments::of(&mut self.moments, name, w, true)?;
                    moments.adam(w, g, rate, [beta1, beta2, epsilon], decayed(weight_decay), 1.)?;
                }
                OptimiserConfig::AdamW { beta1, beta2, epsilon, weight_decay } => {
                    let keep = 1. - rate * decayed(weight_decay);
                    let moments = Moments::of(&mut self.moments, name, w, true)?;
                    moments.adam(w, g, rate, [beta1, beta2, epsilon], 0., keep)?;
                }
            }
        }
        Ok(())
    }

    /// Copies of all that it remembers: `NAME/steps`, `NAME/first` and, for Adam, `NAME/second`.
    pub(super) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for (name, Moments { steps, first, second }) in &self.moments {
            state.insert(format!("{name}/steps"), Tensor::new(*steps, first.device())?);
            state.insert(format!("{name}/first"), first.copy()?);
            if let Some(second) = second {
                state.insert(format!("{name}/second"), second.copy()?);
            }
        }
        Ok(state)
    }

    /// Takes back what [`Self::state`] copied, for these parameters.
    ///
    /// # Errors
    /// If the state is not that of this kind of optimiser on these parameters.
    pub(super) fn set_state(&mut self, mut state: BTreeMap<String, Tensor>, parameters: &Parameters) -> Result<()> {
        let mut moments = BTreeMap::new();
        for (name, parameter) in &parameters.trainable {
            let Some(steps) = state.remove(&format!("{name}/steps")) else { continue };
            let mut take = |which: &str| -> Result<Option<Tensor>> {
                let Some(tensor) = state.remove(&format!("{name}/{which}")) else { return Ok(None) };
                if tensor.dims() != parameter.var.dims() {
                    bail!("the optimiser's state of {name} is {:?}, not {:?}", tensor.dims(), parameter.var.dims())
                }
                tensor.to_device(parameter.var.device())?.copy().map(Some)
            };
            let Some(first) = take("first")? else { bail!("the optimiser's state of {name} is incomplete") };
            moments.insert(name.clone(), Moments { steps: steps.to_scalar()?, first, second: take("second")? });
        }
        if let Some(name) = state.keys().next() {
            bail!("the optimiser's state {name} is of no parameter of this network")
        }
        self.moments = moments;
        Ok(())
    }
}

impl Moments {
    /// Those of a parameter; zero on first sight.
    fn of<'a>(all: &'a mut BTreeMap<String, Moments>, name: &str, w: &Tensor, second: bool) -> Result<&'a mut Moments> {
        if !all.contains_key(name) {
            let zeros = || Tensor::zeros(w.shape(), w.dtype(), w.device());
            let second = if second { Some(zeros()?) } else { None };
            all.insert(name.to_owned(), Moments { steps: 0, first: zeros()?, second });
        }
        Ok(all.get_mut(name).expect("present or just inserted"))
    }

    fn adam(
        &mut self,
        w: &Tensor,
        g: &Tensor,
        rate: f64,
        [beta1, beta2, epsilon]: [f64; 3],
        coupled: f64,
        keep: f64,
    ) -> Result<()> {
        let Some(second) = &self.second else { bail!("Adam has no second moment: its state is another optimiser's") };
        self.steps += 1;
        let seen = |beta: f64| 1. - beta.powf(f64::from(self.steps));
        Update::Linear { keep: beta1, a: 1. - beta1, b: (1. - beta1) * coupled }.apply(&self.first, g, w)?;
        Update::Square { keep: beta2, b: coupled }.apply(second, g, w)?;
        let (rate, scale) = (rate / seen(beta1), seen(beta2).sqrt().recip());
        Update::Ratio { keep, rate, scale, epsilon }.apply(w, &self.first, second)
    }
}

/// A change of `y`, element by element, by `p` and `q` of its shape. All update rules are made of these three.
#[derive(Clone, Copy)]
enum Update {
    /// `keep y + a p + b q`
    Linear { keep: f64, a: f64, b: f64 },
    /// `keep y + (1 - keep) (p + b q)^2`
    Square { keep: f64, b: f64 },
    /// `keep y - rate p / (scale sqrt(q) + epsilon)`
    Ratio { keep: f64, rate: f64, scale: f64, epsilon: f64 },
}

impl Update {
    /// In the memory of `y` where that is `f32` on the CPU; through new tensors elsewhere.
    fn apply(self, y: &Tensor, p: &Tensor, q: &Tensor) -> Result<()> {
        let here = |t: &Tensor| t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous();
        if [y, p, q].into_iter().all(here) {
            return y.inplace_op3(p, q, &self);
        }
        let (y, p, q) = (y.detach(), p.detach(), q.detach());
        let new = match self {
            Self::Linear { keep, a, b } => (((&y * keep)? + (&p * a)?)? + (&q * b)?)?,
            Self::Square { keep, b } => ((&y * keep)? + ((&p + (&q * b)?)?.sqr()? * (1. - keep))?)?,
            Self::Ratio { keep, rate, scale, epsilon } => {
                ((&y * keep)? - (&p * rate)?.div(&((q.sqrt()? * scale)? + epsilon)?)?)?
            }
        };
        y.slice_set(&new.contiguous()?, 0, 0)
    }
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "optimiser update"
    }

    fn cpu_fwd(
        &self,
        y: &mut CpuStorage,
        y_layout: &Layout,
        p: &CpuStorage,
        p_layout: &Layout,
        q: &CpuStorage,
        q_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(y), CpuStorage::F32(p), CpuStorage::F32(q)) = (y, p, q) else {
            bail!("an update in place needs f32")
        };
        let range = |layout: &Layout| {
            let (start, end) = layout.contiguous_offsets().expect("checked by apply");
            start..end
        };
        let (y, p, q) = (&mut y[range(y_layout)], &p[range(p_layout)], &q[range(q_layout)]);
        if y.len() != p.len() || y.len() != q.len() {
            bail!("an update of {} numbers by {} and {}", y.len(), p.len(), q.len())
        }
        let elements = y.iter_mut().zip(p.iter().zip(q));
        match *self {
            Self::Linear { keep, a, b } => {
                let (keep, a, b) = (keep as f32, a as f32, b as f32);
                elements.for_each(|(y, (p, q))| *y = keep * *y + a * p + b * q);
            }
            Self::Square { keep, b } => {
                let (keep, new, b) = (keep as f32, (1. - keep) as f32, b as f32);
                elements.for_each(|(y, (p, q))| *y = keep * *y + new * (p + b * q).powi(2));
            }
            Self::Ratio { keep, rate, scale, epsilon } => {
                let (keep, rate, scale, epsilon) = (keep as f32, rate as f32, scale as f32, epsilon as f32);
                elements.for_each(|(y, (p, q))| *y = keep * *y - rate * p / (scale * q.sqrt() + epsilon));
            }
        }
        Ok(())
    }
}
