use serde_json::{Map, Number, Value};

use super::{DeepSize, b_tree, pairs};

owning! {
    [] Value, |this| match this {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.heap_size(),
        Value::Array(values) => values.heap_size(),
        Value::Object(map) => map.heap_size(),
    };
    // With serde_json's feature `preserve_order` it is an index map, which this crate can't see and
    // which takes about as much.
    [] Map<String, Value>, |this| {
        b_tree(this.len(), size_of::<String>() + size_of::<Value>()).saturating_add(pairs(this))
    };
}

// With the feature `arbitrary_precision` it owns its digits, which this crate can't see.
owns_nothing!(Number);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_counts() {
        let entry = size_of::<String>() + size_of::<Value>();
        let numbers = Value::from(vec![1, 2, 3]);
        assert_eq!(numbers.heap_size(), 3 * size_of::<Value>());
        let object: Map<_, _> =
            [(String::from("key"), numbers.clone()), (String::from("other"), Value::Null)].into_iter().collect();
        assert_eq!(object.heap_size(), 11 * entry + 16 + 8 + numbers.heap_size());
        assert_eq!(Value::Object(object.clone()).heap_size(), object.heap_size());
        assert_eq!(Value::from("text").heap_size(), 4);
    }
}
