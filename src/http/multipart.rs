//! The form with one file that `ops/upload` takes (RFC 7578).
//!
//! The server (python-multipart under Starlette) reads a file name between double quotes: `\"` and `\\` are unescaped, every
//! other byte is taken as it stands, a newline included; percent-encoding is not undone, and `filename*` is ignored since
//! python-multipart 0.0.30. Two things cannot pass and are the caller's to refuse or to dodge: a carriage return, and a name that
//! looks like a Windows path (`x:\…`, `\\…`), of which the parser keeps the last part only. The dodge is a leading `./`.

use std::rc::Rc;

/// Head and tail around a file's bytes, and the content type that announces them.
pub struct Form {
    /// Value of the request's `content-type`.
    pub content_type: String,
    /// Before the bytes.
    pub head: Rc<[u8]>,
    /// After the bytes.
    pub tail: Rc<[u8]>,
}

/// Can this file name be sent unharmed?
pub fn can_carry(name: &str) -> bool {
    !name.contains(['\r', '\0'])
}

/// A form with the field `file`. `boundary` must be too random to occur in the file.
pub fn form(name: &str, boundary: &str) -> Form {
    debug_assert!(can_carry(name));
    let windows = name.as_bytes().get(1..3) == Some(b":\\".as_slice()) || name.starts_with("\\\\");
    let prefix = if windows { "./" } else { "" };
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    let head = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{prefix}{quoted}\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    Form {
        content_type: format!("multipart/form-data; boundary={boundary}"),
        head: head.into_bytes().into(),
        tail: format!("\r\n--{boundary}--\r\n").into_bytes().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name as python-multipart 0.0.34 reads it from the header.
    fn as_the_server_reads_it(head: &[u8]) -> String {
        let head = std::str::from_utf8(head).unwrap();
        let start = head.find("filename=\"").unwrap() + 10;
        let end = head.find("\"\r\ncontent-type").unwrap();
        let mut value = head[start..end].replace("\\\\", "\\").replace("\\\"", "\"");
        if value.get(1..3) == Some(":\\") || value.starts_with("\\\\") {
            value = value.rsplit('\\').next().unwrap().into();
        }
        value
    }

    #[test]
    fn every_name_arrives_as_it_is() {
        for name in
            ["a.txt", "a b;c.txt", "ünï.txt", "say \"hi\"", "new\nline", "-dash", "per%20cent", "tab\t", "a'b", "c\\d"]
        {
            assert_eq!(as_the_server_reads_it(&form(name, "b").head), name);
        }
        for name in ["C:\\temp", "\\\\share\\x", "é:\\"] {
            let read = as_the_server_reads_it(&form(name, "b").head);
            assert_eq!(read.trim_start_matches("./"), name, "{read}");
        }
        assert!(!can_carry("a\rb"));
    }
}
