//! First-order optimisers.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var, bail};
use retrial_kernels::{Adam, AdamState, Gradients, Sgd};
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
    /// Tieleman and Hinton 2012 as Keras has it: `a <- rho a + (1 - rho) g^2`, `w <- w - rate g / (sqrt(a) + epsilon)`.
    RmsProp {
        /// Share of the mean square that is kept.
        rho: f64,
        /// Added to the root.
        epsilon: f64,
        /// Coupled.
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

    /// RMSprop with the constants of Keras and coupled weight decay.
    pub fn rms_prop(weight_decay: f64) -> Self {
        Self::RmsProp { rho: 0.9, epsilon: 1e-7, weight_decay }
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
#[derive(Debug, Default)]
struct Moments {
    steps: u32,
    /// Of SGD with momentum.
    velocity: Option<Tensor>,
    /// Of Adam.
    adam: Option<AdamState>,
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
            let (var, Some(gradient)) = (&parameter.var, gradients.get(&parameter.var)) else { continue };
            let decayed = |weight_decay: f64| if parameter.decay { weight_decay } else { 0. };
            if !self.moments.contains_key(name) {
                self.moments.insert(name.clone(), Moments::default());
            }
            let moments = self.moments.get_mut(name).expect("just inserted");
            moments.steps += 1;
            match self.config {
                OptimiserConfig::Sgd { momentum, nesterov, weight_decay } => {
                    let weight_decay = decayed(weight_decay);
                    Sgd { rate, momentum, nesterov, weight_decay }.step(var, gradient, &mut moments.velocity)?;
                }
                OptimiserConfig::Adam { beta1, beta2, epsilon, weight_decay } => {
                    let weight_decay = decayed(weight_decay);
                    let adam = Adam { rate, beta1, beta2, epsilon, weight_decay, decoupled: false };
                    adam.step(var, gradient, &mut moments.adam, moments.steps.into())?;
                }
                OptimiserConfig::AdamW { beta1, beta2, epsilon, weight_decay } => {
                    let weight_decay = decayed(weight_decay);
                    let adam = Adam { rate, beta1, beta2, epsilon, weight_decay, decoupled: true };
                    adam.step(var, gradient, &mut moments.adam, moments.steps.into())?;
                }
                OptimiserConfig::RmsProp { rho, epsilon, weight_decay } => {
                    let weight_decay = decayed(weight_decay);
                    let adam = Adam { rate, beta1: 0., beta2: rho, epsilon, weight_decay, decoupled: false };
                    // Adam without momentum; so late that its bias correction, which RMSprop lacks, is 1.
                    const LATE: u64 = 1 << 40;
                    adam.step(var, gradient, &mut moments.adam, LATE)?;
                }
            }
        }
        Ok(())
    }

    /// Copies of all that it remembers: `NAME/steps`, and `NAME/velocity` or `NAME/mean` and `NAME/square`.
    pub(super) fn state(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut state = BTreeMap::new();
        for (name, Moments { steps, velocity, adam }) in &self.moments {
            state.insert(format!("{name}/steps"), Tensor::new(*steps, &Device::Cpu)?);
            let adam = adam.iter().flat_map(|adam| [("mean", &adam.mean), ("square", &adam.square)]);
            for (which, tensor) in velocity.iter().map(|v| ("velocity", v)).chain(adam) {
                state.insert(format!("{name}/{which}"), tensor.copy()?);
            }
        }
        Ok(state)
    }

    /// Takes back what [`Self::state`] copied, for these parameters.
    ///
    /// # Errors
    /// If the state is not that of this kind of optimiser on these parameters.
    pub(super) fn set_state(&mut self, mut state: BTreeMap<String, Tensor>, parameters: &Parameters) -> Result<()> {
        let is_adam = !matches!(self.config, OptimiserConfig::Sgd { .. });
        let mut moments = BTreeMap::new();
        for (name, parameter) in &parameters.trainable {
            let Some(steps) = state.remove(&format!("{name}/steps")) else { continue };
            let mut take = |which: &str| take_tensor(&mut state, &format!("{name}/{which}"), &parameter.var);
            let (velocity, adam) = match (take("velocity")?, take("mean")?, take("square")?) {
                (velocity, None, None) if !is_adam => (velocity, None),
                (None, Some(mean), Some(square)) if is_adam => (None, Some(AdamState { mean, square })),
                _ => bail!("the optimiser's state of {name} is another optimiser's, or incomplete"),
            };
            moments.insert(name.clone(), Moments { steps: steps.to_scalar()?, velocity, adam });
        }
        if let Some(name) = state.keys().next() {
            bail!("the optimiser's state {name} is of no parameter of this network")
        }
        self.moments = moments;
        Ok(())
    }
}

/// A tensor of the shape of a parameter, copied to where the parameter is.
fn take_tensor(state: &mut BTreeMap<String, Tensor>, key: &str, parameter: &Var) -> Result<Option<Tensor>> {
    let Some(tensor) = state.remove(key) else { return Ok(None) };
    if tensor.dims() != parameter.dims() {
        bail!("the optimiser's state {key} is {:?}, not {:?}", tensor.dims(), parameter.dims())
    }
    tensor.to_device(parameter.device())?.copy().map(Some)
}
