//! Results count by their deep size, with types of any crate. The plan of an annotated function
//! shows it.

use std::io;
use std::sync::Arc;

use amorsize::{DeepSize, MeasuredBy, Plan, batched};

/// Bytes of content in each result here.
const BYTES: usize = 1 << 20;

/// Checks that the plan measures by the type itself, and finds as many bytes as there are.
#[track_caller]
fn assert_counted(plan: Result<&Plan, amorsize::Error>, bytes: usize) {
    let plan = plan.unwrap();
    assert_eq!(plan.measured_by(), MeasuredBy::DeepSize);
    let counted = plan.bytes_per_item().as_u64() as f64;
    let off = (counted - bytes as f64).abs() / bytes as f64;
    assert!(off <= 0.05, "{counted} bytes were counted of {bytes}");
}

mod standard {
    use super::*;
    use std::collections::{BTreeMap, HashMap};

    #[batched]
    fn shared(n: u8) -> Arc<Vec<u8>> {
        Arc::new(vec![n; BYTES])
    }

    #[batched]
    fn kept_elsewhere(n: u8, all: &Arc<[u8]>) -> (u8, Arc<[u8]>) {
        (n, Arc::clone(all))
    }

    #[batched]
    fn map(n: u64) -> HashMap<u64, [u8; 1000]> {
        (0..n).map(|key| (key, [0; 1000])).collect()
    }

    #[batched]
    fn named(n: u32) -> io::Result<BTreeMap<String, Box<[u8]>>> {
        Ok([(n.to_string(), vec![0; BYTES].into())].into())
    }

    #[test]
    fn what_a_sole_owner_holds_counts() {
        assert_counted(shared_batched([1; 8]).plan(), BYTES);
    }

    #[test]
    fn what_many_hold_counts_once() {
        let all: Arc<[u8]> = vec![0; BYTES].into();
        let others: Vec<_> = (0..1000).map(|_| Arc::clone(&all)).collect();
        let mut run = kept_elsewhere_batched([1; 8], &all);
        let plan = run.plan().unwrap();
        assert_eq!(plan.measured_by(), MeasuredBy::DeepSize);
        assert!(plan.bytes_per_item().as_u64() < BYTES as u64 / 100, "{plan}");
        drop(others);
    }

    /// If only their owners counted them, 300 results would have 5.3 times the bytes.
    #[test]
    fn what_results_share_with_their_caller_counts_once_in_all_of_them() {
        let all: Arc<[u8]> = vec![0; BYTES].into();
        let run = || kept_elsewhere_batched([1; 300], &all).max_memory(amorsize::ByteSize::mib(2));
        assert_eq!(run().threads(1).collect::<Vec<_>>().unwrap().len(), 300);
        assert_eq!(run().threads(2).collect::<Vec<_>>().unwrap().len(), 300);
        let report = run().threads(1).batch_size(300).for_each_batch(|_| ()).unwrap();
        let counted = report.result_bytes().as_u64() as f64 / BYTES as f64;
        assert!((0.99..1.02).contains(&counted), "{counted}");
    }

    #[test]
    fn what_results_share_is_counted_while_any_of_them_is_held() {
        let all: Arc<[u8]> = vec![0; BYTES].into();
        let mut held = Vec::new();
        // No more are there at a time, however long calls seem to take.
        let mut run = kept_elsewhere_batched([1; 100], &all).threads(1).batch_size(10).in_flight(10);
        let report = run.for_each_batch(|batch| held.push(batch.len()));
        // Ten of them have 10/11 of it. The next ten do not count for less because the first ten
        // counted.
        let report = report.unwrap();
        let (counted, most) = (report.result_bytes().as_u64() as f64, report.peak_bytes().as_u64() as f64);
        assert!((0.85..1.2).contains(&(most / BYTES as f64)), "{most}");
        assert!(counted / BYTES as f64 > 0.8 * held.len() as f64, "{counted} in {}", held.len());
    }

