//! The index is derived: the database is deleted while the server is down, and `custody reindex` brings everything back.

use crate::ground::Ground;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_database_comes_back_by_reindex() {
    let mut ground = Ground::new().await;
    let done = ground.create("cat README.md; echo x >>notes.txt").await.id;
    ground.until_over(done).await;
    let before = ground.session(done).await;
    let files = ground.client.files(done).take(None).await.unwrap();
    assert!(files.iter().any(|file| file.path.to_string() == "notes.txt"), "{files:#?}");
    ground.end();
    for entry in std::fs::read_dir(ground.installation.state()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("store.sqlite") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let said = ground.installation.custody(ground.installation.state(), &["reindex"]);
    let _ = said.succeeded();
    ground.start(&[]).await;
    assert_eq!(ground.session(done).await, before);
    assert_eq!(ground.client.files(done).take(None).await.unwrap(), files);
    ground.assert_whole("after the reindex").await;
}
