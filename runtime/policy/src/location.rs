//! Where each value of a document stands: lines and columns by JSON pointer (RFC 6901).

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A place in a document, each number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// The places of all values by pointer, and the pointers of all keys and values in the order of their places.
#[derive(Clone, Debug, Default)]
pub struct Places {
    values: BTreeMap<String, Place>,
    order: Vec<(Place, String)>,
}

impl Places {
    /// The place of the value at `pointer`; of the key in front of it if it is a list or a mapping.
    #[must_use]
    pub fn of(&self, pointer: &str) -> Option<Place> {
        self.values.get(pointer).copied()
    }

    /// The pointer of the key or value that begins last before `place`, or at it.
    #[must_use]
    pub fn pointer_at(&self, place: Place) -> Option<&str> {
        let after = self.order.partition_point(|(at, _)| *at <= place);
        after.checked_sub(1).map(|last| self.order[last].1.as_str())
    }

    fn visit(&mut self, pointer: String, node: Spanned<Node>) {
        let at = place(&node.referenced);
        match node.value {
            Node::Scalar => {}
            Node::List(items) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.visit(child(&pointer, &index), item);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    let pointer = child(&pointer, &key.value);
                    let is_block = !matches!(value.value, Node::Scalar);
                    self.order.push((place(&key.referenced), pointer.clone()));
                    self.visit(pointer.clone(), value);
                    if is_block {
                        self.values.insert(pointer, place(&key.referenced));
                    }
                }
            }
        }
        self.order.push((at, pointer.clone()));
        self.values.insert(pointer, at);
    }
}

fn place(at: &serde_saphyr::Location) -> Place {
    Place { line: at.line(), column: at.column() }
}

impl From<Spanned<Node>> for Places {
    fn from(root: Spanned<Node>) -> Self {
        let mut places = Self::default();
        places.visit(String::new(), root);
        // Of what begins at one place (a list and its first item) the innermost, with the longest pointer, is last.
        places.order.sort_by_key(|(at, pointer)| (*at, pointer.len()));
        places
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
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
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
