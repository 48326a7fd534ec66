//! The shapes: how each is made, and what is expected of it where that is not what is expected of a plain one.
//!
//! Each script makes a working tree `r` in its directory. Where it has a commit, it has a file `kept.txt` with one line.

/// What becomes of `custody session apply` in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apply {
    /// The session's branch is merged.
    Merged,
    /// It is refused, with these words in what is said.
    Refused(&'static str),
    /// It is refused so where the session wrote `written.txt`, which stands in the way.
    InTheWay(&'static str),
}

/// Where a session starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At HEAD.
    Head,
    /// Only with `--dirty`: there is no commit.
    Dirty,
}

/// A shape of a repository.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Makes it.
    pub(crate) script: &'static str,
    /// The directory below its own that commands run in.
    pub(crate) directory: &'static str,
    /// Where a session starts.
    pub(crate) start: Start,
    /// What becomes of an apply.
    pub(crate) apply: Apply,
}

const fn shape(name: &'static str, script: &'static str) -> Shape {
    Shape { name, script, directory: "r", start: Start::Head, apply: Apply::Merged }
}

const fn refused(name: &'static str, script: &'static str, words: &'static str) -> Shape {
    Shape { apply: Apply::Refused(words), ..shape(name, script) }
}

const fn in_the_way(name: &'static str, script: &'static str, words: &'static str) -> Shape {
    Shape { apply: Apply::InTheWay(words), ..shape(name, script) }
}

const fn without_commit(name: &'static str, script: &'static str) -> Shape {
    let apply = Apply::Refused("untracked files");
    Shape { start: Start::Dirty, apply, ..shape(name, script) }
}

/// A repository with two commits on `main`, which the scripts begin with.
pub(crate) const PLAIN: &str = "
git init -q r; cd r
mkdir -p src/deep docs
echo kept >kept.txt; echo one >src/a.txt; echo two >src/deep/b.txt; echo guide >docs/guide.md
git add -A; git commit -qm First
echo more >>src/a.txt; git commit -qam Second
";