    /// Ten neighbours share a block. The first of them makes it, and a cache keeps it for the
    /// others.
    #[test]
    fn blocks_that_neighbours_share_count_once_each() {
        static CACHE: std::sync::Mutex<Option<(u32, Arc<Vec<u8>>)>> = std::sync::Mutex::new(None);

        #[batched(threads = 1, batch_size = 1000)]
        fn tile(n: u32) -> Arc<Vec<u8>> {
            let mut cache = CACHE.lock().unwrap();
            match &*cache {
                Some((of, block)) if *of == n / 10 => Arc::clone(block),
                _ => Arc::clone(&cache.insert((n / 10, Arc::new(vec![1; BYTES]))).1),
            }
        }

        let report = tile_batched(0..100).max_memory(amorsize::ByteSize::gib(1)).for_each_batch(|_| ()).unwrap();
        let counted = report.result_bytes().as_u64() as f64 / BYTES as f64;
        // Ten blocks; the cache is one of eleven owners.
        assert!((9.0..10.1).contains(&counted), "{counted}");
    }

    #[test]
    fn collections_count() {
        // 896 entries fill a table of 1,024.
        assert_counted(map_batched([896; 4]).plan(), 1024 * 1009);
        assert_counted(named_batched([1; 4]).plan(), BYTES);
    }
}

mod foreign {
    use super::*;
    use arrow_array::{ArrayRef, Float32Array, RecordBatch};
    use bytes::{Bytes, BytesMut};
    use chrono::{DateTime, TimeDelta, Utc};
    use image::{DynamicImage, ImageResult, RgbImage};
    use indexmap::IndexMap;
    use nalgebra::{DMatrix, DVector, Vector3};
    use ndarray::{Array2, ArrayD, CowArray, Ix1};
    use num_complex::Complex;
    use serde_json::{Value, json};
    use smallvec::SmallVec;
    use uuid::Uuid;

    /// For each function: its return type, and the bytes of a result.
    macro_rules! counted {
        ($($name:ident, $wrapper:ident: $output:ty = $body:expr, $bytes:expr;)*) => {$(
            #[test]
            fn $name() {
                #[batched]
                fn $name(_: u8) -> $output {
                    $body
                }

                assert_counted($wrapper([0; 4]).plan(), $bytes);
            }
        )*};
    }

    counted! {
        arrow_array, arrow_array_batched: Float32Array = vec![0.0; BYTES / 4].into(), BYTES;
        arrow_array_of_any_kind, arrow_array_of_any_kind_batched: ArrayRef = column(), BYTES;
        arrow_record_batch, arrow_record_batch_batched: Result<RecordBatch, Box<dyn std::error::Error + Send + Sync>> =
            Ok(RecordBatch::try_from_iter([("a", column()), ("b", column())])?), 2 * BYTES;
        arrow_shared_column, arrow_shared_column_batched: RecordBatch = {
            let column = column();
            RecordBatch::try_from_iter((0..10).map(|i| (i.to_string(), column.slice(0, 10)))).unwrap()
        }, BYTES;
        bytes, bytes_batched: Bytes = vec![0; BYTES].into(), BYTES;
        bytes_mut, bytes_mut_batched: BytesMut = BytesMut::with_capacity(BYTES), BYTES;
        chrono, chrono_batched: Vec<(DateTime<Utc>, TimeDelta)> = vec![(DateTime::UNIX_EPOCH, TimeDelta::zero()); 10_000],
            10_000 * size_of::<(DateTime<Utc>, TimeDelta)>();
        hashbrown, hashbrown_batched: hashbrown::HashMap<u64, Vec<u8>> = [(1, vec![0; BYTES])].into_iter().collect(), BYTES;
        image, image_batched: ImageResult<RgbImage> = Ok(RgbImage::new(640, 480)), 640 * 480 * 3;
        image_of_any_kind, image_of_any_kind_batched: DynamicImage = DynamicImage::new_rgb32f(640, 480), 640 * 480 * 12;
        indexmap, indexmap_batched: IndexMap<String, Vec<u8>> = [(String::new(), vec![0; BYTES])].into_iter().collect(), BYTES;
        nalgebra_matrix, nalgebra_matrix_batched: DMatrix<f64> = DMatrix::zeros(1024, BYTES / 8192), BYTES;
        nalgebra_vector, nalgebra_vector_batched: DVector<Complex<f32>> = DVector::zeros(BYTES / 8), BYTES;
        nalgebra_static, nalgebra_static_batched: Vec<Vector3<f32>> = vec![Vector3::zeros(); BYTES / 12], BYTES;
        ndarray, ndarray_batched: Array2<f32> = Array2::zeros((1024, BYTES / 4096)), BYTES;
        ndarray_complex, ndarray_complex_batched: Option<ArrayD<Complex<f64>>> = Some(ArrayD::zeros(vec![BYTES / 16])), BYTES;
        ndarray_cow, ndarray_cow_batched: CowArray<'static, u8, Ix1> = ndarray::Array1::zeros(BYTES).into(), BYTES;
        serde_json, serde_json_batched: serde_json::Result<Value> =
            Ok(json!({ "text": "a".repeat(BYTES), "values": [1, 2], "inner": { "text": "a".repeat(BYTES) } })), 2 * BYTES;
        smallvec, smallvec_batched: SmallVec<[u8; 16]> = SmallVec::from_elem(0, BYTES), BYTES;
        uuid, uuid_batched: Vec<Uuid> = vec![Uuid::nil(); BYTES / 16], BYTES;
    }

