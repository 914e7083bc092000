//! Values with several owners, behind `Arc` and `Rc`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use super::DeepSize;
use crate::memory::budget::in_shares;
use crate::memory::shares::LEAST;

impl<T: DeepSize + ?Sized> DeepSize for Arc<T> {
    fn heap_size(&self) -> usize {
        share(&**self, || Self::strong_count(self))
    }
}

impl<T: DeepSize + ?Sized> DeepSize for Rc<T> {
    fn heap_size(&self) -> usize {
        share(&**self, || Self::strong_count(self))
    }
}

/// The part of one owner.
fn share<T: DeepSize + ?Sized>(value: &T, owners: impl Fn() -> usize) -> usize {
    let counters = 2 * size_of::<usize>();
    let heap = match owners() {
        _ if !T::OWNS_HEAP => 0,
        // With one owner, no other way leads here.
        0 | 1 => value.heap_size(),
        _ => asked_once(value),
    };
    let all = (counters + size_of_val(value)).saturating_add(heap);
    if all >= LEAST {
        let address = (&raw const *value).cast::<()>().addr();
        if let Some(part) = in_shares(|shares, budget| shares.part_of_next(address, budget, &owners)) {
            return (all as f64 * part).ceil() as usize;
        }
    }
    // Rounded up, so that the parts are never less than the whole.
    all.div_ceil(owners().max(1))
}

thread_local! {
    /// The sizes found so far, by address; 0 while a search for one goes on. It has no destructor,
    /// so the destructor of another thread-local can still ask a value.
    static ASKED: RefCell<ManuallyDrop<HashMap<usize, usize>>> = RefCell::default();
}

/// The heap size of a value to which several ways may lead from the same result.
///
/// Without memory a graph would be walked once for each of its paths, and there can be
/// exponentially many; a cycle would never end.
fn asked_once<T: DeepSize + ?Sized>(value: &T) -> usize {
    /// Frees the answers, even if a value panics: an address may become another value's.
    struct Outermost;

    impl Drop for Outermost {
        fn drop(&mut self) {
            ASKED.with_borrow_mut(|asked| **asked = HashMap::new());
        }
    }

    let address = (&raw const *value).cast::<()>().addr();
    if let Some(known) = ASKED.with_borrow(|asked| asked.get(&address).copied()) {
        return known;
    }
    let _outermost = ASKED.with_borrow(|asked| asked.is_empty()).then(|| Outermost);
    ASKED.with_borrow_mut(|asked| asked.insert(address, 0));
    let heap = value.heap_size();
    ASKED.with_borrow_mut(|asked| asked.insert(address, heap));
    heap
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{OnceLock, RwLock, Weak};

    const COUNTERS: usize = 2 * size_of::<usize>();

    #[test]
    fn a_sole_owner_counts_all_and_several_count_it_once_together() {
        let one = Arc::new(Vec::<u8>::with_capacity(1000));
        let all = COUNTERS + size_of::<Vec<u8>>() + 1000;
        assert_eq!(one.heap_size(), all);
        let four: Vec<_> = (0..4).map(|_| Arc::clone(&one)).collect();
        drop(one);
        assert_eq!(four.iter().map(DeepSize::heap_size).sum::<usize>(), all);
        assert_eq!(four[0].deep_size(), size_of::<usize>() + all.div_ceil(4));
        assert_eq!(Rc::<str>::from("shared").heap_size(), COUNTERS + 6);
        assert_eq!(Arc::<[String]>::from([String::from("ab")]).heap_size(), COUNTERS + size_of::<String>() + 2);
        assert_eq!(Arc::downgrade(&four[0]).heap_size(), 0);
    }

    #[derive(Default)]
    struct Node {
        content: Vec<u8>,
        next: RwLock<Vec<Arc<Node>>>,
    }

    impl DeepSize for Node {
        fn heap_size(&self) -> usize {
            self.content.heap_size() + self.next.heap_size()
        }
    }

    #[test]
    fn a_cycle_ends() {
        let node = |bytes| Arc::new(Node { content: Vec::with_capacity(bytes), next: RwLock::default() });
        let (a, b) = (node(1000), node(100));
        a.next.write().unwrap().push(Arc::clone(&b));
        b.next.write().unwrap().push(Arc::clone(&a));
        let counted = a.heap_size();
        assert!((500..1500).contains(&counted), "{counted}");
        assert_eq!(a.heap_size(), counted);
        a.next.write().unwrap().clear();
    }

    #[test]
    fn a_lattice_is_walked_once() {
        let mut last = Arc::new(Node { content: Vec::with_capacity(1 << 20), next: RwLock::default() });
        // 2 to the power of 64 paths lead to the content.
        for _ in 0..64 {
            last = Arc::new(Node { content: Vec::new(), next: RwLock::new(vec![Arc::clone(&last), last]) });
        }
        let counted = last.heap_size();
        assert!((1 << 20..(1 << 20) + (64 << 8)).contains(&counted), "{counted}");
    }

    #[test]
    fn an_address_is_not_remembered_for_another_value() {
        let counted = |bytes| {
            let one = Arc::new(Vec::<Box<[u8]>>::from([vec![0; bytes].into()]));
            let two = Arc::clone(&one);
            one.heap_size() + two.heap_size()
        };
        assert_eq!(counted(5000) - counted(1000), 4000);
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        struct Panics;
        impl DeepSize for Panics {
            fn heap_size(&self) -> usize {
                panic!("not this one")
            }
        }
        let one = Arc::new(Panics);
        let two = Arc::clone(&one);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| two.heap_size())).is_err());
        assert_eq!(ASKED.with_borrow(|asked| asked.capacity()), 0);
    }

    #[test]
    fn a_parent_does_not_belong_to_its_child() {
        struct Child(OnceLock<Weak<Vec<Child>>>, #[expect(dead_code, reason = "bytes to count")] [u8; 100]);
        impl DeepSize for Child {
            fn heap_size(&self) -> usize {
                self.0.heap_size()
            }
        }
        let parent = Arc::new(vec![Child(OnceLock::new(), [0; 100])]);
        parent[0].0.set(Arc::downgrade(&parent)).ok();
        assert_eq!(parent.heap_size(), COUNTERS + size_of::<Vec<Child>>() + size_of::<Child>());
    }
}
