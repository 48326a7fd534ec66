//! The behaviour suite of the store's contract.
