//! Column names that SQL takes for keywords, quoted where they stand bare.
//!
//! Invariant: a read-only query never needs these words as keywords, so that quoting them can
//! change no meaning. Strings, comments and quoted names stay as they are.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Columns of our views that are keywords of statements which write.
const COLUMNS: [&str; 2] = ["new", "returning"];

/// The query with such names quoted; as it came if it is no SQL at all.
pub(crate) fn quoted(sql: &str) -> String {
    let named = |word: &str| COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(word));
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return sql.to_owned();
    };
    let text = |token: Token| match token {
        Token::Word(word) if word.quote_style.is_none() && named(&word.value) => {
            format!("\"{}\"", word.value.to_ascii_lowercase())
        }
        other => other.to_string(),
    };
    let bare = |token: &Token| match token {
        Token::Word(word) => word.quote_style.is_none() && named(&word.value),
        _ => false,
    };
    // Printing tokens may move a space; a query without such names is passed on untouched.
    if !tokens.iter().any(bare) {
        return sql.to_owned();
    }
    tokens.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn only_bare_names_are_quoted() {
        let sql = "SELECT new, sum(Returning) FROM t -- new\nWHERE a = 'returning' AND \"new\" > 1";
        let expected = "SELECT \"new\", sum(\"returning\") FROM t -- new\n\
                        WHERE a = 'returning' AND \"new\" > 1";
        assert_eq!(quoted(sql), expected);
        assert_eq!(quoted("SELECT  'x"), "SELECT  'x");
        assert_eq!(quoted("SELECT  news"), "SELECT  news");
    }
}
