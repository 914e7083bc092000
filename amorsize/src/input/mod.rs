//! The input of a run: it gives items to chunks, as many as are asked for.

use std::any::type_name;

#[cfg(feature = "durable")]
use crate::buffer::Results;
use crate::buffer::asks::{Asks, Way};
use crate::buffer::{RawChunk, Restored, Types};
#[cfg(feature = "durable")]
use crate::durable::Resume;
#[cfg(feature = "durable")]
use crate::error::Error;
#[cfg(feature = "durable")]
use crate::memory::credit::Credit;
use crate::memory::measure::HeapOf;
#[cfg(feature = "durable")]
use crate::spill::OnDisk;
#[cfg(feature = "durable")]
use crate::store::Reading;

/// A source of items.
pub(crate) trait Input {
    /// Passes over the next items that need not run; over a single item if the input may wait.
    /// `most` is for the bytes of their stored results, of which one is read in any case.
    fn restore(&mut self, _may_wait: bool, _most: usize) -> Option<Restored> {
        None
    }
    /// The number of items taken so far, and true if earlier runs knew that the input ends there.
    fn end(&self) -> (usize, bool) {
        (0, true)
    }
    /// Takes up to `most` items into an empty chunk, as far as `asks` allows, and says if the input
    /// has ended.
    fn fill(&mut self, chunk: &mut RawChunk, most: usize, way: Way, asks: &mut Asks) -> bool;
    /// True if the lengths that the input tells are surely right.
    fn tells_the_truth(&mut self) -> bool;
    /// The number of items that are left, at least and at most.
    fn size_hint(&mut self) -> (usize, Option<usize>);
    /// A chunk without items.
    fn chunk(&self) -> Box<RawChunk>;
    /// The stored results of a frame, without credit, and the index of the first item of each part.
    #[cfg(feature = "durable")]
    fn read(&mut self, stored: &OnDisk, frame: usize) -> Result<Vec<(Results, usize)>, Error>;
}

/// The input of a run: first the collection, and its iterator once it was asked for items.
pub(crate) struct Source<I: IntoIterator, R> {
    input: Option<I>,
    iterator: Option<I::IntoIter>,
    types: Types<I::Item, R>,
    /// Tells what items own, if their type does.
    heap: Option<HeapOf<I::Item>>,
    /// Only if items can be done, or are skipped.
    #[cfg(feature = "durable")]
    resume: Option<Box<Resume<I::Item, R>>>,
    /// Only if a spill has stored results.
    #[cfg(feature = "durable")]
    spilled: Option<Box<SpillReader<R>>>,
}

/// Reads stored results.
#[cfg(feature = "durable")]
struct SpillReader<R> {
    read: ReadSpilled<R>,
    reading: Reading,
}

#[cfg(feature = "durable")]
pub(crate) type ReadSpilled<R> = fn(&OnDisk, usize, &mut Reading) -> Result<Vec<R>, Error>;

impl<I: IntoIterator, R> Source<I, R> {
    pub(crate) fn new(input: I, types: Types<I::Item, R>, heap: Option<HeapOf<I::Item>>) -> Self {
        Self {
            input: Some(input),
            iterator: None,
            types,
            heap,
            #[cfg(feature = "durable")]
            resume: None,
            #[cfg(feature = "durable")]
            spilled: None,
        }
    }

    #[cfg(feature = "durable")]
    pub(crate) fn resume(&mut self) -> Option<&mut Resume<I::Item, R>> {
        self.resume.as_deref_mut()
    }

    /// Passes over items that need not run.
    #[cfg(feature = "durable")]
    pub(crate) fn set_resume(&mut self, resume: Resume<I::Item, R>) {
        self.resume = Some(Box::new(resume));
    }

    /// The items that are left.
    #[cfg(feature = "array")]
    pub(crate) fn into_rest(self) -> I::IntoIter {
        let Self { mut input, mut iterator, .. } = self;
        begun(&mut input, &mut iterator);
        iterator.unwrap_or_else(|| unreachable!("it was just made"))
    }

