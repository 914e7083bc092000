use super::*;

fn sampled(items: usize, seconds: f64) -> Sampled {
    Sampled { items, seconds, ..Sampled::default() }
}

fn stretch(items: usize, seconds: f64, bytes: u64) -> Stretch {
    Stretch { items, seconds, bytes, largest: bytes / items as u64, working: 0 }
}

#[test]
fn the_mean_is_over_all_and_the_recent_over_the_last() {
    let mut learned = Learned::default();
    learned.add(stretch(10, 1.0, 100));
    for _ in 0..50 {
        learned.add(stretch(10, 3.0, 100));
    }
    assert!((learned.seconds_per_item() - 151.0 / 510.0).abs() < 1e-9);
    assert!((learned.recent_seconds() - 0.3).abs() < 1e-3);
}

#[test]
fn growing_results_are_believed_at_once() {
    let mut learned = Learned::default();
    learned.add(stretch(5, 1.0, 50));
    learned.add(stretch(5, 1.0, 50_000));
    assert_eq!(learned.expected_bytes(), 10_000);
    learned.add(stretch(5, 1.0, 50));
    assert!(learned.expected_bytes() > 8_000);
}

#[test]
fn working_memory_is_believed_at_once_too() {
    let mut learned = Learned::default();
    for working in [100, 5_000, 100] {
        learned.add(Stretch { working, ..stretch(1, 1.0, 8) });
    }
    assert!((4_000..5_000).contains(&learned.expected_working()));
    assert_eq!(learned.most_working, 5_000);
}

#[test]
fn the_first_stretch_says_nothing_of_the_others() {
    let mut spread = Spread::default();
    spread.add(sampled(1, 50.0));
    assert_eq!((spread.mean(), spread.margin(1e6)), (None, None));
    spread.add(sampled(1, 1.0));
    assert_eq!((spread.mean(), spread.margin(1e6)), (Some(1.0), None));
    for seconds in [2.0, 3.0, 2.0] {
        spread.add(sampled(1, seconds));
    }
    assert_eq!((spread.mean(), spread.most, spread.sampled), (Some(2.0), 3.0, 5));
    // Computed by hand: the standard deviation is 0.8165, Student's t for 3 is 3.182, so 3.182 *
    // 0.8165 / 2 on a mean of 2.
    assert!((spread.margin(1e9).unwrap() - 0.6495).abs() < 1e-3);
}

#[test]
fn what_other_programs_took_is_left_out() {
    let mut spread = Spread::default();
    for queued in [0.0, 0.0, 4e-3, 0.0, 0.0] {
        spread.add(Sampled { seconds: 1e-3 + queued, queued, ..sampled(1, 0.0) });
    }
    assert!((spread.mean().unwrap() - 1e-3).abs() < 1e-9 && (spread.most - 1e-3).abs() < 1e-9);
    assert!((spread.queued() - 0.5).abs() < 1e-9, "{}", spread.queued());
    // A short call's seconds without its queue are not exact, and time in the queue can't exceed
    // the call's.
    for (seconds, queued) in [(4.02e-3, 4e-3), (1e-3, 2e-3)] {
        let before = spread.mean();
        spread.add(Sampled { items: 1, seconds: seconds - 1e-3, queued, ..Sampled::default() });
        assert_eq!(spread.mean(), before);
    }
    let mut short = Spread::default();
    for queued in [0.0, 0.0, 4e-3, 0.0] {
        short.add(Sampled { seconds: 20e-6 + 1.01 * queued, queued, ..sampled(1, 0.0) });
    }
    assert_eq!((short.mean(), short.sampled), (Some(20e-6), 4));
}

#[test]
fn what_fresh_pages_took_is_told_apart() {
    let mut spread = Spread::default();
    (0..5).for_each(|_| spread.add(Sampled { fresh: 130e-6, ..sampled(1, 240e-6) }));
    assert!((spread.mean().unwrap() - 110e-6).abs() < 1e-9 && (spread.fresh - 130e-6).abs() < 1e-9);
    // A call takes some time, whatever the assumed price of a page.
    let mut spread = Spread::default();
    (0..5).for_each(|_| spread.add(Sampled { fresh: 300e-6, ..sampled(1, 240e-6) }));
    assert!((spread.mean().unwrap() - 24e-6).abs() < 1e-9);
}

#[test]
fn the_least_handling_is_an_items_own() {
    let mut spread = Spread::default();
    assert_eq!(spread.handling, None);
    for handling in [0.0, 300e-9, 50e-9, 170e-9] {
        spread.add(Sampled { handling, ..sampled(1, 1e-6) });
    }
    assert_eq!(spread.handling, Some(50e-9));
}

#[test]
fn a_stretch_counts_by_its_items() {
    let mut spread = Spread::default();
    spread.add(sampled(1, 9.0));
    spread.add(sampled(1, 1.0));
    spread.add(sampled(3, 5.0));
    assert_eq!(spread.mean(), Some(4.0));
    // One at 3 from the mean, three at 1.
    assert!((spread.squares - 12.0).abs() < 1e-9);
}

#[test]
fn a_trend_is_told_from_chance() {
    let of = |seconds: fn(usize) -> f64| {
        let mut spread = Spread::default();
        (0..100).for_each(|i| spread.add(sampled(1, seconds(i))));
        // To item 300, so the middle of the rest is 200.
        spread.trend(200.0)
    };
    // From a mean of 150 in the sample, at item 50, to 300 at item 200.
    assert!((of(|i| 100.0 + i as f64).unwrap() - 1.0).abs() < 0.03);
    assert!((of(|i| 300.0 - i as f64).unwrap() + 0.6).abs() < 0.03);
    assert_eq!(of(|i| if i % 2 == 0 { 100.0 } else { 120.0 }), None);
    assert_eq!(of(|i| 100.0 + 0.01 * i as f64 + (i * 7919 % 13) as f64), None);
}

#[test]
fn what_a_sample_can_miss_follows_from_its_size() {
    let of = |items: usize| {
        let mut spread = Spread::default();
        (0..=items).for_each(|_| spread.add(sampled(1, 1.0)));
        spread.rarest()
    };
    assert_eq!((of(4), of(299), of(2995)), (2, 100, 1000));
}

#[test]
fn an_interval_holds_in_19_of_20_cases() {
    // A generator of its own gives the same seconds each time; they vary by up to a half.
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / (1u64 << 31) as f64
    };
    for size in [5, 20, 100] {
        let held = (0..2000).filter(|_| {
            let mut spread = Spread::default();
            (0..size).for_each(|_| spread.add(sampled(1, 0.5 + random())));
            let (mean, margin) = (spread.mean().unwrap(), spread.margin(1e9).unwrap());
            (mean * (1.0 - margin)..mean * (1.0 + margin)).contains(&1.0)
        });
        let held = held.count();
        assert!((1840..1990).contains(&held), "{held} of 2000 with {size}");
    }
}

#[test]
fn an_uneven_sample_is_known_as_such() {
    let mut learned = Learned::default();
    learned.add(stretch(1, 1e-3, 1));
    assert!(!learned.is_uneven());
    learned.add(stretch(1, 5e-3, 1));
    assert!(learned.is_uneven());
}
