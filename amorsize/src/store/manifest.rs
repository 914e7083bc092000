//! `manifest.json`: the identity of a directory's results. It is written once.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::identity::{Identity, Kind};
use super::segment::{FORMAT, free};
use crate::error::stored::{MANIFEST, storage};
use crate::error::{Changed, Error, ErrorKind};
use crate::system::paths::sync_directory;
use crate::units::date::minute_and_second;

/// The name of a manifest whose directory is being removed.
pub(super) const REMOVED: &str = "manifest.json.removed";

/// Compares with the manifest that is there, or writes one in a directory without segments. Gives
/// the date and the versions with which the directory was begun, for messages.
pub(crate) fn compare_or_write(directory: &Path, identity: &Identity, has_segments: bool) -> Result<String, Error> {
    if let Some(was) = read(directory, has_segments)? {
        let difference = unreadable(&was, identity.kind).and_then(|reason| match reason {
            Some(reason) => Ok(Some(reason)),
            None => of_another(&was, identity),
        });
        return unless_changed(directory, &was, difference);
    }
    let manifest = of(identity, SystemTime::now());
    write(directory, &manifest)?;
    Ok(begun(&manifest))
}

/// The date on which a directory with results was begun, and the versions of amorsize and of the
/// compiler that began it.
pub(crate) fn begun_with_results(directory: &Path, has_segments: bool) -> Result<String, Error> {
    // Without segments if they are being removed: they don't count any more.
    let has_segments = has_segments && !directory.join(REMOVED).exists();
    let Some(was) = read(directory, has_segments)? else {
        let cause = format!("it has no `{MANIFEST}`, so no run has begun there; open the directory of a checkpoint");
        return Err(storage(directory, "opened", &io::Error::new(io::ErrorKind::NotFound, cause), None, None));
    };
    unless_changed(directory, &was, unreadable(&was, Kind::Checkpoint))
}

/// The manifest; `None` if the directory has neither one nor segments.
fn read(directory: &Path, has_segments: bool) -> Result<Option<Value>, Error> {
    let path = directory.join(MANIFEST);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !has_segments => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(&path, MISSING)),
        Err(error) => return Err(storage(&path, "read", &error, None, None)),
    };
    // Damage that takes both of these leaves nothing of ours.
    let text = String::from_utf8_lossy(&bytes);
    if !has_segments && !text.contains("\"amorsize\"") && !text.contains("\"keeps\"") {
        let cause = io::Error::new(io::ErrorKind::InvalidData, FOREIGN);
        return Err(storage(&path, "read", &cause, None, None));
    }
    let Ok(text) = str::from_utf8(&bytes) else { return Err(damaged(&path, "it is no text")) };
    serde_json::from_str(text).map(Some).map_err(|error| damaged(&path, &error.to_string()))
}

/// The date and the versions with which a directory was begun, unless it is of another run.
fn unless_changed(
    directory: &Path,
    manifest: &Value,
    difference: Result<Option<Difference>, Missing>,
) -> Result<String, Error> {
    let begun = begun(manifest);
    match difference {
        Ok(None) => Ok(begun),
        Ok(Some(Difference { what, was, is, same_version })) => {
            let directory = directory.to_owned();
            Err(Error::new(ErrorKind::CheckpointChanged { directory, what, was, is, begun, same_version }))
        }
        Err(Missing(key)) => Err(damaged(&directory.join(MANIFEST), &format!("it has no `{key}`"))),
    }
}

const MISSING: &str = "it is missing, and there are results";

const FOREIGN: &str = "amorsize has not written it, and it may belong to another program; use another directory, or move this \
                       file away if nothing needs it";

fn damaged(path: &Path, cause: &str) -> Error {
    Error::new(ErrorKind::Damaged { path: path.to_owned(), offset: 0, cause: cause.to_owned() })
}

pub(crate) fn hex(number: u64) -> String {
    format!("{number:016x}")
}

fn platform() -> String {
    let order = if cfg!(target_endian = "big") { "big-endian" } else { "little-endian" };
    format!("{} bits, {order}", usize::BITS)
}

fn keeps(kind: Kind) -> &'static str {
    match kind {
        Kind::Checkpoint => "results",
        Kind::Journal => "which items are done",
    }
}

/// The format of a directory as a message calls it, by what it keeps.
fn kept(keeps: &str) -> String {
    match keeps {
        "results" => "that of a checkpoint (it keeps results)".to_owned(),
        "which items are done" => "that of a journal (it keeps which items are done)".to_owned(),
        other => format!("one that keeps {other}"),
    }
}

/// The keys that a manifest has in common with the description of an array.
pub(crate) fn identity_json(identity: &Identity) -> Value {
    let shared: serde_json::Map<_, _> =
        identity.shared.iter().map(|(name, hash)| (name.clone(), hex(*hash).into())).collect();
    json!({
        "format": FORMAT,
        "function": identity.function,
        "tokens": hex(identity.tokens),
        "version": identity.version,
        "item": identity.item,
        "result": identity.result,
        "shared": shared,
        "platform": platform(),
        "amorsize": env!("CARGO_PKG_VERSION"),
    })
}

fn of(identity: &Identity, now: SystemTime) -> Value {
    let mut manifest = identity_json(identity);
    manifest["keeps"] = keeps(identity.kind).into();
    manifest["rustc"] = env!("AMORSIZE_RUSTC").into();
    manifest["begun"] = format!("{} UTC", minute_and_second(now).0).into();
    manifest
}

