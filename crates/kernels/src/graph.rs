//! A small reverse-mode tape over candle tensors.

use std::{collections::HashMap, sync::Arc};

use candle_core::{DType, Result, Tensor, TensorId, Var, bail};
use rand_chacha::ChaCha8Rng;

use crate::{
    cpu::{elementwise, memory::tensor, simd::Simd},
    late::{Late, Source},
};

/// Adds the gradients of a step's inputs, given the gradient of its output.
type Backward = Box<dyn FnOnce(Gradient, &mut NodeGradients) -> Result<()>>;

/// A tensor inside a [`Graph`]: its number, and its place on the tape if a gradient is to flow through it.
#[derive(Clone, Debug)]
pub struct Value {
    form: Form,
    pub(crate) node: Option<usize>,
}

#[derive(Clone, Debug)]
enum Form {
    Ready(Tensor),
    /// Computed where it is read.
    Late(Arc<Late>),
}

impl Value {
    /// The number itself, without gradient. Use [`Graph::output`] for a tensor that a loss is computed from.
    pub fn tensor(&self) -> &Tensor {
        match &self.form {
            Form::Ready(tensor) => tensor,
            Form::Late(late) => late.tensor(),
        }
    }

    /// Dimensions, channels last.
    pub fn dims(&self) -> &[usize] {
        match &self.form {
            Form::Ready(tensor) => tensor.dims(),
            Form::Late(late) => late.dims(),
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        self.dims().iter().product()
    }

    /// What the value is computed from where it is read, if it is.
    pub(crate) fn late(&self) -> Option<&Arc<Source>> {
        match &self.form {
            Form::Ready(_) => None,
            Form::Late(late) => Some(late.source()),
        }
    }

    /// Whether the kernels can read it: contiguous f32 on the CPU.
    pub(crate) fn is_plain(&self) -> bool {
        match &self.form {
            Form::Ready(t) => t.device().is_cpu() && t.dtype() == DType::F32 && t.is_contiguous(),
            Form::Late(_) => true,
        }
    }

    /// Whether a gradient will reach this value. Ops skip the gradient of values that nobody asked for (the image).
    pub fn needs_gradient(&self) -> bool {
        self.node.is_some()
    }
}

/// Which statistics batch norm normalises with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    /// Those of this batch; `update` also moves the running statistics.
    Batch { update: bool },
    /// The running ones.
    Running,
}

/// One pass through a network: the tape, and how norms and dropout behave on the way.
pub struct Graph {
    record: bool,
    pub(crate) statistics: Statistics,
    pub(crate) dropout: Option<ChaCha8Rng>,
    pub(crate) expressions: bool,
    nodes: usize,
    steps: Vec<(usize, Backward)>,
    parameters: HashMap<TensorId, (usize, Vec<usize>)>,
    outputs: Vec<(Var, usize)>,
}

impl Graph {
    fn new(record: bool, statistics: Statistics) -> Self {
        Self {
            record,
            statistics,
            dropout: None,
            expressions: cfg!(feature = "expressions"),
            nodes: 0,
            steps: vec![],
            parameters: HashMap::new(),
            outputs: vec![],
        }
    }

    /// A training step: gradients recorded, norms use the batch and update their running statistics. Dropout is off
    /// until [`Self::with_dropout`] brings a generator.
    pub fn training() -> Self {
        Self::new(true, Statistics::Batch { update: true })
    }

    /// Evaluation: nothing recorded, norms use their running statistics, no dropout.
    pub fn inference() -> Self {
        Self::new(false, Statistics::Running)
    }

    /// Turns dropout on, with the generator that its masks are drawn from.
    pub fn with_dropout(mut self, stream: ChaCha8Rng) -> Self {
        self.dropout = Some(stream);
        self
    }

    /// Records no gradient (a training-mode forward pass whose result is a target, not a prediction).
    pub fn without_gradients(mut self) -> Self {
        self.record = false;
        self
    }

    /// Norms use the running statistics although gradients may be recorded (Fisher information of a trained network).
    pub fn with_running_statistics(mut self) -> Self {
        self.statistics = Statistics::Running;
        self
    }

    /// Norms use the statistics of the batch and leave the running ones alone.
    pub fn with_batch_statistics(mut self) -> Self {
        self.statistics = Statistics::Batch { update: false };
        self
    }

    /// Every op as a candle expression, as on devices and for types that have no kernels: what the kernels are compared
    /// with.
    pub fn with_expressions(mut self) -> Self {
        self.expressions = true;
        self
    }

    /// A tensor that needs no gradient, such as a batch of images.
    pub fn input(&self, tensor: &Tensor) -> Value {
        self.constant(tensor.detach())
    }

