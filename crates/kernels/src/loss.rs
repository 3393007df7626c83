//! The loss that classification is trained on.

use candle_core::{CpuStorage, CustomOp2, D, DType, Layout, Result, Shape, Tensor, bail};

use crate::cpu::{memory, simd::Simd, softmax};

/// Cross-entropy between targets and the softmax of `logits` `[n, classes]`, one loss per sample, `[n]`.
///
/// `targets` are either classes (`u32`, `[n]`) or probabilities (of the dtype of the logits, `[n, classes]`), and take no
/// gradient. `weights` `[n]`, if given, multiply the losses and take none either.
///
/// The result is an ordinary candle tensor that candle differentiates, whatever device it is on; a loss may be any
/// expression of it.
///
/// # Errors
/// If the shapes do not fit, or a class is not below `classes`.
pub fn softmax_cross_entropy(logits: &Tensor, targets: &Tensor, weights: Option<&Tensor>) -> Result<Tensor> {
    let (n, classes) = logits.dims2()?;
    let hard = targets.dtype() == DType::U32;
    let wanted: &[usize] = if hard { &[n] } else { &[n, classes] };
    if targets.dims() != wanted {
        bail!("targets have shape {:?}, expected {wanted:?} for {n} rows of {classes} logits", targets.dims())
    }
    let targets = targets.detach();
    let losses = if logits.device().is_cpu() && logits.dtype() == DType::F32 {
        logits.contiguous()?.apply_op2(&targets.contiguous()?, SoftmaxCrossEntropy)?
    } else {
        let log_softmax = candle_nn::ops::log_softmax(logits, D::Minus1)?;
        match hard {
            true => log_softmax.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?,
            // 0 log 0 is 0, even where the logit is minus infinity.
            false => {
                let zero = targets.zeros_like()?;
                targets.eq(0f32)?.where_cond(&zero, &(&targets * log_softmax)?)?.sum(1)?.neg()?
            }
        }
    };
    match weights {
        None => Ok(losses),
        Some(weights) => losses * weights.detach(),
    }
}

struct SoftmaxCrossEntropy;

fn targets<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<softmax::Targets<'a>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("expected contiguous targets") };
    match storage {
        CpuStorage::U32(classes) => Ok(softmax::Targets::Classes(&classes[start..end])),
        CpuStorage::F32(shares) => Ok(softmax::Targets::Shares(&shares[start..end])),
        _ => bail!("targets must be u32 classes or f32 probabilities"),
    }
}

impl CustomOp2 for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax-cross-entropy"
    }

    fn cpu_fwd(
        &self,
        logits: &CpuStorage,
        logits_layout: &Layout,
        targets_storage: &CpuStorage,
        targets_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = logits_layout.shape().dims2()?;
        let (CpuStorage::F32(logits), Some((start, end))) = (logits, logits_layout.contiguous_offsets()) else {
            bail!("expected contiguous f32 logits")
        };
        let targets = targets(targets_storage, targets_layout)?;
        if let softmax::Targets::Classes(all) = targets
            && let Some(class) = all.iter().find(|class| **class as usize >= classes)
        {
            bail!("class {class} among targets, but there are {classes} logits")
        }
        Ok((CpuStorage::F32(softmax::losses(Simd::current(), &logits[start..end], classes, targets)), n.into()))
    }

    fn bwd(
        &self,
        logits: &Tensor,
        target: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, classes) = logits.dims2()?;
        let dy = dy.contiguous()?;
        let (storage, layout) = target.storage_and_layout();
        let candle_core::Storage::Cpu(storage) = &*storage else { bail!("expected targets on the CPU") };
        let gradient = softmax::gradient(
            Simd::current(),
            &memory::Floats::of(logits)?,
            classes,
            targets(storage, layout)?,
            &memory::Floats::of(&dy)?,
        );
        Ok((Some(memory::tensor(gradient, logits.shape())?), None))
    }
}