    fn column() -> ArrayRef {
        Arc::new(Float32Array::from(vec![0.0; BYTES / 4]))
    }
}

mod derived {
    use super::*;
    use bytes::BytesMut;

    #[derive(DeepSize)]
    struct Document<'a> {
        title: &'a str,
        pages: Vec<Page>,
        #[deep_size(skip)]
        _source: Option<Box<dyn Fn() + Send>>,
    }

    #[derive(DeepSize)]
    enum Page {
        Blank,
        Text(String),
        Picture { pixels: Box<[u8]>, notes: Vec<Self> },
    }

    #[batched]
    fn document(title: &str) -> Document<'_> {
        let notes = vec![Page::Text(String::with_capacity(BYTES)), Page::Blank];
        let picture = Page::Picture { pixels: vec![0; BYTES].into(), notes };
        Document { title, pages: vec![Page::Text(String::with_capacity(BYTES)), picture], _source: None }
    }

    #[test]
    fn fields_count() {
        assert_eq!(document("a").title, "a");
        assert_counted(document_batched(["a"; 4]).plan(), 3 * BYTES);
    }

    #[derive(DeepSize)]
    struct Scan {
        picture: image::RgbImage,
        parts: Vec<BytesMut>,
        id: uuid::Uuid,
    }

    #[batched]
    fn scan(_: u8) -> Scan {
        let parts = vec![BytesMut::with_capacity(BYTES)];
        Scan { picture: image::RgbImage::new(1024, BYTES as u32 / 3072), parts, id: uuid::Uuid::nil() }
    }

    #[test]
    fn fields_of_other_crates_count_by_features() {
        assert_eq!(scan(0).picture.width() as usize + scan(0).parts.len() + scan(0).id.get_version_num(), 1025);
        assert_counted(scan_batched([0; 4]).plan(), 2 * BYTES);
        const { assert!(Scan::OWNS_HEAP) };
    }

    #[derive(DeepSize)]
    struct Tree<T> {
        content: T,
        children: Vec<Tree<T>>,
        twin: Option<Arc<Tree<T>>>,
    }

    #[batched]
    fn grow<T: DeepSize + Clone>(content: T) -> Tree<T> {
        let leaf = || Tree { content: content.clone(), children: Vec::new(), twin: None };
        Tree { content: content.clone(), children: vec![leaf(), leaf()], twin: Some(Arc::new(leaf())) }
    }

    #[batched]
    fn grow_unasked<T: Clone>(content: T) -> Tree<T> {
        Tree { content, children: Vec::new(), twin: None }
    }

    #[test]
    fn generic_types_count_where_the_function_asks() {
        assert_counted(grow_batched(vec![vec![0u8; BYTES]; 4]).plan(), 4 * BYTES);
        let mut run = grow_unasked_batched(vec![vec![0u8; BYTES]; 4]);
        assert_eq!(run.plan().unwrap().measured_by(), MeasuredBy::Resident);
    }

    #[derive(DeepSize, Clone, Copy)]
    #[expect(dead_code, reason = "bytes to count")]
    enum Plain {
        Unit,
        Tuple(u8, [f64; 3]),
        Named { at: (u32, char), text: &'static str },
    }

    #[derive(DeepSize)]
    enum Never {}

    #[derive(DeepSize)]
    struct Unit;

    #[test]
    fn what_owns_nothing_is_counted_at_once() {
        const { assert!(!Plain::OWNS_HEAP && !Never::OWNS_HEAP && !Unit::OWNS_HEAP && <Tree<u8>>::OWNS_HEAP) };
        assert_eq!(vec![Plain::Unit; 10].heap_size(), 10 * size_of::<Plain>());
        assert_eq!(Unit.deep_size(), 0);
    }
}

