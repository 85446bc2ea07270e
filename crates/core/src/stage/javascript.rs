//! Which functions a file in JavaScript exports, by reading it as text.
//!
//! `export function NAME`, `export const NAME`, `export { NAME }`, `exports.NAME =`
//! and `module.exports = { NAME }` are found, in the first column and outside
//! of comments and strings. Nothing is run and nothing is understood: a slash
//! begins a comment or is one character, so that a pattern with a quote in it
//! may hide what follows in its line. What is not found has to be named in the
//! manifest.

/// The names that `source` exports.
pub(crate) fn exports_of(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut at = 0;
    let mut line_begins = true;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        if line_begins {
            exported(rest, &mut found);
        }
        at += token_len(rest);
        line_begins = rest.starts_with('\n');
    }
    found
}

/// The names that the statement at the beginning of `line` exports.
fn exported<'a>(line: &'a str, found: &mut Vec<&'a str>) {
    if let Some(rest) = word(line, "export") {
        let rest = word(rest, "default").unwrap_or(rest);
        let rest = word(rest, "async").unwrap_or(rest);
        let named = ["function", "const", "let", "var"];
        if let Some(rest) = named.iter().find_map(|kind| word(rest, kind)) {
            found.extend(name(rest.trim_start_matches(['*', ' '])));
        } else if let Some(list) = rest.strip_prefix('{') {
            listed(list, found);
        }
        return;
    }
    let Some(rest) = line
        .strip_prefix("module.exports")
        .or(line.strip_prefix("exports"))
    else {
        return;
    };
    if let Some(one) = rest.strip_prefix('.') {
        let one = name(one).filter(|one| is_assigned(&rest[1 + one.len()..]));
        found.extend(one);
    } else if is_assigned(rest)
        && let Some(list) = rest.split_once('=').map(|(_, list)| list.trim_start())
        && let Some(list) = list.strip_prefix('{')
    {
        listed(list, found);
    }
}

/// The names in a list up to its closing brace.
fn listed<'a>(list: &'a str, found: &mut Vec<&'a str>) {
    let list = list.split_once('}').map_or("", |(list, _)| list);
    for one in list.split(',') {
        // `a as b` is seen from outside as `b`, `async a() {` as `a`.
        let one = one.rsplit_once(" as ").map_or(one, |(_, other)| other);
        let one = one.trim_start();
        found.extend(name(word(one, "async").unwrap_or(one)));
    }
}

/// What follows `keyword` and blanks.
fn word<'a>(text: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(keyword)?;
    let trimmed = rest.trim_start_matches([' ', '\t']);
    let ends = trimmed.len() < rest.len() || trimmed.starts_with(['{', '*']);
    ends.then_some(trimmed)
}

fn name(text: &str) -> Option<&str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    (0 < end).then(|| &text[..end])
}

fn is_assigned(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.starts_with('=') && !rest.starts_with("==")
}

/// The length of the string, comment or character that `rest` begins with.
fn token_len(rest: &str) -> usize {
    let to = |end: &str, after: usize| rest.find(end).map_or(rest.len(), |at| at + after);
    match rest.as_bytes() {
        [b'/', b'/', ..] => to("\n", 0),
        [b'/', b'*', ..] => rest[2..].find("*/").map_or(rest.len(), |at| at + 4),
        [quote @ (b'"' | b'\'' | b'`'), ..] => string_len(rest.as_bytes(), *quote),
        _ => rest.chars().next().map_or(1, char::len_utf8),
    }
}

/// A string from its first quote to its last; one that is open ends with its
/// line, and a template with the text.
fn string_len(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\n' if quote != b'`' => return at,
            byte if byte == quote => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::exports_of;

    #[test]
    fn what_a_file_exports_is_found_where_it_is_code_in_the_first_column() {
        for (source, names) in [
            (
                "export function transform(data, ctx) {\n  export_me();\n}",
                vec!["transform"],
            ),
            (
                "export async function download(ctx) {}\nexport default function* f() {}",
                vec!["download", "f"],
            ),
            (
                "export const expose = async () => 1\nexport let a, b",
                vec!["expose", "a"],
            ),
            (
                "export { download, x as transform };",
                vec!["download", "transform"],
            ),
            ("export{a}", vec!["a"]),
            ("exports.handle = handle\nexports.no == 1", vec!["handle"]),
            (
                "module.exports = { download, transform: other,\n  async expose() {} }",
                vec!["download", "transform", "expose"],
            ),
            ("module.exports.handle = 1", vec!["handle"]),
            (
                "// export function no() {}\n/*\nexport function no() {}\n*/",
                vec![],
            ),
            (
                "const x = `\nexport function no() {}\n`\nexport function yes() {}",
                vec!["yes"],
            ),
            (
                "  export function no() {}\nexporter function no() {}",
                vec![],
            ),
            ("'it\\'s'\nexport function yes() {}", vec!["yes"]),
            ("\"open\nexport function yes() {}", vec!["yes"]),
            ("export default class A {}\nexport * from 'x'", vec![]),
            ("/*", vec![]),
            ("`ä\\", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(exports_of(source), names, "{source:?}");
        }
    }
}