    /// A parameter; used twice in one pass (weight sharing), its gradients add up.
    pub fn parameter(&mut self, var: &Var) -> Value {
        let tensor = var.as_detached_tensor();
        if !self.record {
            return self.constant(tensor);
        }
        let next = self.nodes;
        let (node, _) = *self.parameters.entry(var.id()).or_insert_with(|| (next, var.dims().to_vec()));
        if node == next {
            self.nodes += 1;
        }
        Value { form: Form::Ready(tensor), node: Some(node) }
    }

    /// Leaves the tape: a tensor that candle differentiates, from which the loss is computed.
    pub fn output(&mut self, value: &Value) -> Result<Tensor> {
        let Some(node) = value.node else { return Ok(value.tensor().clone()) };
        let var = Var::from_tensor(value.tensor())?;
        let tensor = var.as_tensor().clone();
        self.outputs.push((var, node));
        Ok(tensor)
    }

    /// Gradients of a scalar loss that was computed from [`Self::output`]s.
    ///
    /// # Errors
    /// If nothing was recorded, or the loss does not depend on any output.
    pub fn backward(self, loss: &Tensor) -> Result<Gradients> {
        let store = loss.backward()?;
        let seeds: Vec<(usize, Tensor)> =
            self.outputs.iter().filter_map(|(var, node)| store.get(var).map(|g| (*node, g.clone()))).collect();
        if seeds.is_empty() {
            bail!("the loss does not depend on any output of this graph")
        }
        self.run_back(seeds)
    }

    /// Gradients of `sum(value * gradient)`: for losses whose gradient at the output is known in closed form.
    ///
    /// # Errors
    /// If no gradient was recorded for `value`.
    pub fn backward_from(self, value: &Value, gradient: &Tensor) -> Result<Gradients> {
        let Some(node) = value.node else { bail!("no gradient was recorded for this value") };
        self.run_back(vec![(node, gradient.clone())])
    }

    fn run_back(self, seeds: Vec<(usize, Tensor)>) -> Result<Gradients> {
        let mut gradients = NodeGradients { of: vec![None; self.nodes] };
        for (node, gradient) in seeds {
            gradients.add(node, gradient.detach().into())?;
        }
        for (node, backward) in self.steps.into_iter().rev() {
            if let Some(gradient) = gradients.of[node].take() {
                backward(gradient, &mut gradients)?;
            }
        }
        let mut of = HashMap::new();
        for (id, (node, dims)) in self.parameters {
            if let Some(gradient) = gradients.of[node].take() {
                of.insert(id, gradient.tensor(&dims)?);
            }
        }
        Ok(Gradients { of })
    }

    /// Whether an op on these inputs has to remember anything.
    pub(crate) fn records(&self, inputs: &[&Value]) -> bool {
        self.record && inputs.iter().any(|v| v.needs_gradient())
    }

    /// Puts an op's result on the tape, with its backward pass.
    pub(crate) fn push(
        &mut self,
        tensor: Tensor,
        backward: impl FnOnce(Gradient, &mut NodeGradients) -> Result<()> + 'static,
    ) -> Value {
        Value { form: Form::Ready(tensor), node: Some(self.step(backward)) }
    }

    /// As [`Self::push`], for a value that is computed where it is read; `records` as [`Self::records`] says.
    pub(crate) fn push_late(
        &mut self,
        source: Arc<Source>,
        dims: Vec<usize>,
        records: bool,
        backward: impl FnOnce(Gradient, &mut NodeGradients) -> Result<()> + 'static,
    ) -> Value {
        let node = records.then(|| self.step(backward));
        Value { form: Form::Late(Arc::new(Late::new(source, dims))), node }
    }

    fn step(&mut self, backward: impl FnOnce(Gradient, &mut NodeGradients) -> Result<()> + 'static) -> usize {
        let node = self.nodes;
        self.nodes += 1;
        self.steps.push((node, Box::new(backward)));
        node
    }