/// The date on which the directory was begun, and the versions of amorsize and of the compiler that
/// began it.
fn begun(manifest: &Value) -> String {
    let text = |key: &str| manifest[key].as_str().unwrap_or("unknown").to_owned();
    format!("{} with amorsize {} and rustc {}", text("begun"), text("amorsize"), text("rustc"))
}

/// Writes the manifest, so that a power cut leaves no file or a complete one.
fn write(directory: &Path, manifest: &Value) -> Result<(), Error> {
    let (new, path) = (directory.join("manifest.json.new"), directory.join(MANIFEST));
    let mut text = serde_json::to_string_pretty(manifest).expect("values are always JSON");
    text.push('\n');
    let failed = |operation| {
        let (new, needed) = (&new, text.len() as u64);
        move |error: io::Error| storage(new, operation, &error, Some(needed), free(directory))
    };
    let mut file = File::create(&new).map_err(failed("made"))?;
    file.write_all(text.as_bytes()).map_err(failed("written"))?;
    file.sync_all().map_err(failed("synced"))?;
    fs::rename(&new, &path)
        .and_then(|()| sync_directory(directory))
        .map_err(|error| storage(&path, "put in place", &error, None, None))
}

/// A respect in which results are of another run.
pub(crate) struct Difference {
    pub(crate) what: Changed,
    pub(crate) was: String,
    pub(crate) is: String,
    /// The version to state if results are the same.
    pub(crate) same_version: Option<String>,
}

/// A key that is missing, or has a value of another type.
pub(crate) struct Missing(pub(crate) &'static str);

fn text<'m>(manifest: &'m Value, key: &'static str) -> Result<&'m str, Missing> {
    manifest[key].as_str().ok_or(Missing(key))
}

fn differs(what: Changed, was: String, is: String) -> Option<Difference> {
    (was != is).then_some(Difference { what, was, is, same_version: None })
}

/// The first reason why the results can't be read, whichever run has them.
fn unreadable(manifest: &Value, kind: Kind) -> Result<Option<Difference>, Missing> {
    let was = manifest["format"].as_u64().ok_or(Missing("format"))?;
    if let Some(format) = differs(Changed::Format, was.to_string(), FORMAT.to_string()) {
        // It may have other keys.
        return Ok(Some(format));
    }
    let keeps = differs(Changed::Format, kept(text(manifest, "keeps")?), kept(keeps(kind)));
    Ok(keeps.or(differs(Changed::Platform, text(manifest, "platform")?.to_owned(), platform())))
}

/// The first respect in which results that can be read are of another run.
///
/// Without a version, the hash of the function's tokens is the version. A run that states this hash
/// as its version says that its results are still the same. So a first version never makes old
/// results those of a function that has changed.
pub(crate) fn of_another(manifest: &Value, identity: &Identity) -> Result<Option<Difference>, Missing> {
    let text = |key| text(manifest, key);
    let quoted = |text: &str| format!("`{text}`");

    let was_version = match &manifest["version"] {
        Value::Null => None,
        version => Some(version.as_str().ok_or(Missing("version"))?),
    };
    let (was_tokens, tokens) = (text("tokens")?, hex(identity.tokens));
    let is_version = identity.version.as_deref();
    let same = was_version.unwrap_or(was_tokens) == is_version.unwrap_or(&tokens);
    let code = match (was_version, is_version) {
        _ if same => None,
        (None, None) => Some(Difference {
            what: Changed::Function,
            was: format!("code {was_tokens}"),
            is: format!("code {tokens}"),
            same_version: Some(was_tokens.to_owned()),
        }),
        (was, is) => {
            let stated = |version: Option<&str>| version.map_or("not stated".to_owned(), quoted);
            let same_version = was.is_none().then(|| was_tokens.to_owned());
            Some(Difference { what: Changed::Version, was: stated(was), is: stated(is), same_version })
        }
    };

    let function = differs(Changed::Function, quoted(text("function")?), quoted(&identity.function));
    let (was_item, was_result) = (quoted(text("item")?), quoted(text("result")?));
    let types = || {
        differs(Changed::Item, was_item, quoted(&identity.item))
            .or_else(|| differs(Changed::Result, was_result, quoted(&identity.result)))
    };
    let types = if was_version.is_none() && is_version.is_none() { types() } else { None };
    let was_shared = manifest["shared"].as_object().ok_or(Missing("shared"))?;
    Ok(function.or(code).or(types).or_else(|| shared(was_shared, &identity.shared)))
}

fn shared(was: &serde_json::Map<String, Value>, is: &[(String, u64)]) -> Option<Difference> {
    const NONE: &str = "none";
    let before =
        |name: &String| was.get(name).map_or(NONE.into(), |hash| format!("hash {}", hash.as_str().unwrap_or("?")));
    let now = |name: &String| {
        is.iter().find(|(known, _)| known == name).map_or(NONE.into(), |(_, hash)| format!("hash {}", hex(*hash)))
    };
    let mut names = is.iter().map(|(name, _)| name).chain(was.keys());
    let name = names.find(|name| before(name) != now(name))?;
    let (was, is) = (before(name), now(name));
    Some(Difference { what: Changed::Shared(name.clone()), was, is, same_version: None })
}
