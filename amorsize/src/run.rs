use crate::execute::chunk::Kernel;
use crate::memory::measure::Measure;
use crate::options::{MaxMemory, Options};

/// A run that has not started.
#[must_use = "a run does nothing until a terminal such as `collect` or `for_each_batch` starts it"]
pub struct Batched<I: IntoIterator, R, C> {
    items: I,
    shared: C,
    kernel: Kernel<I::Item, R, C>,
    measure: (Measure<I::Item>, Measure<R>),
    options: Options,
}

impl<I: IntoIterator, R, C> Batched<I, R, C> {
    pub(crate) fn new(items: I, shared: C, kernel: Kernel<I::Item, R, C>, measure: (Measure<I::Item>, Measure<R>), options: Options) -> Self where I::Item: Send, R: Send, C: Sync {
        Self { items, shared, kernel, measure, options }
    }

    /// Sets.
    pub fn max_memory(mut self, max_memory: impl Into<MaxMemory>) -> Self {
        self.options.set_max_memory(max_memory.into());
        self
    }
    /// Sets.
    pub fn batch_size(mut self, n: usize) -> Self { self.options = self.options.batch_size(n); self }

    /// Collects, one item after the other (scaffolding until the executor stands).
    pub fn collect<V: FromIterator<R>>(self) -> Result<V, crate::Error> {
        self.options.check()?;
        Ok(self.items.into_iter().map(|item| {
            let mut items = crate::execute::buffer::Items::new();
            items.fill(&mut std::iter::once(item), 1);
            let mut chunk = crate::execute::chunk::Chunk { items, results: crate::execute::buffer::Results::with_capacity(1), quota: 1 };
            (self.kernel)(&mut chunk, &self.shared);
            let _ = &self.measure;
            chunk.results.into_vec().pop().unwrap()
        }).collect())
    }
}
impl<I: IntoIterator, T, E, C> Batched<I, Result<T, E>, C> {
    /// Collects (scaffolding).
    pub fn try_collect<V: FromIterator<T>>(self) -> Result<V, E> { self.collect::<Result<V, E>>().unwrap() }
}
