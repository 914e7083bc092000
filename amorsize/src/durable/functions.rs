//! The functions of a durable run: their code, versions and shared parameters.

use std::any::type_name;
use std::collections::HashMap;

use crate::code::{Code, HashesOne, Listener, Tell};
use crate::error::Error;
use crate::store::{Identity, Kind, StableHasher};

pub(super) const NEW_VERSION: &str = "a number or a text, and another one when the results change";

/// The functions of a run: one, or the stages of a pipeline.
#[derive(Default)]
pub(crate) struct Functions(Vec<Told>);

/// A function, as far as it is known.
#[derive(Default)]
struct Told {
    path: String,
    /// Types and values of its generic parameters. Its code is the same for all of them.
    generics: Vec<String>,
    /// `None` for a closure.
    tokens: Option<u64>,
    version: Option<String>,
    /// The name and the hash of each shared parameter; no hash if its type is not `Hash`.
    shared: Vec<(&'static str, Option<u64>)>,
}

impl Told {
    fn name(&self) -> &str {
        self.path.rsplit("::").next().unwrap_or_default()
    }

    /// The path as a caller writes it: `app::predict::<app::Large, 3>`.
    fn called(&self) -> String {
        match self.generics.as_slice() {
            [] => self.path.clone(),
            generics => format!("{}::<{}>", self.path, generics.join(", ")),
        }
    }
}

impl Listener for Told {
    fn take_type(&mut self, name: &'static str) {
        self.path = format!("{name}::{}", self.name());
    }

    fn take_generic(&mut self, argument: String) {
        self.generics.push(argument);
    }

    fn take_shared(&mut self, name: &'static str, hash: Option<HashesOne<'_>>) {
        self.shared.push((name, hash.map(|hash| StableHasher::default().with(|hasher| hash(hasher)))));
    }
}

impl Functions {
    /// Adds a function with an attribute. `version` takes precedence over its own.
    pub(crate) fn add<C>(&mut self, (code, tell): (&Code, Tell<C>), context: &C, version: Option<&String>) {
        let (path, version) =
            (code.path.to_owned(), version.cloned().or(code.version.map(|version| version.to_string())));
        let mut told = Told { path, tokens: Some(code.tokens), version, ..Told::default() };
        tell(context, &mut told);
        self.0.push(told);
    }

    /// Adds a closure. Its type has the path of the function that it stands in.
    pub(crate) fn add_closure<F>(&mut self, version: Option<&String>) {
        self.0.push(Told { path: type_name::<F>().to_owned(), version: version.cloned(), ..Told::default() });
    }

    /// The identity of the results that these functions give for items of the type `T`, and that
    /// are kept because of `option`.
    ///
    /// # Errors
    ///
    /// If the identity can't be known.
    pub(crate) fn identity<T>(
        &self,
        option: &'static str,
        kind: Kind,
        version: Option<&String>,
        result: &str,
    ) -> Result<Identity, Error> {
        if let Some((function, parameter)) = self.unhashed() {
            return Err(Error::invalid_option(
                option,
                format!("given with the shared parameter `{parameter}` of `{function}`, which is not `Hash`"),
                "a type that is `Hash` (a trait object by `impl Hash for dyn Trait + '_`), or the attribute's `ignore(..)` where results don't depend on it",
            ));
        }
        let Some((tokens, version)) = self.code(version) else {
            return Err(Error::invalid_option(
                "version",
                format!("left out with `{option}` and a closure"),
                NEW_VERSION,
            ));
        };
        Ok(Identity {
            kind,
            function: self.path(),
            tokens,
            version,
            item: type_name::<T>().to_owned(),
            result: result.to_owned(),
            shared: self.shared(),
        })
    }

    /// The first shared parameter without a hash, with the name of its function before it.
    pub(super) fn unhashed(&self) -> Option<(&str, &'static str)> {
        self.0.iter().find_map(|told| {
            let (name, _) = told.shared.iter().find(|(_, hash)| hash.is_none())?;
            Some((told.name(), *name))
        })
    }

    pub(super) fn path(&self) -> String {
        let paths: Vec<_> = self.0.iter().map(Told::called).collect();
        paths.join(" then ")
    }

    /// The hash of the tokens, and the version: that of the run, or those of all functions. `None`
    /// if a function has neither.
    pub(super) fn code(&self, version: Option<&String>) -> Option<(u64, Option<String>)> {
        let versions: Option<Vec<_>> = self.0.iter().map(|told| told.version.clone()).collect();
        let version = version.cloned().or(versions.map(|versions| versions.join(", ")));
        if version.is_none() && self.0.iter().any(|told| told.tokens.is_none() && told.version.is_none()) {
            return None;
        }
        let tokens = match self.0.as_slice() {
            [one] => one.tokens.unwrap_or(0),
            // A version stands for the tokens of its stage.
            all => {
                let codes: Vec<_> =
                    all.iter().map(|told| (&told.version, told.tokens.filter(|_| told.version.is_none()))).collect();
                StableHasher::default().of(&codes)
            }
        };
        Some((tokens, version))
    }

    /// The shared parameters with their hashes, each under a name of its own. In a pipeline, each
    /// has the name of its function before it. Stages may have the same function, or functions of
    /// one name: then a name that was there before has its number behind it.
    pub(super) fn shared(&self) -> Vec<(String, u64)> {
        let (mut all, mut counts) = (Vec::new(), HashMap::new());
        for told in &self.0 {
            for &(name, hash) in &told.shared {
                let Some(hash) = hash else { continue };
                let mut name = match self.0.len() {
                    1 => String::from(name),
                    _ => format!("{}::{name}", told.name()),
                };
                let count = counts.entry(name.clone()).or_insert(0);
                *count += 1;
                if *count > 1 {
                    name = format!("{name} ({count})");
                }
                all.push((name, hash));
            }
        }
        all
    }
}
