//! Placeholder of the next minute.
