//! HTML removed from titles and texts, for `prepare --strip-html` and for lines of new items.

use std::borrow::Cow;

/// Elements within a word or line, which are replaced by nothing; all others by a space (`water<br>proof`).
const INLINE: [&str; 26] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "em", "font", "i", "ins", "kbd", "mark", "q", "s",
    "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "wbr",
];
/// Elements whose content is not text.
const HIDDEN: [&str; 2] = ["script", "style"];

/// Returns the text of `html` without tags and comments. Character references are resolved once, as in HTML 5, and runs of
/// white space (non-breaking space included) become one space. In text without markup only white space changes; a `<`
/// that opens no tag (`5 < 6`, `<3`) is text.
pub fn strip_html(html: &str) -> Cow<'_, str> {
    let plain = !html.contains(['<', '&']);
    if plain && is_tidy(html) {
        return Cow::Borrowed(html);
    }
    let text = remove_tags(html);
    let text = htmlize::unescape(text.as_str());
    let mut tidy = String::with_capacity(text.len());
    for word in text.split(char::is_whitespace).filter(|word| !word.is_empty()) {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.push_str(word);
    }
    Cow::Owned(tidy)
}

/// Whether [`strip_html`] removes more than white space.
pub fn has_markup(text: &str) -> bool {
    text.contains(['<', '&']) && strip_html(text).split(' ').ne(text.split_whitespace())
}

/// The first markup of a text with some characters around it, for a message.
pub fn glimpse(text: &str) -> String {
    const CONTEXT: usize = 20;
    const LONGEST: usize = 60;
    let place = text.find(['<', '&']).unwrap_or_default();
    let start = text[..place].char_indices().rev().nth(CONTEXT - 1).map_or(0, |(start, _)| start);
    let shown: String = text[start..].chars().take(LONGEST).collect();
    let dots = |cut: bool| if cut { "…" } else { "" };
    format!("{}{shown}{}", dots(start > 0), dots(start + shown.len() < text.len()))
}

/// Whether white space is single spaces between words only.
fn is_tidy(text: &str) -> bool {
    let mut last = ' ';
    for c in text.chars() {
        if c.is_whitespace() && (c != ' ' || last == ' ') {
            return false;
        }
        last = c;
    }
    text.is_empty() || last != ' '
}

fn remove_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let Some((name, end)) = tag(rest) else {
            out.push('<');
            rest = &rest[1..];
            continue;
        };
        let name = name.to_ascii_lowercase();
        rest = &rest[end..];
        if HIDDEN.contains(&name.as_str()) {
            rest = skip_hidden(rest, &name);
        }
        if !INLINE.contains(&name.trim_start_matches('/')) {
            out.push(' ');
        }
    }
    out.push_str(rest);
    out
}

/// Name (with its slash) and length of the tag, comment or declaration at the start of `html`, if there is one.
fn tag(html: &str) -> Option<(&str, usize)> {
    let bytes = html.as_bytes();
    if let Some(rest) = html.strip_prefix("<!--") {
        return Some(("!", 4 + rest.find("-->")? + 3));
    }
    let slash = usize::from(bytes.get(1) == Some(&b'/'));
    let first = bytes.get(1 + slash)?;
    let opens = first.is_ascii_alphabetic() || slash == 0 && matches!(first, b'!' | b'?');
    if !opens {
        return None;
    }
    let name = html[1 + slash..].find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/')? + 1 + slash;
    // A `>` in a quoted attribute ends no tag. An apostrophe that opens no value (`<b don't>`) is a character.
    let mut quote = None;
    let mut before = b' ';
    for (i, &byte) in bytes.iter().enumerate().skip(name) {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') && before == b'=' => quote = Some(byte),
            None if byte == b'>' => return Some((&html[1..name], i + 1)),
            None if byte == b'<' => return None,
            None => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    None
}

/// What follows the closing tag of `name`; nothing where it isn't closed.
fn skip_hidden<'a>(html: &'a str, name: &str) -> &'a str {
    let mut from = 0;
    while let Some(open) = html[from..].find("</") {
        let place = from + open;
        let rest = &html[place..];
        match tag(rest) {
            Some((close, end)) if close[1..].eq_ignore_ascii_case(name) => return &rest[end..],
            _ => from = place + 2,
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_references_and_space_are_gone_and_the_text_stays() {
        let cases = [
            ("<p>Warm &amp; <b>soft</b></p>", "Warm & soft"),
            ("water<br>proof<br/>shoes", "water proof shoes"),
            ("H<sub>2</sub>O", "H2O"),
            ("caf&eacute;&nbsp;&#8212;\u{a0}&#x41;", "café — A"),
            ("<a href=\"x>y\" title='don&apos;t'>link</a>", "link"),
            ("one<!-- <b> not here --> two", "one two"),
            ("a<script>if (a < b) {}</script>b<STYLE>p {}</STYLE >c", "a b c"),
            ("5 < 6 and 7 > 3, <3", "5 < 6 and 7 > 3, <3"),
            ("cut off <b", "cut off <b"),
            ("&lt;b&gt; stays", "<b> stays"),
            ("AT&T R&D; &copy 2014", "AT&T R&D; © 2014"),
            ("  two\n\tlines  ", "two lines"),
            ("<!DOCTYPE html><ul><li>x<li>y</ul>", "x y"),
            ("<b don't>bold</b>", "bold"),
        ];
        for (html, text) in cases {
            assert_eq!(strip_html(html), text, "{html}");
        }
    }

    #[test]
    fn text_without_markup_is_borrowed() {
        assert!(matches!(strip_html("Nothing to do, 7\" single"), Cow::Borrowed(_)));
        assert!(matches!(strip_html(""), Cow::Borrowed("")));
    }

    proptest! {
        #[test]
        fn any_text_is_stripped_to_tidy_text(html in "([<>/&;#x!\"'= \n-]|[a-z\u{e9}]|script|<b>|</|&amp|<!--){0,60}") {
            let text = strip_html(&html).into_owned();
            prop_assert!(is_tidy(&text), "{text:?}");
            let plain: String = html.chars().filter(|c| !matches!(c, '<' | '&')).collect();
            let words: Vec<&str> = plain.split_whitespace().collect();
            prop_assert_eq!(strip_html(&plain), words.join(" "));
        }
    }
}
