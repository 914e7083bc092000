//! The file `done` of a task. It lists the frames, in order, that are the task's results.

use serde_json::{Value, json};

use super::ArrayError;
use super::directory::{Directory, read_once, write_once};
use super::parts::Piece;

/// The contents of a task's `done`.
#[derive(Debug)]
pub(super) struct Finished {
    /// The names of the parts.
    pub(super) parts: Vec<String>,
    /// The pieces of the parts, in the order of the items.
    pub(super) pieces: Vec<Piece>,
}

impl Finished {
    /// Reads the file of a task; `None` if the task is not done.
    pub(super) fn read(directory: &Directory, task: usize) -> Result<Option<Self>, ArrayError> {
        let path = directory.done(task);
        let Some(object) = read_once(&path, Some(task))? else { return Ok(None) };
        // The bytes are those that were written, so a key is missing only in a file of another
        // task.
        let finished = Self::of_json(&object).filter(|_| object["task"] == json!(task));
        finished.map(Some).ok_or(ArrayError::Damaged { path, offset: 0, task: Some(task) })
    }

    fn of_json(object: &Value) -> Option<Self> {
        let parts: Option<Vec<String>> =
            object["parts"].as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        let parts = parts?;
        let mut pieces = Vec::new();
        for frame in object["frames"].as_array()? {
            let number = |at: usize| frame[at].as_u64();
            let (part, items) = (usize::try_from(number(0)?).ok()?, u32::try_from(number(3)?).ok()?);
            parts.get(part)?;
            pieces.push(Piece { part, offset: number(1)?, first: number(2)?, items });
        }
        Some(Self { parts, pieces })
    }

    /// Writes the file, unless another attempt was first.
    pub(super) fn write(&self, directory: &Directory, task: usize) -> Result<(), ArrayError> {
        let frames: Vec<_> =
            self.pieces.iter().map(|piece| json!([piece.part, piece.offset, piece.first, piece.items])).collect();
        let object = json!({"task": task, "parts": self.parts, "frames": frames});
        write_once(&directory.done(task), &object).map(drop)
    }
}