    /// Any candle expression of the inputs as one op, differentiated by candle. The correct way for what has no op of
    /// its own, and on every device.
    pub fn candle(&mut self, inputs: &[&Value], f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<Value> {
        if !self.records(inputs) {
            let tensors: Vec<Tensor> = inputs.iter().map(|v| v.tensor().clone()).collect();
            return Ok(self.constant(f(&tensors)?.detach()));
        }
        let mut tensors = Vec::with_capacity(inputs.len());
        let mut tracked = vec![];
        for value in inputs {
            match value.node {
                None => tensors.push(value.tensor().clone()),
                Some(node) => {
                    let var = Var::from_tensor(value.tensor())?;
                    tensors.push(var.as_tensor().clone());
                    tracked.push((var, node));
                }
            }
        }
        let y = f(&tensors)?;
        Ok(self.push(y.detach(), move |dy, gradients| {
            let store = (&y * dy.tensor(y.dims())?)?.sum_all()?.backward()?;
            for (var, node) in tracked {
                if let Some(gradient) = store.get(&var) {
                    gradients.add(node, gradient.detach().into())?;
                }
            }
            Ok(())
        }))
    }

    /// A tensor computed outside the tape from values that need no gradient.
    pub(crate) fn constant(&self, tensor: Tensor) -> Value {
        Value { form: Form::Ready(tensor), node: None }
    }
}

/// The gradient of a value while the tape runs backwards.
#[derive(Clone, Debug)]
pub(crate) enum Gradient {
    /// What kernels make and read. Whoever holds the last reference may write over it.
    Floats(Arc<Vec<f32>>),
    /// What candle makes and reads.
    Tensor(Tensor),
}

impl From<Vec<f32>> for Gradient {
    fn from(floats: Vec<f32>) -> Self {
        Self::Floats(Arc::new(floats))
    }
}

impl From<Arc<Vec<f32>>> for Gradient {
    fn from(floats: Arc<Vec<f32>>) -> Self {
        Self::Floats(floats)
    }
}

impl From<Tensor> for Gradient {
    fn from(tensor: Tensor) -> Self {
        Self::Tensor(tensor)
    }
}

impl Gradient {
    /// For kernels. The few that come from candle (the loss's at the logits) are copied.
    ///
    /// # Errors
    /// If it is not f32.
    pub(crate) fn floats(self) -> Result<Arc<Vec<f32>>> {
        match self {
            Self::Floats(floats) => Ok(floats),
            Self::Tensor(tensor) => Ok(Arc::new(tensor.flatten_all()?.to_vec1()?)),
        }
    }

    /// For candle, with the dimensions of its value.
    pub(crate) fn tensor(self, dims: &[usize]) -> Result<Tensor> {
        match self {
            Self::Floats(floats) => tensor(Arc::unwrap_or_clone(floats), dims),
            Self::Tensor(tensor) => Ok(tensor),
        }
    }

    fn plus(self, other: Self) -> Result<Self> {
        let (mut a, mut b) = match (self, other) {
            (Self::Floats(a), Self::Floats(b)) => (a, b),
            (Self::Tensor(a), Self::Tensor(b)) => return Ok((a + b)?.into()),
            (Self::Tensor(a), b @ Self::Floats(_)) => return Ok((&a + b.tensor(a.dims())?)?.into()),
            (a @ Self::Floats(_), Self::Tensor(b)) => return Ok((a.tensor(b.dims())? + &b)?.into()),
        };
        let simd = Simd::current();
        if let Some(own) = Arc::get_mut(&mut a) {
            elementwise::update_with(simd, own, &b, |a, b| a + b);
            Ok(Self::Floats(a))
        } else if let Some(own) = Arc::get_mut(&mut b) {
            elementwise::update_with(simd, own, &a, |b, a| a + b);
            Ok(Self::Floats(b))
        } else {
            Ok(elementwise::zip(simd, &a, &b, |a, b| a + b).into())
        }
    }
}

/// Gradients of the nodes of a tape while it runs backwards.
pub(crate) struct NodeGradients {
    of: Vec<Option<Gradient>>,
}

impl NodeGradients {
    /// Adds a gradient to a node.
    pub(crate) fn add(&mut self, node: usize, gradient: Gradient) -> Result<()> {
        let sum = match self.of[node].take() {
            None => gradient,
            Some(other) => other.plus(gradient)?,
        };
        self.of[node] = Some(sum);
        Ok(())
    }

    /// Adds the gradient of a value with this node, if one is wanted; computes it only then.
    pub(crate) fn give(&mut self, node: Option<usize>, gradient: impl FnOnce() -> Result<Gradient>) -> Result<()> {
        match node {
            None => Ok(()),
            Some(node) => self.add(node, gradient()?),
        }
    }

    /// Takes a node's gradient so far out, if there is one that nobody else holds.
    pub(crate) fn take_own(&mut self, node: usize) -> Option<Vec<f32>> {
        match self.of[node].take() {
            Some(Gradient::Floats(floats)) => match Arc::try_unwrap(floats) {
                Ok(own) => return Some(own),
                Err(shared) => self.of[node] = Some(Gradient::Floats(shared)),
            },
            other => self.of[node] = other,
        }
        None
    }
}

/// Gradients of the parameters that a loss depends on.
#[derive(Debug)]
pub struct Gradients {
    of: HashMap<TensorId, Tensor>,
}

impl Gradients {
    /// The gradient of a parameter, of its shape; none if the loss does not depend on it.
    pub fn get(&self, var: &Var) -> Option<&Tensor> {
        self.of.get(&var.id())
    }

    /// Puts another gradient in a parameter's place: a clipped one, say, or one corrected by a control variate.
    ///
    /// # Errors
    /// If its shape is not the parameter's.
    pub fn set(&mut self, var: &Var, gradient: Tensor) -> Result<()> {
        if gradient.dims() != var.dims() {
            bail!("a gradient of shape {:?} for a parameter of shape {:?}", gradient.dims(), var.dims())
        }
        self.of.insert(var.id(), gradient.detach());
        Ok(())
    }
}
