//! The part of a durable run that knows its types: its identity, and its results on their way to a
//! store.

use super::{Body, Shared};
use crate::durable::{Codec, Functions};
use crate::error::Error;
#[cfg(feature = "array")]
use crate::store::Kind;
use crate::store::{Encoded, Identity};

impl<T, R, C> Shared<T, R, C> {
    /// Adds the functions of the run. This hashes their shared parameters.
    pub(crate) fn tell(&self, functions: &mut Functions) {
        let version = self.version();
        match (&self.body, self.code) {
            (Body::Stages(stages), _) => (stages.tell)(&self.context, functions),
            (Body::Function(_), Some(code)) => functions.add(code, &self.context, version),
            (Body::Function(_), None) => functions.add_closure::<C>(version),
        }
    }

    /// The option that makes the run keep what it finishes, if there is one.
    pub(crate) fn keeps(&self) -> Option<&'static str> {
        self.durable.as_ref()?.keeps()
    }

    /// True if the first items of the input have no results.
    pub(crate) fn skips(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.skip_first > 0)
    }

    /// The identity of the results that this run keeps; `None` if it keeps none. This hashes the
    /// shared parameters.
    ///
    /// # Errors
    ///
    /// If an option of a durable run has a value that it does not take, or is missing.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, Error> {
        self.durable.as_ref().map_or(Ok(None), |durable| durable.identity(|functions| self.tell(functions)))
    }

    /// Does the same for results that the run keeps because of this option, as a task of an array.
    #[cfg(feature = "array")]
    pub(crate) fn identity_for(&self, option: &'static str, result: &str) -> Result<Identity, Error> {
        self.durable.as_ref().map_or(Ok(()), |durable| durable.check())?;
        let mut functions = Functions::default();
        self.tell(&mut functions);
        functions.identity::<T>(option, Kind::Checkpoint, self.version(), result)
    }

    fn version(&self) -> Option<&String> {
        self.durable.as_ref()?.version.as_ref()
    }

    /// True if the run's policy takes a result out, which may be set after that of the codec.
    pub(crate) fn takes_out(&self, result: &R) -> bool {
        self.fails.is_some_and(|fails| fails(result))
    }

    /// Adds the result of the next item, with the item's hash, to those that go to the store;
    /// `None` if a policy takes the result out, so that nothing is stored.
    ///
    /// The text of an error says why the result could not become bytes.
    pub(crate) fn push(
        &self,
        codec: &Codec<R>,
        encoded: &mut Encoded,
        item: u64,
        result: &R,
    ) -> Option<Result<(), String>> {
        if let Some(Err(cause)) = self.durable.as_ref().map(|durable| durable.read_back(codec, result)) {
            return Some(Err(cause));
        }
        (codec.push)(encoded, item, result)
    }
}
