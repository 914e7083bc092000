use serde_json::{Map, Number, Value};

use super::{DeepSize, b_tree, pairs};

impl DeepSize for Value {
    fn heap_size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
            Self::String(text) => text.heap_size(),
            Self::Array(values) => values.heap_size(),
            Self::Object(map) => map.heap_size(),
        }
    }
}

impl DeepSize for Map<String, Value> {
    fn heap_size(&self) -> usize {
        // With serde_json's feature `preserve_order` it is an index map, which this crate can't see
        // and which takes about as much.
        let nodes = b_tree(self.len(), size_of::<String>() + size_of::<Value>());
        nodes.saturating_add(pairs(self))
    }
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
