//! Matching of one name (a component of a path, or a whole text) against one alternative of a pattern.

use super::parse::Token;

/// One alternative, in the form that is fastest to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// No wildcard.
    Literal(Box<[u8]>),
    /// One `*` between two literals, each perhaps empty.
    Star { prefix: Box<[u8]>, suffix: Box<[u8]> },
    /// Anything else.
    Tokens(Box<[Token]>),
}

impl Name {
    pub(super) fn new(tokens: &[Token]) -> Self {
        let mut merged: Vec<Token> = Vec::with_capacity(tokens.len());
        for token in tokens {
            if !(*token == Token::Star && merged.last() == Some(&Token::Star)) {
                merged.push(token.clone());
            }
        }
        if let Some(bytes) = literal(&merged) {
            return Self::Literal(bytes);
        }
        let star = merged.iter().position(|token| *token == Token::Star);
        if let Some((before, [_, after @ ..])) = star.and_then(|at| merged.split_at_checked(at))
            && let (Some(prefix), Some(suffix)) = (literal(before), literal(after))
        {
            return Self::Star { prefix, suffix };
        }
        Self::Tokens(merged.into())
    }

    /// Whether it matches the whole of `name`.
    #[inline]
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Literal(bytes) => **bytes == *name,
            Self::Star { prefix, suffix } => {
                name.len() >= prefix.len() + suffix.len()
                    && name.starts_with(prefix)
                    && name.ends_with(suffix)
            }
            Self::Tokens(tokens) => tokens_match(tokens, name),
        }
    }
}

fn literal(tokens: &[Token]) -> Option<Box<[u8]>> {
    let mut bytes = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Token::One | Token::Star | Token::Class(_) => return None,
        }
    }
    Some(bytes.into())
}

/// The first character of `bytes` and its length; `None` for a byte that is not part of valid UTF-8.
fn first(bytes: &[u8]) -> Option<(Option<char>, usize)> {
    let length = match *bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        0x00..=0xc1 | 0xf5..=0xff => 1,
    };
    let character = bytes
        .get(..length)
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .and_then(|text| text.chars().next());
    Some((character, if character.is_some() { length } else { 1 }))
}

/// Goes back to the last `*` only: where a later part of the pattern fails, giving an earlier `*` more never helps.
/// Time is O(tokens × bytes) at worst.
fn tokens_match(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match tokens.get(token) {
            None if at == name.len() => return true,
            None => None,
            Some(Token::Star) => {
                retry = Some((token + 1, at));
                token += 1;
                continue;
            }
            Some(Token::Char(wanted)) => first(&name[at..]).filter(|(c, _)| *c == Some(*wanted)),
            Some(Token::One) => first(&name[at..]),
            Some(Token::Class(class)) => first(&name[at..]).filter(|(c, _)| class.has(*c)),
        };
        if let Some((_, length)) = step {
            token += 1;
            at += length;
            continue;
        }
        let Some((after_star, star_at)) = retry else {
            return false;
        };
        let Some((_, length)) = first(&name[star_at..]) else {
            return false;
        };
        retry = Some((after_star, star_at + length));
        (token, at) = (after_star, star_at + length);
    }
}
