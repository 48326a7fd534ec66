//! Unmodified tools work in a strict workspace.

use super::workspace::{STRICT, Workspace};

#[test]
fn git_ripgrep_and_tar_work() {
    for kind in STRICT {
        let files: Vec<(String, String)> =
            (0..200).map(|i| (format!("src/m{}/f{i}.c", i % 7), format!("int x{i};\n"))).collect();
        let files: Vec<_> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let w = Workspace::new(kind, &files, &[], &[], &[]);
        let git = "git -c user.name=a -c user.email=a@b -c safe.directory='*'";
        w.ok(&format!("{git} init -q . && {git} add -A && {git} commit -qm first"));
        assert_eq!(w.ok(&format!("{git} status --porcelain")), "");
        w.ok(&format!("echo more >> src/m1/f1.c && {git} commit -qam second && {git} gc -q"));
        assert_eq!(w.ok(&format!("{git} log --oneline | wc -l; {git} fsck")).trim(), "2");
        assert_eq!(w.ok("rg -l 'int x' src | wc -l").trim(), "200");
        w.ok("tar cf /dev/stdout src | (mkdir t && cd t && tar xf -) && diff -r src t/src && rm -rf t");
        w.ok(&format!("{git} checkout -q HEAD~1 && {git} diff --quiet HEAD"));
    }
}
