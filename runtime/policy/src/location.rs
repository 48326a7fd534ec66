//! Where each value of a document stands: lines and columns by JSON pointer (RFC 6901).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A place in a document, each number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// The places of all values by pointer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Place>);

impl Places {
    /// The place of the value at `pointer`.
    pub(crate) fn of(&self, pointer: &str) -> Option<Place> {
        self.0.get(pointer).copied()
    }

    /// The pointer of the value that begins last before `place`, or at it.
    pub(crate) fn pointer_at(&self, place: Place) -> Option<&str> {
        let before = self.0.iter().filter(|(_, at)| **at <= place);
        // Of values that begin at one place (a list and its first item) the innermost has the longest pointer.
        before
            .max_by_key(|(pointer, at)| (**at, pointer.len()))
            .map(|(pointer, _)| pointer.as_str())
    }
}

/// Adds one step to a pointer.
pub(crate) fn child(pointer: &str, step: &dyn fmt::Display) -> String {
    let step = step.to_string().replace('~', "~0").replace('/', "~1");
    format!("{pointer}/{step}")
}

/// Any value, as a tree of places.
enum Node {
    Scalar,
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl From<Spanned<Node>> for Places {
    fn from(root: Spanned<Node>) -> Self {
        fn visit(places: &mut BTreeMap<String, Place>, pointer: String, node: Spanned<Node>) {
            match node.value {
                Node::Scalar => {}
                Node::List(items) => {
                    for (at, item) in items.into_iter().enumerate() {
                        visit(places, child(&pointer, &at), item);
                    }
                }
                Node::Map(entries) => {
                    for (key, value) in entries {
                        visit(places, child(&pointer, &key), value);
                    }
                }
            }
            let at = node.referenced;
            places.insert(
                pointer,
                Place {
                    line: at.line(),
                    column: at.column(),
                },
            );
        }
        let mut places = BTreeMap::new();
        visit(&mut places, String::new(), root);
        Self(places)
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Node>::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
