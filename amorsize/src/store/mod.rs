//! A directory that keeps the finished items of a run, so that the next run goes on from there.
//!
//! It knows nothing of runs, policies or pools: the engine tells it the items that are done now,
//! and asks it for those that were done before. The page `format` of the guide describes the files.
//!
//! | step | call |
//! | --- | --- |
//! | what the results belong to | [`Identity`], with hashes of shared parameters by [`StableHasher::of`] |
//! | open, lock, read what is done | [`Store::open`]: `CheckpointBusy`, `CheckpointChanged`, `Damaged`, `Storage` |
//! | the type is as it was | [`Store::check_results`], before anything is called |
//! | start writing | [`Store::writer`] with [`Settings`]; a run that has nothing to do makes no file |
//!
//! **Items that are done.** [`Found::done`] has them by index as [`Done`]: each stands for
//! consecutive items that are accepted or refused together. There may be gaps between them. The
//! engine pulls the items of a `Done`, pushes the hash of each to an [`ItemsHash`], and gives that
//! to [`Store::check_items`] before it hands anything over. [`Store::read`] gives [`Restored`], the
//! bytes of the results; any thread may decode them by [`Restored::results`]. [`Found::next_done`]
//! finds the end of the next gap. At the end of the input [`Store::check_end`] refuses one that has
//! become shorter.
//!
//! **Items that are computed.** A worker makes an [`Encoded`] for the index of the first item of
//! its chunk, adds results with the hashes of their items by [`Encoded::push`], and gives it to
//! [`Writer::put`], which takes no time. An item without a result (an error, a panic) ends an
//! `Encoded`, and the next one begins behind it. A result that can't be serialized ends the run,
//! with [`Writer::not_serialized`]. Journals have [`Writer::done`] instead, after the sink has
//! returned. Both take what is done in any order.
//!
//! **Memory.** [`Writer::held`] are bytes that are encoded and not written. The engine starts no
//! call while [`Writer::has_room`] is false. [`Settings::ledger`] counts them until they are given
//! back; a thread that may sleep calls [`Writer::wait_for_room`]. The writer itself has up to two
//! frames beside that, each of 1 MiB or of one larger result. A store keeps contents that it has
//! read, up to 8 MiB.
//!
//! **The end.** The engine calls [`Writer::end_of_input`] when the input has ended and
//! [`Found::end`] does not know it yet, then [`Writer::finish`]. A writer that is dropped does the
//! same silently. [`Writer::failure`] says why the thread has stopped: it takes nothing more, and
//! the run ends with that error. [`Settings::has_failed`] tells at once. [`Store::remove`] is for
//! `remove_when_done`.
//!
//! **Sinks with places.** A journal's run asks for [`Found::place`] (none is 0), lets the sink go
//! back to it, says so by [`Writer::go_on_from`], and gives each place with [`Writer::done`]. A
//! sink that has not come as far as the place, because its file is gone, must be refused. Damage
//! takes all that was done behind it, since the sink loses that too.

mod bytes;
mod contents;
mod done;
mod encode;
mod encoded;
mod found;
mod frame;
mod identity;
mod lock;
mod manifest;
mod open;
mod pen;
mod removal;
mod scan;
mod segment;
mod shape;
#[cfg(all(test, not(loom)))]
mod tests;
mod writer;

pub(crate) use contents::Buffers;
#[cfg(feature = "array")]
pub(crate) use contents::{Contents, Stored, Unreadable};
pub(crate) use done::Done;
pub(crate) use encode::{decode_nth, decode_some, decode_whole, encode, read_back};
pub(crate) use encoded::Encoded;
pub(crate) use found::{Found, Reading, Restored};
pub(crate) use frame::{BLOCK, FRAME, Head, KEPT_FRAMES};
#[cfg(feature = "array")]
pub(crate) use frame::{CLOSING, LZ4, Run, Spot};
pub(crate) use identity::{Identity, ItemsHash, Kind, StableHasher};
#[cfg(feature = "array")]
pub(crate) use manifest::{Difference, Missing, hex, identity_json, of_another};
pub(crate) use open::Store;
#[cfg(feature = "array")]
pub(crate) use scan::hash;
pub(crate) use segment::free;
#[cfg(feature = "array")]
pub(crate) use segment::{Created, FORMAT, Header, Supply};
#[cfg(any(test, feature = "array", feature = "parquet"))]
pub(crate) use shape::Shape;
pub(crate) use writer::{Settings, Writer};
