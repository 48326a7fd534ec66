//! The truth of a sequence: what its own log says, carried out on a file system of maps.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The first line of every file (`acts.c`).
pub(super) const HEAD: &str = "#!/bin/true\n";

/// What a file of the base has at the start.
pub(super) fn base_content(number: u32) -> String {
    format!("{HEAD}{}", block(9_000_000 + number))
}

fn block(number: u32) -> String {
    format!("{:07}\n", number % 10_000_000)
}

/// What stands at a path.
#[derive(Clone, Debug)]
struct Object {
    directory: bool,
    content: String,
}

/// A file system as the log tells it, and what can be said of each moment of it.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    objects: Vec<Object>,
    tree: BTreeMap<String, usize>,
    held: HashMap<u32, usize>,
    mapped: HashMap<u32, usize>,
    /// Every path that ever was.
    pub(super) paths: HashSet<String>,
    /// Every content that a path ever had.
    pub(super) contents: HashSet<(String, String)>,
    /// Every open: by whom, of which path, which content.
    pub(super) opens: HashSet<(u32, String, String)>,
    /// Reads and executions: by whom, and each name that the file had in the sequence by then or later.
    pub(super) reads: Vec<(u32, usize)>,
    pub(super) executions: Vec<(u32, usize)>,
    pub(super) executed: HashSet<(u32, String, String)>,
    /// Who wrote to which object.
    pub(super) writers: HashSet<(u32, usize)>,
    pub(super) renames: BTreeSet<(u32, String, String)>,
    pub(super) removals: HashSet<(u32, String)>,
    /// Every name that an object ever had.
    pub(super) names: HashMap<usize, HashSet<String>>,
}

impl Shadow {
    pub(super) fn new(base: &[(String, String)]) -> Self {
        let mut shadow = Self::default();
        for (path, content) in base {
            let mut parents: Vec<&str> =
                path.match_indices('/').map(|(at, _)| &path[..at]).collect();
            parents.retain(|parent| !shadow.tree.contains_key(*parent));
            for parent in parents {
                shadow.make(parent, true, "");
            }
            shadow.make(path, false, content);
        }
        shadow
    }

    /// Carries out one line of the log.
    pub(super) fn act(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let pid: u32 = words[1].parse().unwrap();
        let number = || words.last().unwrap().parse::<u32>().unwrap();
        match words[0] {
            "write" | "begin" => {
                let object = match self.tree.get(words[2]) {
                    Some(object) => *object,
                    None => self.make(words[2], false, ""),
                };
                let block = if words[0] == "write" { block(number()) } else { String::new() };
                self.opened(pid, words[2]);
                self.change(pid, object, |content| *content = format!("{HEAD}{block}"));
                self.opened(pid, words[2]);
            }
            "fill" | "append" => {
                self.opened(pid, words[2]);
                let object = self.tree[words[2]];
                self.change(pid, object, |content| content.push_str(&block(number())));
                self.opened(pid, words[2]);
            }
            "truncate" => {
                // By its path: an access for writing, though it has no descriptor.
                self.opened(pid, words[2]);
                let object = self.tree[words[2]];
                self.change(pid, object, |content| {
                    content.truncate(HEAD.len());
                    while content.len() < HEAD.len() {
                        content.push('\0');
                    }
                });
            }
            "attempt" | "open" | "map" | "hold" => {
                self.opened(pid, words[2]);
                let object = self.tree[words[2]];
                match words[0] {
                    "map" => drop(self.mapped.insert(pid, object)),
                    "hold" => drop(self.held.insert(pid, object)),
                    _ => {}
                }
            }
            "read" => {
                self.opened(pid, words[2]);
                self.reads.push((pid, self.tree[words[2]]));
            }
            "execute" => {
                self.opened(pid, words[2]);
                let object = self.tree[words[2]];
                self.executions.push((pid, object));
                let content = self.objects[object].content.clone();
                self.executed.insert((pid, words[2].to_owned(), content));
            }
            "poke" => {
                self.opened(pid, words[2]);
                let object = self.tree[words[2]];
                self.change(pid, object, |content| poke(content, number()));
                self.opened(pid, words[2]);
            }
            "poke_mapped" => {
                let object = self.mapped[&pid];
                self.change(pid, object, |content| poke(content, number()));
            }
            "write_held" => {
                let object = self.held[&pid];
                self.change(pid, object, |content| content.push_str(&block(number())));
            }
            "unmap" | "release" | "chmod" => {}
            "rename" => self.rename(pid, words[2], words[3]),
            // Two names of one file: nothing happens.
            "exchange" if self.tree[words[2]] == self.tree[words[3]] => {}
            "exchange" => {
                self.rename(pid, words[2], "/");
                self.rename(pid, words[3], words[2]);
                self.rename(pid, "/", words[3]);
                self.renames.retain(|(_, from, to)| from != "/" && to != "/");
                self.renames.insert((pid, words[2].to_owned(), words[3].to_owned()));
            }
            "link" => {
                let object = self.tree[words[2]];
                // A name comes to be with what the file has, as if it were written there.
                self.writers.insert((pid, object));
                self.place(words[3], object);
            }
            "symlink" => {
                self.make(words[2], false, "");
                self.tree.remove(words[2]);
            }
            "unlink" | "rmdir" => {
                self.removals.insert((pid, words[2].to_owned()));
                self.tree.remove(words[2]);
            }
            "mkdir" => drop(self.make(words[2], true, "")),
            other => panic!("{other}: {line}"),
        }
    }

