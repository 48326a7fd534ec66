//! SQLite holds what every store promises, on a real file.

use std::sync::Arc;

use custody_store::Store;
use custody_store_sqlite::SqliteStore;
use tempfile::TempDir;

async fn on_a_new_file() -> (Arc<dyn Store>, TempDir) {
    let directory = TempDir::new().expect("a directory");
    let store = SqliteStore::open(&directory.path().join("index.sqlite")).await;
    (Arc::new(store.expect("a new store opens")), directory)
}

custody_store::behaviour_suite!(on_a_new_file);
