//! From the text of a pattern to its alternatives, each a sequence of tokens.

use super::{MAX_ALTERNATIVES, MAX_BRACE_DEPTH, MAX_PATTERN_BYTES, Reason};

/// What one or more characters of a pattern mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// This character.
    Char(char),
    /// `?`
    One,
    /// `*`
    Star,
    /// `[…]`
    Class(Class),
}

/// `[a-z]` or `[!a-z]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    /// Whether it has `character`; `None` is a byte that is not part of valid UTF-8.
    pub(super) fn has(&self, character: Option<char>) -> bool {
        let listed = character
            .is_some_and(|c| self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)));
        listed != self.negated
    }
}

/// Multiplies out the braces of a pattern. `path`: a class may not contain `/`.
pub(super) fn alternatives(text: &str, path: bool) -> Result<Vec<Vec<Token>>, Reason> {
    if text.is_empty() {
        return Err(Reason::Empty);
    }
    if text.len() > MAX_PATTERN_BYTES {
        return Err(Reason::TooLong);
    }
    if text.contains('\0') {
        return Err(Reason::Nul);
    }
    let mut parser = Parser { rest: text.chars().peekable(), path };
    let all = parser.sequence(0)?;
    if parser.rest.peek().is_some() { Err(Reason::StrayBrace) } else { Ok(all) }
}

struct Parser<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    path: bool,
}

impl Parser<'_> {
    /// Up to the end, or up to the `,` or `}` that ends an alternative; that one is left.
    fn sequence(&mut self, depth: usize) -> Result<Vec<Vec<Token>>, Reason> {
        let mut all = vec![Vec::new()];
        while let Some(&c) = self.rest.peek() {
            if c == '}' || (c == ',' && depth > 0) {
                break;
            }
            self.rest.next();
            let token = match c {
                '*' => Token::Star,
                '?' => Token::One,
                '[' => Token::Class(self.class()?),
                '\\' => Token::Char(self.rest.next().ok_or(Reason::OpenEscape)?),
                '{' => {
                    all = product(&all, &self.braces(depth + 1)?)?;
                    continue;
                }
                other => Token::Char(other),
            };
            for tokens in &mut all {
                tokens.push(token.clone());
            }
        }
        Ok(all)
    }

    /// After a `{`.
    fn braces(&mut self, depth: usize) -> Result<Vec<Vec<Token>>, Reason> {
        if depth > MAX_BRACE_DEPTH {
            return Err(Reason::DeepBraces);
        }
        let mut choices = Vec::new();
        loop {
            choices.extend(self.sequence(depth)?);
            if choices.len() > MAX_ALTERNATIVES {
                return Err(Reason::ManyAlternatives);
            }
            match self.rest.next() {
                Some(',') => {}
                Some('}') => return Ok(choices),
                Some(_) | None => return Err(Reason::OpenBrace),
            }
        }
    }

    /// After a `[`. A `]` that comes first is a member.
    fn class(&mut self) -> Result<Class, Reason> {
        let negated = self.rest.next_if(|c| matches!(c, '!' | '^')).is_some();
        let mut ranges = Vec::new();
        loop {
            let from = match self.rest.next().ok_or(Reason::OpenClass)? {
                ']' if !ranges.is_empty() => return Ok(Class { negated, ranges }),
                '\\' => self.rest.next().ok_or(Reason::OpenClass)?,
                c => c,
            };
            let mut to = from;
            if self.rest.next_if_eq(&'-').is_some() {
                match self.rest.peek().copied().ok_or(Reason::OpenClass)? {
                    ']' => ranges.push(('-', '-')),
                    end => {
                        self.rest.next();
                        to = match end {
                            '\\' => self.rest.next().ok_or(Reason::OpenClass)?,
                            c => c,
                        };
                    }
                }
            }
            if from > to {
                return Err(Reason::BackwardRange);
            }
            if self.path && (from == '/' || to == '/') {
                return Err(Reason::SlashInClass);
            }
            ranges.push((from, to));
        }
    }
}

fn product(left: &[Vec<Token>], right: &[Vec<Token>]) -> Result<Vec<Vec<Token>>, Reason> {
    if left.len().saturating_mul(right.len()) > MAX_ALTERNATIVES {
        return Err(Reason::ManyAlternatives);
    }
    let join = |a: &Vec<Token>, b: &Vec<Token>| [a.as_slice(), b.as_slice()].concat();
    Ok(left.iter().flat_map(|a| right.iter().map(move |b| join(a, b))).collect())
}