/// All of them.
pub(crate) const SHAPES: &[Shape] = &[
    shape("plain", ""),
    without_commit("no_commit", "cd ..; rm -rf r; git init -q r; cd r; echo kept >kept.txt"),
    without_commit(
        "no_commit_sha256",
        "cd ..; rm -rf r; git init -q --object-format=sha256 r; cd r; echo kept >kept.txt",
    ),
    shape(
        "sha256",
        "cd ..; rm -rf r; git init -q --object-format=sha256 r; cd r; echo kept >kept.txt; git add -A; git commit -qm First",
    ),
    shape("bare_with_work_tree", "mv .git ../bare.git; echo 'gitdir: ../bare.git' >.git; git config core.worktree $PWD"),
    shape("linked_work_tree", "cd ..; mv r origin; git -C origin worktree add -q -b linked ../r"),
    shape("separate_git_dir", "cd ..; mv r old; git clone -q --separate-git-dir sep.git old r"),
    shape(
        "submodule",
        "git init -q ../lib; cd ../lib; echo lib >lib.txt; git add -A; git commit -qm Lib; cd ../r
         git submodule --quiet add ../lib vendor/lib; git commit -qm 'Add lib'",
    ),
    shape(
        "dirty_submodule",
        "git init -q ../lib; cd ../lib; echo lib >lib.txt; git add -A; git commit -qm Lib; cd ../r
         git submodule --quiet add ../lib vendor/lib; git commit -qm 'Add lib'; echo dirty >>vendor/lib/lib.txt",
    ),
    shape("nested_repository", "git init -q inner; echo i >inner/i.txt; git -C inner add -A; git -C inner commit -qm I"),
    shape("ignored_nested_repository", "echo inner >.gitignore; git add -A; git commit -qm I; git init -q inner; echo i >inner/i"),
    shape("shallow", "cd ..; mv r full; git clone -q --depth 1 file://$PWD/full r"),
    shape(
        "partial_blobs",
        "cd ..; mv r full; git -C full config uploadpack.allowFilter true; git clone -q --filter=blob:none file://$PWD/full r",
    ),
    shape(
        "partial_trees",
        "cd ..; mv r full; git -C full config uploadpack.allowFilter true; git clone -q --filter=tree:0 file://$PWD/full r",
    ),
    shape(
        "partial_with_own_commit",
        "cd ..; mv r full; git -C full config uploadpack.allowFilter true; git clone -q --filter=blob:none file://$PWD/full r
         cd r; echo own >own.txt; git add -A; git commit -qm Own",
    ),
    shape("sparse_cone", "git sparse-checkout set docs"),
    shape("sparse_no_cone", "git sparse-checkout set --no-cone /kept.txt /docs/"),
    shape("sparse_index", "git sparse-checkout set --cone --sparse-index docs"),
    refused("detached", "git checkout -q --detach HEAD", "HEAD is detached"),
    shape("orphan_branch", "git checkout -q --orphan fresh; git rm -rqf .; echo kept >kept.txt; git add -A; git commit -qm Orphan"),
    refused(
        "merge_in_progress",
        "git checkout -q -b side; echo s >s.txt; git add -A; git commit -qm side; git checkout -q main
         git merge -q --no-ff --no-commit side",
        "another merge is under way",
    ),
    refused(
        "rebase_in_progress",
        "git checkout -q -b side; echo x >src/a.txt; git commit -qam side; git checkout -q main
         echo y >src/a.txt; git commit -qam main; git rebase -q side || true",
        "a rebase is under way",
    ),
    refused(
        "cherry_pick_in_progress",
        "git checkout -q -b side; echo x >src/a.txt; git commit -qam side; git checkout -q main
         echo y >src/a.txt; git commit -qam main; git cherry-pick side || true",
        "a cherry-pick is under way",
    ),
    refused(
        "conflicted_index",
        "git checkout -q -b side; echo x >src/a.txt; git commit -qam side; git checkout -q main
         echo y >src/a.txt; git commit -qam main; git merge side || true; rm .git/MERGE_HEAD",
        "settle the conflicts",
    ),
    shape("dirty", "echo dirty >>src/a.txt; echo u >untracked.txt"),
    in_the_way("staged", "echo staged >staged.txt; git add staged.txt; echo new >written.txt; git add written.txt", "overwritten"),
    in_the_way("untracked_in_the_way", "echo mine >written.txt", "untracked files"),
    shape("unicode_names", "mkdir 'ü ß'; echo 1 >'ü ß/日本.txt'; git add -A; git commit -qm U"),
    shape("latin1_names", "echo 1 >$'caf\\xe9.txt'; git add -A; git commit -qm L"),
    shape("newline_names", "echo 1 >$'a\\nb\\t\"c'; git add -A; git commit -qm N"),
    shape("long_names", "echo 1 >$(printf 'n%.0s' $(seq 250)); git add -A; git commit -qm L"),
    shape("symlinks", "ln -s kept.txt link; ln -s /etc/passwd out; ln -s absent dangling; git add -A; git commit -qm S"),
    shape("symlink_loops", "ln -s b a; ln -s a b; ln -s . self; git add -A; git commit -qm L"),
    shape("case_only", "echo 1 >Name; echo 2 >name; git add -A; git commit -qm C"),
    shape("crlf_attributes", "echo '*.txt text eol=crlf' >.gitattributes; git add -A; git commit -qm A; rm src/a.txt; git checkout -q src/a.txt"),
    shape("autocrlf", "git config core.autocrlf true; rm src/a.txt; git checkout -q src/a.txt"),
    shape("ident", "echo '*.md ident' >.gitattributes; echo '$Id$' >docs/id.md; git add -A; git commit -qm A; rm docs/id.md; git checkout -q docs/id.md"),
    shape("lfs_pointer", "printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%064d\\nsize 3\\n' 1 >big.bin; echo '*.bin filter=lfs diff=lfs merge=lfs -text' >.gitattributes; git add -A; git commit -qm P"),
    shape("clean_smudge_filter", "git config filter.up.clean 'tr a-z A-Z'; git config filter.up.smudge 'tr A-Z a-z'; echo '*.up filter=up' >.gitattributes; echo lower >x.up; git add -A; git commit -qm F"),
    shape("executable_bits", "echo '#!/bin/sh' >run; chmod +x run; git add -A; git commit -qm X"),
    shape("ignored_outputs", "printf 'build/\\n*.o\\n' >.gitignore; mkdir build; echo b >build/b; echo o >a.o; git add -A; git commit -qm I"),
    shape("alternates", "cd ..; mv r full; git clone -q --shared full r"),
    shape("packed", "git gc -q; git pack-refs --all"),
    shape("reftable", "cd ..; rm -rf r; git init -q --ref-format=reftable r; cd r; echo kept >kept.txt; git add -A; git commit -qm First"),
    shape("many_refs", "for n in $(seq 600); do echo \"create refs/heads/b/$n HEAD\"; done | git update-ref --stdin"),
    shape("large_file", "head -c 20000000 /dev/urandom >large; git add -A; git commit -qm L"),
    shape("empty_directories", "mkdir -p empty/deeper"),
    shape("deep_directories", "d=$(printf 'd/%.0s' $(seq 60)); mkdir -p $d; echo deep >$d/file; git add -A; git commit -qm D"),
    shape("tags", "git tag light; git tag -a -m annotated full; git tag -a -m nested nested full"),
    shape("replace_refs", "git replace HEAD~1 $(git commit-tree -m Other HEAD^{tree})"),
    shape("grafts", "mkdir -p .git/info; git rev-parse HEAD >.git/info/grafts"),
    shape("branch_named_work", "git branch -m work"),
    shape("branch_below_work", "git branch -m work/topic"),
    shape("branch_named_custody", "git branch custody/mine"),
    Shape { directory: "r/src/deep", ..shape("subdirectory", "") },
    Shape { directory: "link/deep", ..shape("subdirectory_by_link", "ln -s r/src ../link") },
    shape("hooks", "mkdir -p .git/hooks; for h in post-merge pre-commit post-checkout reference-transaction; do printf '#!/bin/sh\\ntouch hook-ran\\n' >.git/hooks/$h; chmod +x .git/hooks/$h; done"),
    shape("skip_worktree", "git update-index --skip-worktree src/a.txt; rm src/a.txt"),
    shape("assume_unchanged", "git update-index --assume-unchanged docs/guide.md; echo more >>docs/guide.md"),
    shape("split_index", "git update-index --split-index"),
    shape(
        "submodule_not_initialised",
        "git init -q ../lib; cd ../lib; echo lib >lib.txt; git add -A; git commit -qm Lib; cd ../r
         git submodule --quiet add ../lib vendor/lib; git commit -qm 'Add lib'
         git submodule --quiet deinit --all; rm -rf .git/modules",
    ),
    shape(
        "nested_submodules",
        "git init -q ../lib; cd ../lib; echo lib >lib.txt; git add -A; git commit -qm Lib
         git init -q ../mid; cd ../mid; echo mid >mid.txt; git submodule --quiet add ../lib deep; git add -A; git commit -qm Mid
         cd ../r; git submodule --quiet add ../mid vendor/mid; git submodule --quiet update --init --recursive
         git commit -qm 'Add mid'",
    ),
    shape(
        "link_without_submodule",
        "git init -q sub; git -C sub commit -q --allow-empty -m Sub
         git update-index --add --cacheinfo 160000,$(git -C sub rev-parse HEAD),sub; git commit -qm Link",
    ),
    shape("origin_that_is_gone", "git remote add origin /nonexistent/origin.git"),
    shape("signing_configured", "git config commit.gpgSign true; git config user.signingKey absent"),
    shape("intent_to_add", "echo new >intended.txt; git add -N intended.txt"),
    shape("leading_dash", "echo 1 >./-dash; echo 2 >./--; git add -- ./-dash ./--; git commit -qm Dash"),
    shape("many_files", "mkdir many; for n in $(seq 2000); do echo $n >many/$n; done; git add -A; git commit -qm Many"),
    shape("quotes_and_spaces", "echo 1 >\"it's a \\\"name\\\" \"; git add -A; git commit -qm Q"),
    shape("bisect_in_progress", "git bisect start -q HEAD HEAD~1; git checkout -q main"),
    shape("work_tree_configured", "git config core.worktree $PWD"),
    shape("empty_commit", "git commit -q --allow-empty -m Empty"),
];
