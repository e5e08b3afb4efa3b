//! What one request takes, in bytes.

use super::lenient::System;
use crate::error::{Error, Kind};

/// `max_ops_file_size` as shipped.
const SHIPPED: u64 = 5 * 1024 * 1024;

/// Largest upload and download of any system, by the server's own words alone.
pub fn of(system: &System) -> (u64, u64) {
    let upload = system.max_ops_file_size.unwrap_or(SHIPPED);
    (upload, largest_download(upload))
}

/// A download is the output of `base64`, and has to be shorter than the buffer for a command's output, which has `max_ops_file_size`
/// bytes (FirecREST 2.5.7: `dependencies.py`, `ssh_client.py`).
fn largest_download(buffer: u64) -> u64 {
    buffer.saturating_sub(1) / 4 * 3
}

/// Is the error a matter of size? A time that was too short is none where the server, as shipped, would have taken the size.
pub fn past_direct(error: &Error, size: u64) -> bool {
    error.kind == Kind::TooLarge || error.info.http_status == Some(408) && size > SHIPPED
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
}
