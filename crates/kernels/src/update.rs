//! Optimiser steps that change parameters in place.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, Device, InplaceOp1, InplaceOp2, Layout, Result, Tensor, Var, bail};

use crate::cpu::{elementwise, simd::Simd};

/// Stochastic gradient descent as PyTorch writes it: `g += weight_decay * p`, `v = momentum * v + g`, then
/// `p -= rate * v`, or with Nesterov `p -= rate * (g + momentum * v)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub rate: f64,
    /// Weight of the old velocity; without it there is none.
    pub momentum: f64,
    /// Looks ahead by one step of the velocity.
    pub nesterov: bool,
    /// Weight decay, added to the gradient.
    pub weight_decay: f64,
}

impl Sgd {
    /// One step. `velocity` is of the parameter's shape, made here at the first step and unused without momentum.
    ///
    /// # Errors
    /// If the shapes differ.
    pub fn step(&self, parameter: &Var, gradient: &Tensor, velocity: &mut Option<Tensor>) -> Result<()> {
        check(parameter, gradient)?;
        let gradient = gradient.detach();
        if self.momentum == 0. {
            if !on_cpu(parameter) {
                let decayed = (gradient + (parameter.as_detached_tensor() * self.weight_decay)?)?;
                return parameter.set(&(parameter.as_detached_tensor() - (decayed * self.rate)?)?);
            }
            let (rate, decay) = (self.rate as f32, self.weight_decay as f32);
            return in_place(parameter, &gradient, |simd, p, g| {
                elementwise::update(
                    simd,
                    [p],
                    #[inline(always)]
                    |range, [p]| {
                        for (p, g) in p.iter_mut().zip(&g[range]) {
                            *p -= rate * (g + decay * *p);
                        }
                    },
                );
                Ok(())
            });
        }
        let v = match velocity {
            Some(v) => v,
            None => velocity.insert(zeros(parameter)?),
        };
        if !on_cpu(parameter) {
            let g = (gradient + (parameter.as_detached_tensor() * self.weight_decay)?)?;
            *v = ((&*v * self.momentum)? + &g)?;
            let direction = if self.nesterov { (g + (&*v * self.momentum)?)? } else { v.clone() };
            return parameter.set(&(parameter.as_detached_tensor() - (direction * self.rate)?)?);
        }
        let (rate, momentum, decay) = (self.rate as f32, self.momentum as f32, self.weight_decay as f32);
        let nesterov = self.nesterov;
        in_place(parameter, &gradient, |simd, p, g| {
            state(v, |v| {
                elementwise::update(
                    simd,
                    [p, v],
                    #[inline(always)]
                    |range, [p, v]| {
                        let g = &g[range];
                        if nesterov {
                            for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
                                let g = g + decay * *p;
                                *v = momentum * *v + g;
                                *p -= rate * (g + momentum * *v);
                            }
                        } else {
                            for ((p, v), g) in p.iter_mut().zip(v).zip(g) {
                                *v = momentum * *v + (g + decay * *p);
                                *p -= rate * *v;
                            }
                        }
                    },
                );
            })
        })
    }
}

/// Adam (Kingma and Ba, algorithm 1), or AdamW where the decay is decoupled (Loshchilov and Hutter, algorithm 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second mean.
    pub epsilon: f64,
    /// Weight decay: added to the gradient, or where decoupled, `rate * weight_decay * p` taken from the parameter.
    pub weight_decay: f64,
    /// AdamW.
    pub decoupled: bool,
}

/// What Adam remembers of a parameter.
#[derive(Clone, Debug)]
pub struct AdamState {
    /// Mean of gradients, of the parameter's shape.
    pub mean: Tensor,
    /// Mean of squared gradients.
    pub square: Tensor,
}

