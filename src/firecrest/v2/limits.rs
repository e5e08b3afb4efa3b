//! What one request takes, in bytes.

use super::lenient::System;
use crate::error::{Error, Kind};
use crate::options::Version;

/// `max_ops_file_size` as shipped; and the buffer for a command's output in every version that does not set its size.
const SHIPPED: u64 = 5 * 1024 * 1024;

/// A download of so many bytes fits the buffer as shipped, and the server's time: what has no other way if a download fails keeps to
/// that, whatever a server allows.
pub const SURE_DOWNLOAD: u64 = largest_download(SHIPPED);

/// Largest upload and download of any system, by the server's own words alone.
///
/// FirecREST gives a command's output as much room as a file (`buffer_limit=max_ops_file_size`, `dependencies.py`) from 2.5.0 on;
/// before, 5 MiB whatever is told (`ssh_client.py`).
pub fn of(system: &System, version: Option<Version>) -> (u64, u64) {
    let upload = system.max_ops_file_size.unwrap_or(SHIPPED);
    let fixed = version.and_then(|version| version.minor).is_some_and(|minor| minor < 5);
    (upload, largest_download(if fixed { SHIPPED } else { upload }))
}

/// A download is the output of `base64`, and has to be shorter than the buffer for a command's output.
const fn largest_download(buffer: u64) -> u64 {
    buffer.saturating_sub(1) / 4 * 3
}

/// Is the error a matter of size, so that another way than one request may do? A full disk is not: it is as full for every way. Nor is a
/// time that was too short for a size that the server, as shipped, takes.
pub fn past_direct(error: &Error, size: u64) -> bool {
    let told = error.info.server_message.as_deref().unwrap_or_default();
    match error.info.http_status {
        Some(413) => true,
        // The answer to a download that overflows the buffer early.
        _ if error.kind == Kind::TooLarge => told.contains("Channel not open for sending"),
        status => status == Some(408) && size > SHIPPED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_is_the_base64_that_fits_the_buffer() {
        let expected = [(0, 0), (1, 0), (4, 0), (5, 3), (1 << 20, 786_429), (SHIPPED, 3_932_157)];
        for (buffer, largest) in expected {
            assert_eq!(largest_download(buffer), largest, "{buffer}");
        }
    }

    #[test]
    fn the_buffer_is_what_the_version_makes_it() {
        let system = |size| System { max_ops_file_size: size, ..System::default() };
        for (told, version, largest) in [
            (None, "2.5.7", (SHIPPED, 3_932_157)),
            (Some(1 << 20), "2.5.0", (1 << 20, 786_429)),
            (Some(16 << 20), "2.5.7", (16 << 20, 12_582_909)),
            (Some(16 << 20), "2.x.x", (16 << 20, 12_582_909)),
            (Some(16 << 20), "2.4.2", (16 << 20, 3_932_157)),
            (Some(16 << 20), "2.2.8", (16 << 20, 3_932_157)),
        ] {
            assert_eq!(of(&system(told), Version::parse(version)), largest, "{told:?} {version}");
        }
        assert_eq!(of(&system(Some(16 << 20)), None).1, 12_582_909);
    }

    #[test]
    fn a_full_disk_is_no_matter_of_size() {
        let told = |kind, status, text: &str| {
            let mut error = Error::new(kind, text);
            error.info.http_status = Some(status);
            error.info.server_message = Some(text.to_owned());
            error
        };
        let full = told(Kind::TooLarge, 500, "tee: /d/f: No space left on device");
        let long = told(Kind::OutcomeUnknown, 408, "Command execution timeout limit exceeded.");
        let closed = told(Kind::TooLarge, 500, "Channel not open for sending");
        let proxy = told(Kind::TooLarge, 413, "");
        for (error, size, past) in [
            (&full, SHIPPED * 2, false),
            (&long, SHIPPED, false),
            (&long, SHIPPED + 1, true),
            (&closed, 1, true),
            (&proxy, 1, true),
        ] {
            assert_eq!(past_direct(error, size), past, "{error:?}");
        }
    }
}
