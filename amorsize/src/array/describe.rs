//! `array.json`: the identity of the results of all tasks.

use serde_json::Value;

use super::ArrayError;
use super::directory::{Directory, read_once, write_once};
use crate::error::Changed;
use crate::store::{Difference, Identity, Missing, identity_json, of_another};

/// The identity of an array's results, as this process knows it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) tasks: usize,
    pub(super) items: usize,
    pub(super) identity: Identity,
    /// The text given as the input's name, or the hash of its items.
    pub(super) input: String,
}

impl Described {
    fn to_json(&self) -> Value {
        let mut described = identity_json(&self.identity);
        described["tasks"] = self.tasks.into();
        described["items"] = self.items.into();
        described["input"] = self.input.clone().into();
        described
    }

    /// Refuses a directory with results of another array. False if it has none.
    pub(super) fn compare(&self, directory: &Directory) -> Result<bool, ArrayError> {
        let path = directory.array();
        let mut was = read_once(&path, None)?;
        if was.is_none() && directory.has_tasks()? {
            // Another process may have written both in between.
            was = read_once(&path, None)?;
            if was.is_none() {
                return Err(ArrayError::Damaged { path, offset: 0, task: None });
            }
        }
        let Some(was) = was else { return Ok(false) };
        match self.difference(&was) {
            Ok(None) => Ok(true),
            Ok(Some((what, before, now, way_out))) => Err(ArrayError::refused(format!(
                "{} has results of another array: its {what} was {before} and is now {now}; {way_out}",
                directory.path().display()
            ))),
            Err(Missing(_)) => Err(ArrayError::Damaged { path, offset: 0, task: None }),
        }
    }

    /// Does the same, and describes a directory that has no results.
    pub(super) fn compare_or_write(&self, directory: &Directory) -> Result<(), ArrayError> {
        if self.compare(directory)? {
            return Ok(());
        }
        let path = directory.path();
        std::fs::create_dir_all(path).map_err(|error| ArrayError::io(path, "made", error))?;
        if !write_once(&directory.array(), &self.to_json())? {
            self.compare(directory)?;
        }
        Ok(())
    }

    /// The first respect in which the results are of another array: its name, both values, and the
    /// way out.
    fn difference(&self, was: &Value) -> Result<Option<(String, String, String, String)>, Missing> {
        const OTHER_DIRECTORY: &str = "go back to what it was, or use another directory";
        const INPUT: &str = "give it the same items in the same order (sort what has none, such as a directory or a hash \
                             map), or use another directory";
        const TASKS: &str = "call `array` with that, or set AMORSIZE_TASKS, or use another directory";

        let is = self.to_json();
        let told = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| format!("`{text}`"));
        let differs = |key: &str, what: &str, way_out: &str| {
            let (was, is) = (&was[key], &is[key]);
            (was != is).then(|| (what.to_owned(), told(was), told(is), way_out.to_owned()))
        };
        let unreadable = ["format", "platform"].iter().find_map(|key| differs(key, key, OTHER_DIRECTORY));
        if unreadable.is_some() {
            return Ok(unreadable);
        }
        // Each part of the results tells their shape.
        if let Some(Difference { what, was, is, same_version }) = of_another(was, &self.identity)? {
            let way_out = match same_version.filter(|_| what == Changed::Function) {
                Some(version) => {
                    format!("{OTHER_DIRECTORY}; if the results are the same, state `version = \"{version}\"`")
                }
                None => OTHER_DIRECTORY.to_owned(),
            };
            let [was, is] = [was, is].map(|text| match text.strip_prefix("hash ") {
                Some(hash) => format!("hash `{hash}`"),
                None => text,
            });
            return Ok(Some((what.to_string(), was, is, way_out)));
        }
        let tasks = differs("tasks", "number of tasks", TASKS);
        Ok(tasks.or_else(|| differs("items", "number of items", INPUT)).or_else(|| differs("input", "input", INPUT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;

    fn described(version: Option<&str>, item: &str, result: &str) -> Described {
        let identity = Identity {
            kind: Kind::Checkpoint,
            function: "thumbs::resize".into(),
            tokens: 1,
            version: version.map(Into::into),
            item: item.into(),
            result: result.into(),
            shared: Vec::new(),
        };
        Described { tasks: 2, items: 8, identity, input: "id photos".into() }
    }

    fn difference(was: &Described, is: &Described) -> Option<String> {
        let difference = is.difference(&was.to_json()).unwrap_or_else(|Missing(key)| panic!("no {key}"));
        difference.map(|(what, ..)| what)
    }

    #[test]
    fn a_version_stands_for_the_names_of_types() {
        let what = |version: Option<&str>, item, result| {
            difference(&described(version, "u32", "String"), &described(version, item, result))
        };
        assert_eq!(what(None, "u32", "moved::String").as_deref(), Some("type of results"));
        assert_eq!(what(None, "u64", "String").as_deref(), Some("type of items"));
        assert_eq!(what(Some("1"), "u64", "moved::String"), None);
        // The hash of the code, stated as the version, says that results are the same.
        let stated = described(Some("0000000000000001"), "u64", "moved::String");
        assert_eq!(difference(&described(None, "u32", "String"), &stated), None);
    }
}
