//! The multipart body of an upload, read as the real server reads it: python-multipart 0.0.34 under Starlette.
//!
//! A file's name is what stands between the quotes, line feeds too. `\\` becomes `\`, and after that `\"` becomes `"`; nothing
//! else is unescaped, and nothing is percent-decoded. Parameters with a `*` in their name do not count. A name that begins like
//! a Windows path loses its folders; one with a `/` keeps them. The bytes are UTF-8, or Latin-1 where they are not.

use crate::errors::ApiError;

/// The longest header line, and the most header lines of a part.
const HEADER_LIMITS: (usize, usize) = (4096 + 128, 8);

/// The most that a part without a file name may hold.
const FIELD_LIMIT: usize = 1024 * 1024;

/// A file in a form.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) content: &'a [u8],
}

/// The form's last file field of that name.
///
/// # Errors
///
/// 400 for a form that breaks the rules.
pub(crate) fn file<'a>(content_type: &str, body: &'a [u8], field: &str) -> Result<Option<Part<'a>>, ApiError> {
    let (kind, parameters) = options(content_type.as_bytes());
    if kind != b"multipart/form-data" {
        return Ok(None);
    }
    let boundary = get(&parameters, b"boundary").ok_or_else(|| refuse("Missing boundary in multipart."))?;
    let separator = [b"\r\n--".as_slice(), boundary].concat();
    let Some(mut rest) = first_part(body, &separator[2..])? else {
        return Ok(None);
    };
    let mut found = None;
    // A body that breaks off is no error; its last part just never ends.
    while let Some((disposition, content)) = headers(rest)? {
        let (_, parameters) = options(disposition);
        let name = get(&parameters, b"name")
            .ok_or_else(|| refuse("The Content-Disposition header field \"name\" must be provided."))?;
        let file_name = get(&parameters, b"filename");
        let end = end_of_part(content, &separator)?;
        let length = end.map_or(content.len(), |(length, _)| length);
        if file_name.is_none() && length > FIELD_LIMIT {
            return Err(refuse("Part exceeded maximum size of 1024KB."));
        }
        let Some((length, next)) = end else { break };
        if decode(name) == field {
            let file_name = file_name.map(decode).filter(|name| !name.is_empty());
            found = file_name.map(|name| Part { name, content: &content[..length] });
        }
        let Some(next) = next else { break };
        rest = next;
    }
    Ok(found)
}

fn refuse(message: &str) -> ApiError {
    ApiError::new(400, message)
}

fn invalid() -> ApiError {
    refuse("Invalid multipart data.")
}

/// What follows the first boundary. `None` for a form without a part.
fn first_part<'a>(body: &'a [u8], marker: &[u8]) -> Result<Option<&'a [u8]>, ApiError> {
    let body = match body.first() {
        // After leading line breaks all is skipped up to a hyphen.
        Some(b'\r' | b'\n') => body.iter().position(|byte| *byte == b'-').map_or(&body[body.len()..], |at| &body[at..]),
        _ => body,
    };
    let shared = body.len().min(marker.len());
    if body[..shared] != marker[..shared] {
        return Err(invalid());
    }
    match &body[shared..] {
        [b'\r', b'\n', rest @ ..] => Ok(Some(rest)),
        [] | [b'\r'] | [b'-', ..] => Ok(None),
        _ => Err(invalid()),
    }
}

type Two<'a> = (&'a [u8], &'a [u8]);

/// A part's content-disposition, and what follows its headers. `None` where the body breaks off.
fn headers(mut rest: &[u8]) -> Result<Option<Two<'_>>, ApiError> {
    let mut disposition: &[u8] = b"";
    for _ in 0..=HEADER_LIMITS.1 {
        match rest {
            [b'\r', b'\n', content @ ..] => return Ok(Some((disposition, content))),
            [] | [b'\r'] => return Ok(None),
            [b'\r', ..] => return Err(invalid()),
            _ => {}
        }
        let colon = rest.iter().position(|byte| *byte == b':');
        let name = &rest[..colon.unwrap_or(rest.len())];
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            return Err(invalid());
        }
        let Some(colon) = colon else { return Ok(None) };
        let value = &rest[colon + 1..];
        let spaces = value.iter().take_while(|byte| **byte == b' ').count();
        // A line ends at a carriage return; a line feed alone is part of the value.
        let end = value.iter().position(|byte| *byte == b'\r').unwrap_or(value.len());
        if colon + 1 + end > HEADER_LIMITS.0 {
            return Err(invalid());
        }
        match &value[end..] {
            [b'\r', b'\n', more @ ..] => rest = more,
            [] | [b'\r'] => return Ok(None),
            _ => return Err(invalid()),
        }
        if name.eq_ignore_ascii_case(b"content-disposition") {
            disposition = &value[spaces.min(end)..end];
        }
    }
    Err(invalid())
}

