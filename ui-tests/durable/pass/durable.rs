//! Runs that keep what they finish: what compiles of them.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unused, clippy::all)]

use std::fmt::Debug;
use std::hash::Hash;
use std::io;

use amorsize::on_error::{Each, Skip};
use amorsize::{Batched, Bytes, Keyed, batched, process_in_batches};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Neither `Hash` nor `Serialize`.
#[derive(Clone)]
struct Client;

/// Not `Hash`.
struct Photo {
    id: u64,
    exposure: f64,
}

#[derive(Hash)]
struct Model {
    weight: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Thumb {
    name: String,
}

const RUNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/runs");

#[batched(checkpoint = "runs/thumbs", ignore(client, by))]
fn thumb(x: u32, client: &Client, (a, b): (u8, u8), by: f64) -> Thumb {
    let _ = (client, a, b, by);
    Thumb { name: x.to_string() }
}

/// An `io::Error` need not be stored where a policy takes it out.
#[batched(checkpoint = RUNS, on_error = "skip", version = env!("CARGO_PKG_VERSION"), max_disk = Bytes::gib(1))]
fn read(path: &str) -> io::Result<String> {
    std::fs::read_to_string(path)
}

/// Nothing is asked of the results of a journal.
#[batched(journal = "runs/clients", key = id_of, remove_when_done, spill_dir = "/var/tmp", max_disk = "1GiB")]
fn client(photo: Photo) -> io::Result<Client> {
    let _ = photo.exposure;
    Ok(Client)
}

fn id_of(photo: &Photo) -> u64 {
    photo.id
}

#[batched(checkpoint = "runs/keys", key = |photo: &Photo| photo.id, version = 3)]
fn exposure(photo: Photo) -> f64 {
    photo.exposure
}

/// An `io::Error` in the place of an item need not be `Hash`.
#[batched(fallible_input, checkpoint = "runs/words", on_error = "stop")]
fn words(line: String) -> io::Result<usize> {
    Ok(line.split(' ').count())
}

/// The key is that of an item.
#[batched(fallible_input, journal = "runs/lines", key = |line: &String| line.len())]
fn lines(line: String) -> io::Result<Client> {
    let _ = line;
    Ok(Client)
}

/// The wrapper states what the run needs.
#[batched(checkpoint = "runs/generic")]
fn generic<T: Debug, U>(x: Vec<T>, with: &Option<U>) -> Option<T> {
    let _ = with;
    x.into_iter().next()
}

impl Model {
    #[batched(checkpoint = "runs/model", ignore(client))]
    fn predict(&self, x: u32, client: &Client) -> u32 {
        let _ = client;
        self.weight * x
    }

    #[batched(journal = "runs/model", ignore(self))]
    fn ignoring(&self, x: &str) -> Client {
        let _ = (self, x);
        Client
    }
}

trait Named {
    #[batched(checkpoint = "runs/named", ignore(self))]
    fn name(&self, x: u32) -> String
    where
        Self: Sync,
    {
        let _ = self;
        x.to_string()
    }
}

impl Named for Client {}

/// A stage, or the whole, in generic code.
fn kept<I, R, P>(run: Batched<I, R, (), P>) -> Batched<I, R, (), Keyed<P>>
where
    I: IntoIterator<Item: Hash>,
    P: amorsize::on_error::Policy<R, Value: Serialize + DeserializeOwned>,
{
    run.key(|_| 1).checkpoint("runs/generic")
}

#[batched]
fn plain(x: u32) -> u32 {
    x
}

fn main() {
    let photos = || vec![Photo { id: 1, exposure: 0.5 }];
    let _run = thumb_batched(0..3, &Client, (1, 2), 0.5).threads(1);
    let _run: Batched<_, io::Result<String>, (), Skip> = read_batched(["a"]);
    let _run = client_batched(photos());
    let _run: Batched<Vec<Photo>, f64, (), Each> = exposure_batched(photos());
    let _run = words_batched([Ok::<_, io::Error>("a b".to_owned())]);
    let _run = lines_batched([Ok::<_, io::Error>("a b".to_owned())]);
    let _run = generic_batched([vec![1_u8]], &Some("a"));
    let _run = Model { weight: 3 }.predict_batched(0..3, &Client);
    let _run = Model { weight: 3 }.ignoring_batched(["a"]);
    let _run = Client.name_batched(0..3);
    let _run = kept(plain_batched(0..3));

    // Methods in any order.
    let _run = exposure_batched(photos()).key(|photo: &Photo| photo.id).checkpoint("runs/thumbs");
    let _run = exposure_batched(photos()).key(|photo: &Photo| photo.id).max_memory(0.5).journal("runs").version("1").threads(1);
    let _run = plain_batched(0..3).checkpoint("runs").key(|x| *x).max_disk("1GiB").skip_first(2);
    let _run = process_in_batches(f64::sqrt, [1.0]).key(|x: &f64| x.to_bits()).journal("runs").version(1);
    let _run = plain_batched(0..3).then(plain_batched).checkpoint("runs");
}
