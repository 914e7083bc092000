//! `array.json`: the identity of the results of all tasks.

use serde_json::{Map, Value, json};

use super::ArrayError;
use super::directory::{Directory, read_once, write_once};
use crate::store::{FORMAT, Identity, hex, platform};

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
        let identity = &self.identity;
        let shared: Map<String, Value> =
            identity.shared.iter().map(|(name, hash)| (name.clone(), hex(*hash).into())).collect();
        json!({
            "format": FORMAT,
            "platform": platform(),
            "function": identity.function,
            "version": identity.version,
            "tokens": hex(identity.tokens),
            "item": identity.item,
            "result": identity.result,
            "shared": shared,
            "tasks": self.tasks,
            "items": self.items,
            "input": self.input,
            "amorsize": env!("CARGO_PKG_VERSION"),
        })
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
        match difference(&was, &self.to_json()) {
            None => Ok(true),
            Some((what, before, now, way_out)) => Err(ArrayError::refused(format!(
                "{} has results of another array: its {what} was {before} and is now {now}; {way_out}",
                directory.path().display()
            ))),
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
}

const OTHER_DIRECTORY: &str = "go back to that, or use another directory";

/// The first respect in which two arrays differ: its name, both values, and the way out.
fn difference(was: &Value, is: &Value) -> Option<(String, String, String, String)> {
    let told = |value: &Value| match value {
        Value::String(text) => format!("`{text}`"),
        Value::Null => "not stated".to_owned(),
        other => other.to_string(),
    };
    let differs = |key: &str, what: &str, way_out: &str| {
        let (was, is) = (&was[key], &is[key]);
        (was != is).then(|| (what.to_owned(), told(was), told(is), way_out.to_owned()))
    };
    let plain = |key, what| differs(key, what, OTHER_DIRECTORY);
    // Without a version, the hash of the function's tokens is its version. A program that states
    // this hash as its version says that results are still the same.
    let version = |array: &Value| match &array["version"] {
        Value::Null => array["tokens"].clone(),
        stated => stated.clone(),
    };
    let states_version = |array: &Value| !array["version"].is_null();
    let code = || {
        if version(was) == version(is) {
            return None;
        }
        if states_version(was) || states_version(is) {
            return plain("version", "`version`");
        }
        let tokens = was["tokens"].as_str().unwrap_or_default();
        let way_out = format!("{OTHER_DIRECTORY}; if the results are the same, state `version = \"{tokens}\"`");
        differs("tokens", "code", &way_out)
    };
    let types = || plain("result", "type of results").or_else(|| plain("item", "type of items"));
    let shared = || {
        let both = [&was["shared"], &is["shared"]].map(|shared| shared.as_object());
        let names = both.iter().flatten().flat_map(|shared| shared.keys());
        let (mut names, value) = (names, |at: usize, name: &String| both[at].and_then(|shared| shared.get(name)));
        let name = names.find(|name| value(0, name) != value(1, name))?;
        let hash = |at| value(at, name).map_or("none".to_owned(), |hash| format!("hash {}", told(hash)));
        Some((format!("shared parameter `{name}`"), hash(0), hash(1), OTHER_DIRECTORY.to_owned()))
    };
    let input = "give it the same items in the same order (sort what has none, such as a directory or a hash map), or use \
                 another directory";
    plain("format", "format")
        .or_else(|| plain("platform", "platform"))
        .or_else(|| plain("function", "function"))
        .or_else(code)
        // A version stands for the names of types, too. Each part tells the shape of its results.
        .or_else(|| if states_version(was) || states_version(is) { None } else { types() })
        .or_else(shared)
        .or_else(|| {
            differs(
                "tasks",
                "number of tasks",
                "call `array` with that, or set AMORSIZE_TASKS, or use another directory",
            )
        })
        .or_else(|| differs("items", "number of items", input))
        .or_else(|| differs("input", "input", input))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;

    fn described(version: Option<&str>, item: &str, result: &str) -> Value {
        let identity = Identity {
            kind: Kind::Checkpoint,
            function: "thumbs::resize".into(),
            tokens: 1,
            version: version.map(Into::into),
            item: item.into(),
            result: result.into(),
            shared: Vec::new(),
        };
        Described { tasks: 2, items: 8, identity, input: "id photos".into() }.to_json()
    }

    #[test]
    fn a_version_stands_for_the_names_of_types() {
        let what = |version: Option<&str>, item, result| {
            let difference = difference(&described(version, "u32", "String"), &described(version, item, result));
            difference.map(|(what, ..)| what)
        };
        assert_eq!(what(None, "u32", "moved::String").as_deref(), Some("type of results"));
        assert_eq!(what(None, "u64", "String").as_deref(), Some("type of items"));
        assert_eq!(what(Some("1"), "u64", "moved::String"), None);
        // The hash of the code, stated as the version, says that results are the same.
        let stated = described(Some(&hex(1)), "u64", "moved::String");
        assert!(difference(&described(None, "u32", "String"), &stated).is_none());
    }
}