type End<'a> = (usize, Option<&'a [u8]>);

/// Where a part ends (`None`: nowhere): its length, and what comes after the boundary unless it was the last one.
fn end_of_part<'a>(content: &'a [u8], separator: &[u8]) -> Result<Option<End<'a>>, ApiError> {
    let mut at = 0;
    while let Some(step) = find(&content[at..], separator) {
        let length = at + step;
        match &content[length + separator.len()..] {
            [b'\r', b'\n', next @ ..] => return Ok(Some((length, Some(next)))),
            [b'-', b'-', ..] => return Ok(Some((length, None))),
            // Padding, up to the line's end.
            padded @ [b' ' | b'\t', ..] => {
                let blank = padded.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                return match &padded[blank..] {
                    [b'\r', b'\n', next @ ..] => Ok(Some((length, Some(next)))),
                    [] | [b'\r'] => Ok(None),
                    _ => Err(invalid()),
                };
            }
            _ => at = length + separator.len(),
        }
    }
    Ok(None)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// A header's value in lower case, and its parameters.
fn options(text: &[u8]) -> (Vec<u8>, Parameters) {
    let mut pieces = pieces(text).into_iter();
    let kind = pieces.next().unwrap_or_default().to_ascii_lowercase();
    let mut parameters = Parameters::new();
    for piece in pieces {
        let (key, mut value) = match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => (piece[..at].to_vec(), piece[at + 1..].to_vec()),
            None => (piece, Vec::new()),
        };
        if key.contains(&b'*') {
            continue;
        }
        if value.len() >= 2 && value.first() == Some(&b'"') && value.last() == Some(&b'"') {
            value = replace(&value[1..value.len() - 1], b"\\\\", b"\\");
            value = replace(&value, b"\\\"", b"\"");
        }
        if key == b"filename" && (value.get(1..3) == Some(b":\\") || value.starts_with(b"\\\\")) {
            let last = value.rsplit(|byte| *byte == b'\\').next().unwrap_or_default();
            value = last.to_vec();
        }
        parameters.push((key, value));
    }
    (kind, parameters)
}

/// A header's pieces between semicolons; one inside quotes does not count. A parameter's name is in lower case.
fn pieces(text: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut start = 0;
    while start <= text.len() {
        let rest = &text[start..];
        let quotes = |part: &[u8]| {
            let escaped = part.windows(2).filter(|pair| pair == b"\\\"").count();
            part.iter().filter(|byte| **byte == b'"').count() - escaped
        };
        let semicolons = rest.iter().enumerate().filter(|(_, byte)| **byte == b';').map(|(at, _)| at);
        let end = semicolons.into_iter().find(|at| quotes(&rest[..*at]) % 2 == 0).unwrap_or(rest.len());
        let piece = &rest[..end];
        pieces.push(match piece.iter().position(|byte| *byte == b'=') {
            None => trim(piece).to_vec(),
            Some(at) => {
                let joined = [&trim_end(&piece[..at]).to_ascii_lowercase(), b"=".as_slice(), trim(&piece[at + 1..])];
                trim(&joined.concat()).to_vec()
            }
        });
        start += end + 1;
    }
    pieces
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !blank(*byte)).map_or(0, |at| at + 1);
    &text[..end]
}

fn trim(text: &[u8]) -> &[u8] {
    let text = trim_end(text);
    let start = text.iter().position(|byte| !blank(*byte)).unwrap_or(text.len());
    &text[start..]
}

fn replace(text: &[u8], wanted: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find(rest, wanted) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(with);
        rest = &rest[at + wanted.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// A parameter; the last one counts.
fn get<'a>(parameters: &'a Parameters, name: &[u8]) -> Option<&'a [u8]> {
    parameters.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
}

