-- The index of the control log and of the sessions' records. Everything here but `lease` is derived from them.
--
-- Times are microseconds since 1970 (UTC). Session, event and token ids are 16 bytes, SHA-256 digests 32, git's object
-- ids 20 or 32; paths are their raw bytes. Names are compared byte by byte.

CREATE TABLE applied (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    control INTEGER NOT NULL
);
INSERT INTO applied (one, control) VALUES (1, 0);

CREATE TABLE project (
    name          TEXT NOT NULL PRIMARY KEY,
    description   TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    active_policy BLOB
) WITHOUT ROWID;

CREATE TABLE policy (
    project    TEXT NOT NULL,
    digest     BLOB NOT NULL,
    name       TEXT NOT NULL,
    document   TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT,
    PRIMARY KEY (project, digest)
);
CREATE INDEX policy_newest ON policy (project, created_at, digest);

CREATE TABLE user (
    name        TEXT NOT NULL PRIMARY KEY,
    grants      TEXT NOT NULL, -- JSON
    created_at  INTEGER NOT NULL,
    disabled_at INTEGER
) WITHOUT ROWID;

CREATE TABLE token (
    id         BLOB NOT NULL PRIMARY KEY,
    user       TEXT NOT NULL,
    kind       TEXT NOT NULL, -- JSON
    scopes     TEXT NOT NULL, -- JSON
    label      TEXT NOT NULL,
    parent     BLOB,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX token_newest ON token (issued_at, id);
CREATE INDEX token_of_user ON token (user, issued_at, id);

CREATE TABLE repository (
    name          TEXT NOT NULL PRIMARY KEY,
    project       TEXT NOT NULL,
    source        TEXT NOT NULL,
    registered_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX repository_of_project ON repository (project, name);

CREATE TABLE session (
    id               BLOB NOT NULL,
    project          TEXT NOT NULL,
    requester        TEXT NOT NULL, -- of `request`
    repository       TEXT NOT NULL, -- of `request`
    state_name       TEXT NOT NULL, -- of `state`
    requested_at     INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    request          TEXT NOT NULL, -- JSON
    policy           BLOB NOT NULL,
    policy_name      TEXT NOT NULL,
    rule             TEXT NOT NULL,
    approvals_wanted INTEGER NOT NULL,
    approvers        TEXT NOT NULL, -- JSON
    approvals        TEXT NOT NULL, -- JSON
    idempotency_key  TEXT,
    idempotency_of   BLOB,
    state            TEXT NOT NULL, -- JSON
    stop             TEXT, -- JSON
    outcome          TEXT, -- JSON
    reason           TEXT,
    exit             TEXT, -- JSON
    events           INTEGER NOT NULL,
    root             BLOB,
    counts           TEXT NOT NULL, -- JSON
    last_commit      BLOB
);
CREATE UNIQUE INDEX session_id ON session (id);
CREATE UNIQUE INDEX session_key ON session (requester, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- One index for each thing that a list is narrowed by first, in each order. The columns after `id` let the other
-- filters be decided without a look at the row.
CREATE INDEX session_requested ON session (requested_at, id, project, requester, repository, state_name);
CREATE INDEX session_project_requested ON session (project, requested_at, id, requester, repository, state_name);
CREATE INDEX session_requester_requested ON session (requester, requested_at, id, project, repository, state_name);
CREATE INDEX session_repository_requested ON session (repository, requested_at, id, project, requester, state_name);
CREATE INDEX session_state_requested ON session (state_name, requested_at, id, project, requester, repository);
CREATE INDEX session_updated ON session (updated_at, id, requested_at, project, requester, repository, state_name);
CREATE INDEX session_project_updated ON session (project, updated_at, id, requested_at, requester, repository, state_name);
CREATE INDEX session_requester_updated ON session (requester, updated_at, id, requested_at, project, repository, state_name);
CREATE INDEX session_repository_updated ON session (repository, updated_at, id, requested_at, project, requester, state_name);
CREATE INDEX session_state_updated ON session (state_name, updated_at, id, requested_at, project, requester, repository);

CREATE TABLE file (
    session        BLOB NOT NULL,
    path           BLOB NOT NULL,
    repository     TEXT NOT NULL,
    touch          INTEGER NOT NULL, -- 1 read, 2 written, 4 removed, 8 denied
    span           INTEGER NOT NULL, -- class of last_at - first_at: bounds the search for what overlaps a time
    first_at       INTEGER NOT NULL,
    last_at        INTEGER NOT NULL,
    first_seq      INTEGER NOT NULL,
    last_seq       INTEGER NOT NULL,
    read_blob      BLOB,
    read_digest    BLOB,
    written_blob   BLOB,
    written_digest BLOB,
    PRIMARY KEY (session, path)
) WITHOUT ROWID;
CREATE INDEX file_touched ON file (repository, path, span, last_at, first_at);

CREATE TABLE output_commit (
    session    BLOB NOT NULL,
    oid        BLOB NOT NULL,
    repository TEXT NOT NULL,
    tree       BLOB NOT NULL,
    author     TEXT NOT NULL, -- JSON
    file_count INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    event      BLOB NOT NULL,
    PRIMARY KEY (session, oid)
) WITHOUT ROWID;
CREATE INDEX output_commit_oid ON output_commit (oid);
CREATE INDEX output_commit_tree ON output_commit (tree);

CREATE TABLE output_blob (
    session BLOB NOT NULL,
    oid     BLOB NOT NULL, -- of the commit
    path    BLOB NOT NULL,
    blob    BLOB NOT NULL,
    PRIMARY KEY (session, oid, path)
) WITHOUT ROWID;
CREATE INDEX output_blob_written ON output_blob (blob, path);

CREATE TABLE lease (
    session BLOB NOT NULL PRIMARY KEY,
    holder  TEXT NOT NULL,
    until   INTEGER NOT NULL,
    user    TEXT NOT NULL,
    project TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX lease_of_user ON lease (user);
CREATE INDEX lease_of_project ON lease (project);