    fn make(&mut self, path: &str, directory: bool, content: &str) -> usize {
        self.objects.push(Object { directory, content: content.to_owned() });
        let object = self.objects.len() - 1;
        self.place(path, object);
        object
    }

    fn place(&mut self, path: &str, object: usize) {
        self.tree.insert(path.to_owned(), object);
        if path.starts_with('/') {
            return;
        }
        self.paths.insert(path.to_owned());
        self.names.entry(object).or_default().insert(path.to_owned());
        self.contents.insert((path.to_owned(), self.objects[object].content.clone()));
    }

    fn opened(&mut self, pid: u32, path: &str) {
        let content = self.objects[self.tree[path]].content.clone();
        self.opens.insert((pid, path.to_owned(), content));
    }

    fn change(&mut self, pid: u32, object: usize, act: impl FnOnce(&mut String)) {
        act(&mut self.objects[object].content);
        self.writers.insert((pid, object));
        let content = &self.objects[object].content;
        for (path, other) in &self.tree {
            if *other == object {
                self.contents.insert((path.clone(), content.clone()));
            }
        }
    }

    fn rename(&mut self, pid: u32, from: &str, to: &str) {
        if self.tree.get(to).is_some_and(|there| self.tree.get(from) == Some(there)) {
            // Two names of one file: nothing happens.
            return;
        }
        self.renames.insert((pid, from.to_owned(), to.to_owned()));
        self.tree.remove(to);
        let below = format!("{from}/");
        let moved: Vec<String> =
            self.tree.keys().filter(|p| *p == from || p.starts_with(&below)).cloned().collect();
        for path in moved {
            let object = self.tree.remove(&path).unwrap();
            self.place(&format!("{to}{}", &path[from.len()..]), object);
        }
    }

    /// Whether one of the object's names is among the paths.
    pub(super) fn named(&self, object: usize, paths: &HashSet<(u32, String)>, pid: u32) -> bool {
        self.names[&object].iter().any(|name| paths.contains(&(pid, name.clone())))
    }

    /// Whether the process, or any where it is not known, opened a file that once had this name.
    pub(super) fn opened_as(&self, pid: Option<u32>, path: &str) -> bool {
        let same = |at: &String| {
            at == path
                || self.names.values().any(|names| names.contains(at) && names.contains(path))
        };
        self.opens.iter().any(|(by, at, _)| pid.is_none_or(|pid| pid == *by) && same(at))
    }

    /// Whether the process wrote to a file that once had this name.
    pub(super) fn wrote(&self, pid: u32, path: &str) -> bool {
        self.writers.iter().any(|(by, object)| *by == pid && self.names[object].contains(path))
    }

    /// Whether the path once was a directory.
    pub(super) fn was_directory(&self, path: &str) -> bool {
        self.names
            .iter()
            .any(|(object, names)| self.objects[*object].directory && names.contains(path))
    }
}

fn poke(content: &mut String, number: u32) {
    content.replace_range(HEAD.len()..HEAD.len() + 8, &block(number));
}
