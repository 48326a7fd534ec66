//! What the arguments of git ask for of the history: pure, and no more than the arguments say.
//!
//! Commands that write what they read into the workspace (`checkout`, `restore`) are told by their files; those that read
//! without limit, or what they are told on standard input (`cat-file --batch`, `bundle`, `clone`), name nothing here.

/// A part of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// A revision as the arguments spell it, an object, or a range.
    pub(super) revision: String,
    /// A path in it; without one all of it is meant.
    pub(super) path: Option<String>,
    /// The path is relative to the directory in which git runs, as pathspecs are; in `REVISION:PATH` only one that begins with
    /// `./` or `../` is (gitrevisions(7)).
    pub(super) relative: bool,
    /// It may as well be something else, a path for example: only what can be resolved is one.
    pub(super) doubtful: bool,
}

/// What one call of git asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    /// Another repository may be meant than that of the workspace.
    pub(super) elsewhere: bool,
    /// What of the history.
    pub(super) asked: Vec<Asked>,
}

/// Options before the command that have their value in the next argument.
const GLOBAL_VALUES: [&str; 6] =
    ["-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env"];

/// Options of commands that show revisions, with their value in the next argument.
const SHOW_VALUES: [&str; 16] = [
    "-n",
    "-S",
    "-G",
    "-L",
    "-O",
    "-l",
    "-o",
    "--author",
    "--committer",
    "--grep",
    "--since",
    "--until",
    "--after",
    "--before",
    "--output",
    "--date",
];

const GREP_VALUES: [&str; 9] =
    ["-e", "-f", "-A", "-B", "-C", "-m", "--max-depth", "--threads", "--max-count"];

const BLAME_VALUES: [&str; 8] = [
    "-L",
    "-S",
    "--since",
    "--ignore-rev",
    "--ignore-revs-file",
    "--contents",
    "--date",
    "--abbrev",
];

/// Reads the arguments of git, the first of which is its own name.
pub(super) fn read(argv: &[String]) -> Command {
    let mut command = Command::default();
    let mut rest = argv.get(1..).unwrap_or_default();
    while let [option, tail @ ..] = rest
        && option.starts_with('-')
    {
        let name = option.split('=').next().unwrap_or(option);
        if matches!(name, "-C" | "--git-dir" | "--namespace" | "--work-tree") {
            command.elsewhere = true;
        }
        rest = match GLOBAL_VALUES.contains(&option.as_str()) {
            true => tail.get(1..).unwrap_or_default(),
            false => tail,
        };
    }
    let [name, arguments @ ..] = rest else { return command };
    command.asked = match name.as_str() {
        "show" | "log" | "whatchanged" | "shortlog" | "rev-list" | "format-patch" => {
            revisions(&Words::of(arguments, &SHOW_VALUES))
        }
        "cat-file" => objects(arguments),
        "archive" => tree(&Words::of(arguments, &["-o", "--output", "--add-file", "--remote"])),
        "ls-tree" | "diff-tree" => tree(&Words::of(arguments, &SHOW_VALUES)),
        "grep" => searched(arguments),
        "blame" | "annotate" => blamed(&Words::of(arguments, &BLAME_VALUES)),
        "diff" | "difftool" => compared(&Words::of(arguments, &SHOW_VALUES)),
        _ => Vec::new(),
    };
    command
}

/// Arguments that are no options: those before `--`, and those after it.
#[derive(Debug, Default)]
struct Words<'a> {
    before: Vec<&'a str>,
    after: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> Words<'a> {
    fn of(arguments: &'a [String], with_value: &[&str]) -> Self {
        let mut words = Self::default();
        let mut arguments = arguments.iter().map(String::as_str);
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                words.after.extend(arguments.by_ref());
            } else if argument.starts_with('-') && argument.len() > 1 {
                words.options.push(argument);
                if with_value.contains(&argument) {
                    let _value = arguments.next();
                }
            } else {
                words.before.push(argument);
            }
        }
        words
    }
}

/// `REVISION`, or `REVISION:PATH`.
fn named(word: &str, doubtful: bool) -> Asked {
    match word.split_once(':') {
        Some((revision, path)) if !revision.is_empty() && !path.is_empty() => {
            let relative = path.starts_with("./") || path.starts_with("../");
            Asked { revision: revision.to_owned(), path: Some(path.to_owned()), relative, doubtful }
        }
        Some(_) | None => {
            Asked { revision: word.to_owned(), path: None, relative: false, doubtful }
        }
    }
}

fn within(revision: &str, paths: &[&str]) -> Vec<Asked> {
    let asked = |path: Option<&str>| Asked {
        revision: revision.to_owned(),
        path: path.map(str::to_owned),
        relative: true,
        doubtful: false,
    };
    match paths {
        [] => vec![asked(None)],
        paths => paths.iter().map(|path| asked(Some(path))).collect(),
    }
}

fn revisions(words: &Words<'_>) -> Vec<Asked> {
    match words.before.as_slice() {
        [] => within("HEAD", &words.after),
        // Without `--` what follows the first may be a path of it.
        [first, rest @ ..] => {
            let mut asked = match words.after.as_slice() {
                [] => vec![named(first, false)],
                paths => within(first, paths),
            };
            asked.extend(rest.iter().map(|word| named(word, !word.contains(':'))));
            asked
        }
    }
}