impl Adam {
    /// Step number `step`, counted from 1 (it corrects the bias of the means). The state is made at the first step.
    ///
    /// # Errors
    /// If the shapes differ, or `step` is 0.
    pub fn step(
        &self,
        parameter: &Var,
        gradient: &Tensor,
        remembered: &mut Option<AdamState>,
        step: u64,
    ) -> Result<()> {
        check(parameter, gradient)?;
        if step == 0 {
            bail!("steps are counted from 1")
        }
        let gradient = gradient.detach();
        let AdamState { mean, square } = match remembered {
            Some(state) => state,
            None => remembered.insert(AdamState { mean: zeros(parameter)?, square: zeros(parameter)? }),
        };
        let first = 1. - self.beta1.powf(step as f64);
        let second = 1. - self.beta2.powf(step as f64);
        let shrink = if self.decoupled { 1. - self.rate * self.weight_decay } else { 1. };
        let decay = if self.decoupled { 0. } else { self.weight_decay };
        if !on_cpu(parameter) {
            let g = (gradient + (parameter.as_detached_tensor() * decay)?)?;
            *mean = ((&*mean * self.beta1)? + (&g * (1. - self.beta1))?)?;
            *square = ((&*square * self.beta2)? + (g.sqr()? * (1. - self.beta2))?)?;
            let root = ((&*square / second)?.sqrt()? + self.epsilon)?;
            let change = ((&*mean * (self.rate / first))? / root)?;
            return parameter.set(&((parameter.as_detached_tensor() * shrink)? - change)?);
        }
        let (b1, b2, epsilon) = (self.beta1 as f32, self.beta2 as f32, self.epsilon as f32);
        let (n1, n2) = ((1. - self.beta1) as f32, (1. - self.beta2) as f32);
        let (scale, unbias) = ((self.rate / first) as f32, (1. / second.sqrt()) as f32);
        let (shrink, decay) = (shrink as f32, decay as f32);
        in_place(parameter, &gradient, |simd, p, g| {
            state(mean, |mean| {
                state(square, |square| {
                    elementwise::update(
                        simd,
                        [p, mean, square],
                        #[inline(always)]
                        |range, [p, mean, square]| {
                            for (((p, m), s), g) in p.iter_mut().zip(mean).zip(square).zip(&g[range]) {
                                let g = g + decay * *p;
                                *m = b1 * *m + n1 * g;
                                *s = b2 * *s + n2 * (g * g);
                                *p = shrink * *p - scale * *m / (s.sqrt() * unbias + epsilon);
                            }
                        },
                    );
                })
            })
            .flatten()
        })
    }
}

fn check(parameter: &Var, gradient: &Tensor) -> Result<()> {
    if parameter.dims() != gradient.dims() {
        bail!("a gradient of shape {:?} for a parameter of shape {:?}", gradient.dims(), parameter.dims())
    }
    Ok(())
}

fn on_cpu(parameter: &Var) -> bool {
    matches!(parameter.device(), Device::Cpu) && parameter.dtype() == DType::F32 && parameter.is_contiguous()
}

/// Zeros of the parameter's shape that share no memory with anything.
fn zeros(parameter: &Var) -> Result<Tensor> {
    parameter.as_detached_tensor().zeros_like()
}

/// Runs `f` on the parameter and the gradient.
fn in_place(parameter: &Var, gradient: &Tensor, f: impl FnOnce(Simd, &mut [f32], &[f32]) -> Result<()>) -> Result<()> {
    parameter.inplace_op2(&gradient.contiguous()?, &WithGradient(RefCell::new(Some(f))))
}

struct WithGradient<F>(RefCell<Option<F>>);

impl<F: FnOnce(Simd, &mut [f32], &[f32]) -> Result<()>> InplaceOp2 for WithGradient<F> {
    fn name(&self) -> &'static str {
        "optimiser-step"
    }

    fn cpu_fwd(&self, p: &mut CpuStorage, p_layout: &Layout, g: &CpuStorage, g_layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(g), Some((start, end))) = (g, g_layout.contiguous_offsets()) else {
            bail!("expected a contiguous f32 gradient")
        };
        let f = self.0.take().expect("an op in place runs once");
        f(Simd::current(), floats(p, p_layout)?, &g[start..end])
    }
}

/// Runs `f` on what the optimiser remembers.
fn state<R>(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let result = RefCell::new(None);
    tensor.inplace_op1(&OnState { f: RefCell::new(Some(f)), result: &result })?;
    Ok(result.take().expect("set by the op"))
}

struct OnState<'a, F, R> {
    f: RefCell<Option<F>>,
    result: &'a RefCell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for OnState<'_, F, R> {
    fn name(&self) -> &'static str {
        "optimiser-state"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let f = self.f.take().expect("an op in place runs once");
        self.result.replace(Some(f(floats(storage, layout)?)));
        Ok(())
    }
}

fn floats<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(all), Some((start, end))) => Ok(&mut all[start..end]),
        _ => bail!("expected contiguous f32"),
    }
}