/// UTF-8, or else Latin-1.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    // A plain search over a few MiB: look for the first byte, then compare.
    let first = *wanted.first()?;
    let mut at = 0;
    while let Some(step) = text.get(at..)?.iter().position(|byte| *byte == first) {
        at += step;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(disposition: &[u8]) -> Vec<u8> {
        [
            b"--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b\r\nContent-Disposition: ".as_slice(),
            disposition,
            b"\r\nContent-Type: text/plain\r\n\r\na\r\n--c\r\n--bb\r\n--b--\r\n",
        ]
        .concat()
    }

    fn name(disposition: &[u8]) -> Result<Option<String>, String> {
        let body = body(disposition);
        let part = file("multipart/form-data; boundary=b", &body, "file").map_err(|error| error.message)?;
        Ok(part.map(|part| {
            assert_eq!(part.content, b"a\r\n--c\r\n--bb");
            part.name
        }))
    }

    /// Each was put to python-multipart 0.0.34, parameters as it reads them.
    #[test]
    fn names_are_taken_as_the_real_parser_takes_them() {
        let table: &[(&[u8], Option<&str>)] = &[
            (b"\"plain.txt\"", Some("plain.txt")),
            (b"bare.txt", Some("bare.txt")),
            (b"bare name.txt ", Some("bare name.txt")),
            (b"\"dq%22.txt\"", Some("dq%22.txt")),
            (b"\"dq\\\".txt\"", Some("dq\".txt")),
            (b"\"a\\b.txt\"", Some("a\\b.txt")),
            (b"\"a\\\\b.txt\"", Some("a\\b.txt")),
            // First the backslashes, then the quote that they leave behind.
            (b"\"a\\\\\\\"b.txt\"", Some("a\\\"b.txt")),
            (b"\"a\\\\\\\\b.txt\"", Some("a\\\\b.txt")),
            (b"\"a\\nb.txt\"", Some("a\\nb.txt")),
            (b"\"a\nb.txt\"", Some("a\nb.txt")),
            (b"\"\n\"", Some("\n")),
            (b"\"a\tb.txt\"", Some("a\tb.txt")),
            (b"\" a \"", Some(" a ")),
            (b"\"a;b \xc3\xbc.txt\"", Some("a;b ü.txt")),
            (b"\"a\\\";b.txt\"", Some("a\";b.txt")),
            (b"\"a=b.txt\"", Some("a=b.txt")),
            (b"\"\xfc.txt\"", Some("ü.txt")),
            (b"\"sub/a.txt\"", Some("sub/a.txt")),
            (b"\"../a.txt\"", Some("../a.txt")),
            (b"\"C:\\\\dir\\\\a.txt\"", Some("a.txt")),
            (b"\"C:\\dir\\a.txt\"", Some("a.txt")),
            (b"\"\\\\\\\\host\\\\a.txt\"", Some("a.txt")),
            (b"\"\\\\host\\\\a.txt\"", Some("\\host\\a.txt")),
            (b"\"a\"; filename*=utf-8''b", Some("a")),
            (b"\"a\"; filename=\"b\"", Some("b")),
            (b"\"a\"; Filename = \"b\"", Some("b")),
            (b"\"\"", None),
            (b"\"", Some("\"")),
        ];
        for (given, expected) in table {
            let disposition = [b"form-data; name=\"file\"; filename=".as_slice(), given].concat();
            let shown = String::from_utf8_lossy(given);
            assert_eq!(name(&disposition), Ok(expected.map(str::to_owned)), "{shown}");
        }
        assert_eq!(name(b"form-data; name=file; filename*=utf-8''b"), Ok(None));
        assert_eq!(name(b"form-data; filename=\"b\"; name=file"), Ok(Some("b".into())));
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let invalid = Err("Invalid multipart data.".to_owned());
        assert_eq!(name(b"form-data; name=\"file\"; filename=\"a\rb\""), invalid);
        assert_eq!(name(b"form-data; name=\"file\"; filename=\"a\r\nb\""), invalid);
        let long = [b"form-data; name=\"file\"; filename=".as_slice(), &[b'x'; 4300]].concat();
        assert_eq!(name(&long), invalid);
        let nameless = "The Content-Disposition header field \"name\" must be provided.".to_owned();
        assert_eq!(name(b"form-data; filename=\"b\""), Err(nameless));
        for bad in ["no boundary", "--bx\r\n", "--b\r\n: x\r\n\r\n", "--b\r\na b: x\r\n\r\n"] {
            assert!(file("multipart/form-data; boundary=b", bad.as_bytes(), "file").is_err(), "{bad}");
        }
        assert!(file("multipart/form-data", b"", "file").is_err());
    }

    #[test]
    fn what_is_no_form_has_no_file() {
        assert!(matches!(file("application/json", b"{}", "file"), Ok(None)));
        for empty in ["", "--b\r\n", "--b--\r\n", "\r\n--b--"] {
            let found = file("multipart/form-data; boundary=b", empty.as_bytes(), "file");
            assert!(matches!(found, Ok(None)), "{empty}");
        }
    }
}