mod bridged {
    use super::*;
    use get_size2::GetSize;

    #[derive(GetSize)]
    struct Theirs {
        text: String,
        parts: Vec<Vec<u8>>,
    }

    fn theirs() -> Theirs {
        Theirs { text: String::with_capacity(BYTES), parts: vec![vec![0; BYTES]; 2] }
    }

    #[batched]
    fn alone(_: u8) -> Theirs {
        theirs()
    }

    #[batched]
    fn many(_: u8) -> Option<Vec<Theirs>> {
        Some(vec![theirs()])
    }

    #[batched]
    fn fallible(_: u8) -> Result<Theirs, Opaque> {
        Ok(theirs())
    }

    #[batched]
    fn generic<T: GetSize + Clone>(content: T) -> Vec<T> {
        vec![content.clone(), content]
    }

    #[derive(GetSize, DeepSize)]
    struct Both {
        text: String,
        #[get_size(ignore)]
        more: String,
    }

    #[batched]
    fn both(_: u8) -> Both {
        Both { text: String::with_capacity(BYTES), more: String::with_capacity(BYTES) }
    }

    #[test]
    fn get_size_counts() {
        assert_eq!(theirs().text.len() + theirs().parts.len(), 2);
        assert_counted(alone_batched([0; 4]).plan(), 3 * BYTES);
        assert_counted(many_batched([0; 4]).plan(), 3 * BYTES);
        assert_counted(fallible_batched([0; 4]).plan(), 3 * BYTES);
        assert_counted(generic_batched(vec![vec![0u8; BYTES]; 4]).plan(), 2 * BYTES);
    }

    #[test]
    fn a_deep_size_of_ours_comes_first() {
        assert_counted(both_batched([0; 4]).plan(), 2 * BYTES);
    }
}

/// Has no deep size of any kind.
#[derive(Debug)]
struct Opaque(#[expect(dead_code, reason = "bytes to count")] Box<[u8]>);

#[batched]
fn opaque(n: u8) -> Opaque {
    Opaque(vec![n; 10].into())
}

#[batched]
fn opaque_shared(n: u8) -> Arc<Opaque> {
    Arc::new(opaque(n))
}

#[batched]
fn any(n: u8) -> Box<dyn std::any::Any + Send> {
    Box::new(n)
}

#[test]
fn other_types_are_measured_otherwise() {
    assert_eq!(opaque_batched([0; 4]).plan().unwrap().measured_by(), MeasuredBy::Resident);
    assert_eq!(opaque_shared_batched([0; 4]).plan().unwrap().measured_by(), MeasuredBy::Resident);
    assert_eq!(any_batched([0; 4]).plan().unwrap().measured_by(), MeasuredBy::Resident);
    assert_eq!(opaque_batched([0; 4]).collect::<Vec<_>>().unwrap().len(), 4);
}