fn objects(arguments: &[String]) -> Vec<Asked> {
    let words = Words::of(arguments, &["--path"]);
    if words.options.iter().any(|option| option.starts_with("--batch")) {
        return Vec::new();
    }
    // A type comes before the object.
    words.before.last().map(|object| named(object, false)).into_iter().collect()
}

fn tree(words: &Words<'_>) -> Vec<Asked> {
    if words.options.iter().any(|option| option.starts_with("--remote")) {
        return Vec::new();
    }
    match words.before.as_slice() {
        [] => Vec::new(),
        [revision, paths @ ..] if revision.contains(':') => {
            let _below = paths;
            vec![named(revision, false)]
        }
        [revision, paths @ ..] => within(revision, &[paths, &words.after].concat()),
    }
}

fn searched(arguments: &[String]) -> Vec<Asked> {
    let words = Words::of(arguments, &GREP_VALUES);
    let pattern = words.options.iter().any(|o| {
        matches!(*o, "-e" | "-f")
            || o.starts_with("--file")
            || (o.starts_with("-e") && !o.starts_with("--"))
    });
    let revisions = words.before.get(usize::from(!pattern)..).unwrap_or_default();
    let asked = revisions.iter().flat_map(|revision| within(revision, &words.after));
    asked.map(|asked| Asked { doubtful: true, ..asked }).collect()
}

fn blamed(words: &Words<'_>) -> Vec<Asked> {
    let (revision, path) = match (words.before.as_slice(), words.after.as_slice()) {
        ([], [path]) => ("HEAD", *path),
        ([revision], [path]) => (*revision, *path),
        ([path], []) => ("HEAD", *path),
        ([revision, path], []) => (*revision, *path),
        (_, _) => return Vec::new(),
    };
    within(revision, &[path])
}

fn compared(words: &Words<'_>) -> Vec<Asked> {
    let ends = words.before.iter().flat_map(|word| {
        let ends = word.split_once("...").or_else(|| word.split_once(".."));
        match ends {
            Some((from, to)) => vec![from, to],
            None => vec![*word],
        }
    });
    let ends = ends.map(|end| if end.is_empty() { "HEAD" } else { end });
    let asked = ends.flat_map(|end| match (end.contains(':'), words.after.as_slice()) {
        (true, _) | (_, []) => vec![named(end, true)],
        (false, paths) => within(end, paths),
    });
    asked.map(|asked| Asked { doubtful: true, ..asked }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> String {
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let Command { elsewhere, asked } = read(&argv);
        let asked = asked.iter().map(|asked| {
            let from = if asked.relative && asked.path.is_some() { "-- " } else { "" };
            let path = asked.path.as_ref().map_or(String::new(), |path| format!(":{from}{path}"));
            format!("{}{path}{}", asked.revision, if asked.doubtful { "?" } else { "" })
        });
        let mut asked: Vec<String> = asked.collect();
        if elsewhere {
            asked.push("elsewhere".to_owned());
        }
        asked.join(" ")
    }

    #[test]
    fn what_the_arguments_of_git_ask_for_is_understood() {
        for (line, expected) in [
            ("git show HEAD:src/x", "HEAD:src/x"),
            ("git show", "HEAD"),
            ("git show HEAD:./x HEAD:../y", "HEAD:-- ./x HEAD:-- ../y"),
            ("git --no-pager -c color.ui=never show -s --format=%H main~1", "main~1"),
            ("git show HEAD -- a b", "HEAD:-- a HEAD:-- b"),
            ("git show v1 v2:x README.md", "v1 v2:x README.md?"),
            ("git log -p", "HEAD"),
            ("git log -p -n 3 main..topic -- src", "main..topic:-- src"),
            ("git log -S secret", "HEAD"),
            ("git cat-file -p HEAD:x", "HEAD:x"),
            ("git cat-file blob 1234abcd", "1234abcd"),
            ("git cat-file --batch", ""),
            ("git archive --format=tar -o out.tar HEAD docs src", "HEAD:-- docs HEAD:-- src"),
            ("git archive HEAD", "HEAD"),
            ("git archive --remote=there HEAD", ""),
            ("git grep -n word HEAD~2 -- src", "HEAD~2:-- src?"),
            ("git grep -e word -e other v1 v2", "v1? v2?"),
            ("git grep word", ""),
            ("git blame src/x", "HEAD:-- src/x"),
            ("git blame -L 1,2 v1 -- src/x", "v1:-- src/x"),
            ("git diff v1..v2 -- a", "v1:-- a? v2:-- a?"),
            ("git diff", ""),
            ("git ls-tree -r HEAD src", "HEAD:-- src"),
            ("git -C /tmp/other show HEAD:x", "HEAD:x elsewhere"),
            ("git --git-dir=/tmp/other show", "HEAD elsewhere"),
            ("git status", ""),
            ("git commit -m show", ""),
            ("git", ""),
        ] {
            assert_eq!(of(line), expected, "{line}");
        }
    }
}
