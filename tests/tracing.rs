//! Spans and events of runs, as a subscriber for the whole process receives them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use amorsize::{batched, process_in_batches};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};

#[batched(max_memory = "8MiB", batch_size = 25)]
fn draw(item: u32) -> Vec<u8> {
    tracing::info!(item, "drawing");
    thread::sleep(Duration::from_micros(300));
    vec![1; 1000]
}

type Fields = BTreeMap<&'static str, String>;

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// The events that were received: the fields of each, and the spans around it, the outermost first.
static TOLD: Mutex<Vec<(Fields, Vec<String>)>> = Mutex::new(Vec::new());

struct Listener;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(&mut Reader(context.span(id).unwrap().extensions_mut().get_mut().unwrap()));
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::new();
        event.record(&mut Reader(&mut fields));
        let around = context.event_scope(event).into_iter().flat_map(Scope::from_root);
        let around = around.map(|span| format!("{} {:?}", span.name(), span.extensions().get::<Fields>().unwrap()));
        TOLD.lock().unwrap().push((fields, around.collect()));
    }
}

fn number(fields: &Fields, name: &str) -> f64 {
    fields[name].parse().unwrap_or_else(|_| panic!("{name} of {fields:?}"))
}

// There is one test, because there is one subscriber.
#[test]
fn a_run_tells_of_its_plan_its_batches_and_its_end() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Listener)).unwrap();
    let report = draw_batched(0..200).threads(2).for_each_batch(|_| tracing::info!("storing")).unwrap();
    let told = std::mem::take(&mut *TOLD.lock().unwrap());
    let with = |message: &str| {
        let with = told.iter().filter(|(fields, _)| fields["message"] == message).collect::<Vec<_>>();
        assert!(!with.is_empty(), "nobody said {message}");
        with
    };
    let run = format!(
        "run {:?}",
        Fields::from([
            ("budget", (8 << 20).to_string()),
            ("function", "\"draw\"".to_owned()),
            ("items", "200".to_owned()),
        ])
    );

    // Events of the function are within the run, on every thread.
    assert_eq!(with("drawing").len(), 200);
    assert!(with("drawing").iter().all(|(_, around)| around.len() == 1 && around[0].starts_with("run ")));

    let planned = with("planned");
    let [(fields, around)] = planned.as_slice() else { panic!("{planned:?}") };
    assert_eq!((number(fields, "threads"), number(fields, "budget")), (2.0, 8.0 * 1024.0 * 1024.0));
    assert_eq!(around, std::slice::from_ref(&run));

    let batches = with("handed over");
    assert_eq!(batches.len(), report.batches());
    assert_eq!(batches.iter().map(|(fields, _)| number(fields, "items")).sum::<f64>(), 200.0);
    // If batches share a chunk, its bytes count for the last of them.
    let bytes = batches.iter().map(|(fields, _)| number(fields, "bytes")).sum::<f64>();
    assert_eq!(bytes, report.result_bytes().as_u64() as f64);
    for (fields, around) in batches {
        assert!(number(fields, "seconds") >= 0.0);
        assert!(number(fields, "held") <= number(fields, "budget"));
        assert!(around[0] == run && around[1].starts_with("batch "));
    }
    // Events of the sink are within its batch.
    let stored = with("storing");
    assert_eq!(stored.len(), report.batches());
    assert!(stored[0].1[1].starts_with("batch {\"bytes\": ") && stored[0].1[1].contains("\"first_index\": \"0\""));

    let finished = with("finished");
    let [(fields, _)] = finished.as_slice() else { panic!("{finished:?}") };
    assert_eq!(number(fields, "items"), 200.0);
    assert_eq!(number(fields, "peak_bytes"), report.peak_bytes().as_u64() as f64);

    // A closure has no name. Events in the run of an iterator are received as well.
    assert_eq!(process_in_batches(|x: u32| tracing::info!(x, "squaring"), 0..3).into_iter().count(), 3);
    let told = std::mem::take(&mut *TOLD.lock().unwrap());
    let squaring = told.iter().filter(|(fields, _)| fields["message"] == "squaring");
    let around: Vec<_> = squaring.map(|(_, around)| around[0].as_str()).collect();
    assert_eq!(around.len(), 3);
    // A slow subscriber may see the budget, which the span has from the run's first decision on.
    let is_named = |run: &&str| run.contains("\"function\": \"\\\"closure\\\"\", \"items\": \"3\"}");
    assert!(around.iter().all(|run| run.starts_with("run {") && is_named(run)), "{around:?}");
}