    /// Sets how stored results are read.
    #[cfg(feature = "durable")]
    pub(crate) fn set_spilled(&mut self, read: ReadSpilled<R>) {
        self.spilled = Some(Box::new(SpillReader { read, reading: Reading::default() }));
    }

    /// True if items were asked for.
    pub(crate) fn has_begun(&self) -> bool {
        self.input.is_none()
    }

    /// The input of a run with other results.
    pub(crate) fn retyped<O>(self, types: Types<I::Item, O>) -> Source<I, O> {
        Source {
            input: self.input,
            iterator: self.iterator,
            types,
            heap: self.heap,
            #[cfg(feature = "durable")]
            resume: None,
            #[cfg(feature = "durable")]
            spilled: None,
        }
    }

    fn iterator(&mut self) -> &mut I::IntoIter {
        begun(&mut self.input, &mut self.iterator)
    }
}

fn begun<'a, I: IntoIterator>(input: &mut Option<I>, iterator: &'a mut Option<I::IntoIter>) -> &'a mut I::IntoIter {
    if let Some(input) = input.take() {
        *iterator = Some(input.into_iter());
    }
    match iterator {
        Some(iterator) => iterator,
        // Only `into_iter` can panic between the two.
        None => panic!("an input whose `into_iter` panicked has no items"),
    }
}

/// True for an iterator that surely tells its true length.
fn tells_the_truth(iterator: &str) -> bool {
    // The standard library's types do, and no other crate has these paths. If the paths change,
    // such inputs are counted as they come, like all others.
    ["core::ops::range::Range<", "core::ops::range::RangeInclusive<", "core::slice::iter::Iter<"]
        .iter()
        .any(|known| iterator.starts_with(known))
}

impl<I: IntoIterator, R> Input for Source<I, R> {
    fn fill(&mut self, chunk: &mut RawChunk, most: usize, way: Way, asks: &mut Asks) -> bool {
        let (types, heap) = (self.types, self.heap);
        #[cfg(feature = "durable")]
        if let Some(resume) = &mut self.resume {
            return resume.fill(types, chunk, begun(&mut self.input, &mut self.iterator), most, heap, (asks, way));
        }
        types.fill(chunk, self.iterator(), most, heap, (asks, way))
    }

    #[cfg(feature = "durable")]
    fn restore(&mut self, may_wait: bool, most: usize) -> Option<Restored> {
        self.resume.as_mut()?.restore(self.types, begun(&mut self.input, &mut self.iterator), may_wait, most)
    }

    #[cfg(feature = "durable")]
    fn end(&self) -> (usize, bool) {
        self.resume.as_ref().map_or((0, true), |resume| resume.end())
    }

    fn tells_the_truth(&mut self) -> bool {
        tells_the_truth(type_name::<I::IntoIter>())
    }

    fn size_hint(&mut self) -> (usize, Option<usize>) {
        let hint = self.iterator().size_hint();
        #[cfg(feature = "durable")]
        if let Some(resume) = &self.resume {
            let pulled = resume.pulled();
            return (hint.0.saturating_add(pulled), hint.1.and_then(|most| most.checked_add(pulled)));
        }
        hint
    }

    fn chunk(&self) -> Box<RawChunk> {
        self.types.chunk()
    }

    #[cfg(feature = "durable")]
    fn read(&mut self, stored: &OnDisk, frame: usize) -> Result<Vec<(Results, usize)>, Error> {
        let types = self.types;
        let Some(SpillReader { read, reading }) = self.spilled.as_deref_mut() else {
            unreachable!("who put them here has said how they are read")
        };
        let mut results = read(stored, frame, reading)?.into_iter();
        let part = |(first, items)| (types.results_of(results.by_ref().take(items).collect(), Credit::NONE), first);
        Ok(stored.runs(frame).into_iter().map(part).collect())
    }
}
